/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A way through a proxy of the host's own (a company's, by setting): CONNECT for every destination (RFC 9110, section 9.3.6), on a socket
 * that is connected to it. No byte behind the proxy's answer is taken off the socket. Names are then resolved and their addresses chosen by that
 * proxy, so it is what keeps them apart (E5, E6); addresses that are asked for as such are judged here all the same.
 *
 * Pure but for the socket; no loop of its own. Threads: the caller's.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/name.h"

#define VIA_HEAD_MAX 8192

struct via_target {
	struct policy_host host;
	uint16_t port;
};

struct via {
	char request[2 * POLICY_NAME_MAX + 128];
	size_t request_len, request_sent;
	char head[VIA_HEAD_MAX]; /* of its answer */
	size_t head_len;
};

/* "proxy.example:3128", "192.0.2.1:3128", "[2001:db8::1]:3128". False: no such form. */
bool via_parse(const char *text, struct via_target *ret);
void via_begin(struct via *via, const struct policy_host *host, uint16_t port);
/* What is to be waited for: POLLOUT or POLLIN's epoll twin. */
uint32_t via_events(const struct via *via);
/* 1: the way is open. 0: not yet. -EPERM: it is refused; -EPROTO: that is no proxy; -EPIPE: it hung up; -errno. */
int via_step(struct via *via, int fd);
