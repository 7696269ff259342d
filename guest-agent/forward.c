/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FORWARD: a stream becomes a TCP connection to a port on the guest's own loopback. After STARTED the bytes are raw, each
 * direction with one buffer and its own half-close.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest-agent/frame_io.h"
#include "guest-agent/operation.h"
#include "guest-agent/user.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"

#define FORWARD_BUFFER (64 << 10)

struct half {
	int from, to;
	size_t len, done;
	bool ended; /* from has; once all has left, to is shut for writing */
	bool shut;
	uint8_t data[FORWARD_BUFFER];
};

static int connect_to(const struct sockaddr *address, socklen_t len)
{
	_cleanup_close_ int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, address, len) < 0)
		return -errno;
	return TAKE_FD(fd);
}

/* 127.0.0.1, then ::1: servers listen on either. */
static int connect_loopback(uint16_t port)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int on = 1, r;

	v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	v6.sin6_addr = in6addr_loopback;
	r = connect_to((const struct sockaddr *)&v4, sizeof(v4));
	if (r == -ECONNREFUSED) {
		int second = connect_to((const struct sockaddr *)&v6, sizeof(v6));

		r = second >= 0 ? second : r;
	}
	if (r >= 0)
		(void)setsockopt(r, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return r;
}

/* Moves what can be moved without waiting. Negative: the connection is broken. */
static int move(struct half *h)
{
	ssize_t n;

	if (h->len == 0 && !h->ended) {
		n = recv(h->from, h->data, sizeof(h->data), MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (n == 0)
			h->ended = true;
		else if (n > 0)
			h->len = (size_t)n;
	}
	if (h->done < h->len) {
		n = send(h->to, h->data + h->done, h->len - h->done, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (n > 0)
			h->done += (size_t)n;
	}
	if (h->done == h->len)
		h->done = h->len = 0;
	if (h->ended && !h->len && !h->shut) {
		(void)shutdown(h->to, SHUT_WR);
		h->shut = true;
	}
	return 0;
}

static short events_of(const struct half *reads, const struct half *writes)
{
	short events = 0;

	if (!reads->ended && !reads->len)
		events |= POLLIN;
	if (writes->len)
		events |= POLLOUT;
	return events;
}

static void relay(struct half *there, struct half *back)
{
	while (!there->shut || !back->shut) {
		struct pollfd fds[2] = {
			{ there->from, events_of(there, back), 0 },
			{ back->from, events_of(back, there), 0 },
		};

		/* An fd that waits for nothing would say HUP for ever: leave it out. */
		for (int i = 0; i < 2; i++)
			if (!fds[i].events)
				fds[i].fd = -1;
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return;
		if (move(there) < 0 || move(back) < 0)
			return;
	}
}

void forward_run(
	int sock, const struct protocol_forward *request, const struct operation_context *context)
{
	_cleanup_free_ struct half *halves = calloc(2, sizeof(*halves));
	_cleanup_close_ int target = -1;
	uint8_t frame[STREAM_FIXED_MAX];
	struct user user;
	int r = halves ? user_lookup(context->user, &user) : -ENOMEM;

	if (r == 0)
		r = user_become(&user);
	if (r == 0)
		r = target = connect_loopback(request->port);
	if (r < 0) {
		frame_send_error(sock, r, PROTOCOL_STAGE_CONNECT);
		return;
	}
	if (fdio_write_full(sock, frame, stream_started_frame(0, frame)) < 0)
		return;
	halves[0].from = halves[1].to = sock;
	halves[0].to = halves[1].from = target;
	relay(&halves[0], &halves[1]);
}
