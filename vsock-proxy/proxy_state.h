/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What one sandbox-proxy knows, for the files that it is made of: proxy.c (its sockets and what is told on them), session.c (one
 * stream of the guest's), guest_h1.c and guest_h2.c (HTTP on it), exchange.c (one request), tunnel.c (one opaque connection).
 * All of it is the loop's thread's.
 */
#include "policy/limits.h"
#include "policy/policy.h"
#include "vmm/base/loop.h"
#include "vmm/supervisor/audit/audit_sender.h"
#include "vsock-proxy/channel.h"
#include "vsock-proxy/denial.h"
#include "vsock-proxy/policy_digest.h"
#include "vsock-proxy/proxy.h"
#include "vsock-proxy/tls_server.h"

#define PROXY_REPORTS_MAX   16
#define PROXY_OPEN_EVENT_MS 5000 /* what lasts longer is written down while it is under way, too */
#define PROXY_STOPPED_TEXT  "nothing passes while it cannot be written to the audit log"

struct session;

/* A policy, for as long as a decision of it is in use. */
struct policy_use {
	struct policy *policy;
	unsigned int users;
	char digest[POLICY_DIGEST_LEN + 1];
};

/* Whoever has a stream of a channel: the stream's data. What the channel tells goes to its ops. */
struct stream_user;

struct stream_user_ops {
	struct channel_ops channel; /* those of a stream */
	/* The channel is gone, and with it the stream. */
	void (*lost)(struct stream_user *user);
};

struct stream_user {
	const struct stream_user_ops *ops;
	struct channel *channel; /* NULL: it has no stream */
	struct stream_user *next, **link; /* of the proxy's */
};

/* An injector, as far as the proxy knows it. */
struct peer {
	struct proxy *proxy;
	char binding[POLICY_ID_MAX + 1]; /* "": `open` */
	struct channel *channel; /* NULL: it is gone, another is on its way */
	struct peer *next;
};

struct proxy {
	struct loop *loop;
	struct proxy_config config;
	struct policy_use *policy; /* the one in force */
	struct tls_server *tls;
	struct audit_sender *audit;
	uint32_t unsaid; /* denials since the audit log takes no more: one event once it does */
	struct policy_counters counters;
	bool counters_changed;
	uint32_t head_ms, idle_ms;
	struct peer *peers;
	struct stream_user *users;
	struct session *sessions;
	unsigned int session_count, ended_count; /* there now; gone since the heap was trimmed */
	struct loop_source *streams_source, *control_source, *tick;
	uint32_t event_sequence;
};

struct policy_use *policy_use_get(struct proxy *proxy);
void policy_use_put(struct policy_use *use);
/* NULL: none is there now. */
struct channel *proxy_channel(struct proxy *proxy, const char *binding);
void stream_user_join(struct proxy *proxy, struct stream_user *user, struct channel *channel);
void stream_user_leave(struct stream_user *user); /* one that has none is allowed */
/* To those in the guest who listen (EGRESS_REPORTS). */
void proxy_report(struct proxy *proxy, const struct denial *denial);
/* And the audit log: what was refused before any exchange or tunnel was made of it. request NULL: it names no host. */
void proxy_refused(
	struct proxy *proxy, const struct policy_request *request, const struct denial *denial);
uint64_t proxy_now_s(void); /* CLOCK_REALTIME */

/* An event of the audit log about a request: what is NULL or 0 is left out. */
struct proxy_event {
	const struct policy_request *request; /* NULL: it could not be read */
	const struct policy_decision *decision;
	const struct policy_use *policy;
	enum audit_decision verdict;
	uint16_t status;
	uint64_t sent, received, begun_ns; /* CLOCK_MONOTONIC */
	const char *detail;
};
void proxy_audit(struct proxy *proxy, const struct proxy_event *event);
/* No audit, no egress (H7): asked before anything is handed to an injector. */
bool proxy_may_pass(struct proxy *proxy);

/* session.c: the channels' ops and the tick reach what they are about through these. */
int session_begin(struct proxy *proxy, int fd);
struct session *session_next(const struct session *session);
void session_tick(struct session *session, uint64_t now_ms);
void session_destroy(struct session *session);
void session_report(struct session *session, const struct egress_answer *answer);
bool session_takes_reports(const struct session *session);
