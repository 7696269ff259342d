/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/audit/writer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/event.h"
#include "vmm/supervisor/audit/fold.h"

#define TICK_MS	  1000
#define BATCH_MAX 64 /* messages of one source before the next has its turn */
#define NS_PER_S  UINT64_C(1000000000)

static const char malformed[] = "a message that is no event";

struct source {
	struct writer *writer;
	struct writer_source is;
	struct loop_source *watch; /* NULL: not read now */
	bool ended;
};

struct writer {
	struct loop *loop;
	struct store *store;
	struct fold *fold;
	struct loop_source *tick;
	int event_fd;
	uint32_t event_sequence;
	bool ticking, stalled;
	struct source sources[WRITER_SOURCES_MAX];
	size_t source_count;
	/* The event that could not be written. */
	bool holds;
	enum audit_source held_source;
	uint8_t held[AUDIT_MESSAGE_MAX];
	size_t held_len;
};

static void on_source(void *data, uint32_t events);

static void tell(struct writer *w, uint16_t kind, int error)
{
	uint64_t value = (uint64_t)-error;

	if (w->event_fd >= 0)
		event_send(w->event_fd, &w->event_sequence, kind, &value, 1);
}

static void watch(struct writer *w)
{
	for (size_t i = 0; i < w->source_count; i++) {
		struct source *s = &w->sources[i];

		if (!s->watch && !s->ended)
			loop_add_fd(w->loop, s->is.fd, EPOLLIN, on_source, s, &s->watch);
	}
}

static void unwatch(struct source *s)
{
	loop_remove(s->watch);
	s->watch = NULL;
}

static void arm(struct writer *w)
{
	if (!w->ticking)
		loop_timer_set(w->tick, TICK_MS);
	w->ticking = true;
}

static void stall(struct writer *w, int error)
{
	arm(w);
	if (w->stalled)
		return;
	w->stalled = true;
	for (size_t i = 0; i < w->source_count; i++)
		unwatch(&w->sources[i]);
	tell(w, EVENT_AUDIT_STALLED, error);
}

static void describe_malformed(struct audit_event *ret)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	*ret = (struct audit_event){ .kind = AUDIT_LOG,
		.decision = AUDIT_DENIED,
		.count = 1,
		.time_ns = (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec };
	ret->text[AUDIT_DETAIL] =
		(struct audit_bytes){ (const uint8_t *)malformed, sizeof(malformed) - 1 };
}

/* What is held, into the log. */
static int write_held(struct writer *w)
{
	struct audit_event event;
	int r = 0;

	if (!w->holds)
		return 0;
	if (audit_event_decode(w->held, w->held_len, &event) < 0)
		describe_malformed(&event);
	r = store_append(w->store, w->held_source, &event);
	w->holds = r < 0;
	return r;
}

static int take(struct writer *w, enum audit_source source)
{
	struct audit_event event;

	if (audit_event_decode(w->held, w->held_len, &event) < 0)
		describe_malformed(&event);
	if (fold_take(w->fold, source, &event, clock_monotonic_ms()))
		return 0;
	w->holds = true;
	w->held_source = source;
	return write_held(w);
}

/* One message; 1, 0 where there is none now, -errno where it could not be written. */
static int read_one(struct source *s)
{
	struct writer *w = s->writer;
	struct iovec iov = { w->held, sizeof(w->held) };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;
	int r;

	do {
		n = recvmsg(s->is.fd, &message, MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return 0;
	/* Too long a one is malformed, as one without a byte is; at a socket's end there is none, and its watch says so. */
	w->held_len = (size_t)n > sizeof(w->held) ? 0 : (size_t)n;
	if (n == 0)
		return 0;
	r = take(w, s->is.source);
	return r < 0 ? r : 1;
}

/* At most max messages; -errno: stalled. */
static int read_source(struct source *s, unsigned int max)
{
	int r = 1;

	for (unsigned int i = 0; i < max && r > 0; i++)
		r = read_one(s);
	if (r < 0)
		stall(s->writer, r);
	return r;
}

static void on_source(void *data, uint32_t events)
{
	struct source *s = data;
	int r = read_source(s, BATCH_MAX);

	/* Every other end is closed: nothing comes any more. */
	if (r == 0 && (events & (EPOLLHUP | EPOLLERR))) {
		s->ended = true;
		unwatch(s);
	}
	arm(s->writer);
}

static int write_counts(struct writer *w, bool all)
{
	enum audit_source source;
	struct audit_event event;
	int r = 0;

	while (r == 0 && fold_next(w->fold, clock_monotonic_ms(), all, &source, &event)) {
		r = store_append(w->store, source, &event);
		if (r == 0)
			fold_done(w->fold, clock_monotonic_ms());
	}
	return r;
}

static int write_all(struct writer *w, bool all)
{
	int r = write_held(w);

	if (r == 0)
		r = write_counts(w, all);
	return r < 0 ? r : store_sync(w->store);
}

static bool has_counts(struct writer *w)
{
	enum audit_source source;
	struct audit_event event;

	return fold_next(w->fold, 0, true, &source, &event);
}

static void on_tick(void *data)
{
	struct writer *w = data;
	int r;

	w->ticking = false;
	r = write_all(w, false);
	if (r < 0) {
		stall(w, r);
		return;
	}
	if (w->stalled) {
		w->stalled = false;
		tell(w, EVENT_AUDIT_RESUMED, 0);
		watch(w);
	}
	if (has_counts(w) || store_is_dirty(w->store))
		arm(w);
}

int writer_drain(struct writer *w)
{
	int r = write_held(w);

	for (size_t i = 0; i < w->source_count && r == 0; i++) {
		r = read_source(&w->sources[i], UINT32_MAX);
	}
	return r < 0 ? r : write_all(w, true);
}

int writer_create(struct loop *loop, struct store *store, int event_fd,
	const struct writer_source *sources, size_t count, struct writer **ret)
{
	struct writer *w = count <= WRITER_SOURCES_MAX ? calloc(1, sizeof(*w)) : NULL;
	int r = w ? fold_create(&w->fold) : -ENOMEM;

	if (r == 0)
		r = loop_add_timer(loop, on_tick, w, &w->tick);
	if (r < 0) {
		if (w)
			fold_destroy(w->fold);
		free(w);
		return r;
	}
	w->loop = loop;
	w->store = store;
	w->event_fd = event_fd;
	w->source_count = count;
	for (size_t i = 0; i < count; i++)
		w->sources[i] = (struct source){ .writer = w, .is = sources[i] };
	watch(w);
	*ret = w;
	return 0;
}

void writer_destroy(struct writer *w)
{
	if (!w)
		return;
	for (size_t i = 0; i < w->source_count; i++)
		unwatch(&w->sources[i]);
	loop_remove(w->tick);
	fold_destroy(w->fold);
	free(w);
}
