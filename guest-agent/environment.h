/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The environment of a workload: pure. Layers, later ones winning by name: what a login gives (HOME, USER, LOGNAME, SHELL,
 * PATH, LANG, and TERM at a terminal), egress's, WELCOME's, the request's own. Nothing of the agent's gets in (S12).
 */
#include "guest-agent/protocol/messages.h"
#include "guest-agent/user.h"

#define ENVIRONMENT_BASE_MAX   8
#define ENVIRONMENT_EGRESS_MAX 24
#define ENVIRONMENT_MAX	       (ENVIRONMENT_BASE_MAX + ENVIRONMENT_EGRESS_MAX + 2 * PROTOCOL_WORDS_MAX)
#define ENVIRONMENT_PATH       "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct environment {
	size_t count;
	char *list[ENVIRONMENT_MAX +
		   1]; /* for execve: ends with NULL; borrows from all that went in */
	char text[ENVIRONMENT_BASE_MAX][USER_PATH_MAX + 16];
};

/*
 * What WELCOME's offer of egress adds: the proxy's variables, and where there is a CA of the sandbox's the names by which
 * tools look for one (trust.h). NULL where there is no offer.
 */
const char *const *environment_egress(const struct protocol_welcome *welcome);

/* egress and welcome_env end with NULL and may be NULL. */
void environment_build(struct environment *env, const struct user *user, const char *const *egress,
	const char *const *welcome_env, const struct protocol_exec *request);
/* The value of name, or NULL. */
const char *environment_get(const struct environment *env, const char *name);
