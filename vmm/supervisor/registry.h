/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What is known about each sandbox: a folder per name under the state folder, in it record.json and a lock.
 *
 * Theory of operation. The lock (flock on an open file that supervisor, VMM and link all inherit) is held exactly as long
 * as anything of the sandbox lives; it alone says whether a sandbox is alive, never a pid. The record is written by
 * whoever holds the lock, whole or not at all (rename). Pids in it are only believed together with the process's start
 * time and the boot id (H2): a reused pid matches neither. A sandbox is its name and its workspace's device and inode
 * (H13): a record of another workspace is an error, not something to take over.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "vmm/base/err.h"
#include "vmm/supervisor/lifecycle.h"
#include "vmm/supervisor/paths.h"
#include "vmm/supervisor/process.h"
#include "vmm/supervisor/spec.h"

#define REGISTRY_RECORD_MAX    (1024 * 1024)
#define REGISTRY_REASON_MAX    256
#define REGISTRY_SANDBOXES_MAX 4096
#define REGISTRY_INSTANCE_LEN  32 /* hex */

/* V11: whether hyperthread siblings of a vCPU may run anything else. */
enum core_scheduling {
	CORE_SCHEDULING_UNKNOWN, /* nothing was started yet */
	CORE_SCHEDULING_IN_FORCE,
	CORE_SCHEDULING_NOT_NEEDED, /* no siblings are in use */
	CORE_SCHEDULING_UNAVAILABLE,
};

struct record {
	struct spec spec;
	enum lifecycle_state state;
	char reason
		[REGISTRY_REASON_MAX]; /* why it is in this state, one line, ours (no guest text) */
	char instance[REGISTRY_INSTANCE_LEN + 1]; /* new at every boot of a machine */
	char boot_id[PROCESS_BOOT_ID_LEN + 1]; /* of the host, when it was started */
	struct process_id supervisor, vmm, link;
	pid_t pgid;
	char kernel[SPEC_PATH_LEN_MAX + 1]; /* what was booted: its name or path */
	uint64_t created_at, started_at, ready_at, ended_at; /* Unix seconds; 0: not yet */
	int32_t exit_code; /* of the main command: 0-255; -1: none ended */
	uint64_t isolation_vmm, isolation_link; /* enum jail_layer bits in force */
	enum core_scheduling core_scheduling;
	char cgroup[SPEC_PATH_LEN_MAX + 1]; /* of VMM and link; empty: none of their own */
	uint32_t owner_uid, owner_gid; /* whose rights the jailed processes have */
};

void record_init(struct record *record);
void record_finish(struct record *record);
/* Pure. *ret untouched on failure; every field bounded, unknown keys refused. */
int record_parse(const char *text, size_t len, struct record *ret, struct err *err);
/* A text on the heap that record_parse() gives back as it was. */
int record_format(const struct record *record, char **ret_text, size_t *ret_len, struct err *err);

/* -ENOENT: no such sandbox (err names it). */
int registry_load(const struct paths *paths, const char *name, struct record *ret, struct err *err);
/* The caller holds the lock. Works on a full disk too where there was a record of about this size. */
int registry_save(const struct paths *paths, const struct record *record, struct err *err);
/* Names of all sandboxes, sorted; NULL-ended vector, json_free_texts(). */
int registry_list(const struct paths *paths, char ***ret_names, struct err *err);

/*
 * Takes the sandbox's lock, making its folder; *ret_fd is CLOEXEC and holds it, with all its duplicates in other
 * processes. -EBUSY: something of this sandbox lives (after at most wait_ms).
 */
int registry_lock(const struct paths *paths, const char *name, uint64_t wait_ms, int *ret_fd,
	struct err *err);
/* Whether somebody holds it: 1 or 0, -ENOENT where there is no such sandbox. */
int registry_is_locked(const struct paths *paths, const char *name);

/* Removes state and runtime folders; the caller holds the lock, which stays valid but names nothing any more. */
int registry_remove(const struct paths *paths, const char *name, struct err *err);

/* rm -r of one of our own folders; follows no link. Missing is fine. */
int registry_remove_folder(const char *path, struct err *err);

/* What an instance had below /run/sandboxctl (paths.h). An empty instance had nothing. */
int registry_remove_exposed(const char *instance);

/* H13: whether record is for this workspace. The error names both folders and a free name. */
int registry_check_workspace(const struct paths *paths, const struct record *record,
	const struct spec_share *workspace, struct err *err);
/* A name made from `base` (any text: a folder's name) that is valid and not taken. */
int registry_free_name(
	const struct paths *paths, const char *base, char ret_name[static SANDBOX_NAME_MAX + 1]);
/* A valid name from any text, whether taken or not: lower case, other bytes become '-'. "sandbox" where nothing is left. */
void registry_name_from(const char *base, char ret_name[static SANDBOX_NAME_MAX + 1]);
/* The sandbox whose workspace this is; -ENOENT. A live one is preferred, else the one that was started last. */
int registry_find_workspace(const struct paths *paths, uint64_t device, uint64_t inode,
	char ret_name[static SANDBOX_NAME_MAX + 1]);

/* Whether a record's pids mean anything: same boot. */
bool record_is_of_this_boot(const struct record *record);
