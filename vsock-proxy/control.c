/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-proxy/control.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/fdpass.h"

/* An id is printable ASCII (policy/reader.c); only an injector's channel has one. */
static bool message_valid(const struct control_message *m)
{
	size_t len = strnlen(m->binding, sizeof(m->binding));

	if (m->op < CONTROL_POLICY || m->op > CONTROL_SECRET || len == sizeof(m->binding))
		return false;
	for (size_t i = 0; i < len; i++)
		if (m->binding[i] <= ' ' || m->binding[i] > '~')
			return false;
	return !len || m->op == CONTROL_INJECTOR;
}

int control_send(int socket_fd, const struct control_message *message, int fd)
{
	char wire[CONTROL_SIZE_MAX] = { (char)message->op };
	size_t len;

	if (fd < 0 || !message_valid(message))
		return -EINVAL;
	len = strlen(message->binding);
	memcpy(wire + CONTROL_HEAD, message->binding, len);
	return fdpass_send(socket_fd, wire, CONTROL_HEAD + len, fd);
}

static bool decode(const char *wire, size_t len, struct control_message *ret)
{
	struct control_message m = {};

	if (len < CONTROL_HEAD || wire[1] || wire[2] || wire[3] ||
		memchr(wire + CONTROL_HEAD, 0, len - CONTROL_HEAD))
		return false;
	m.op = (uint8_t)wire[0];
	memcpy(m.binding, wire + CONTROL_HEAD, len - CONTROL_HEAD);
	if (!message_valid(&m))
		return false;
	*ret = m;
	return true;
}

int control_receive(int socket_fd, struct control_message *ret, int *ret_fd)
{
	char wire[CONTROL_SIZE_MAX];
	size_t len;
	int fd, r = fdpass_receive(socket_fd, wire, sizeof(wire), &len, &fd);

	if (r <= 0)
		return r;
	if (fd < 0 || !decode(wire, len, ret)) {
		close_keeping_errno(fd);
		return -EBADMSG;
	}
	*ret_fd = fd;
	return 1;
}
