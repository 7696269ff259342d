/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/egress/resolver.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest-agent/egress/network_order.h"
#include "vmm/base/cleanup.h"

#define LENGTH_SIZE 2

struct client {
	struct resolver *resolver;
	int fd;
	uint64_t turn; /* when it came */
	struct loop_source *source; /* NULL: free */
	size_t len;
	uint8_t data[LENGTH_SIZE + DNS_QUERY_MAX];
};

struct listener {
	struct resolver *resolver;
	int fd;
	struct loop_source *source;
};

struct resolver {
	struct loop *loop;
	const struct dns_zone *zone;
	uint64_t turn;
	unsigned int listeners;
	struct listener listener[RESOLVER_LISTENERS];
	struct client client[RESOLVER_TCP_MAX];
};

/* -- UDP -- */

static void on_datagrams(void *data, uint32_t events)
{
	struct listener *listener = data;
	uint8_t query[DNS_QUERY_MAX + 1], answer[DNS_ANSWER_MAX];

	(void)events;
	for (int i = 0; i < RESOLVER_BURST; i++) {
		struct sockaddr_storage peer;
		socklen_t peer_len = sizeof(peer);
		ssize_t n = recvfrom(listener->fd, query, sizeof(query), MSG_DONTWAIT,
			(struct sockaddr *)&peer, &peer_len);
		size_t len;

		if (n < 0)
			return;
		len = dns_answer(listener->resolver->zone, query, (size_t)n, answer);
		if (len)
			(void)sendto(listener->fd, answer, len, MSG_DONTWAIT | MSG_NOSIGNAL,
				(struct sockaddr *)&peer, peer_len);
	}
}

/* -- TCP -- */

static void drop(struct client *client)
{
	loop_remove(client->source);
	client->source = NULL;
	close(client->fd);
}

/* False where the client asks for something else than DNS, or does not take its answers. */
static bool answer_one(struct client *client, const uint8_t *query, size_t query_len)
{
	uint8_t answer[LENGTH_SIZE + DNS_ANSWER_MAX];
	struct bytes_writer w = bytes_writer(answer, LENGTH_SIZE);
	size_t len = dns_answer(client->resolver->zone, query, query_len, answer + LENGTH_SIZE);

	put_be16(&w, (uint16_t)len);
	len += LENGTH_SIZE;
	return len > LENGTH_SIZE &&
	       send(client->fd, answer, len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len;
}

static bool answer_all(struct client *client)
{
	while (client->len >= LENGTH_SIZE) {
		struct bytes_reader r = bytes_reader(client->data, client->len);
		size_t len = get_be16(&r), whole = LENGTH_SIZE + len;

		if (len > DNS_QUERY_MAX)
			return false;
		if (client->len < whole)
			return true;
		if (!answer_one(client, client->data + LENGTH_SIZE, len))
			return false;
		client->len -= whole;
		memmove(client->data, client->data + whole, client->len);
	}
	return true;
}

static void on_client(void *data, uint32_t events)
{
	struct client *client = data;
	ssize_t n = recv(client->fd, client->data + client->len, sizeof(client->data) - client->len,
		MSG_DONTWAIT);

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		client->len += (size_t)n;
	if (n <= 0 || !answer_all(client))
		drop(client);
}

static struct client *make_room(struct resolver *resolver)
{
	struct client *oldest = &resolver->client[0];

	for (unsigned int i = 0; i < RESOLVER_TCP_MAX; i++) {
		struct client *client = &resolver->client[i];

		if (!client->source)
			return client;
		if (client->turn < oldest->turn)
			oldest = client;
	}
	drop(oldest);
	return oldest;
}

static void on_connection(void *data, uint32_t events)
{
	struct listener *listener = data;
	struct resolver *resolver = listener->resolver;
	_cleanup_close_ int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *client;

	(void)events;
	if (fd < 0)
		return;
	client = make_room(resolver);
	client->resolver = resolver;
	client->fd = fd;
	client->len = 0;
	client->turn = ++resolver->turn;
	if (loop_add_fd(resolver->loop, fd, EPOLLIN, on_client, client, &client->source) == 0)
		(void)TAKE_FD(fd);
}

/* -- */

static int add(struct resolver *resolver, int fd, loop_fd_fn *fn)
{
	struct listener *listener = &resolver->listener[resolver->listeners];
	int r;

	if (resolver->listeners == RESOLVER_LISTENERS)
		return -ENOSPC;
	*listener = (struct listener){ .resolver = resolver, .fd = fd };
	r = loop_add_fd(resolver->loop, fd, EPOLLIN, fn, listener, &listener->source);
	if (r == 0)
		resolver->listeners++;
	return r;
}

int resolver_add_udp(struct resolver *resolver, int fd)
{
	return add(resolver, fd, on_datagrams);
}

int resolver_add_tcp(struct resolver *resolver, int fd)
{
	return add(resolver, fd, on_connection);
}

int resolver_create(struct loop *loop, const struct dns_zone *zone, struct resolver **ret)
{
	struct resolver *resolver = calloc(1, sizeof(*resolver));

	if (!resolver)
		return -ENOMEM;
	resolver->loop = loop;
	resolver->zone = zone;
	*ret = resolver;
	return 0;
}

void resolver_destroy(struct resolver *resolver)
{
	if (!resolver)
		return;
	for (unsigned int i = 0; i < RESOLVER_TCP_MAX; i++)
		if (resolver->client[i].source)
			drop(&resolver->client[i]);
	for (unsigned int i = 0; i < resolver->listeners; i++)
		loop_remove(resolver->listener[i].source);
	free(resolver);
}
