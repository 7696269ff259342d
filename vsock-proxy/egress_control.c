/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-proxy/egress_control.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/fdpass.h"

/* An id is printable ASCII (policy/reader.c); only an injector's channel has one. */
static bool message_valid(const struct egress_control *m)
{
	size_t len = strnlen(m->binding, sizeof(m->binding));

	if (m->op < EGRESS_CONTROL_POLICY || m->op > EGRESS_CONTROL_SECRET ||
		len == sizeof(m->binding))
		return false;
	for (size_t i = 0; i < len; i++)
		if (m->binding[i] <= ' ' || m->binding[i] > '~')
			return false;
	return !len || m->op == EGRESS_CONTROL_INJECTOR;
}

int egress_control_send(int socket_fd, const struct egress_control *message, int fd)
{
	char wire[EGRESS_CONTROL_SIZE_MAX] = { (char)message->op };
	size_t len;

	if (fd < 0 || !message_valid(message))
		return -EINVAL;
	len = strlen(message->binding);
	memcpy(wire + EGRESS_CONTROL_HEAD, message->binding, len);
	return fdpass_send(socket_fd, wire, EGRESS_CONTROL_HEAD + len, fd);
}

static bool decode(const char *wire, size_t len, struct egress_control *ret)
{
	struct egress_control m = {};

	if (len < EGRESS_CONTROL_HEAD || wire[1] || wire[2] || wire[3] ||
		memchr(wire + EGRESS_CONTROL_HEAD, 0, len - EGRESS_CONTROL_HEAD))
		return false;
	m.op = (uint8_t)wire[0];
	memcpy(m.binding, wire + EGRESS_CONTROL_HEAD, len - EGRESS_CONTROL_HEAD);
	if (!message_valid(&m))
		return false;
	*ret = m;
	return true;
}

int egress_control_receive(int socket_fd, struct egress_control *ret, int *ret_fd)
{
	char wire[EGRESS_CONTROL_SIZE_MAX];
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
