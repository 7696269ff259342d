/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * How a start is followed: sandbox-supervisor reads its spec from one inherited fd (JSON, from its start) and writes lines
 * of JSON to another: {"stage": WORD, "text": TEXT} as it goes, then one last {"ok": true, "data": status} or an error as
 * control.h has it, with its stage; then it closes the pipe. A reader that goes away before that cancels the start.
 * With PROGRESS_CHECK it starts nothing, and the last line is {"ok": true} or an error all the same.
 */
#include "vmm/supervisor/json.h"

#define PROGRESS_SPEC_FD	3
#define PROGRESS_FD		4
#define PROGRESS_ENVIRONMENT_FD 5 /* secrets/secret_environment.h; may be closed: there is none */
#define PROGRESS_CHECK                                                                             \
	"--check" /* the only word: find out whether it could start, and start nothing */

/* One line. Nobody who reads it (any more), or fd -1: nothing happens. */
void progress_write(int fd, const json_t *message);
void progress_write_stage(int fd, const char *stage, const char *text);
