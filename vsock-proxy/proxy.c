/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-proxy/proxy.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/event.h"
#include "vmm/base/fdio.h"
#include "vmm/base/fdpass.h"
#include "vmm/base/log.h"
#include "vmm/base/parse.h"
#include "vsock-proxy/bundle.h"
#include "vsock-proxy/egress_control.h"
#include "vsock-proxy/proxy_state.h"

#define TICK_MS	    1000
#define ENDED_MANY  64 /* sessions, after which the heap is trimmed */
#define INTAKE_TURN 32 /* streams of one event */
#define STREAM_WORD 1 /* LINK_EGRESS_STREAM */

uint64_t proxy_now_s(void)
{
	return (uint64_t)time(NULL);
}

/* Policies. */

static int policy_use_create(struct policy *policy, struct policy_use **ret, struct err *err)
{
	struct policy_use *use = calloc(1, sizeof(*use));
	int r;

	if (!use) {
		policy_destroy(policy);
		return err_set(err, -ENOMEM, "policy: no memory");
	}
	r = policy_digest(policy, use->digest, err);
	if (r < 0) {
		policy_destroy(policy);
		free(use);
		return r;
	}
	use->policy = policy;
	use->users = 1;
	*ret = use;
	return 0;
}

struct policy_use *policy_use_get(struct proxy *proxy)
{
	proxy->policy->users++;
	return proxy->policy;
}

void policy_use_put(struct policy_use *use)
{
	if (!use || --use->users)
		return;
	policy_destroy(use->policy);
	free(use);
}

/* Channels. */

void stream_user_join(struct proxy *proxy, struct stream_user *user, struct channel *channel)
{
	user->channel = channel;
	user->next = proxy->users;
	user->link = &proxy->users;
	if (user->next)
		user->next->link = &user->next;
	proxy->users = user;
}

void stream_user_leave(struct stream_user *user)
{
	if (!user->channel)
		return;
	user->channel = NULL;
	*user->link = user->next;
	if (user->next)
		user->next->link = user->link;
}

static void lose_channel(struct proxy *proxy, struct peer *peer)
{
	struct channel *channel = TAKE_PTR(peer->channel);
	struct stream_user *user = proxy->users;

	while (channel && user) {
		if (user->channel == channel) {
			user->ops->lost(user); /* it leaves */
			user = proxy->users;
		} else {
			user = user->next;
		}
	}
	channel_destroy(channel);
}

static void tell(struct proxy *proxy, uint16_t kind, int code)
{
	uint64_t value = (uint64_t)(code < 0 ? -code : code);

	if (proxy->config.event_fd >= 0)
		event_send(proxy->config.event_fd, &proxy->event_sequence, kind, &value, 1);
}

static void on_broken(void *owner, int code, const char *why)
{
	struct peer *peer = owner;

	log_warn("the injector %s%s is gone: %s", *peer->binding ? "of " : "without a credential",
		peer->binding, code ? why : "it ended");
	tell(peer->proxy, EVENT_PROXY_INJECTOR_LOST, code);
	lose_channel(peer->proxy, peer);
}

static const struct stream_user_ops *ops_of(struct channel_stream *stream)
{
	return ((struct stream_user *)channel_data(stream))->ops;
}

static void on_response(struct channel_stream *stream, const struct record_response *m)
{
	ops_of(stream)->channel.response(stream, m);
}

static void on_denied(struct channel_stream *stream, const struct record_denied *m)
{
	ops_of(stream)->channel.denied(stream, m);
}

static void on_data(struct channel_stream *stream, const uint8_t *bytes, size_t len)
{
	ops_of(stream)->channel.data(stream, bytes, len);
}

static void on_end(struct channel_stream *stream, const struct record_fields *trailers)
{
	ops_of(stream)->channel.end(stream, trailers);
}

static void on_reset(struct channel_stream *stream, enum record_reason reason)
{
	ops_of(stream)->channel.reset(stream, reason);
}

static void on_writable(struct channel_stream *stream)
{
	ops_of(stream)->channel.writable(stream);
}

static const struct channel_ops channel_ops = {
	.response = on_response,
	.denied = on_denied,
	.data = on_data,
	.end = on_end,
	.reset = on_reset,
	.writable = on_writable,
	.broken = on_broken,
};

static struct peer *find_peer(struct proxy *proxy, const char *binding)
{
	struct peer *peer = proxy->peers;

	while (peer && strcmp(peer->binding, binding) != 0)
		peer = peer->next;
	return peer;
}

struct channel *proxy_channel(struct proxy *proxy, const char *binding)
{
	struct peer *peer = find_peer(proxy, binding);

	return peer ? peer->channel : NULL;
}

int proxy_set_injector(struct proxy *proxy, const char *binding, int fd, struct err *err)
{
	struct peer *peer = find_peer(proxy, binding);

	if (!peer) {
		peer = calloc(1, sizeof(*peer));
		if (!peer) {
			close(fd);
			return err_set(err, -ENOMEM, "injector: no memory");
		}
		peer->proxy = proxy;
		snprintf(peer->binding, sizeof(peer->binding), "%s", binding);
		peer->next = proxy->peers;
		proxy->peers = peer;
	}
	lose_channel(proxy, peer);
	return channel_create(
		proxy->loop, fd, RECORD_FROM_PROXY, &channel_ops, peer, &peer->channel, err);
}

/* What the supervisor says. */

static void take_policy(struct proxy *proxy, int fd)
{
	struct policy *policy = NULL;
	struct policy_use *use;
	struct err err = {};
	int r = bundle_read(fd, &policy, &err);

	if (r == 0)
		r = policy_use_create(policy, &use, &err);
	if (r < 0) {
		log_error("the new policy is refused: %s", err.text);
	} else {
		policy_use_put(proxy->policy);
		proxy->policy = use;
	}
	tell(proxy, EVENT_PROXY_POLICY, r);
}

static void on_control(void *data, uint32_t events)
{
	struct proxy *proxy = data;
	struct egress_control m;
	struct err err = {};
	int fd, r;

	(void)events;
	r = egress_control_receive(proxy->config.control_fd, &m, &fd);
	if (r == -EAGAIN || r == -EBADMSG)
		return;
	if (r <= 0) {
		loop_remove(TAKE_PTR(proxy->control_source));
		return;
	}
	switch ((enum egress_control_op)m.op) {
	case EGRESS_CONTROL_POLICY:
		take_policy(proxy, fd);
		break;
	case EGRESS_CONTROL_INJECTOR:
		if (proxy_set_injector(proxy, m.binding, TAKE_FD(fd), &err) < 0)
			log_error("%s", err.text);
		break;
	case EGRESS_CONTROL_SECRET:
		break; /* none is for us */
	}
	close_keeping_errno(fd);
}

/* What the link brings. */

static void on_streams(void *data, uint32_t events)
{
	struct proxy *proxy = data;
	uint8_t word;
	size_t len;
	int fd, r = 1;

	(void)events;
	for (int i = 0; i < INTAKE_TURN && r == 1; i++) {
		r = fdpass_receive(proxy->config.streams_fd, &word, sizeof(word), &len, &fd);
		if (r == -EBADMSG)
			r = 1;
		else if (r == 1 && fd >= 0 &&
			 (len != 1 || word != STREAM_WORD ||
				 proxy->session_count >= PROXY_SESSIONS_MAX ||
				 fdio_set_nonblocking(fd, true) < 0 ||
				 session_begin(proxy, fd) < 0))
			close(fd);
	}
	if (r == 0 || (r < 0 && r != -EAGAIN))
		loop_remove(TAKE_PTR(proxy->streams_source));
}

/* What others are told. */

void proxy_report(struct proxy *proxy, const struct denial *denial)
{
	struct egress_answer answer;

	denial_answer(denial, &answer);
	for (struct session *s = proxy->sessions, *next; s; s = next) {
		next = session_next(s);
		if (session_takes_reports(s))
			session_report(s, &answer);
	}
}

static struct audit_bytes bytes_of(const char *text, enum audit_text kind)
{
	size_t len = text ? strlen(text) : 0;

	return (struct audit_bytes){ .data = (const uint8_t *)text,
		.len = MIN(len, audit_text_max(kind)) };
}

static void put_host(const struct policy_request *q, char out[static POLICY_NAME_MAX + 16])
{
	bool v6 = q->host.kind == POLICY_HOST_IPV6;
	char port[DECIMAL_MAX], *at = stpcpy(out, v6 ? "[" : "");

	at = stpcpy(at, q->host.text);
	at = stpcpy(at, v6 ? "]:" : ":");
	strcpy(at, decimal_of(q->port, port));
}

void proxy_audit(struct proxy *proxy, const struct proxy_event *e)
{
	static const struct policy_request nothing;
	const struct policy_request *q = e->request ? e->request : &nothing;
	const struct policy_decision *d = e->decision;
	struct audit_event event = { .kind = AUDIT_EGRESS,
		.tier = (uint8_t)e->policy->policy->tier,
		.decision = (uint8_t)e->verdict,
		.status = e->status,
		.count = 1,
		.sent_bytes = e->sent,
		.received_bytes = e->received };
	char host[POLICY_NAME_MAX + 16] = "";
	struct timespec now;

	/* Nothing passed. A guest that asks on while the log stands still is counted, and can push nothing out of the queue. */
	if (e->verdict == AUDIT_DENIED && !audit_sender_ready(proxy->audit)) {
		proxy->unsaid += proxy->unsaid < UINT32_MAX;
		return;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	event.time_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	if (e->begun_ns)
		event.duration_us = (clock_monotonic_ns() - e->begun_ns) / 1000;
	if (q->host.text[0])
		put_host(q, host);
	event.text[AUDIT_RULE] = bytes_of(d->rule_id, AUDIT_RULE);
	event.text[AUDIT_POLICY] = bytes_of(e->policy->digest, AUDIT_POLICY);
	event.text[AUDIT_SECRET] = bytes_of(
		d->verdict != POLICY_DENY && d->binding ? d->binding->secret : NULL, AUDIT_SECRET);
	event.text[AUDIT_METHOD] = bytes_of(q->method, AUDIT_METHOD);
	event.text[AUDIT_HOST] = bytes_of(host, AUDIT_HOST);
	event.text[AUDIT_PATH] = bytes_of(q->path, AUDIT_PATH);
	event.text[AUDIT_DETAIL] = bytes_of(e->detail, AUDIT_DETAIL);
	if (audit_sender_send(proxy->audit, &event) < 0)
		log_ratelimited(LOG_ERROR, "an event could not be kept for the audit log");
}

void proxy_refused(
	struct proxy *proxy, const struct policy_request *request, const struct denial *denial)
{
	struct policy_decision decision = { .verdict = POLICY_DENY,
		.rule_id = denial->explanation.rule };
	struct proxy_event event = { .request = request,
		.decision = &decision,
		.policy = proxy->policy,
		.verdict = AUDIT_DENIED,
		.detail = *denial->explanation.detail ? denial->explanation.detail
						      : denial->explanation.reason };

	proxy_audit(proxy, &event);
	proxy_report(proxy, denial);
}

/* What was only counted, once it can be said. */
static void say_unsaid(struct proxy *proxy)
{
	struct audit_event event = { .kind = AUDIT_EGRESS,
		.tier = (uint8_t)proxy->policy->policy->tier,
		.decision = AUDIT_DENIED,
		.count = proxy->unsaid,
		.time_ns = proxy_now_s() * 1000000000u };

	if (!proxy->unsaid || !audit_sender_ready(proxy->audit))
		return;
	event.text[AUDIT_POLICY] = bytes_of(proxy->policy->digest, AUDIT_POLICY);
	event.text[AUDIT_DETAIL] = bytes_of("denied while the audit log stood still", AUDIT_DETAIL);
	if (audit_sender_send(proxy->audit, &event) == 0)
		proxy->unsaid = 0;
}

bool proxy_may_pass(struct proxy *proxy)
{
	say_unsaid(proxy);
	return audit_sender_ready(proxy->audit);
}

/* Time. */

static void save_counters(struct proxy *proxy)
{
	uint8_t bytes[POLICY_COUNTERS_SIZE];
	size_t len;

	if (!proxy->counters_changed || proxy->config.counters_fd < 0)
		return;
	len = policy_counters_encode(&proxy->counters, bytes);
	/* Its length first: what is read back is whole or refused. */
	if (pwrite(proxy->config.counters_fd, bytes, len, 0) != (ssize_t)len ||
		ftruncate(proxy->config.counters_fd, (off_t)len) < 0)
		log_ratelimited(LOG_ERROR, "limits: they cannot be written down: %m");
	proxy->counters_changed = false;
}

static void load_counters(struct proxy *proxy)
{
	uint8_t bytes[POLICY_COUNTERS_SIZE];
	struct err err = {};
	ssize_t n;

	if (proxy->config.counters_fd < 0)
		return;
	n = pread(proxy->config.counters_fd, bytes, sizeof(bytes), 0);
	if (n > 0 && policy_counters_decode(bytes, (size_t)n, &proxy->counters, &err) < 0)
		log_warn("limits: what was written down is not used: %s", err.text);
}

static void on_tick(void *data)
{
	struct proxy *proxy = data;
	uint64_t now = clock_monotonic_ms();

	for (struct session *s = proxy->sessions, *next; s; s = next) {
		next = session_next(s);
		session_tick(s, now);
	}
	say_unsaid(proxy);
	save_counters(proxy);
	/* What many connections held goes back to the kernel. */
	if (proxy->ended_count >= ENDED_MANY || (proxy->ended_count && !proxy->session_count)) {
		malloc_trim(0);
		proxy->ended_count = 0;
	}
	loop_timer_set(proxy->tick, TICK_MS);
}

/* Its life. */

static int watch(struct proxy *proxy, struct err *err)
{
	int r = loop_add_fd(proxy->loop, proxy->config.streams_fd, EPOLLIN, on_streams, proxy,
		&proxy->streams_source);

	if (r == 0 && proxy->config.control_fd >= 0)
		r = loop_add_fd(proxy->loop, proxy->config.control_fd, EPOLLIN, on_control, proxy,
			&proxy->control_source);
	if (r == 0)
		r = loop_add_timer(proxy->loop, on_tick, proxy, &proxy->tick);
	if (r < 0)
		return err_set(err, r, "loop: %s", strerror(-r));
	loop_timer_set(proxy->tick, TICK_MS);
	return 0;
}

int proxy_create(
	struct loop *loop, const struct proxy_config *config, struct proxy **ret, struct err *err)
{
	struct proxy *proxy = calloc(1, sizeof(*proxy));
	int r;

	if (!proxy) {
		policy_destroy(config->policy);
		return err_set(err, -ENOMEM, "proxy: no memory");
	}
	proxy->loop = loop;
	proxy->config = *config;
	proxy->head_ms = config->head_ms ? config->head_ms : PROXY_HEAD_MS;
	proxy->idle_ms = config->idle_ms ? config->idle_ms : PROXY_IDLE_MS;
	r = policy_use_create(config->policy, &proxy->policy, err);
	if (r == 0)
		r = tls_server_create(config->ca, &proxy->tls, err);
	if (r == 0 && (r = audit_sender_create(loop, config->audit_fd, &proxy->audit)) < 0)
		err_set(err, r, "audit: %s", strerror(-r));
	if (r == 0)
		r = watch(proxy, err);
	if (r < 0) {
		proxy_destroy(proxy);
		return r;
	}
	load_counters(proxy);
	*ret = proxy;
	return 0;
}

void proxy_destroy(struct proxy *proxy)
{
	if (!proxy)
		return;
	while (proxy->sessions)
		session_destroy(proxy->sessions);
	while (proxy->peers) {
		struct peer *peer = proxy->peers;

		proxy->peers = peer->next;
		channel_destroy(peer->channel);
		free(peer);
	}
	save_counters(proxy);
	loop_remove(proxy->streams_source);
	loop_remove(proxy->control_source);
	loop_remove(proxy->tick);
	audit_sender_destroy(proxy->audit);
	tls_server_destroy(proxy->tls);
	policy_use_put(proxy->policy);
	free(proxy);
}

void proxy_warm_up(struct proxy *proxy)
{
	struct err err = {};

	if (tls_server_warm_up(proxy->tls, time(NULL), &err) < 0)
		log_error("%s", err.text);
}

bool proxy_is_over(const struct proxy *proxy)
{
	return !proxy->streams_source || (proxy->config.control_fd >= 0 && !proxy->control_source);
}
