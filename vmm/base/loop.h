/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One epoll loop of one thread: fds and one-shot timers, callbacks that say what happened.
 *
 * Threads: a loop belongs to the thread that runs it. Only loop_stop() may be called from another thread or a signal
 * handler. Everything else is called before loop_run() or from a callback of the same loop.
 * Ownership: the loop never owns an fd. Remove a source before its fd is closed; removing a source from inside any
 * callback is allowed, its own included.
 * Limits: LOOP_EVENTS_MAX events are taken at a time, so that one busy source does not starve the rest.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#define LOOP_EVENTS_MAX 64

struct loop;
struct loop_source;

/* events: EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR as epoll gave them. */
typedef void loop_fd_fn(void *data, uint32_t events);
typedef void loop_timer_fn(void *data);

int loop_create(struct loop **ret);
void loop_destroy(struct loop *loop); /* frees the sources that are left */

/* Level-triggered, but for EPOLLET in events. events may be 0 (only HUP and ERR are told then). */
int loop_add_fd(struct loop *loop, int fd, uint32_t events, loop_fd_fn *fn, void *data,
	struct loop_source **ret);
int loop_modify(struct loop_source *source, uint32_t events);
/*
 * Whether that is needed to go from events to wanted. What is looked for in vain costs nothing until it is told: told is what was told
 * last, readable says that there is more to be read than was.
 */
static inline bool loop_must_look_anew(
	uint32_t events, uint32_t wanted, uint32_t told, bool readable)
{
	uint32_t pressing = (told & ~(uint32_t)EPOLLIN) | (readable ? EPOLLIN : 0) | EPOLLET;

	return (wanted & ~events) || ((wanted ^ events) & pressing);
}
/*
 * Calls it (an fd's) once, with events 0, when all events of this round are dispatched; outside of a round in the next one. What
 * many callbacks of a round lead to is so done once, and without asking the kernel for it. Never from inside this call.
 */
void loop_call_soon(struct loop_source *source);

/* A timer that is armed by loop_timer_set(); it fires once for each setting. after_ms 0 disarms it. */
int loop_add_timer(struct loop *loop, loop_timer_fn *fn, void *data, struct loop_source **ret);
int loop_timer_set(struct loop_source *source, uint64_t after_ms);

void loop_remove(struct loop_source *source); /* NULL is allowed */

/* Runs until loop_stop(); gives the code that loop_stop() was told, or -errno. */
int loop_run(struct loop *loop);
/* One round: waits at most timeout_ms (-1: for ever), dispatches what is there. Gives the number of events. */
int loop_run_once(struct loop *loop, int timeout_ms);
void loop_stop(struct loop *loop, int code);

uint64_t clock_monotonic_ms(void);
uint64_t clock_monotonic_ns(void);
