/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * sandbox-link's command line: the supervisor's words, read by one table. Pure: the fds are looked at later.
 */
#include <stdbool.h>

#include "vmm/link/link.h"

struct link_options {
	const char *name;
	int lifeline_fd, welcome_fd, lock_fd; /* -1: not given */
	struct link_config config; /* fds and ports; welcome and socket_folder are still empty */
	const char *socket_folder; /* on the host; bound at /sockets */
	bool unjailed; /* tests only */
};

/* Words of argv are borrowed. */
int link_options_parse(struct link_options *options, int argc, char **argv, struct err *err);
