/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/egress/reports.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"

struct reports {
	struct loop *loop;
	const struct reports_ops *ops;
	void *data;
	struct loop_source *source, *timer;
	int fd;
	bool asked, accepted;
	uint8_t bytes[4 * EGRESS_ANSWER_MAX];
	size_t len;
};

static void give_up(struct reports *r)
{
	loop_remove(TAKE_PTR(r->source));
	close_keeping_errno(TAKE_FD(r->fd));
	loop_timer_set(r->timer, REPORTS_AGAIN_MS);
}

/* 0, or -errno where the stream is of no more use. */
static int ask(struct reports *r)
{
	static const struct egress_request request = { .kind = EGRESS_REPORTS };
	uint8_t wire[EGRESS_REQUEST_MAX];
	size_t len = egress_request_encode(&request, wire);
	ssize_t n = send(r->fd, wire, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && (errno == EAGAIN || errno == ENOTCONN))
		return 0; /* not there yet */
	if (n != (ssize_t)len)
		return -EPIPE;
	r->asked = true;
	return loop_modify(r->source, EPOLLIN);
}

static int take(struct reports *r, const struct egress_answer *answer)
{
	if (r->accepted && answer->verdict != EGRESS_ACCEPTED) {
		r->ops->denied(r->data, answer);
		return 0;
	}
	if (r->accepted || answer->verdict != EGRESS_ACCEPTED)
		return -EPROTO;
	r->accepted = true;
	return 0;
}

static int hear(struct reports *r)
{
	ssize_t n = recv(r->fd, r->bytes + r->len, sizeof(r->bytes) - r->len, MSG_DONTWAIT);
	struct egress_answer answer;
	int used, code = 0;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -EPIPE;
	r->len += (size_t)n;
	while (code == 0 && (used = egress_answer_decode(r->bytes, r->len, &answer)) != 0) {
		if (used < 0)
			return used;
		r->len -= (size_t)used;
		memmove(r->bytes, r->bytes + used, r->len);
		code = take(r, &answer);
	}
	return code;
}

static void on_ready(void *data, uint32_t events)
{
	struct reports *r = data;

	(void)events;
	if ((r->asked ? hear(r) : ask(r)) < 0)
		give_up(r);
}

static void open_stream(void *data)
{
	struct reports *r = data;

	r->asked = r->accepted = false;
	r->len = 0;
	r->fd = r->ops->connect(r->data);
	if (r->fd < 0 || loop_add_fd(r->loop, r->fd, EPOLLOUT, on_ready, r, &r->source) < 0)
		give_up(r);
}

int reports_create(
	struct loop *loop, const struct reports_ops *ops, void *data, struct reports **ret)
{
	struct reports *r = calloc(1, sizeof(*r));
	int code;

	if (!r)
		return -ENOMEM;
	*r = (struct reports){ .loop = loop, .ops = ops, .data = data, .fd = -1 };
	code = loop_add_timer(loop, open_stream, r, &r->timer);
	if (code < 0) {
		free(r);
		return code;
	}
	loop_timer_set(r->timer, 1);
	*ret = r;
	return 0;
}

bool reports_heard(const struct reports *r)
{
	return r->fd >= 0 && r->accepted;
}

void reports_destroy(struct reports *r)
{
	if (!r)
		return;
	loop_remove(r->source);
	loop_remove(r->timer);
	close_keeping_errno(r->fd);
	free(r);
}
