/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A program on a terminal of its own, driven by a test: type, wait for text, resize, see how it ended. Every wait has an end.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PTY_OUTPUT_MAX 65536
#define PTY_TIMEOUT_MS 60000

struct pty_driver {
	pid_t pid;
	int master,
		slave; /* the slave is kept open, so that settings can be looked at after the end */
	char output[PTY_OUTPUT_MAX + 1]; /* everything so far */
	size_t len;
};

/* argv[0] is a path. 24 x 80. */
int pty_start(struct pty_driver *p, char *const *argv);
int pty_type(struct pty_driver *p, const char *text);
/* Waits until text is in the output; false at the timeout. */
bool pty_expect(struct pty_driver *p, const char *text);
int pty_resize(struct pty_driver *p, uint16_t rows, uint16_t cols);
/* Whether the terminal echoes and edits lines, as a shell leaves it. */
bool pty_is_cooked(const struct pty_driver *p);
/* Waits for the end: exit code, 128+n for a signal; -1 at the timeout (it is killed then). Reads what is left. */
int pty_finish(struct pty_driver *p);
