/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Starting the process of an EXEC: its terminal or pipes, its session, its user, its folder, its program.
 */
#include <sys/types.h>

#include "guest-agent/operation.h"
#include "guest-agent/user.h"

struct exec_child {
	pid_t pid; /* leads a session and a process group of its own */
	int pidfd;
	int input; /* the terminal's master, or the writing end of a pipe; non-blocking */
	int output; /* a dup of the master, or the reading end */
	int error; /* -1 at a terminal */
};

struct exec_failure {
	int code; /* negative errno */
	enum protocol_stage stage; /* PROTOCOL_STAGE_NONE: exec itself: EXIT{failed} */
};

/* 0, and the fds are the caller's; or -1 with the reason in *failure. */
int exec_child_start(const struct protocol_exec *request, const struct operation_context *context,
	const struct user *user, struct exec_child *ret, struct exec_failure *failure);
