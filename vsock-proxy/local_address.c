/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-proxy/local_address.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"

#define ANSWER_MAX 4096
#define WAIT_MS	   1000 /* the kernel answers at once */

struct question {
	struct nlmsghdr head;
	struct rtmsg route;
	struct rtattr attribute;
	uint8_t address[16];
};

int local_address_init(struct local_address *local, struct err *err)
{
	struct timeval wait = { .tv_sec = WAIT_MS / 1000 };
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) < 0 ||
		connect(fd, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return err_set(
			err, -errno, "routes: the kernel cannot be asked: %s", strerror(errno));
	*local = (struct local_address){ .fd = TAKE_FD(fd) };
	return 0;
}

void local_address_finish(struct local_address *local)
{
	close_keeping_errno(local->fd);
	local->fd = -1;
}

static bool ask(struct local_address *local, const struct policy_host *host)
{
	size_t len = host->kind == POLICY_HOST_IPV4 ? 4 : 16;
	struct question q = {
		.head = { .nlmsg_type = RTM_GETROUTE,
			.nlmsg_flags = NLM_F_REQUEST,
			.nlmsg_seq = ++local->sequence },
		.route = { .rtm_family = host->kind == POLICY_HOST_IPV4 ? AF_INET : AF_INET6,
			.rtm_dst_len = (unsigned char)(len * 8) },
		.attribute = { .rta_type = RTA_DST, .rta_len = (unsigned short)RTA_LENGTH(len) },
	};

	memcpy(q.address, host->address, len);
	q.head.nlmsg_len = (uint32_t)(NLMSG_LENGTH(sizeof(q.route)) + RTA_LENGTH(len));
	return send(local->fd, &q, q.head.nlmsg_len, 0) == (ssize_t)q.head.nlmsg_len;
}

/* The type of the route in the answer to our question; RTN_UNSPEC where there is none. */
static int read_answer(struct local_address *local)
{
	union {
		struct nlmsghdr head;
		char bytes[ANSWER_MAX];
	} answer;

	for (;;) {
		ssize_t n = recv(local->fd, &answer, sizeof(answer), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < (ssize_t)sizeof(answer.head) || !NLMSG_OK(&answer.head, (uint32_t)n))
			return RTN_UNSPEC;
		/* An answer that came too late for the question before. */
		if (answer.head.nlmsg_seq != local->sequence)
			continue;
		if (answer.head.nlmsg_type != RTM_NEWROUTE ||
			answer.head.nlmsg_len < NLMSG_LENGTH(sizeof(struct rtmsg)))
			return RTN_UNSPEC;
		return ((struct rtmsg *)NLMSG_DATA(&answer.head))->rtm_type;
	}
}

bool local_address_is(struct local_address *local, const struct policy_host *host)
{
	return !ask(local, host) || read_answer(local) != RTN_UNICAST;
}
