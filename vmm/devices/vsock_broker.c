/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/devices/vsock_broker.h"

#include <errno.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/fdpass.h"

void vsock_broker_encode(
	const struct vsock_broker_message *message, uint8_t out[static VSOCK_BROKER_SIZE])
{
	struct bytes_writer w = bytes_writer(out, VSOCK_BROKER_SIZE);

	bytes_put_u8(&w, message->op);
	bytes_put_u8(&w, 0);
	bytes_put_u16(&w, 0);
	bytes_put_u32(&w, message->id);
	bytes_put_u32(&w, message->port);
	bytes_put_u32(&w, 0);
}

bool vsock_broker_decode(const void *data, size_t size, struct vsock_broker_message *ret)
{
	struct bytes_reader r = bytes_reader(data, size);
	struct vsock_broker_message message = { .op = bytes_get_u8(&r) };
	uint32_t reserved = bytes_get_u8(&r);

	reserved |= bytes_get_u16(&r);
	message.id = bytes_get_u32(&r);
	message.port = bytes_get_u32(&r);
	reserved |= bytes_get_u32(&r);
	if (!bytes_done(&r) || reserved)
		return false;
	if (message.op < VSOCK_BROKER_CONNECT || message.op > VSOCK_BROKER_STREAM)
		return false;
	*ret = message;
	return true;
}

int vsock_broker_send(int socket_fd, const struct vsock_broker_message *message, int fd)
{
	uint8_t wire[VSOCK_BROKER_SIZE];

	vsock_broker_encode(message, wire);
	return fdpass_send(socket_fd, wire, sizeof(wire), fd);
}

static bool may_carry_fd(uint8_t op)
{
	return op == VSOCK_BROKER_ACCEPTED || op == VSOCK_BROKER_OPEN || op == VSOCK_BROKER_STREAM;
}

int vsock_broker_receive(int socket_fd, struct vsock_broker_message *ret, int *ret_fd)
{
	uint8_t wire[VSOCK_BROKER_SIZE];
	struct vsock_broker_message message;
	size_t len;
	int fd, r = fdpass_receive(socket_fd, wire, sizeof(wire), &len, &fd);

	if (r <= 0)
		return r;
	if (!vsock_broker_decode(wire, len, &message) || (fd >= 0 && !may_carry_fd(message.op)) ||
		(message.op == VSOCK_BROKER_ACCEPTED && fd < 0)) {
		close_keeping_errno(fd);
		return -EBADMSG;
	}
	*ret = message;
	*ret_fd = fd;
	return 1;
}
