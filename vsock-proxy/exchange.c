/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-proxy/exchange.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/path.h"
#include "vmm/base/array.h"
#include "vsock-proxy/fields.h"
#include "vsock-proxy/flow.h"

struct exchange {
	struct stream_user user; /* first: the stream's data */
	struct proxy *proxy;
	const struct exchange_to *to;
	void *data;
	struct channel_stream *stream; /* NULL: over, or never opened */
	struct policy_use *policy;
	struct policy_request request;
	struct policy_decision decision;
	struct policy_stream limits;
	struct policy_path path;
	char method[RECORD_METHOD_MAX + 1];
	struct flow up, down;
	bool counted, grpc, responded, up_sent, down_sent, aborted, dropping, told_open, recorded;
	uint16_t status;
	uint64_t sent, received, begun_ns;
	const char *detail; /* why it ended before its time; NULL: it did not */
};

/* It is gone, or was never there. */
static void forget_stream(struct exchange *x)
{
	x->stream = NULL;
	stream_user_leave(&x->user);
}

static void end_stream(struct exchange *x, enum record_reason reason)
{
	struct channel_stream *stream = x->stream;

	forget_stream(x);
	if (stream)
		channel_reset(stream, reason);
}

/* Answers. */

static bool asks_for_grpc(const struct record_fields *fields)
{
	const char *type = fields_get(fields, "content-type");

	return type && !strncmp(type, "application/grpc", 16) &&
	       (!type[16] || type[16] == '+' || type[16] == ';');
}

/* Into to, whole. */
static void answer_denial(const struct denial *denial, bool grpc, bool head_only,
	const struct exchange_to *to, void *data)
{
	struct denial_scratch scratch;
	struct record_fields fields;
	bool empty = grpc || head_only;

	denial_fields(denial, grpc, proxy_now_s(), &scratch, &fields);
	if (to->respond(data, denial_status(denial, grpc), &fields, grpc ? 0 : denial->body_len,
		    empty) < 0) {
		to->abort(data);
		return;
	}
	if (empty)
		return;
	/* A denial is shorter than any buffer: PROXY_BODY_ROOM in the transports' headers. */
	to->send(data, denial->body, MIN(denial->body_len, to->room(data)));
	if (to->end(data, NULL) < 0)
		to->abort(data);
}

static void record(struct exchange *x, enum audit_decision verdict)
{
	struct proxy_event event = { .request = &x->request,
		.decision = &x->decision,
		.policy = x->policy,
		.verdict = verdict,
		.status = x->status,
		.sent = x->sent,
		.received = x->received,
		.begun_ns = x->begun_ns,
		.detail = x->detail };

	proxy_audit(x->proxy, &event);
}

static enum audit_decision verdict_of(const struct exchange *x)
{
	return x->decision.verdict == POLICY_AUDIT ? AUDIT_LEARNT : AUDIT_ALLOWED;
}

/* Before it passes and after it was let: the one place where a denial of this exchange is told, everywhere. */
static void deny(struct exchange *x, const struct denial *denial)
{
	x->status = denial->status;
	x->detail = denial->explanation.reason;
	record(x, AUDIT_DENIED);
	x->recorded = true;
	proxy_report(x->proxy, denial);
	x->responded = x->down_sent = x->dropping = true;
	answer_denial(denial, x->grpc, !strcmp(x->method, "HEAD"), x->to, x->data);
}

/* What was asked, in canonical form. */

static uint16_t usual_port(bool secure)
{
	return secure ? 443 : 80;
}

/* NULL: all is well; else words for a 400. */
static const char *read_target(struct exchange *x, const struct exchange_asked *asked)
{
	if (!asked->method || !field_token_valid(asked->method, RECORD_METHOD_MAX))
		return "the method is no token";
	strcpy(x->method, asked->method); /* RECORD_METHOD_MAX bytes */
	x->request.method = x->method;
	x->request.websocket = asked->websocket;
	if (asked->tunnel)
		return "a tunnel inside a connection is not opened (E9)";
	if (!asked->path || !policy_path_parse(asked->path, strlen(asked->path), &x->path))
		return "the path has no one meaning (docs/policy.md: paths)";
	x->request.path = x->path.text;
	x->request.has_encoded_slash = x->path.has_encoded_slash;
	if (asked->query && !policy_query_valid(asked->query, strlen(asked->query)))
		return "the query holds what may not stand in one";
	x->request.query = asked->query;
	return NULL;
}

/* The host it is for, and that all who name it name the same one (E4). */
static enum denial_kind read_authority(struct exchange *x, const struct exchange_place *place,
	const struct exchange_asked *asked, const char **ret_why)
{
	const char *authority = asked->authority ? asked->authority : asked->host;
	struct policy_host host, other;
	uint16_t port = 0, other_port = 0;

	x->request.protocol = POLICY_PROTOCOL_HTTP;
	x->request.secure = place->secure;
	if (place->host) {
		x->request.host = *place->host;
		x->request.port = place->port;
	}
	*ret_why = "it names no host, or not in one way";
	if (!authority || !policy_authority_parse(authority, strlen(authority), &host, &port))
		return DENIAL_REQUEST;
	port = port ? port : usual_port(place->secure);
	if (!place->host) {
		x->request.host = host;
		x->request.port = port;
	}
	if (asked->host &&
		(!policy_authority_parse(asked->host, strlen(asked->host), &other, &other_port) ||
			!policy_host_equal(&host, &other) ||
			port != (other_port ? other_port : usual_port(place->secure))))
		return DENIAL_REQUEST;
	*ret_why = "its scheme is not the connection's";
	if (asked->scheme && strcmp(asked->scheme, place->secure ? "https" : "http") != 0)
		return DENIAL_REQUEST;
	*ret_why = "it is for another host than this connection";
	if (!policy_host_equal(&host, &x->request.host) || port != x->request.port)
		return DENIAL_AUTHORITY;
	return 0;
}

/* Without the query, for people. */
static void say_what(const struct exchange *x, char out[static 512])
{
	bool v6 = x->request.host.kind == POLICY_HOST_IPV6;

	snprintf(out, 512, "%.32s %s://%s%s%s:%u%.200s", x->method,
		x->request.secure ? "https" : "http", v6 ? "[" : "", x->request.host.text,
		v6 ? "]" : "", x->request.port, x->path.text);
}

static void fail(struct exchange *x, enum denial_kind kind, const char *detail)
{
	struct denial denial;
	char what[512];

	say_what(x, what);
	denial_of_failure(&denial, kind, what, detail);
	deny(x, &denial);
}

/* Judged. False: it was answered. */

static bool decide(struct exchange *x)
{
	struct policy_limit_denial over;
	struct denial denial;

	policy_decide(x->policy->policy, &x->request, &x->decision);
	if (x->decision.verdict == POLICY_DENY) {
		policy_explain(x->policy->policy, &x->request, &x->decision, &denial.explanation);
		denial_of_explanation(&denial, DENIAL_POLICY);
		deny(x, &denial);
		return false;
	}
	if (!policy_stream_begin(x->policy->policy, &x->request, &x->decision, &x->proxy->counters,
		    proxy_now_s(), &x->limits, &over)) {
		policy_explain_limit(&x->request, &over, &denial.explanation);
		denial_of_explanation(&denial, DENIAL_LIMIT);
		deny(x, &denial);
		return false;
	}
	x->counted = x->proxy->counters_changed = true;
	return true;
}

/* Bytes that are about to pass. False: a limit is reached; the answer was broken off, or denied. */
static bool count(struct exchange *x, uint64_t sent, uint64_t received)
{
	struct policy_limit_denial over;
	struct denial denial;

	x->proxy->counters_changed = true;
	if (policy_stream_count(x->policy->policy, &x->limits, &x->proxy->counters, sent, received,
		    proxy_now_s(), &over)) {
		x->sent += sent;
		x->received += received;
		return true;
	}
	policy_explain_limit(&x->request, &over, &denial.explanation);
	denial_of_explanation(
		&denial, over.kind == POLICY_LIMIT_REQUEST_BYTES ? DENIAL_TOO_LARGE : DENIAL_LIMIT);
	end_stream(x, RECORD_TOO_LARGE);
	if (!x->responded) {
		deny(x, &denial);
	} else {
		x->detail = denial.explanation.reason;
		x->aborted = x->dropping = true;
		proxy_report(x->proxy, &denial);
		x->to->abort(x->data);
	}
	return false;
}

static bool hand_over(struct exchange *x, struct exchange_asked *asked)
{
	const char *binding = x->decision.binding ? x->decision.binding->id : "";
	struct channel *channel = proxy_channel(x->proxy, binding);
	struct record_request m;
	int r = -EAGAIN;

	if (channel) {
		m.request = x->request;
		m.content_length = asked->length;
		fields_copy(&m.fields, asked->fields);
		r = channel_open(channel, &m, &x->user, &x->stream);
		if (r == 0)
			stream_user_join(x->proxy, &x->user, channel);
	}
	if (r == -EINVAL)
		fail(x, DENIAL_REQUEST, "a field of it is too long, or one that no field may be");
	else if (r < 0)
		fail(x, DENIAL_STOPPED,
			channel ? "too much is under way at once: try again"
				: "its injector is being replaced: try again");
	return r == 0;
}

/* `100-continue` is ours to answer: nothing of the body is read before its turn anyway. */
static int prepare_fields(struct exchange *x, struct exchange_asked *asked)
{
	struct record_fields none;
	bool expects = fields_list_has(asked->fields, "expect", "100-continue");

	none.count = 0;
	fields_remove(asked->fields, "expect");
	if (!fields_strip(asked->fields))
		return -EINVAL;
	if (expects && !asked->end)
		return x->to->respond(x->data, 100, &none, 0, false);
	return 0;
}

static const struct stream_user_ops user_ops;

static struct exchange *create(
	const struct exchange_place *place, const struct exchange_to *to, void *data, bool grpc)
{
	struct exchange *x = calloc(1, sizeof(*x));

	if (!x)
		return NULL;
	x->user.ops = &user_ops;
	x->proxy = place->proxy;
	x->to = to;
	x->data = data;
	x->grpc = grpc;
	x->begun_ns = clock_monotonic_ns();
	x->policy = policy_use_get(place->proxy);
	return x;
}

static bool begin(
	struct exchange *x, const struct exchange_place *place, struct exchange_asked *asked)
{
	const char *target_why = read_target(x, asked), *why;
	enum denial_kind kind = read_authority(x, place, asked, &why);

	if (kind)
		fail(x, kind, why);
	else if (target_why)
		fail(x, DENIAL_REQUEST, target_why);
	else if (!proxy_may_pass(x->proxy))
		fail(x, DENIAL_STOPPED, PROXY_STOPPED_TEXT);
	else if (!decide(x))
		return false;
	else if (prepare_fields(x, asked) < 0)
		fail(x, DENIAL_REQUEST, "Connection names no fields, or too many");
	else
		return hand_over(x, asked);
	return false;
}

struct exchange *exchange_begin(const struct exchange_place *place, struct exchange_asked *asked,
	const struct exchange_to *to, void *data)
{
	struct exchange *x = create(place, to, data, asks_for_grpc(asked->fields));

	if (asked->websocket) { /* what comes after its head is no body, and has no end yet */
		asked->end = false;
		asked->length = RECORD_LENGTH_UNKNOWN;
	}

	if (!x) {
		to->abort(data);
		return NULL;
	}
	if (!begin(x, place, asked)) {
		exchange_destroy(x);
		return NULL;
	}
	x->request.query = NULL; /* it was borrowed, and is with the injector */
	if (asked->end)
		exchange_end(x, NULL);
	return x;
}

void exchange_destroy(struct exchange *x)
{
	if (!x)
		return;
	end_stream(x, RECORD_CANCELLED);
	if (!x->recorded) {
		if (!x->down_sent && !x->detail)
			x->detail = "cancelled";
		record(x, verdict_of(x));
	}
	if (x->counted)
		policy_stream_end(&x->limits, &x->proxy->counters);
	policy_use_put(x->policy);
	flow_finish(&x->up);
	flow_finish(&x->down);
	free(x);
}

/* Relaying: what the guest says. */

static void drop(struct exchange *x)
{
	size_t len = x->up.len;

	flow_take(&x->up, len);
	if (len)
		x->to->consumed(x->data, len);
}

static void pump_up(struct exchange *x)
{
	const uint8_t *bytes;
	size_t len, room;

	while (x->stream && (len = flow_peek(&x->up, &bytes)) > 0 &&
		(room = channel_room(x->stream)) > 0) {
		len = MIN(len, room);
		if (!count(x, len, 0))
			break;
		channel_send(x->stream, bytes, len);
		flow_take(&x->up, len);
		x->to->consumed(x->data, len);
	}
	if (!x->stream || x->dropping) {
		drop(x);
		return;
	}
	if (flow_is_over(&x->up) && !x->up_sent) {
		bool last = x->down.ended;

		if (channel_end(x->stream, flow_trailers(&x->up)) == -EAGAIN)
			return; /* writable() tells */
		x->up_sent = true;
		if (last)
			forget_stream(x);
	}
}

void exchange_data(struct exchange *x, const uint8_t *bytes, size_t len)
{
	size_t room = x->stream && !x->dropping && !x->up.len ? channel_room(x->stream) : 0;

	/* What its injector takes at once goes there at once. */
	room = MIN(room, len);
	if (room && count(x, room, 0)) {
		channel_send(x->stream, bytes, room);
		x->to->consumed(x->data, room);
		bytes += room;
		len -= room;
	}
	if (!x->stream || x->dropping || flow_put(&x->up, bytes, len) < 0) {
		x->to->consumed(x->data, len);
		return;
	}
	pump_up(x);
}

void exchange_end(struct exchange *x, const struct record_fields *trailers)
{
	struct record_fields kept;

	kept.count = 0;
	if (trailers && trailers->count) {
		fields_copy(&kept, trailers);
		fields_strip_trailers(&kept);
	}
	if (flow_end(&x->up, &kept) < 0)
		x->dropping = true;
	pump_up(x);
}

/* Relaying: what the upstream says. */

static void finish_if_over(struct exchange *x)
{
	if (!x->down_sent || x->recorded)
		return;
	record(x, verdict_of(x));
	x->recorded = true;
}

static void pump_down(struct exchange *x)
{
	const uint8_t *bytes;
	size_t len, room;

	while (!x->aborted && (len = flow_peek(&x->down, &bytes)) > 0 &&
		(room = x->to->room(x->data)) > 0) {
		len = MIN(len, room);
		x->to->send(x->data, bytes, len);
		flow_take(&x->down, len);
		if (x->stream)
			channel_consumed(x->stream, len);
	}
	if (x->aborted || x->down_sent || !x->responded || !flow_is_over(&x->down))
		return;
	x->down_sent = true;
	if (x->to->end(x->data, flow_trailers(&x->down)) < 0) {
		x->aborted = true;
		x->to->abort(x->data);
	}
	/* A request that goes on after its answer is not for anybody any more. */
	if (!x->up_sent) {
		x->dropping = true;
		x->up.ended |= x->request.websocket; /* it has no body that could still come */
		end_stream(x, RECORD_CANCELLED);
		drop(x);
	}
	finish_if_over(x);
}

void exchange_drained(struct exchange *x)
{
	pump_down(x);
}

bool exchange_is_over(const struct exchange *x)
{
	return (x->down_sent || x->aborted) && (x->up.ended || x->aborted);
}

bool exchange_is_asked(const struct exchange *x)
{
	return x->up.ended;
}

void exchange_tick(struct exchange *x)
{
	if (!x->counted || x->recorded)
		return;
	if (!count(x, 0, 0)) { /* its time is over */
		drop(x);
		x->to->flush(x->data);
		return;
	}
	if (x->told_open)
		return;
	if (clock_monotonic_ns() - x->begun_ns < PROXY_OPEN_EVENT_MS * 1000000ull)
		return;
	x->told_open = true;
	x->detail = "open";
	record(x, verdict_of(x));
	x->detail = NULL;
}

static void lost(struct exchange *x, enum record_reason reason);

static struct exchange *of(struct channel_stream *stream)
{
	return channel_data(stream); /* user is its first member */
}

static void on_response(struct channel_stream *stream, const struct record_response *m)
{
	struct exchange *x = of(stream);
	struct record_fields fields;
	bool final, upgrade;
	uint16_t status;
	int r;

	if (!m) { /* OPENED, which is a tunnel's: it breaks its word (E23) */
		end_stream(x, RECORD_INTERNAL);
		lost(x, RECORD_INTERNAL);
		return;
	}
	status = m->status;
	final = status >= 200;
	upgrade = x->request.websocket && status == 200;
	fields_copy(&fields, &m->fields);
	r = fields_strip(&fields) ? 0 : -EPROTO;
	if (r == 0 && final) {
		x->responded = true;
		x->status = upgrade ? 101 : status;
	}
	if (r == 0)
		r = x->to->respond(x->data, upgrade ? 101 : status, &fields,
			upgrade ? RECORD_LENGTH_UNKNOWN : m->content_length, false);
	if (r < 0) {
		x->aborted = x->dropping = true;
		x->detail = "answer";
		end_stream(x, RECORD_INTERNAL);
		x->to->abort(x->data);
	}
	x->to->flush(x->data);
}

static void on_denied(struct channel_stream *stream, const struct record_denied *m)
{
	struct exchange *x = of(stream);
	struct denial denial;

	forget_stream(x);
	/* The injector judged the address: its reason, our words. */
	x->decision.verdict = POLICY_DENY;
	x->decision.reason = (enum policy_reason)m->reason;
	policy_explain(x->policy->policy, &x->request, &x->decision, &denial.explanation);
	denial_of_explanation(&denial, DENIAL_POLICY);
	if (!x->responded) {
		deny(x, &denial);
	} else {
		x->aborted = true;
		x->to->abort(x->data);
	}
	drop(x);
	x->to->flush(x->data);
}

static void on_data(struct channel_stream *stream, const uint8_t *bytes, size_t len)
{
	struct exchange *x = of(stream);
	size_t room;

	if (!count(x, 0, len)) {
		x->to->flush(x->data);
		return;
	}
	/* What its transport takes at once goes there at once. */
	room = x->aborted || x->down.len ? 0 : MIN(x->to->room(x->data), len);
	if (room) {
		x->to->send(x->data, bytes, room);
		channel_consumed(stream, room);
	}
	if (flow_put(&x->down, bytes + room, len - room) < 0) {
		x->aborted = x->dropping = true;
		end_stream(x, RECORD_INTERNAL);
		x->to->abort(x->data);
	}
	pump_down(x);
	x->to->flush(x->data);
}

static void on_end(struct channel_stream *stream, const struct record_fields *trailers)
{
	struct exchange *x = of(stream);
	struct record_fields kept;

	if (x->up_sent)
		forget_stream(x);
	kept.count = 0;
	if (trailers && trailers->count) {
		fields_copy(&kept, trailers);
		fields_strip_trailers(&kept);
	}
	if (flow_end(&x->down, &kept) < 0)
		x->down.ended = true;
	pump_down(x);
	x->to->flush(x->data);
}

static const struct {
	enum denial_kind kind;
	const char *detail;
} failures[] = {
	[RECORD_CANCELLED] = { DENIAL_UPSTREAM, "the upstream left" },
	[RECORD_UNREACHABLE] = { DENIAL_UPSTREAM, "the host cannot be resolved or reached" },
	[RECORD_UNTRUSTED] = { DENIAL_UPSTREAM, "the upstream's certificate does not verify" },
	[RECORD_UPSTREAM] = { DENIAL_UPSTREAM, "the upstream broke its protocol, or broke off" },
	[RECORD_TIMEOUT] = { DENIAL_TIMEOUT, "the upstream did not answer in time" },
	[RECORD_TOO_LARGE] = { DENIAL_UPSTREAM, "a body is larger than its cap" },
	[RECORD_UNMASKABLE] = { DENIAL_UPSTREAM,
		"the answer is in a form in which the credential could not be looked for (docs/policy.md: bindings)" },
	[RECORD_INTERNAL] = { DENIAL_UPSTREAM, "the injector could not go on" },
};

/* Its stream is gone, for this reason. */
static void lost(struct exchange *x, enum record_reason reason)
{
	forget_stream(x);
	if (reason >= ARRAY_SIZE(failures) || !failures[reason].kind)
		reason = RECORD_INTERNAL;
	if (!x->responded) {
		fail(x, failures[reason].kind, failures[reason].detail);
	} else if (!x->down_sent) {
		x->detail = failures[reason].detail;
		x->aborted = x->dropping = true;
		x->to->abort(x->data);
	}
	drop(x);
	x->to->flush(x->data);
}

static void on_reset(struct channel_stream *stream, enum record_reason reason)
{
	lost(of(stream), reason);
}

static void on_writable(struct channel_stream *stream)
{
	struct exchange *x = of(stream);

	pump_up(x);
	x->to->flush(x->data);
}

static void on_lost(struct stream_user *user)
{
	lost((struct exchange *)user, RECORD_INTERNAL);
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
