/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/egress/netlink_socket.h"

#include <errno.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "vmm/base/cleanup.h"

#define ANSWER_MAX 32768 /* an error carries the message it is about */

/* One datagram. The number of acknowledgements in it, or the error that one of them tells. */
static int take_answer(int fd, struct err *err)
{
	static uint8_t answer[ANSWER_MAX];
	ssize_t n = recv(fd, answer, sizeof(answer), 0);
	struct bytes_reader r = bytes_reader(answer, n < 0 ? 0 : (size_t)n);
	struct netlink_message message;
	int code, acks = 0;

	if (n < 0)
		return err_set(err, -errno, "netlink: no answer: %s", strerror(errno));
	while (netlink_next(&r, &message)) {
		if (!netlink_ack(&message, &code))
			continue;
		if (code < 0)
			return err_set(
				err, code, "netlink message %u: %s", message.seq, strerror(-code));
		acks++;
	}
	return r.failed ? err_set(err, -EPROTO, "netlink: a malformed answer") : acks;
}

int netlink_talk(int family, const struct netlink *n, unsigned int acks, struct err *err)
{
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, family);
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	struct timeval wait = { .tv_sec = NETLINK_WAIT_S };

	if (n->w.failed)
		return err_set(err, -EMSGSIZE, "netlink: no room for the messages");
	if (fd < 0)
		return err_set(err, -errno, "netlink family %d: %s", family, strerror(errno));
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	if (sendto(fd, n->w.data, n->w.offset, 0, (const struct sockaddr *)&kernel,
		    sizeof(kernel)) < 0)
		return err_set(err, -errno, "netlink: %s", strerror(errno));
	for (unsigned int seen = 0; seen < acks;) {
		int r = take_answer(fd, err);

		if (r < 0)
			return r;
		seen += (unsigned int)r;
	}
	return 0;
}
