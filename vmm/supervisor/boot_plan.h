/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Everything a machine needs before it is started, opened and checked: kernel, initramfs, shares, logs, sockets, ports, and
 * the WELCOME that the agent will get. Made by boot_plan_prepare() once the sandbox's lock is held; a backend then only
 * spawns. What was opened is closed by boot_plan_finish(), spawned or not.
 */
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "images/kernel_cache.h"
#include "vmm/supervisor/owner.h"
#include "vmm/supervisor/registry.h"
#include "vmm/supervisor/share_rules.h"

#define BOOT_SHARES_MAX (SPEC_SHARES_MAX + 5)
#define BOOT_TAG_MAX	15
#define BOOT_LOG_CAP_BYTES                                                                         \
	(4u << 20) /* console and session logs are capped by their writers (V10) */

enum boot_share_kind { BOOT_SHARE_MAPPED, BOOT_SHARE_HOST, BOOT_SHARE_INTERNAL };
enum boot_share_role {
	BOOT_ROLE_PLAIN,
	BOOT_ROLE_USR,
	BOOT_ROLE_ETC,
	BOOT_ROLE_DPKG,
	BOOT_ROLE_TOOLS
};

struct boot_share {
	char tag[BOOT_TAG_MAX + 1];
	enum boot_share_kind kind;
	enum boot_share_role role;
	bool readonly;
	bool trust_hardlinks;
	uint64_t device, inode;
	char path[PATH_MAX];
	const char *target; /* BOOT_ROLE_PLAIN: the spec's */
};

struct boot_plan {
	const struct spec *spec; /* borrowed */
	const struct paths *paths; /* borrowed */
	const char *cgroup; /* for what is spawned; NULL: none. Borrowed */
	struct owner owner;
	char instance[REGISTRY_INSTANCE_LEN + 1];
	struct kernel_choice kernel;
	bool has_p9;
	int kvm_fd, kernel_fd, initramfs_fd, console_fd, session_log_fd, welcome_fd, listen_fd;
	/* Of the sandbox's CA, and its name where OpenSSL looks; NULL: no egress. Borrowed */
	const char *certificate, *certificate_name;
	int egress_fd; /* the link's end of the socket to sandbox-proxy; -1: the guest is cut off. Borrowed */
	int port_fds[SPEC_PORTS_MAX];
	size_t port_count; /* open ones */
	struct boot_share shares[BOOT_SHARES_MAX];
	size_t share_count;
	struct share_protected protected_ids;
	char socket_folder[PATH_MAX]; /* of vsock.sock and vsock.sock_PORT */
	char exposed
		[PATH_MAX]; /* a folder of this instance that the owner can reach; empty where ours will do */
	char ssh_folder[PATH_MAX];
	char tools[PATH_MAX]; /* empty: not fetched */
	char exposed_tools[PATH_MAX];
};

/* Told what is being done, for progress. May be NULL. */
typedef void boot_stage_fn(void *data, const char *stage, const char *text);

void boot_plan_init(struct boot_plan *plan, const struct spec *spec, const struct paths *paths);
void boot_plan_finish(struct boot_plan *plan);
/* *ret_stage (static text) says where it failed. environment: for helpers (initramfs/build, ssh-keygen). */
int boot_plan_prepare(struct boot_plan *plan, const char *const *environment, boot_stage_fn *stage,
	void *data, const char **ret_stage, struct err *err);

/*
 * As far as that shows while the sandbox of that name still runs: what it has stays as it is. What can be made beforehand
 * (kernel, initramfs) is made, into the cache. The ports are left out (ports_check_replace()).
 */
int boot_plan_check(struct boot_plan *plan, const char *const *environment, boot_stage_fn *stage,
	void *data, const char **ret_stage, struct err *err);

/* welcome.c: the WELCOME body for this plan in a sealed memfd. */
int welcome_make(const struct boot_plan *plan, int *ret_fd, struct err *err);
