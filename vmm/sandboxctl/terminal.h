/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The host's terminal while a guest's session has it: raw mode, and back on every way out.
 *
 * Theory of operation. terminal_enter_raw() keeps the settings it found and undoes its own change in terminal_leave(),
 * at exit(), and in handlers of the signals that end a process for a fault (which then go on to their default). The signals
 * that ask (INT, TERM, HUP, QUIT, TSTP) are read by the session's loop through terminal_signals(), so that it
 * can leave in order. Only SIGKILL leaves the terminal raw (`stty sane` helps).
 * Raw here is what ssh sets: no echo, no line editing, no signals from keys, no output processing.
 *
 * One terminal per process: its settings are the one thing kept in a static, since a signal handler must reach them.
 */
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/err.h"

/* fd is a terminal, borrowed until terminal_leave(). */
int terminal_enter_raw(int fd, struct err *err);
/* Back to what was; input that nobody has read is flushed (H6: no answer of the terminal is left for the shell). */
void terminal_leave(void);
bool terminal_is_raw(void);

/* Lines and columns of the terminal at fd; false where it is none or does not say. */
bool terminal_size(int fd, uint16_t *ret_rows, uint16_t *ret_cols);

/* The signals that a session reads from a signalfd; they are blocked in the process from terminal_block_signals() on. */
void terminal_signals(sigset_t *ret);
int terminal_block_signals(sigset_t *ret_before);

/* Stops this process as SIGTSTP would, with the terminal as it was meanwhile, and takes it again afterwards. */
int terminal_suspend(struct err *err);
