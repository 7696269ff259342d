/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * sandbox-proxy as a library: takes the guest's egress streams, ends their TLS, reads their HTTP, decides, and hands what passes
 * to the injector of its binding or to `open` (channel.h). Holds no secret, has no network, and what it can get from an
 * injector is what policy gives the guest (E22).
 *
 * Theory of operation. Streams come over streams_fd, each a session (session.c): a head that says where to, then TLS or plain
 * HTTP or, where a rule says so, bytes that nobody reads. Every request becomes an exchange (exchange.c): canonical form, authority
 * equal to the stated name (E4), decision, limits, a place in the audit log, then one stream of a channel. Nothing is buffered
 * past what credit allows. Policies and channels are replaced while it runs (egress_control.h).
 *
 * Threads: the loop's. fds are borrowed.
 */
#include <stdbool.h>

#include "policy/policy.h"
#include "vmm/base/err.h"
#include "vmm/base/loop.h"

#define PROXY_SESSIONS_MAX 1024 /* of one guest, at once */
/* For a stream's head, a ClientHello, a handshake. Some clients read all their roots in between, a slow guest's for 10 s and more. */
#define PROXY_HEAD_MS	60000
#define PROXY_IDLE_MS	75000 /* of a connection without a request */
#define PROXY_SILENT_MS (60 * 60 * 1000) /* of one with requests, on which nothing moves */

struct ca;
struct proxy;

struct proxy_config {
	int streams_fd; /* SEQPACKET: LINK_EGRESS_STREAM's of vmm/link/control.h */
	int control_fd; /* SEQPACKET: egress_control.h; -1: none */
	int event_fd; /* SEQPACKET: base/event.h; -1: none */
	int audit_fd; /* SEQPACKET to the audit log's writer; -1: none (tests) */
	int counters_fd; /* a regular file for policy_counters_encode(); -1: they die with us */
	uint32_t head_ms, idle_ms; /* 0: as above. Tests have less time */
	struct ca *ca; /* borrowed */
	struct policy *policy; /* the proxy's from then on, also where it fails */
};

int proxy_create(
	struct loop *loop, const struct proxy_config *config, struct proxy **ret, struct err *err);
void proxy_destroy(struct proxy *proxy); /* NULL is allowed */
/* At a quiet moment, what the first connection would wait for otherwise. */
void proxy_warm_up(struct proxy *proxy);
/* The supervisor is gone. */
bool proxy_is_over(const struct proxy *proxy);
/* For whoever hands over channels without a control socket (tests): takes fd. */
int proxy_set_injector(struct proxy *proxy, const char *binding, int fd, struct err *err);
