/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/link/control.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "vmm/base/array.h"
#include "vmm/base/bytes.h"

/* What the body of each op measures: exactly `fixed`, or 1 to LINK_CONTROL_BODY_MAX where it is a protocol request. */
struct op_shape {
	bool is_request;
	size_t fixed;
	uint8_t flags; /* allowed ones */
};

static const struct op_shape shapes[LINK_OP_LAST + 1] = {
	[LINK_OP_EXEC] = { .is_request = true },
	[LINK_OP_SESSION_START] = { .is_request = true, .flags = LINK_FLAG_HOLD },
	[LINK_OP_SESSION_ATTACH] = { .fixed = 4 },
	[LINK_OP_COPY_OUT] = { .is_request = true },
	[LINK_OP_COPY_IN] = { .is_request = true },
	[LINK_OP_FORWARD] = { .fixed = 4 },
	[LINK_OP_VSOCK] = { .fixed = 4 },
	[LINK_OP_SHUTDOWN] = { .fixed = 4 },
	[LINK_OP_TIME] = { .fixed = 8 },
	[LINK_OP_HEALTH] = { .fixed = 0 },
};

static bool request_fits(const struct link_request *request)
{
	const struct op_shape *shape;

	if (request->op < LINK_OP_EXEC || request->op > LINK_OP_LAST)
		return false;
	shape = &shapes[request->op];
	if (request->flags & ~shape->flags)
		return false;
	if (shape->is_request)
		return request->body_len > 0 && request->body_len <= LINK_CONTROL_BODY_MAX;
	return request->body_len == shape->fixed;
}

bool link_control_decode(const void *data, size_t size, struct link_request *ret)
{
	struct bytes_reader r = bytes_reader(data, size);
	struct link_request request = { .op = bytes_get_u8(&r), .flags = bytes_get_u8(&r) };
	uint16_t reserved = bytes_get_u16(&r);

	request.id = bytes_get_u32(&r);
	if (r.failed || reserved)
		return false;
	request.body_len = bytes_left(&r);
	request.body = bytes_get(&r, request.body_len);
	if (!request_fits(&request))
		return false;
	*ret = request;
	return true;
}

static void attach_fd(struct msghdr *msg, char *space, size_t size, int fd)
{
	struct cmsghdr *c;

	msg->msg_control = space;
	msg->msg_controllen = size;
	c = CMSG_FIRSTHDR(msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
}

static ssize_t send_parts(int socket_fd, const struct iovec *parts, size_t count, int fd)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {};
	struct msghdr msg = { .msg_iov = (struct iovec *)parts, .msg_iovlen = count };
	ssize_t n;

	if (fd >= 0)
		attach_fd(&msg, control.space, sizeof(control.space), fd);
	do
		n = sendmsg(socket_fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

int link_control_send(int socket_fd, const struct link_request *request, int fd, struct err *err)
{
	uint8_t head[LINK_CONTROL_HEAD];
	struct bytes_writer w = bytes_writer(head, sizeof(head));
	struct iovec parts[2] = {
		{ .iov_base = head, .iov_len = sizeof(head) },
		{ .iov_base = (void *)request->body, .iov_len = request->body_len },
	};
	ssize_t n;

	if (request->body_len > LINK_CONTROL_BODY_MAX)
		return err_set(err, -EMSGSIZE, "request to sandbox-link: longer than %u bytes",
			LINK_CONTROL_BODY_MAX);
	if (!request_fits(request))
		return err_set(err, -EINVAL, "request to sandbox-link: operation %u is malformed",
			request->op);
	bytes_put_u8(&w, request->op);
	bytes_put_u8(&w, request->flags);
	bytes_put_u16(&w, 0);
	bytes_put_u32(&w, request->id);
	n = send_parts(socket_fd, parts, ARRAY_SIZE(parts), fd);
	if (n < 0)
		return err_set(err, (int)n, "request to sandbox-link: %s", strerror((int)-n));
	return 0;
}

static int send_body(int socket_fd, enum link_op op, uint32_t id, const struct bytes_writer *body,
	int fd, struct err *err)
{
	struct link_request request = {
		.op = (uint8_t)op, .id = id, .body = body->data, .body_len = body->offset
	};

	return link_control_send(socket_fd, &request, fd, err);
}

int link_control_attach(
	int socket_fd, uint32_t id, uint16_t rows, uint16_t cols, int fd, struct err *err)
{
	uint8_t wire[4];
	struct bytes_writer w = bytes_writer(wire, sizeof(wire));

	bytes_put_u16(&w, rows);
	bytes_put_u16(&w, cols);
	return send_body(socket_fd, LINK_OP_SESSION_ATTACH, id, &w, fd, err);
}

static int send_u32(
	int socket_fd, enum link_op op, uint32_t id, uint32_t value, int fd, struct err *err)
{
	uint8_t wire[4];
	struct bytes_writer w = bytes_writer(wire, sizeof(wire));

	bytes_put_u32(&w, value);
	return send_body(socket_fd, op, id, &w, fd, err);
}

int link_control_forward(int socket_fd, uint32_t id, uint32_t port, int fd, struct err *err)
{
	return send_u32(socket_fd, LINK_OP_FORWARD, id, port, fd, err);
}

int link_control_vsock(int socket_fd, uint32_t id, uint32_t port, int fd, struct err *err)
{
	return send_u32(socket_fd, LINK_OP_VSOCK, id, port, fd, err);
}

int link_control_shutdown(int socket_fd, enum link_shutdown kind, struct err *err)
{
	return send_u32(socket_fd, LINK_OP_SHUTDOWN, 0, (uint32_t)kind, -1, err);
}

int link_control_time(int socket_fd, uint64_t realtime_ns, struct err *err)
{
	uint8_t wire[8];
	struct bytes_writer w = bytes_writer(wire, sizeof(wire));

	bytes_put_u64(&w, realtime_ns);
	return send_body(socket_fd, LINK_OP_TIME, 0, &w, -1, err);
}
