/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-proxy/via.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "vmm/base/parse.h"

static const char end_of_head[] = "\r\n\r\n";

bool via_parse(const char *text, struct via_target *ret)
{
	const char *colon = strrchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : 0;
	struct via_target target;
	uint64_t port;

	if (!len || !parse_u64(colon + 1, 1, UINT16_MAX, &port))
		return false;
	if (text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	if (!policy_host_parse(text, len, &target.host))
		return false;
	target.port = (uint16_t)port;
	*ret = target;
	return true;
}

void via_begin(struct via *via, const struct policy_host *host, uint16_t port)
{
	const char *open = host->kind == POLICY_HOST_IPV6 ? "[" : "";
	const char *close = host->kind == POLICY_HOST_IPV6 ? "]" : "";
	int n;

	*via = (struct via){};
	n = snprintf(via->request, sizeof(via->request),
		"CONNECT %s%s%s:%u HTTP/1.1\r\nHost: %s%s%s:%u\r\n\r\n", open, host->text, close,
		port, open, host->text, close, port);
	via->request_len = n > 0 ? (size_t)n : 0;
}

uint32_t via_events(const struct via *via)
{
	return via->request_sent < via->request_len ? EPOLLOUT : EPOLLIN;
}

/* "HTTP/1.1 200 ...": every 2xx opens the way. */
static int judge(const char *head)
{
	if (strncmp(head, "HTTP/1.", 7) != 0 || (head[7] != '0' && head[7] != '1') ||
		head[8] != ' ' || head[9] < '0' || head[9] > '9')
		return -EPROTO;
	return head[9] == '2' ? 1 : -EPERM;
}

static int send_request(struct via *via, int fd)
{
	ssize_t n = send(fd, via->request + via->request_sent, via->request_len - via->request_sent,
		MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	via->request_sent += (size_t)n;
	return 0;
}

/* Looked at first, so that what follows the head stays in the socket. */
static int read_head(struct via *via, int fd)
{
	size_t room = sizeof(via->head) - 1 - via->head_len, take;
	char *at = via->head + via->head_len, *end;
	ssize_t n = room ? recv(fd, at, room, MSG_PEEK | MSG_DONTWAIT) : 0;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0)
		return room ? -EPIPE : -EPROTO;
	end = memmem(via->head, via->head_len + (size_t)n, end_of_head, strlen(end_of_head));
	take = end ? (size_t)(end + strlen(end_of_head) - at) : (size_t)n;
	n = recv(fd, at, take, MSG_DONTWAIT);
	if (n != (ssize_t)take)
		return -EPROTO;
	via->head_len += take;
	via->head[via->head_len] = '\0';
	return end ? judge(via->head) : 0;
}

int via_step(struct via *via, int fd)
{
	return via->request_sent < via->request_len ? send_request(via, fd) : read_head(via, fd);
}
