/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What fake_vmm and fake_link share: the words they are started with, and their own end. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* The word after this one; "" where there is none. */
static inline const char *option(int argc, char **argv, const char *name)
{
	for (int i = 1; i + 1 < argc; i++)
		if (strcmp(argv[i], name) == 0)
			return argv[i + 1];
	return "";
}

static inline void end_now(int signal)
{
	(void)signal;
	_exit(1);
}

/* Pid 1 of a namespace, as these are, is not ended by a signal that it has no handler for. */
static inline void end_after_a_minute(void)
{
	signal(SIGALRM, end_now);
	alarm(60);
}
