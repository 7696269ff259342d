/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/base/loop.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"

struct loop_source {
	struct loop *loop;
	struct loop_source *next, *previous;
	int fd;
	bool is_timer;
	bool removed; /* freed at the end of the round: its event may still be in the batch */
	loop_fd_fn *fd_fn;
	loop_timer_fn *timer_fn;
	void *data;
	struct loop_source *soon_next, **soon_link; /* soon_link NULL: it is not to be called */
	uint32_t soon_round; /* in which it was asked for */
};

struct loop {
	int epoll_fd;
	int stop_fd;
	atomic_bool stopping;
	atomic_int stop_code;
	bool dispatching;
	struct loop_source *sources;
	struct loop_source *removed;
	struct loop_source *soon, **soon_end; /* in the order of asking */
	uint32_t soon_round;
};

uint64_t clock_monotonic_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t clock_monotonic_ms(void)
{
	return clock_monotonic_ns() / 1000000u;
}

DEFINE_CLEANUP(loop, loop_destroy)

int loop_create(struct loop **ret)
{
	_cleanup_(cleanup_loop_) struct loop *loop = calloc(1, sizeof(*loop));
	struct epoll_event event = { .events = EPOLLIN };

	if (!loop)
		return -ENOMEM;
	loop->stop_fd = -1;
	loop->soon_end = &loop->soon;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0)
		return -errno;
	loop->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->stop_fd < 0)
		return -errno;
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->stop_fd, &event) < 0)
		return -errno;
	*ret = TAKE_PTR(loop);
	return 0;
}

static void free_list(struct loop_source *source)
{
	while (source) {
		struct loop_source *next = source->next;

		if (source->is_timer && !source->removed)
			close(source->fd);
		free(source);
		source = next;
	}
}

void loop_destroy(struct loop *loop)
{
	if (!loop)
		return;
	free_list(loop->sources);
	free_list(loop->removed);
	close_keeping_errno(loop->epoll_fd);
	close_keeping_errno(loop->stop_fd);
	free(loop);
}

static int add_source(struct loop *loop, struct loop_source *source, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = source };

	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, source->fd, &event) < 0)
		return -errno;
	source->loop = loop;
	source->next = loop->sources;
	if (loop->sources)
		loop->sources->previous = source;
	loop->sources = source;
	return 0;
}

int loop_add_fd(struct loop *loop, int fd, uint32_t events, loop_fd_fn *fn, void *data,
	struct loop_source **ret)
{
	_cleanup_free_ struct loop_source *source = calloc(1, sizeof(*source));
	int r;

	if (!source)
		return -ENOMEM;
	source->fd = fd;
	source->fd_fn = fn;
	source->data = data;
	r = add_source(loop, source, events);
	if (r < 0)
		return r;
	if (ret)
		*ret = source;
	TAKE_PTR(source);
	return 0;
}

int loop_modify(struct loop_source *source, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = source };

	return epoll_ctl(source->loop->epoll_fd, EPOLL_CTL_MOD, source->fd, &event) < 0 ? -errno
											: 0;
}

int loop_add_timer(struct loop *loop, loop_timer_fn *fn, void *data, struct loop_source **ret)
{
	_cleanup_free_ struct loop_source *source = calloc(1, sizeof(*source));
	_cleanup_close_ int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	int r;

	if (!source)
		return -ENOMEM;
	if (fd < 0)
		return -errno;
	source->fd = fd;
	source->is_timer = true;
	source->timer_fn = fn;
	source->data = data;
	r = add_source(loop, source, EPOLLIN);
	if (r < 0)
		return r;
	TAKE_FD(fd);
	*ret = TAKE_PTR(source);
	return 0;
}

int loop_timer_set(struct loop_source *source, uint64_t after_ms)
{
	struct itimerspec when = {
		.it_value = {
			.tv_sec = (time_t)(after_ms / 1000),
			.tv_nsec = (long)(after_ms % 1000) * 1000000,
		},
	};

	return timerfd_settime(source->fd, 0, &when, NULL) < 0 ? -errno : 0;
}

static void unlink_source(struct loop_source *source)
{
	if (source->previous)
		source->previous->next = source->next;
	else
		source->loop->sources = source->next;
	if (source->next)
		source->next->previous = source->previous;
	source->next = source->previous = NULL;
}

void loop_call_soon(struct loop_source *source)
{
	struct loop *loop = source->loop;

	if (source->soon_link || source->removed || source->is_timer)
		return;
	source->soon_next = NULL;
	source->soon_link = loop->soon_end;
	*loop->soon_end = source;
	loop->soon_end = &source->soon_next;
	source->soon_round = loop->soon_round;
}

static void unlink_soon(struct loop_source *source)
{
	struct loop *loop = source->loop;

	if (!source->soon_link)
		return;
	*source->soon_link = source->soon_next;
	if (source->soon_next)
		source->soon_next->soon_link = source->soon_link;
	else
		loop->soon_end = source->soon_link;
	source->soon_link = NULL;
}

/* Those that are asked for by now; what they ask for has its turn in the next round. */
static int call_those_soon(struct loop *loop)
{
	uint32_t round = ++loop->soon_round;
	struct loop_source *source;
	int count = 0;

	while ((source = loop->soon) && source->soon_round != round) {
		unlink_soon(source);
		source->fd_fn(source->data, 0);
		count++;
	}
	return count;
}

void loop_remove(struct loop_source *source)
{
	struct loop *loop;

	if (!source || source->removed)
		return;
	loop = source->loop;
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
	unlink_source(source);
	unlink_soon(source);
	if (source->is_timer)
		close(source->fd);
	source->removed = true;
	if (!loop->dispatching) {
		free(source);
		return;
	}
	source->next = loop->removed;
	loop->removed = source;
}

static void dispatch(struct loop_source *source, uint32_t events)
{
	uint64_t expirations;

	if (source->removed)
		return;
	if (!source->is_timer) {
		source->fd_fn(source->data, events);
		return;
	}
	if (read(source->fd, &expirations, sizeof(expirations)) == sizeof(expirations))
		source->timer_fn(source->data);
}

int loop_run_once(struct loop *loop, int timeout_ms)
{
	struct epoll_event events[LOOP_EVENTS_MAX];
	int n = epoll_wait(loop->epoll_fd, events, LOOP_EVENTS_MAX, loop->soon ? 0 : timeout_ms);
	bool outermost = !loop->dispatching;

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	loop->dispatching = true;
	for (int i = 0; i < n; i++)
		if (events[i].data.ptr)
			dispatch(events[i].data.ptr, events[i].events);
	n += call_those_soon(loop);
	if (outermost) {
		loop->dispatching = false;
		free_list(loop->removed);
		loop->removed = NULL;
	}
	return n;
}

int loop_run(struct loop *loop)
{
	while (!atomic_load(&loop->stopping)) {
		int n = loop_run_once(loop, -1);

		if (n < 0)
			return n;
	}
	return atomic_load(&loop->stop_code);
}

void loop_stop(struct loop *loop, int code)
{
	uint64_t one = 1;

	atomic_store(&loop->stop_code, code);
	atomic_store(&loop->stopping, true);
	if (write(loop->stop_fd, &one, sizeof(one)) < 0) {
		/* The counter is full, so the loop wakes anyway. */
	}
}
