/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The `data` of `status --json`, with the names that scripts rely on (product.md): name state reason backend instance image
 * kernel tier cpus memory_mib workspace shares ports started_at uptime_s supervisor_pid vmm_pid pgid health degraded
 * isolation linked_outside egress. Fields are only ever added. Made here alone, for live and for dead sandboxes, so that `ls` and `status` agree.
 */
#include "vmm/supervisor/policy_sources.h"
#include "vmm/supervisor/registry.h"

#define STATUS_REFUSED_MAX 16

/* What only a live supervisor knows. */
struct status_live {
	bool agent_ready;
	bool agent_lost;
	uint64_t heartbeat_age_ms; /* since the guest was last heard */
	uint64_t heartbeats;
	/* The guest's word, shown under `guest` and marked so. */
	uint64_t load1_percent, memory_total_kib, memory_free_kib, disk_free_kib, processes;
	uint64_t degraded_bits;
	uint64_t shares_memory_only; /* changes that live only as long as the sandbox */
	uint64_t device_faults; /* of the device that has most */
	/* S4, of each of the user's shares: the workspace, then the spec's. */
	struct status_refused {
		uint64_t count; /* refused changes */
		struct {
			uint64_t device, inode;
		} files[STATUS_REFUSED_MAX]; /* whose they were; others are only counted */
		size_t file_count;
	} refused[1 + SPEC_SHARES_MAX];
	const char *egress_state; /* a word of egress.h; NULL: there is none */
	int audit_error; /* errno: the audit log cannot be written, so nothing passes; 0 */
	const char *policy_digest;
	const struct policy_project *project; /* as it was at the start */
	const char *forward; /* where the audit log goes too; NULL: nowhere */
	int forward_error; /* errno: it does not just now */
	uint64_t not_forwarded;
	uint64_t egress_layers; /* in force in all of its processes */
	bool session_running;
	uint32_t attached;
};

/* live may be NULL: health is then "none". A record that says it lives while nothing does is shown as failed. */
json_t *status_data(const struct record *record, const struct status_live *live, bool alive);

/* {"approved", "present", "changed"}: digests of the project's policy; null where it has none. */
json_t *status_project(const struct policy_project *project);

/* All bits of enum jail_layer that a jailed process is asked to have. */
uint64_t status_isolation_asked(void);

/* Of any sandbox: asks its supervisor where one lives (a second at most), else reads the record. *ret_data is the caller's. */
int status_of(const struct paths *paths, const char *name, json_t **ret_data, struct err *err);
/* A list of all, sorted by name; never fails for one unreadable record (that one says so in its reason). */
int status_of_all(const struct paths *paths, json_t **ret_list, struct err *err);
