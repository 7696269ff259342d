/* SPDX-License-Identifier: Apache-2.0 */
/* One request, carried out: sent with its credential, its answer relayed past the mask. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vsock-proxy/fields.h"
#include "vsock-proxy/flow.h"
#include "vsock-proxy/injector_state.h"
#include "vsock-proxy/unmask.h"
#include "vsock-proxy/unmask_frames.h"

struct job {
	struct stream_owner owner; /* first: the stream's data */
	struct injector *injector;
	struct channel_stream *stream; /* NULL: it is over for the proxy */
	struct upstream_call *call;
	struct held_policy *policy;
	struct policy_decision decision;
	struct record_request m; /* its text is our own */
	char *text;
	enum policy_reason refused; /* the judge's last word; 0: none */
	struct flow up, down;
	const struct redact *
		redact; /* of the secret that it was sent with, whatever the secret is by now; NULL: none */
	struct unmask *unmask; /* of the answer's body; NULL: it passes as it is */
	struct unmask_frames *frames; /* the same of a WebSocket */
	unsigned int interims;
	uint64_t received;
	size_t owed; /* bytes of the answer that came and were not given back to its window */
	struct record_response *answer; /* for which the channel had no room yet */
	char *answer_text;
	bool sent, responded, up_sent, retried;
};

static const struct channel_ops job_channel_ops;
static const struct upstream_ops job_upstream_ops;

static bool is_bound(const struct job *job)
{
	return job->injector->redact != NULL;
}

static void destroy(struct job *job)
{
	if (job->stream)
		channel_set_data(job->stream, NULL);
	upstream_close(job->call);
	unmask_destroy(job->unmask);
	unmask_frames_destroy(job->frames);
	held_policy_put(job->policy);
	flow_finish(&job->up);
	flow_finish(&job->down);
	free(job->text);
	free(job->answer);
	free(job->answer_text);
	free(job);
}

/* Ends the stream towards the proxy, and the job with it. */
static void fail(struct job *job, enum record_reason reason)
{
	struct channel_stream *stream = TAKE_PTR(job->stream);

	if (stream)
		channel_reset(stream, reason);
	destroy(job);
}

/* The request */

static char *copy(char **at, const char *text)
{
	char *start = *at;

	if (!text)
		return NULL;
	*at = stpcpy(start, text) + 1;
	return start;
}

static size_t size_of(const char *text)
{
	return text ? strlen(text) + 1 : 0;
}

static int keep_request(struct job *job, const struct record_request *m)
{
	const struct policy_request *q = &m->request;
	size_t size = size_of(q->method) + size_of(q->path) + size_of(q->query) + 1;
	char *at;

	for (uint16_t i = 0; i < m->fields.count; i++)
		size += size_of(m->fields.list[i].name) + size_of(m->fields.list[i].value);
	job->text = at = malloc(size);
	if (!job->text)
		return -ENOMEM;
	job->m.request = *q;
	job->m.content_length = m->content_length;
	job->m.request.method = copy(&at, q->method);
	job->m.request.path = copy(&at, q->path);
	job->m.request.query = copy(&at, q->query);
	job->m.fields.count = m->fields.count;
	for (uint16_t i = 0; i < m->fields.count; i++) {
		job->m.fields.list[i].name = copy(&at, m->fields.list[i].name);
		job->m.fields.list[i].value = copy(&at, m->fields.list[i].value);
	}
	/* E22, E24: an honest proxy has done this. */
	return fields_strip(&job->m.fields) ? 0 : -EINVAL;
}

/*
 * E14: an answer in which the secret could not be looked for is not asked for. And what a connection of ours needs: `te` for
 * gRPC (its trailers), which belongs to one connection and so did not come along.
 */
static bool shape_fields(struct job *job, struct record_fields *fields)
{
	const char *type = fields_get(fields, "content-type");

	if (is_bound(job)) {
		fields_remove(fields, "range");
		fields_remove(fields, "if-range");
		fields_remove(fields, "accept-encoding");
		fields_remove(fields, "sec-websocket-extensions");
		fields_remove(fields, "grpc-accept-encoding");
		fields_remove(fields, "connect-accept-encoding");
		if (!fields_add(fields, "accept-encoding", "gzip, deflate, br, zstd"))
			return false;
	}
	return !type || strncmp(type, "application/grpc", 16) != 0 ||
	       fields_add(fields, "te", "trailers");
}

static void pump_up(struct job *job);

static void on_ready(void *owner)
{
	struct job *job = owner;
	struct inject_secret secret = { .value = job->injector->secret,
		.len = job->injector->secret_len };
	struct inject_output *out = &job->injector->output;
	struct upstream_request q = { .method = job->m.request.method,
		.path = job->m.request.path,
		.websocket = job->m.request.websocket,
		.length = job->m.content_length };
	struct err err = {};
	int r;

	job->redact = job->injector->redact;
	r = inject_apply(&job->m, job->decision.guest_credentials, job->decision.binding,
		is_bound(job) ? &secret : NULL, out, &err);
	if (r == 0) {
		q.query = out->query;
		q.fields = &out->fields;
		q.end = flow_is_over(&job->up) && !flow_trailers(&job->up) && !q.websocket;
		r = shape_fields(job, &out->fields) ? upstream_request(job->call, &q) : -E2BIG;
	} else {
		log_warn("%s", err.text);
	}
	inject_output_finish(out);
	if (r < 0) {
		fail(job, RECORD_INTERNAL);
		return;
	}
	job->sent = true;
	job->up_sent = q.end;
	pump_up(job);
}

static void pump_up(struct job *job)
{
	const uint8_t *bytes;
	size_t len, room;

	if (!job->sent)
		return;
	while ((len = flow_peek(&job->up, &bytes)) > 0 && (room = upstream_room(job->call)) > 0) {
		len = MIN(len, room);
		upstream_send(job->call, bytes, len);
		flow_take(&job->up, len);
		if (job->stream)
			channel_consumed(job->stream, len);
	}
	if (flow_is_over(&job->up) && !job->up_sent) {
		job->up_sent = true;
		if (upstream_end(job->call, flow_trailers(&job->up)) < 0)
			log_info("a request could not be ended: its trailers are refused");
	}
}

static bool judge(void *data, const struct policy_host *address)
{
	struct job *job = data;

	return injector_judges(job->injector, &job->decision, address, &job->refused);
}

static bool judge_again(void *data, const struct policy_host *address)
{
	struct job *job = data;

	return injector_judges_again(&job->decision, address, &job->refused);
}

static int open_call(struct job *job, bool fresh)
{
	const struct policy_request *q = &job->m.request;
	struct upstream_target target = {
		.host = q->host, .port = q->port, .secure = q->secure, .http1 = q->websocket
	};

	return upstream_open(
		job->injector->pool, &target, fresh, &job_upstream_ops, job, &job->call);
}

void job_begin(struct injector *injector, struct channel_stream *stream,
	const struct record_request *m, const struct policy_decision *decision)
{
	struct job *job = calloc(1, sizeof(*job));
	int r;

	if (!job) {
		channel_reset(stream, RECORD_INTERNAL);
		return;
	}
	job->owner.ops = &job_channel_ops;
	job->injector = injector;
	job->stream = stream;
	job->decision = *decision;
	job->policy = held_policy_get(injector);
	channel_set_data(stream, job);
	r = keep_request(job, m);
	if (r == 0 && !m->request.websocket && m->content_length == 0)
		job->up.ended = true; /* END comes all the same, and says nothing new */
	/* What is to carry a credential goes over TLS that was verified, or not at all (E15). */
	if (r == 0 && (is_bound(job) ? !m->request.secure : decision->binding != NULL))
		r = -EPERM;
	if (r == 0)
		r = open_call(job, false);
	if (r < 0)
		fail(job, RECORD_INTERNAL);
	upstream_push(injector->pool); /* the job may be over by now */
}

static void from_proxy_data(struct channel_stream *stream, const uint8_t *bytes, size_t len)
{
	struct job *job = channel_data(stream);

	if (flow_put(&job->up, bytes, len) < 0) {
		channel_consumed(stream, len);
		return;
	}
	pump_up(job);
}

static void from_proxy_end(struct channel_stream *stream, const struct record_fields *trailers)
{
	struct job *job = channel_data(stream);
	struct record_fields kept;

	kept.count = 0;
	if (trailers && trailers->count) {
		fields_copy(&kept, trailers);
		inject_trailers(&kept, job->decision.guest_credentials, job->decision.binding);
	}
	if (!job->up.ended && flow_end(&job->up, &kept) < 0)
		job->up.ended = true;
	pump_up(job);
}

static void from_proxy_reset(struct channel_stream *stream, enum record_reason reason)
{
	struct job *job = channel_data(stream);

	(void)reason;
	job->stream = NULL;
	destroy(job);
}

/* The answer */

#define DOWN_HOLD                                                                                  \
	(64u << 10) /* of the answer, that the channel has not taken: then its upstream waits */
#define DOWN_MAX (8u << 20) /* what one read may grow to by decoding */

static void give_back(struct job *job)
{
	if (!job->owed || job->down.len > DOWN_HOLD)
		return;
	upstream_consumed(job->call, job->owed);
	job->owed = 0;
}

/* The whole answer is in the channel: the job is over, and what still comes of the request is for nobody. */
static void finish(struct job *job)
{
	struct channel_stream *stream = job->stream;

	channel_set_data(
		stream, NULL); /* before: where the proxy has said its END, the stream goes now */
	if (channel_end(stream, flow_trailers(&job->down)) == -EAGAIN) {
		channel_set_data(stream, job); /* writable() tells */
		return;
	}
	job->stream = NULL;
	destroy(job);
}

/* The job may be gone when it returns. */
static void pump_down(struct job *job)
{
	const uint8_t *bytes;
	size_t len, room;

	if (job->answer)
		return;
	while ((len = flow_peek(&job->down, &bytes)) > 0 &&
		(room = channel_room(job->stream)) > 0) {
		len = MIN(len, room);
		channel_send(job->stream, bytes, len);
		flow_take(&job->down, len);
	}
	give_back(job);
	if (flow_is_over(&job->down))
		finish(job);
}

/* -EAGAIN is not an error: it goes when there is room. */
static int send_answer(struct job *job)
{
	int r = channel_respond(job->stream, job->answer);

	if (r == -EAGAIN)
		return 0;
	free(TAKE_PTR(job->answer));
	free(TAKE_PTR(job->answer_text));
	return r;
}

static void from_proxy_writable(struct channel_stream *stream)
{
	struct job *job = channel_data(stream);

	if (job->answer && send_answer(job) < 0)
		fail(job, RECORD_UPSTREAM);
	else
		pump_down(job);
}

static const struct channel_ops job_channel_ops = {
	.data = from_proxy_data,
	.end = from_proxy_end,
	.reset = from_proxy_reset,
	.writable = from_proxy_writable,
};

static int sink(void *data, const uint8_t *bytes, size_t len)
{
	struct job *job = data;
	size_t room = job->answer || job->down.len ? 0 : channel_room(job->stream);

	/* What the channel takes at once goes there at once. */
	room = MIN(room, len);
	if (room) {
		channel_send(job->stream, bytes, room);
		bytes += room;
		len -= room;
	}
	return job->down.len + len > DOWN_MAX ? -E2BIG : flow_put(&job->down, bytes, len);
}

/* A message's own coding, of which the body's says nothing: gRPC's, and the Connect protocol's. */
static bool has_coded_messages(const struct record_fields *fields)
{
	static const char *const names[] = { "grpc-encoding", "connect-content-encoding" };

	for (size_t i = 0; i < fields->count; i++)
		for (size_t k = 0; k < ARRAY_SIZE(names); k++)
			if (field_name_is(fields->list[i].name, names[k]) &&
				strcasecmp(fields->list[i].value, "identity") != 0)
				return true;
	return false;
}

/* Whether its body is messages, of which each may be answered before the next one comes. */
static bool has_messages(const struct record_fields *fields)
{
	const char *type = fields_get(fields, "content-type");

	return type &&
	       (!strncasecmp(type, "application/grpc", 16) ||
		       !strncasecmp(type, "application/connect+", 20)) &&
	       strncasecmp(type, "application/grpc-web-text", 25) != 0;
}

/* all: with what Connection took out. -EOPNOTSUPP: it cannot be looked through. */
static int prepare_body(struct job *job, uint16_t status, const struct record_fields *all,
	struct record_fields *fields, uint64_t *length)
{
	const char *coding = fields_get(all, "content-encoding");
	bool decodes = false;
	int r;

	if (!job->redact)
		return 0;
	fields_remove(fields, "set-cookie");
	fields_remove(fields, "set-cookie2");
	if (status == 101)
		return fields_count(all, "sec-websocket-extensions")
			       ? -EOPNOTSUPP
			       : unmask_frames_create(job->redact, sink, job, &job->frames);
	if (status < 200)
		return 0;
	if (status == 206 || fields_count(all, "content-encoding") > 1 || has_coded_messages(all))
		return -EOPNOTSUPP;
	r = unmask_create(job->redact, coding, sink, job, &decodes, &job->unmask);
	if (r == 0 && has_messages(all))
		unmask_by_message(job->unmask);
	if (r < 0 || !decodes)
		return r;
	fields_remove(fields, "content-encoding");
	/* It changes with the coding; of a representation that is not there it would be a lie. */
	fields_remove(fields, "etag");
	fields_remove(fields, "content-md5");
	fields_remove(fields, "digest");
	fields_remove(fields, "content-digest");
	fields_remove(fields, "repr-digest");
	if (strcasecmp(job->m.request.method, "HEAD") != 0 && *length)
		*length = RECORD_LENGTH_UNKNOWN;
	return 0;
}

#define INTERIMS_MAX 64 /* E11: more is no answer */

/* Of what was asked, there is an answer like this. 200 and the like is none to a WebSocket: the proxy would take it for one. */
static bool is_answer(struct job *job, uint16_t status)
{
	bool websocket = job->m.request.websocket;

	if (status == 101)
		return websocket;
	if (status < 200)
		return ++job->interims <= INTERIMS_MAX;
	return !websocket || status >= 300;
}

static void on_response(
	void *owner, uint16_t status, const struct record_fields *fields, uint64_t length)
{
	struct job *job = owner;
	struct record_response *m = malloc(sizeof(*m));
	char *text = NULL;
	int r = m ? 0 : -ENOMEM;

	if (!is_answer(job, status)) {
		free(m);
		fail(job, RECORD_UPSTREAM);
		return;
	}
	if (r == 0) {
		m->status = status == 101 ? 200 : status; /* as RFC 8441 has it */
		fields_copy(&m->fields, fields);
		m->content_length = length;
		r = fields_strip(&m->fields)
			    ? prepare_body(job, status, fields, &m->fields, &m->content_length)
			    : -EPROTO;
	}
	/* A WebSocket that was refused is an answer as any other; one that was granted is a tunnel. */
	if (r == 0 && status == 101)
		m->content_length = RECORD_LENGTH_UNKNOWN;
	if (r == 0 && job->redact)
		r = unmask_fields(job->redact, &m->fields, &text);
	if (r == 0 && m->content_length != RECORD_LENGTH_UNKNOWN &&
		m->content_length > job->decision.response_bytes_max &&
		strcmp(job->m.request.method, "HEAD") != 0)
		r = -EFBIG;
	if (r == 0 && m->status >= 200) {
		job->responded = true;
		job->answer = TAKE_PTR(m);
		job->answer_text = TAKE_PTR(text);
		r = send_answer(job);
	} else if (r == 0) {
		r = channel_respond(job->stream, m);
		r = r == -EAGAIN ? 0 : r; /* an interim one may be left out */
	}
	free(text);
	free(m);
	if (r < 0)
		fail(job, r == -EOPNOTSUPP ? RECORD_UNMASKABLE
			  : r == -EFBIG	   ? RECORD_TOO_LARGE
			  : r == -ENOMEM   ? RECORD_INTERNAL
					   : RECORD_UPSTREAM);
}

static void on_data(void *owner, const uint8_t *bytes, size_t len)
{
	struct job *job = owner;
	int r;

	job->owed += len;
	r = job->frames	  ? unmask_frames_take(job->frames, bytes, len)
	    : job->unmask ? unmask_take(job->unmask, bytes, len)
			  : sink(job, bytes, len);
	job->received += len;
	if (r < 0 || job->received > job->decision.response_bytes_max) {
		fail(job, r == -EPROTO ? RECORD_UPSTREAM
			  : r < 0      ? RECORD_UNMASKABLE
				       : RECORD_TOO_LARGE);
		return;
	}
	pump_down(job);
}

static void on_end(void *owner, const struct record_fields *trailers)
{
	struct job *job = owner;
	struct record_fields kept;
	char *text = NULL;
	int r = 0;

	kept.count = 0;
	if (trailers && trailers->count) {
		fields_copy(&kept, trailers);
		fields_strip_trailers(&kept);
		if (job->redact)
			r = unmask_fields(job->redact, &kept, &text);
	}
	if (r == 0 && job->frames)
		r = unmask_frames_end(job->frames);
	if (r == 0 && job->unmask)
		r = unmask_end(job->unmask);
	if (r == 0)
		r = flow_end(&job->down, &kept);
	free(text);
	if (r < 0)
		fail(job, RECORD_UPSTREAM);
	else
		pump_down(job);
}

static void on_drained(void *owner)
{
	pump_up(owner);
}

static void deny_address(struct job *job)
{
	struct channel_stream *stream = TAKE_PTR(job->stream);

	job->decision.verdict = POLICY_DENY;
	job->decision.reason = job->refused;
	if (stream)
		injector_deny(job->injector, stream, job->policy, &job->m.request, &job->decision);
	destroy(job);
}

/* Whether it may be asked again: it changes nothing, whoever has heard it (RFC 9110, section 9.2.1), and we still have all of it. */
static bool may_retry(const struct job *job)
{
	static const char *const safe[] = { "GET", "HEAD", "OPTIONS" };
	bool is_safe = false;

	for (size_t i = 0; i < ARRAY_SIZE(safe); i++)
		is_safe |= !strcmp(job->m.request.method, safe[i]);
	return is_safe && !job->retried && !job->responded && job->m.content_length == 0 &&
	       !job->m.request.websocket;
}

static void on_failed(void *owner, enum record_reason reason, bool again)
{
	struct job *job = owner;

	upstream_close(TAKE_PTR(job->call));
	if (again && may_retry(job)) {
		job->retried = true;
		job->sent = job->up_sent = false;
		if (open_call(job, true) == 0)
			return;
	}
	if (reason == RECORD_UNREACHABLE && job->refused)
		deny_address(job);
	else
		fail(job, reason);
}

static const struct upstream_ops job_upstream_ops = {
	.judge = judge,
	.judge_again = judge_again,
	.ready = on_ready,
	.response = on_response,
	.data = on_data,
	.end = on_end,
	.drained = on_drained,
	.failed = on_failed,
};
