/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-proxy/tunnel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm/base/array.h"
#include "vsock-proxy/flow.h"

#define TUNNEL_UP_MAX (64u << 10) /* of the guest's, that the channel has not taken */

struct tunnel {
	struct stream_user user; /* first: the stream's data */
	struct proxy *proxy;
	const struct tunnel_ops *ops;
	void *owner;
	struct channel_stream *stream;
	struct policy_use *policy;
	struct policy_request request;
	struct policy_decision decision;
	struct policy_stream limits;
	struct flow up, down;
	bool opened, counted, up_sent, broken, recorded, told_open;
	uint64_t sent, received, begun_ns;
	const char *detail;
};

static void record(struct tunnel *t, enum audit_decision verdict)
{
	struct proxy_event event = { .request = &t->request,
		.decision = &t->decision,
		.policy = t->policy,
		.verdict = verdict,
		.sent = t->sent,
		.received = t->received,
		.begun_ns = t->begun_ns,
		.detail = t->detail };

	proxy_audit(t->proxy, &event);
}

static enum audit_decision verdict_of(const struct tunnel *t)
{
	return t->decision.verdict == POLICY_AUDIT ? AUDIT_LEARNT : AUDIT_ALLOWED;
}

static void refuse(struct tunnel *t, const struct denial *denial)
{
	t->detail = denial->explanation.reason;
	record(t, AUDIT_DENIED);
	t->recorded = true;
	proxy_report(t->proxy, denial);
	t->broken = true;
	t->ops->refused(t->owner, denial);
}

static void fail(struct tunnel *t, enum denial_kind kind, const char *detail)
{
	struct denial denial;
	char what[400];

	snprintf(what, sizeof(what), "%s://%s:%u", policy_protocol_name(t->request.protocol),
		t->request.host.text, t->request.port);
	denial_of_failure(&denial, kind, what, detail);
	refuse(t, &denial);
}

static void forget_stream(struct tunnel *t)
{
	t->stream = NULL;
	stream_user_leave(&t->user);
}

static void end_stream(struct tunnel *t, enum record_reason reason)
{
	struct channel_stream *stream = t->stream;

	forget_stream(t);
	if (stream)
		channel_reset(stream, reason);
}

/* False: a limit is reached and it is over. */
static bool count(struct tunnel *t, uint64_t sent, uint64_t received)
{
	struct policy_limit_denial over;
	struct denial denial;

	t->proxy->counters_changed = true;
	if (policy_stream_count(t->policy->policy, &t->limits, &t->proxy->counters, sent, received,
		    proxy_now_s(), &over)) {
		t->sent += sent;
		t->received += received;
		return true;
	}
	policy_explain_limit(&t->request, &over, &denial.explanation);
	denial_of_explanation(&denial, DENIAL_LIMIT);
	proxy_report(t->proxy, &denial);
	t->detail = denial.explanation.reason;
	t->broken = true;
	end_stream(t, RECORD_TOO_LARGE);
	return false;
}

static bool decide(struct tunnel *t)
{
	struct policy_limit_denial over;
	struct denial denial;

	if (!proxy_may_pass(t->proxy)) {
		fail(t, DENIAL_STOPPED, PROXY_STOPPED_TEXT);
		return false;
	}
	policy_decide(t->policy->policy, &t->request, &t->decision);
	if (t->decision.verdict == POLICY_DENY) {
		policy_explain(t->policy->policy, &t->request, &t->decision, &denial.explanation);
		denial_of_explanation(&denial, DENIAL_POLICY);
	} else if (!policy_stream_begin(t->policy->policy, &t->request, &t->decision,
			   &t->proxy->counters, proxy_now_s(), &t->limits, &over)) {
		policy_explain_limit(&t->request, &over, &denial.explanation);
		denial_of_explanation(&denial, DENIAL_LIMIT);
	} else {
		t->counted = t->proxy->counters_changed = true;
		return true;
	}
	refuse(t, &denial);
	return false;
}

static bool hand_over(struct tunnel *t)
{
	struct channel *channel = proxy_channel(t->proxy, "");
	struct record_request *m;
	int r = -EAGAIN;

	m = channel ? calloc(1, sizeof(*m)) : NULL;
	if (m) {
		m->request = t->request;
		m->content_length = RECORD_LENGTH_UNKNOWN;
		r = channel_open(channel, m, &t->user, &t->stream);
		free(m);
	}
	if (r < 0)
		fail(t, DENIAL_STOPPED,
			"its injector is not there, or too much is under way: try again");
	else
		stream_user_join(t->proxy, &t->user, channel);
	return r == 0;
}

static const struct stream_user_ops user_ops;

int tunnel_open(struct proxy *proxy, enum policy_protocol protocol, const struct policy_host *host,
	uint16_t port, const struct tunnel_ops *ops, void *owner, struct tunnel **ret)
{
	struct tunnel *t = calloc(1, sizeof(*t));

	*ret = NULL;
	if (!t)
		return -ENOMEM;
	t->user.ops = &user_ops;
	t->proxy = proxy;
	t->ops = ops;
	t->owner = owner;
	t->policy = policy_use_get(proxy);
	t->request = (struct policy_request){ .protocol = protocol, .host = *host, .port = port };
	t->begun_ns = clock_monotonic_ns();
	if (decide(t) && hand_over(t))
		*ret = t;
	else
		tunnel_destroy(t);
	return 0;
}

void tunnel_destroy(struct tunnel *t)
{
	if (!t)
		return;
	if (!t->recorded) { /* one that was given up while it was dialled, too */
		if (!t->detail && t->stream)
			t->detail = "cancelled";
		record(t, verdict_of(t));
	}
	end_stream(t, RECORD_CANCELLED);
	if (t->counted)
		policy_stream_end(&t->limits, &t->proxy->counters);
	policy_use_put(t->policy);
	flow_finish(&t->up);
	flow_finish(&t->down);
	free(t);
}

static void pump_up(struct tunnel *t)
{
	const uint8_t *bytes;
	size_t len, room;

	while (t->stream && (len = flow_peek(&t->up, &bytes)) > 0 &&
		(room = channel_room(t->stream)) > 0) {
		len = MIN(len, room);
		if (!count(t, len, 0))
			return;
		channel_send(t->stream, bytes, len);
		flow_take(&t->up, len);
	}
	if (t->stream && t->opened && flow_is_over(&t->up) && !t->up_sent) {
		bool last = t->down.ended;

		t->up_sent = true;
		channel_end(t->stream, NULL);
		if (last)
			forget_stream(t);
	}
}

size_t tunnel_room(const struct tunnel *t)
{
	return t->opened && !t->up.ended && t->up.len < TUNNEL_UP_MAX ? TUNNEL_UP_MAX - t->up.len
								      : 0;
}

void tunnel_put(struct tunnel *t, const void *bytes, size_t len)
{
	if (flow_put(&t->up, bytes, len) < 0) {
		t->broken = true;
		end_stream(t, RECORD_INTERNAL);
	}
	pump_up(t);
}

void tunnel_put_end(struct tunnel *t)
{
	flow_end(&t->up, NULL);
	pump_up(t);
}

size_t tunnel_peek(const struct tunnel *t, const uint8_t **ret)
{
	return flow_peek(&t->down, ret);
}

void tunnel_take(struct tunnel *t, size_t len)
{
	flow_take(&t->down, len);
	if (t->stream)
		channel_consumed(t->stream, len);
}

bool tunnel_out_ended(const struct tunnel *t)
{
	return flow_is_over(&t->down);
}

bool tunnel_is_broken(const struct tunnel *t)
{
	return t->broken;
}

void tunnel_tick(struct tunnel *t)
{
	if (!t->counted || t->recorded || t->broken)
		return;
	if (!count(t, 0, 0)) {
		t->ops->flush(t->owner);
	} else if (t->opened && !t->told_open &&
		   clock_monotonic_ns() - t->begun_ns >= PROXY_OPEN_EVENT_MS * 1000000ull) {
		t->told_open = true;
		t->detail = "open";
		record(t, verdict_of(t));
		t->detail = NULL;
	}
}

static struct tunnel *of(struct channel_stream *stream)
{
	return channel_data(stream); /* user is its first member */
}

/* OPENED: m is NULL. An injector that answers a tunnel with HTTP breaks its word. */
static void on_response(struct channel_stream *stream, const struct record_response *m)
{
	struct tunnel *t = of(stream);

	if (m || t->opened) {
		end_stream(t, RECORD_INTERNAL);
		t->broken = true;
		t->ops->flush(t->owner);
		return;
	}
	t->opened = true;
	t->ops->opened(t->owner);
}

static void on_denied(struct channel_stream *stream, const struct record_denied *m)
{
	struct tunnel *t = of(stream);
	struct denial denial;

	forget_stream(t);
	t->decision.verdict = POLICY_DENY;
	t->decision.reason = (enum policy_reason)m->reason;
	policy_explain(t->policy->policy, &t->request, &t->decision, &denial.explanation);
	denial_of_explanation(&denial, DENIAL_POLICY);
	refuse(t, &denial);
}

static void on_data(struct channel_stream *stream, const uint8_t *bytes, size_t len)
{
	struct tunnel *t = of(stream);

	if (count(t, 0, len) && flow_put(&t->down, bytes, len) < 0) {
		t->broken = true;
		end_stream(t, RECORD_INTERNAL);
	}
	t->ops->flush(t->owner);
}

static void on_end(struct channel_stream *stream, const struct record_fields *trailers)
{
	struct tunnel *t = of(stream);

	(void)trailers;
	if (t->up_sent)
		forget_stream(t);
	flow_end(&t->down, NULL);
	t->ops->flush(t->owner);
}

static void lost(struct tunnel *t, enum record_reason reason)
{
	forget_stream(t);
	t->broken = true;
	t->detail = reason == RECORD_UNREACHABLE ? "unreachable" : "broken off";
	if (t->opened)
		t->ops->flush(t->owner);
	else
		fail(t, reason == RECORD_TIMEOUT ? DENIAL_TIMEOUT : DENIAL_UPSTREAM,
			"the host cannot be resolved or reached");
}

static void on_reset(struct channel_stream *stream, enum record_reason reason)
{
	lost(of(stream), reason);
}

static void on_writable(struct channel_stream *stream)
{
	struct tunnel *t = of(stream);

	pump_up(t);
	t->ops->flush(t->owner);
}

static void on_lost(struct stream_user *user)
{
	lost((struct tunnel *)user, RECORD_INTERNAL);
}

static const struct stream_user_ops user_ops = {
	.channel = {
		.response = on_response,
		.denied = on_denied,
		.data = on_data,
		.end = on_end,
		.reset = on_reset,
		.writable = on_writable,
	},
	.lost = on_lost,
};
