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

#include "guest-agent/egress/relay.h"
#include "guest-agent/frame_io.h"
#include "guest-agent/operation.h"
#include "guest-agent/user.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"

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

static short events_of(const struct relay_half *reads, const struct relay_half *writes)
{
	short events = 0;

	if (relay_wants_in(reads))
		events |= POLLIN;
	if (relay_wants_out(writes))
		events |= POLLOUT;
	return events;
}

static void relay(struct relay_half *there, struct relay_half *back)
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
		if (relay_move(there) < 0 || relay_move(back) < 0)
			return;
	}
}

void forward_run(
	int sock, const struct protocol_forward *request, const struct operation_context *context)
{
	_cleanup_free_ struct relay_half *halves = calloc(2, sizeof(*halves));
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
