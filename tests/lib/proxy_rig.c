/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/proxy_rig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "guest-agent/protocol/egress.h"
#include "vmm/base/array.h"
#include "vmm/base/fdpass.h"
#include "vsock-proxy/ca.h"
#include "vsock-proxy/flow.h"

static void must(bool good)
{
	if (!good)
		abort();
}

static void release(struct rig_stream *s)
{
	s->stream = NULL;
	if (s->echo)
		flow_finish(s->echo);
	free(s->echo);
	s->echo = NULL;
}

static void finish_out(struct rig_stream *s)
{
	struct channel_stream *stream = s->stream;

	if (s->ended)
		release(s);
	else
		s->said = true;
	channel_end(stream, NULL);
}

static void pump(struct rig_stream *s)
{
	static const uint8_t zeroes[RECORD_DATA_MAX];
	const uint8_t *bytes = zeroes;
	size_t len, room;

	while (s->stream && (room = channel_room(s->stream)) > 0) {
		len = s->kind == RIG_PUSH   ? s->left
		      : s->kind == RIG_ECHO ? flow_peek(s->echo, &bytes)
					    : 0;
		len = MIN(len, room);
		if (!len)
			break;
		channel_send(s->stream, bytes, len);
		s->rig->pushed += len;
		if (s->kind == RIG_PUSH) {
			s->left -= len;
		} else {
			flow_take(s->echo, len);
			channel_consumed(s->stream, len);
		}
	}
	if (s->said)
		return;
	if ((s->kind == RIG_PUSH && !s->left) || (s->kind == RIG_ECHO && flow_is_over(s->echo)))
		finish_out(s);
}

static void serve(struct rig_stream *s, const struct record_request *m)
{
	static const char *const kinds[] = { "/v1/ok", "/v1/echo", "/v1/hang", "/v1/large",
		"/v1/slow" };
	static struct record_response answer;
	const char *path = m->request.path ? m->request.path : "";

	answer = (struct record_response){ .status = 200, .content_length = RECORD_LENGTH_UNKNOWN };
	s->kind = RIG_OK;
	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(path, kinds[i]))
			s->kind = i;
	if (m->request.protocol != POLICY_PROTOCOL_HTTP || m->request.websocket)
		s->kind = RIG_ECHO;
	if (s->kind == RIG_ECHO)
		must((s->echo = calloc(1, sizeof(*s->echo))));
	s->left = RIG_LARGE;
	if (m->request.protocol != POLICY_PROTOCOL_HTTP || !strcmp(path, "/v1/rogue")) {
		channel_opened(s->stream);
		return;
	}
	if (s->kind == RIG_HANG || s->kind == RIG_SLOW)
		return;
	if (!strcmp(path, "/v1/none"))
		answer.status = 204;
	if (s->kind == RIG_OK)
		answer.content_length = answer.status == 204 ? 0 : 2;
	must(channel_respond(s->stream, &answer) == 0);
	if (s->kind != RIG_OK) {
		pump(s);
		return;
	}
	if (answer.status == 200 && strcmp(m->request.method, "HEAD") != 0)
		channel_send(s->stream, "ok", 2);
	finish_out(s);
}

static void on_request(void *owner, struct channel_stream *stream, const struct record_request *m)
{
	struct rig *rig = owner;
	struct rig_stream *s = rig->served;

	rig->asked++;
	rig->port = m->request.port;
	rig->websocket = m->request.websocket;
	snprintf(rig->host, sizeof(rig->host), "%s", m->request.host.text);
	snprintf(
		rig->method, sizeof(rig->method), "%s", m->request.method ? m->request.method : "");
	snprintf(rig->path, sizeof(rig->path), "%s", m->request.path ? m->request.path : "");
	while (s->stream && s < rig->served + RIG_STREAMS - 1)
		s++;
	must(!s->stream);
	*s = (struct rig_stream){ .rig = rig, .stream = stream };
	channel_set_data(stream, s);
	serve(s, m);
}

static void on_token_request(
	void *owner, struct channel_stream *stream, const struct record_request *m)
{
	((struct rig *)owner)->with_token++;
	on_request(owner, stream, m);
}

static void on_data(struct channel_stream *stream, const uint8_t *bytes, size_t len)
{
	struct rig_stream *s = channel_data(stream);

	s->rig->taken += len;
	if (s->kind == RIG_ECHO && !s->said) {
		must(flow_put(s->echo, bytes, len) == 0);
		pump(s);
	} else if (s->kind != RIG_SLOW) {
		channel_consumed(stream, len);
	}
}

static void on_end(struct channel_stream *stream, const struct record_fields *trailers)
{
	struct rig_stream *s = channel_data(stream);

	(void)trailers;
	s->ended = true;
	if (s->kind == RIG_ECHO && !s->said) {
		flow_end(s->echo, NULL);
		pump(s);
	} else if (s->said) {
		release(s);
	}
}

static void on_reset(struct channel_stream *stream, enum record_reason reason)
{
	struct rig_stream *s = channel_data(stream);

	(void)reason;
	s->rig->resets++;
	release(s);
}

static void on_writable(struct channel_stream *stream)
{
	pump(channel_data(stream));
}

static void on_broken(void *owner, int code, const char *why)
{
	(void)owner;
	(void)code;
	(void)why;
}

void rig_add_injector(struct rig *rig, const char *binding)
{
	static const struct channel_ops ops[] = { { .request = on_request,
							  .data = on_data,
							  .end = on_end,
							  .reset = on_reset,
							  .writable = on_writable,
							  .broken = on_broken },
		{ .request = on_token_request,
			.data = on_data,
			.end = on_end,
			.reset = on_reset,
			.writable = on_writable,
			.broken = on_broken } };
	unsigned int which = *binding ? 1 : 0;
	int pair[2];

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
	must(proxy_set_injector(rig->proxy, binding, pair[0], NULL) == 0);
	rig_kill_injector(rig, which);
	must(channel_create(rig->loop, pair[1], RECORD_FROM_INJECTOR, &ops[which], rig,
		     &rig->injectors[which], NULL) == 0);
}

void rig_kill_injector(struct rig *rig, unsigned int which)
{
	if (!rig->injectors[which])
		return;
	/* With both alive one cannot tell whose a stream is: tests kill one of one. */
	for (size_t i = 0; i < RIG_STREAMS; i++)
		if (rig->served[i].stream)
			release(&rig->served[i]);
	channel_destroy(rig->injectors[which]);
	rig->injectors[which] = NULL;
}

void rig_init(struct rig *rig, const char *document, uint32_t head_ms, uint32_t idle_ms)
{
	struct policy_source source = { .layer = POLICY_LAYER_COMMAND,
		.name = "test",
		.json = document,
		.len = strlen(document) };
	struct proxy_config config = { .control_fd = -1,
		.event_fd = -1,
		.counters_fd = -1,
		.head_ms = head_ms,
		.idle_ms = idle_ms };
	struct err err = {};
	int streams[2], audit[2];

	memset(rig, 0, sizeof(*rig));
	must(loop_create(&rig->loop) == 0 && ca_create("test", time(NULL), &rig->ca, NULL) == 0);
	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, streams) == 0);
	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, audit) == 0);
	rig->streams = streams[0];
	rig->audit = audit[0];
	config.streams_fd = streams[1];
	config.audit_fd = audit[1];
	config.ca = rig->ca;
	if (policy_create(&source, 1, POLICY_TIER_BUILDER, &config.policy, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
	must(proxy_create(rig->loop, &config, &rig->proxy, &err) == 0);
	rig_add_injector(rig, "");
	rig_add_injector(rig, "token");
}

void rig_finish(struct rig *rig)
{
	int streams = rig->proxy->config.streams_fd, audit = rig->proxy->config.audit_fd;

	proxy_destroy(rig->proxy);
	rig_kill_injector(rig, 0);
	rig_kill_injector(rig, 1);
	ca_destroy(rig->ca);
	loop_destroy(rig->loop);
	close(rig->streams);
	close(rig->audit);
	close(streams);
	close(audit);
}

void rig_settle(struct rig *rig)
{
	/* A bound, so that a proxy that never rests is seen by the test's own time limit and not by a hung loop. */
	for (int i = 0; i < 1000000 && loop_run_once(rig->loop, 0) > 0; i++)
		;
}

void rig_run(struct rig *rig, uint64_t ms)
{
	uint64_t until = clock_monotonic_ms() + ms;

	while (clock_monotonic_ms() < until)
		loop_run_once(rig->loop, 10);
	rig_settle(rig);
}

int rig_stream(struct rig *rig)
{
	const uint8_t word = 1;
	int pair[2];

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
	must(fdpass_send(rig->streams, &word, 1, pair[1]) == 0);
	close(pair[1]);
	rig_settle(rig);
	return pair[0];
}

int rig_open(struct rig *rig, uint8_t kind, const char *host, uint16_t port, uint8_t *ret_verdict)
{
	struct egress_request request = { .kind = kind, .port = port };
	uint8_t wire[EGRESS_REQUEST_MAX], answer[EGRESS_ANSWER_MAX];
	struct egress_answer said = {};
	size_t len;
	ssize_t n;
	int fd = rig_stream(rig);

	snprintf(request.host, sizeof(request.host), "%s", host);
	len = egress_request_encode(&request, wire);
	must(len && rig_write(rig, fd, wire, len) == len);
	n = recv(fd, answer, sizeof(answer), MSG_DONTWAIT);
	*ret_verdict =
		n > 0 && egress_answer_decode(answer, (size_t)n, &said) == n ? said.verdict : 0;
	return fd;
}

size_t rig_write(struct rig *rig, int fd, const void *data, size_t len)
{
	const char *bytes = data;
	size_t done = 0;

	for (int idle = 0; done < len && idle < 2;) {
		ssize_t n = send(fd, bytes + done, len - done, MSG_DONTWAIT | MSG_NOSIGNAL);

		idle = n > 0 ? 0 : idle + 1;
		done += n > 0 ? (size_t)n : 0;
		rig_settle(rig);
	}
	return done;
}

size_t rig_read(struct rig *rig, int fd, char *out, size_t size, bool *ret_end)
{
	size_t done = 0;
	ssize_t n;

	do {
		rig_settle(rig);
		n = recv(fd, out + done, size - 1 - done, MSG_DONTWAIT);
		done += n > 0 ? (size_t)n : 0;
	} while (n > 0 && done < size - 1);
	out[done] = '\0';
	if (ret_end)
		*ret_end = n == 0 || (n < 0 && errno != EAGAIN);
	return done;
}

unsigned int rig_events(struct rig *rig, uint8_t decision, unsigned int *ret_count)
{
	uint8_t bytes[AUDIT_MESSAGE_MAX];
	unsigned int events = 0, count = 0;
	struct audit_event event;
	ssize_t n;

	rig_settle(rig);
	while ((n = recv(rig->audit, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
		must(audit_event_decode(bytes, (size_t)n, &event) == 0);
		if (event.decision == decision) {
			events++;
			count += event.count;
		}
		rig_settle(rig);
	}
	if (ret_count)
		*ret_count = count;
	return events;
}
