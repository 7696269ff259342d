/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/name_server.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#define PACKET_MAX 512

/* The question's name in dots; where its type is. */
static size_t read_name(const uint8_t *packet, size_t len, char out[static 256])
{
	size_t at = 12, used = 0;

	while (at < len && packet[at] && used + packet[at] + 1 < 255) {
		memcpy(out + used, packet + at + 1, packet[at]);
		used += packet[at];
		out[used++] = '.';
		at += packet[at] + 1u;
	}
	out[used ? used - 1 : 0] = '\0';
	return at + 1;
}

static size_t put_record(
	uint8_t *packet, size_t at, uint16_t type, const char *address, uint32_t ttl)
{
	size_t len = type == NAME_SERVER_A ? 4 : 16;

	memcpy(packet + at,
		(uint8_t[]){ 0xc0, 12, 0, (uint8_t)type, 0, 1, (uint8_t)(ttl >> 24),
			(uint8_t)(ttl >> 16), (uint8_t)(ttl >> 8), (uint8_t)ttl, 0, (uint8_t)len },
		12);
	assert_int_equal(
		inet_pton(type == NAME_SERVER_A ? AF_INET : AF_INET6, address, packet + at + 12),
		1);
	return at + 12 + len;
}

/* 20 addresses: more than are taken, fewer than a packet holds. */
static size_t put_many(uint8_t *packet, size_t at, uint16_t *count)
{
	for (int i = 0; i < 20; i++) {
		char text[32];

		snprintf(text, sizeof(text), "192.0.2.%d", i + 100);
		at = put_record(packet, at, NAME_SERVER_A, text, 60);
		++*count;
	}
	return at;
}

static void serve(void *data, uint32_t events)
{
	struct name_server *server = data;
	struct sockaddr_in from;
	socklen_t from_len = sizeof(from);
	uint8_t packet[PACKET_MAX];
	ssize_t n = recvfrom(
		server->fd, packet, sizeof(packet), 0, (struct sockaddr *)&from, &from_len);
	uint16_t type, count = 0;
	bool known = false;
	size_t at;

	(void)events;
	assert_true(n > 16);
	server->questions++;
	at = read_name(packet, (size_t)n, server->last_name);
	type = (uint16_t)(packet[at] << 8 | packet[at + 1]);
	at += 4;
	if (server->silent)
		return;
	for (const struct name_record *r = server->records; r->name; r++) {
		if (strcmp(r->name, server->last_name) != 0)
			continue;
		known = true;
		if (r->type == type && !r->address)
			at = put_many(packet, at, &count);
		else if (r->type == type && ++count)
			at = put_record(packet, at, type, r->address, r->ttl);
	}
	packet[2] = 0x84 | (packet[2] & 1);
	packet[3] = known ? 0x80 : 0x83;
	packet[6] = (uint8_t)(count >> 8);
	packet[7] = (uint8_t)count;
	memset(packet + 8, 0, 4);
	sendto(server->fd, packet, at, 0, (struct sockaddr *)&from, from_len);
}

void name_server_init(
	struct name_server *server, struct loop *loop, const struct name_record *records)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);

	*server = (struct name_server){ .records = records };
	server->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(server->fd, (struct sockaddr *)&address, len), 0);
	getsockname(server->fd, (struct sockaddr *)&address, &len);
	assert_int_equal(loop_add_fd(loop, server->fd, EPOLLIN, serve, server, &server->source), 0);
	snprintf(server->servers, sizeof(server->servers), "127.0.0.1:%u", ntohs(address.sin_port));
}

void name_server_finish(struct name_server *server)
{
	loop_remove(server->source);
	close(server->fd);
}
