/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Fetching a secret (E20): sandbox-secret is spawned with a pipe of which the reading end is for one injector, and for nobody
 * else; whoever calls this never reads it. It runs in the caller's process group and the sandbox's control group, in `/`, with an
 * empty environment; what it needs of the one in which the sandbox was started it reads from environment_fd itself.
 */
#include <sys/types.h>

#include "vmm/supervisor/paths.h"
#include "vmm/supervisor/secrets/secret_ref.h"

struct spec;

struct secret_fetch {
	char name[SECRET_NAME_MAX + 1];
	pid_t pid;
	int pidfd;
	int value_fd; /* the pipe's reading end */
	int words_fd; /* what it says when it fails; -1: it goes to our stderr */
	uint32_t refresh_s; /* when to fetch it again; 0: never */
};

struct secret_request {
	const struct paths *paths;
	const struct spec
		*spec; /* its shares hold no secret's file: a guest could put a link there */
	const char *cgroup; /* NULL: none */
	int environment_fd; /* secret_environment.h; -1: none */
	bool wait; /* its words are for secret_fetch_wait() */
};

/* Whether it is known and does not lie in a share; nothing is fetched. -ENOKEY, -EPERM with the way out. */
int secret_fetch_find(const struct secret_request *request, const char *name,
	struct secret_ref *ret, struct err *err);
/* On failure *ret holds nothing. */
int secret_fetch_start(const struct secret_request *request, const char *name,
	struct secret_fetch *ret, struct err *err);
/*
 * All of them side by side, and waited for, before the loop reaps children: it takes as long as the slowest. request->wait is
 * set. -ENOKEY, -EPERM: some cannot be had, each is named with its words; then rets hold nothing.
 */
int secret_fetch_all(const struct secret_request *request, const char *const *names, size_t count,
	struct secret_fetch *rets, struct err *err);
/* Closes what is left; value_fd too, unless it was taken. */
void secret_fetch_finish(struct secret_fetch *fetch);
