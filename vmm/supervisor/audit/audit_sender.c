/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/audit/audit_sender.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "vmm/base/log.h"

struct waiting {
	struct waiting *next;
	uint64_t since_ms;
	size_t len;
	uint8_t bytes[];
};

struct audit_sender {
	struct loop_source *source;
	int fd;
	bool gone; /* the writer */
	struct waiting *first, **last;
	unsigned int count;
	uint64_t lost;
};

/* True: it is out of our hands. */
static bool push(struct audit_sender *s, const void *bytes, size_t len)
{
	ssize_t n = send(s->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN && errno != EINTR && errno != ENOBUFS) {
		if (!s->gone)
			log_error("the audit log's writer is gone (%m): nothing passes any more");
		s->gone = true;
	}
	return n >= 0;
}

static void flush(struct audit_sender *s)
{
	while (s->first && push(s, s->first->bytes, s->first->len)) {
		struct waiting *sent = s->first;

		s->first = sent->next;
		s->count--;
		free(sent);
	}
	if (!s->first)
		s->last = &s->first;
}

static void writable(void *data, uint32_t events)
{
	struct audit_sender *s = data;

	(void)events;
	flush(s);
	if (!s->first || s->gone)
		loop_modify(s->source, 0);
}

int audit_sender_create(struct loop *loop, int fd, struct audit_sender **ret)
{
	struct audit_sender *s = calloc(1, sizeof(*s));
	int r = 0;

	if (!s)
		return -ENOMEM;
	s->fd = fd;
	s->last = &s->first;
	if (fd >= 0)
		r = loop_add_fd(loop, fd, 0, writable, s, &s->source);
	if (r < 0)
		free(s);
	else
		*ret = s;
	return r;
}

void audit_sender_destroy(struct audit_sender *s)
{
	if (!s)
		return;
	if (!s->gone)
		flush(s);
	while (s->first) {
		struct waiting *next = s->first->next;

		free(s->first);
		s->first = next;
	}
	loop_remove(s->source);
	free(s);
}

bool audit_sender_ready(const struct audit_sender *s)
{
	if (s->fd < 0 || (!s->gone && !s->first))
		return true;
	return !s->gone && s->count < AUDIT_SENDER_READY_MAX &&
	       clock_monotonic_ms() - s->first->since_ms < AUDIT_SENDER_WAIT_MS;
}

static int keep(struct audit_sender *s, const uint8_t *bytes, size_t len)
{
	struct waiting *w = s->count < AUDIT_SENDER_MAX ? malloc(sizeof(*w) + len) : NULL;

	if (!w) {
		s->lost++;
		return -ENOBUFS;
	}
	w->next = NULL;
	w->since_ms = clock_monotonic_ms();
	w->len = len;
	memcpy(w->bytes, bytes, len);
	*s->last = w;
	s->last = &w->next;
	s->count++;
	loop_modify(s->source, EPOLLOUT);
	return 0;
}

int audit_sender_send(struct audit_sender *s, const struct audit_event *event)
{
	uint8_t bytes[AUDIT_MESSAGE_MAX];
	int len = audit_event_encode(event, bytes);

	if (len < 0)
		return len;
	if (s->fd < 0 || (!s->first && push(s, bytes, (size_t)len)))
		return 0;
	return keep(s, bytes, (size_t)len);
}

uint64_t audit_sender_lost(const struct audit_sender *s)
{
	return s->lost;
}
