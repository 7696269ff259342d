/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/link/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"

#define BROKER_TURN 64 /* messages before other sources of the loop get their turn */

static void arm(struct link_broker *broker)
{
	if (broker->source)
		loop_modify(broker->source, EPOLLIN | (broker->waiting_count ? EPOLLOUT : 0));
}

static int wait_in_line(
	struct link_broker *broker, const struct vsock_broker_message *message, int fd)
{
	struct link_broker_waiting *slot;
	int copy = -1;

	if (broker->waiting_count == LINK_BROKER_WAITING_MAX)
		return -EBUSY;
	if (fd >= 0) {
		copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		if (copy < 0)
			return -errno;
	}
	slot = &broker->waiting[(broker->waiting_first + broker->waiting_count++) %
				LINK_BROKER_WAITING_MAX];
	*slot = (struct link_broker_waiting){ .message = *message, .fd = copy };
	arm(broker);
	return 0;
}

/* fd is borrowed. */
static int tell(
	struct link_broker *broker, enum vsock_broker_op op, uint32_t id, uint32_t port, int fd)
{
	struct vsock_broker_message message = { .op = (uint8_t)op, .id = id, .port = port };
	int r = -EAGAIN;

	if (!broker->source)
		return -ENOTCONN;
	if (!broker->waiting_count)
		r = vsock_broker_send(broker->fd, &message, fd);
	return r == -EAGAIN ? wait_in_line(broker, &message, fd) : r;
}

static void send_waiting(struct link_broker *broker)
{
	while (broker->waiting_count) {
		struct link_broker_waiting *slot = &broker->waiting[broker->waiting_first];

		if (vsock_broker_send(broker->fd, &slot->message, slot->fd) == -EAGAIN)
			break;
		close_keeping_errno(slot->fd);
		broker->waiting_first = (broker->waiting_first + 1) % LINK_BROKER_WAITING_MAX;
		broker->waiting_count--;
	}
	arm(broker);
}

static struct link_broker_pending *find_pending(struct link_broker *broker, uint32_t id)
{
	for (unsigned int i = 0; i < LINK_BROKER_PENDING_MAX; i++)
		if (broker->pending[i].id == id)
			return &broker->pending[i];
	return NULL;
}

static void answered(struct link_broker *broker, uint32_t id, int code)
{
	struct link_broker_pending *found = id ? find_pending(broker, id) : NULL;
	struct link_broker_pending pending;

	if (!found)
		return; /* an OPEN with an fd: the stream itself tells */
	pending = *found;
	*found = (struct link_broker_pending){};
	if (pending.fn)
		pending.fn(pending.data, code);
	else if (code == 0)
		link_broker_stream(broker, id, -1);
}

static void on_connect(struct link_broker *broker, const struct vsock_broker_message *message)
{
	_cleanup_close_ int fd = -1;
	int r = broker->connect_fn(broker->data, message->port, &fd);

	if (r == 0)
		r = tell(broker, VSOCK_BROKER_ACCEPTED, message->id, 0, fd);
	if (r < 0)
		tell(broker, VSOCK_BROKER_REFUSED, message->id, 0, -1);
}

static void on_message(struct link_broker *broker, const struct vsock_broker_message *message)
{
	switch ((enum vsock_broker_op)message->op) {
	case VSOCK_BROKER_CONNECT:
		on_connect(broker, message);
		break;
	case VSOCK_BROKER_OPENED:
		answered(broker, message->id, 0);
		break;
	case VSOCK_BROKER_FAILED:
		answered(broker, message->id, -ECONNREFUSED);
		break;
	case VSOCK_BROKER_ACCEPTED:
	case VSOCK_BROKER_REFUSED:
	case VSOCK_BROKER_OPEN:
	case VSOCK_BROKER_STREAM:
		break; /* ours to send */
	}
}

static void broker_ended(struct link_broker *broker)
{
	loop_remove(broker->source);
	broker->source = NULL;
	broker->ended_fn(broker->data);
}

static void on_broker(void *data, uint32_t events)
{
	struct link_broker *broker = data;

	if (events & EPOLLOUT)
		send_waiting(broker);
	for (int i = 0; i < BROKER_TURN && broker->source; i++) {
		struct vsock_broker_message message;
		int fd = -1;
		int r = vsock_broker_receive(broker->fd, &message, &fd);

		close_keeping_errno(fd); /* the VMM sends none */
		if (r == -EAGAIN)
			break;
		if (r == 1)
			on_message(broker, &message);
		else if (r == -EBADMSG)
			log_ratelimited(LOG_WARN, "the VMM sent a malformed broker message");
		else
			broker_ended(broker);
	}
}

int link_broker_init(struct link_broker *broker, struct loop *loop, int fd,
	link_broker_connect_fn *connect_fn, link_broker_ended_fn *ended_fn, void *data)
{
	*broker = (struct link_broker){
		.loop = loop, .fd = fd, .connect_fn = connect_fn, .ended_fn = ended_fn, .data = data
	};
	return loop_add_fd(loop, fd, EPOLLIN, on_broker, broker, &broker->source);
}

void link_broker_finish(struct link_broker *broker)
{
	loop_remove(broker->source);
	broker->source = NULL;
	for (; broker->waiting_count; broker->waiting_count--) {
		close_keeping_errno(broker->waiting[broker->waiting_first].fd);
		broker->waiting_first = (broker->waiting_first + 1) % LINK_BROKER_WAITING_MAX;
	}
}

static uint32_t new_id(struct link_broker *broker)
{
	do
		broker->next_id++;
	while (!broker->next_id || find_pending(broker, broker->next_id));
	return broker->next_id;
}

void link_broker_widen(int fd)
{
	int size = LINK_BROKER_SEND_BYTES;

	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) < 0) {
		/* Slower, no more. */
	}
}

int link_broker_open(struct link_broker *broker, uint32_t port, int fd)
{
	return tell(broker, VSOCK_BROKER_OPEN, new_id(broker), port, fd);
}

int link_broker_open_pair(struct link_broker *broker, uint32_t port, int *ret_fd)
{
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	link_broker_widen(pair[1]);
	r = link_broker_open(broker, port, pair[1]);
	close(pair[1]);
	if (r < 0)
		close(pair[0]);
	else
		*ret_fd = pair[0];
	return r;
}

int link_broker_ask(struct link_broker *broker, uint32_t port, link_broker_opened_fn *fn,
	void *data, uint32_t *ret_id)
{
	struct link_broker_pending *slot = find_pending(broker, 0);
	uint32_t id = new_id(broker);
	int r;

	if (!slot)
		return -EBUSY;
	r = tell(broker, VSOCK_BROKER_OPEN, id, port, -1);
	if (r < 0)
		return r;
	*slot = (struct link_broker_pending){ .id = id, .fn = fn, .data = data };
	*ret_id = id;
	return 0;
}

int link_broker_stream(struct link_broker *broker, uint32_t id, int fd)
{
	return tell(broker, VSOCK_BROKER_STREAM, id, 0, fd);
}

void link_broker_forget(struct link_broker *broker, uint32_t id)
{
	struct link_broker_pending *slot = id ? find_pending(broker, id) : NULL;

	if (slot)
		slot->fn = NULL;
}
