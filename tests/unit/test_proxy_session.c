/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams of a guest's through sandbox-proxy, against injectors that are not (tests/lib/proxy_rig.h): what is answered, what is handed
 * over, what it costs. With real injectors, TLS and an internet: test_egress.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "guest-agent/protocol/egress.h"
#include "tests/lib/proxy_rig.h"
#include "vmm/base/array.h"
#include "vsock-proxy/guest_http.h"
#include "vsock-proxy/h2.h"

#define HEAD_MS 150

static const char policy[] =
	"{\"version\":1,\"rules\":["
	"{\"id\":\"api\",\"action\":\"allow\",\"host\":\"api.test\",\"port\":[80,443],\"paths\":[\"/v1/**\"],\"websocket\":true},"
	"{\"id\":\"bound\",\"action\":\"allow\",\"host\":\"bound.test\",\"port\":[80,443]},"
	"{\"id\":\"small\",\"action\":\"allow\",\"host\":\"small.test\",\"port\":80,\"request_bytes_max\":1000},"
	"{\"id\":\"limited\",\"action\":\"allow\",\"host\":\"limited.test\",\"port\":80},"
	"{\"id\":\"brief\",\"action\":\"allow\",\"host\":\"brief.test\",\"port\":80},"
	"{\"id\":\"raw\",\"action\":\"allow\",\"host\":\"raw.test\",\"protocol\":\"tcp\",\"port\":7000}],"
	"\"bindings\":[{\"id\":\"token\",\"secret\":\"s\",\"host\":\"bound.test\",\"methods\":[\"GET\"],\"paths\":[\"/**\"],\"scheme\":\"bearer\"}],"
	"\"limits\":[{\"id\":\"two\",\"host\":\"limited.test\",\"requests_per_hour\":2},"
	"{\"id\":\"short\",\"host\":\"brief.test\",\"stream_seconds_max\":1}]}";

static struct rig rig;
static char text[RIG_LARGE + (1 << 20)];

static int setup(void **state)
{
	(void)state;
	rig_init(&rig, policy, HEAD_MS, 1500);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rig_finish(&rig);
	return 0;
}

static int opened(const char *host, uint16_t port)
{
	uint8_t verdict;
	int fd = rig_open(&rig, EGRESS_CAPTURED, host, port, &verdict);

	assert_int_equal(verdict, EGRESS_ACCEPTED);
	return fd;
}

/* Says it and gives the status of what comes back, whose text is in `text`. */
static int say(int fd, const char *what)
{
	int status = 0;

	rig_write(&rig, fd, what, strlen(what));
	rig_read(&rig, fd, text, sizeof(text), NULL);
	return sscanf(text, "HTTP/1.1 %d", &status) == 1 ? status : 0;
}

static bool is_over(int fd)
{
	static char rest[1 << 16];
	bool end;

	rig_read(&rig, fd, rest, sizeof(rest), &end);
	return end;
}

/* Whatever a test leaves, a proxy forgets with its streams. */
static void assert_at_rest(void)
{
	rig_settle(&rig);
	assert_int_equal(rig.proxy->session_count, 0);
	assert_null(rig.proxy->users);
}

static void test_requests_of_a_connection(void **state)
{
	int fd = opened("api.test", 80);

	(void)state;
	assert_int_equal(say(fd, "GET /v1/a?q=1 HTTP/1.1\r\nHost: API.test:80\r\n\r\n"), 200);
	assert_string_equal(rig.host, "api.test");
	assert_string_equal(rig.path, "/v1/a");
	assert_int_equal(rig.port, 80);
	assert_int_equal(rig_events(&rig, AUDIT_ALLOWED, NULL), 1);
	/* E4, for every request and not the first alone. */
	assert_int_equal(say(fd, "GET /v1/a HTTP/1.1\r\nHost: evil.test\r\n\r\n"), 421);
	assert_int_equal(say(fd, "GET /v1/a HTTP/1.1\r\nHost: api.test:443\r\n\r\n"), 421);
	assert_int_equal(say(fd, "GET /v2/a HTTP/1.1\r\nHost: api.test\r\n\r\n"), 403);
	assert_non_null(strstr(text, "\"rule\":\"api\""));
	assert_non_null(strstr(text, "proxy-status: sandboxctl; error=http_request_denied"));
	assert_int_equal(rig_events(&rig, AUDIT_DENIED, NULL), 3);
	assert_int_equal(rig.asked, 1);
	assert_int_equal(say(fd, "GET /v1/none HTTP/1.1\r\nHost: api.test\r\n\r\n"), 204);
	assert_int_equal(say(fd, "HEAD /v1/a HTTP/1.1\r\nHost: api.test\r\n\r\n"), 200);
	assert_null(strstr(text, "\r\n\r\nok"));
	assert_int_equal(
		say(fd, "GET /v1/a HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n"), 200);
	assert_true(is_over(fd));
	close(fd);
	assert_at_rest();
}

/* E9, E10, E12: nobody upstream hears of it, and it is told. */
static void test_refused(void **state)
{
	static const char *const bad[] = {
		"GET /v1/a HTTP/1.1\r\nHost: api.test\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST /v1/a HTTP/1.1\r\nHost: api.test\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
		"POST /v1/a HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"GET /v1/a HTTP/1.1\r\nHost: api.test\r\nHost: api.test\r\n\r\n",
		"GET /v1/a HTTP/1.1\r\n\r\n",
		"GET /v1/a HTTP/1.1\nHost: api.test\n\n",
		"GET /v1/a HTTP/1.1\r\nHost: api.test\r\n folded\r\n\r\n",
		"GET /v1/a HTTP/1.1\r\nHost : api.test\r\n\r\n",
		"GET  /v1/a HTTP/1.1\r\nHost: api.test\r\n\r\n",
		"GET http://api.test/v1/a HTTP/1.1\r\nHost: api.test\r\n\r\n",
		"GET https://api.test/v1/a HTTP/1.1\r\nHost: api.test\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: api.test\r\n\r\n",
		"CONNECT api.test:80 HTTP/1.1\r\nHost: api.test:80\r\n\r\n",
		"GET /v1/../v2 HTTP/1.1\r\nHost: api.test\r\n\r\n",
		"GET /v1/%2e%2e/v2 HTTP/1.1\r\nHost: api.test\r\n\r\n",
		"GET /v1//a HTTP/1.1\r\nHost: api.test\r\n\r\n",
		"GET /v1/a%2fb HTTP/1.1\r\nHost: api.test\r\n\r\n",
		"GET /v1/a%00 HTTP/1.1\r\nHost: api.test\r\n\r\n",
		"GET /v1/a HTTP/1.1\r\nHost: api.test@evil.test\r\n\r\n",
		"GET /v1/a HTTP/1.1\r\nHost: api.test\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\nPRI * HTTP/2.0\r\n\r\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		int fd = opened("api.test", 80), status = say(fd, bad[i]);
		bool upgrade = strstr(bad[i], "h2c") != NULL;

		if (upgrade ? rig.asked > 1 || strstr(rig.method, "PRI")
			    : status < 400 || status > 501 || rig.asked)
			fail_msg("%s\nwas answered %d", bad[i], status);
		if (!upgrade)
			assert_non_null(strstr(text, "\"error\":\"denied\""));
		assert_true(rig_events(&rig, AUDIT_DENIED, NULL) >= 1);
		close(fd);
		assert_at_rest();
	}
}

static void test_connections_denied(void **state)
{
	static const char *const hosts[] = { "nobody.test", "10.0.0.1", "::1", "169.254.169.254" };
	uint8_t verdict;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		int fd = rig_open(&rig, EGRESS_CAPTURED, hosts[i], 22, &verdict);

		assert_int_equal(verdict, EGRESS_DENIED);
		assert_int_equal(rig_events(&rig, AUDIT_DENIED, NULL), 1);
		close(fd);
	}
	/* No one name: E1. It is told and written down as well. */
	close(rig_open(&rig, EGRESS_CAPTURED, "0177.0.0.1", 80, &verdict));
	assert_int_equal(verdict, EGRESS_DENIED);
	assert_int_equal(rig_events(&rig, AUDIT_DENIED, NULL), 1);
	assert_int_equal(rig.asked, 0);
	assert_at_rest();
}

static void test_tunnel(void **state)
{
	int fd = opened("raw.test", 7000);

	(void)state;
	rig_write(&rig, fd, "hello", 5);
	assert_int_equal(rig_read(&rig, fd, text, sizeof(text), NULL), 5);
	shutdown(fd, SHUT_WR);
	assert_true(is_over(fd));
	close(fd);
	assert_at_rest();
	assert_int_equal(rig_events(&rig, AUDIT_ALLOWED, NULL), 1);
}

static void test_proxy_port(void **state)
{
	uint8_t verdict;
	int fd = rig_open(&rig, EGRESS_PROXY, "", 0, &verdict);

	(void)state;
	assert_int_equal(
		say(fd, "GET http://api.test/v1/a HTTP/1.1\r\nHost: api.test\r\n\r\n"), 200);
	assert_int_equal(
		say(fd, "GET http://nobody.test/ HTTP/1.1\r\nHost: nobody.test\r\n\r\n"), 403);
	close(fd);
	fd = rig_open(&rig, EGRESS_PROXY, "", 0, &verdict);
	assert_int_equal(say(fd, "CONNECT api.test:80 HTTP/1.1\r\nHost: api.test:80\r\n\r\n"), 200);
	assert_int_equal(say(fd, "GET /v1/a HTTP/1.1\r\nHost: api.test\r\n\r\n"), 200);
	assert_int_equal(say(fd, "CONNECT api.test:80 HTTP/1.1\r\nHost: api.test:80\r\n\r\n"), 400);
	close(fd);
	fd = rig_open(&rig, EGRESS_PROXY, "", 0, &verdict);
	assert_int_equal(
		say(fd, "CONNECT nobody.test:22 HTTP/1.1\r\nHost: nobody.test:22\r\n\r\n"), 403);
	assert_true(is_over(fd));
	close(fd);
	rig_events(&rig, AUDIT_DENIED, NULL);
	fd = rig_open(&rig, EGRESS_PROXY, "", 0, &verdict);
	assert_int_equal(say(fd, "CONNECT nobody HTTP/1.1\r\nHost: nobody\r\n\r\n"), 400);
	assert_int_equal(rig_events(&rig, AUDIT_DENIED, NULL), 1);
	close(fd);
	assert_at_rest();
}

static void test_limits(void **state)
{
	int fd = opened("limited.test", 80);
	const char ask[] = "GET / HTTP/1.1\r\nHost: limited.test\r\n\r\n";

	(void)state;
	assert_int_equal(say(fd, ask), 200);
	assert_int_equal(say(fd, ask), 200);
	assert_int_equal(say(fd, ask), 429);
	assert_non_null(strstr(text, "\"lifts_at\":"));
	assert_null(strstr(text, "\"lifts_at\":null"));
	assert_non_null(strstr(text, "retry-after: "));
	close(fd);
	assert_at_rest();
}

/* One that nothing else happens on is answered when its time is over. */
static void test_wall_time(void **state)
{
	int fd = opened("brief.test", 80);

	(void)state;
	assert_int_equal(say(fd, "GET /v1/hang HTTP/1.1\r\nHost: brief.test\r\n\r\n"), 0);
	rig_run(&rig, 3200);
	assert_int_equal(say(fd, ""), 429);
	close(fd);
	assert_at_rest();
}

static void test_body_cap(void **state)
{
	static char request[4096];
	int fd = opened("small.test", 80), n;

	(void)state;
	n = snprintf(request, sizeof(request),
		"POST /v1/slow HTTP/1.1\r\nHost: small.test\r\nContent-Length: 2000\r\n\r\n%2000s",
		"");
	assert_true(n > 2000);
	assert_int_equal(say(fd, request), 413);
	close(fd);
	fd = opened("small.test", 80);
	snprintf(request, sizeof(request),
		"POST /v1/slow HTTP/1.1\r\nHost: small.test\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n%2000s\r\n0\r\n\r\n",
		"");
	assert_int_equal(say(fd, request), 413);
	close(fd);
	assert_true(rig.taken <= 1000);
	assert_at_rest();
}

static void test_slow_reader(void **state)
{
	const char ask[] = "GET /v1/large HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n";
	int fd = opened("api.test", 80);
	size_t len;

	(void)state;
	rig_write(&rig, fd, ask, strlen(ask));
	/* Credit, HTTP/1's buffer, the session's, and two sockets. */
	assert_true(rig.pushed < RECORD_CREDIT_FIRST + (1u << 20));
	len = rig_read(&rig, fd, text, sizeof(text), NULL);
	assert_true(len > RIG_LARGE && rig.pushed == RIG_LARGE);
	assert_true(is_over(fd));
	close(fd);
	assert_at_rest();
}

static void test_slow_upstream(void **state)
{
	const char ask[] =
		"POST /v1/slow HTTP/1.1\r\nHost: api.test\r\nContent-Length: 8388608\r\n\r\n";
	int fd = opened("api.test", 80);
	size_t took;

	(void)state;
	rig_write(&rig, fd, ask, strlen(ask));
	memset(text, 'x', RIG_LARGE);
	took = rig_write(&rig, fd, text, RIG_LARGE);
	assert_true(took < RECORD_CREDIT_FIRST + (1u << 20));
	assert_int_equal(rig.taken, RECORD_CREDIT_FIRST);
	close(fd);
	rig_run(&rig, 4200);
	assert_int_equal(rig.resets, 1); /* the injector hears that nobody waits any more */
	assert_at_rest();
}

static void test_expect(void **state)
{
	int fd = opened("api.test", 80);

	(void)state;
	assert_int_equal(
		say(fd, "POST /v1/echo HTTP/1.1\r\nHost: api.test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"),
		100);
	say(fd, "body");
	assert_non_null(strstr(text, "body"));
	close(fd);
	assert_at_rest();
}

static void test_websocket(void **state)
{
	const char ask[] =
		"GET /v1/socket HTTP/1.1\r\nHost: api.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
	int fd = opened("api.test", 80);

	(void)state;
	assert_int_equal(say(fd, ask), 101);
	assert_true(rig.websocket);
	rig_write(&rig, fd, "frame", 5);
	assert_int_equal(rig_read(&rig, fd, text, sizeof(text), NULL), 5);
	close(fd);
	assert_at_rest();
	fd = opened("limited.test", 80);
	assert_int_equal(
		say(fd, "GET / HTTP/1.1\r\nHost: limited.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
		403);
	close(fd);
	assert_at_rest();
}

static void test_killed_injector(void **state)
{
	int fd = opened("api.test", 80), other = opened("api.test", 80);

	(void)state;
	assert_int_equal(
		say(fd, "POST /v1/echo HTTP/1.1\r\nHost: api.test\r\nContent-Length: 9\r\n\r\nhalf"),
		200);
	rig_write(&rig, other, "GET /v1/hang HTTP/1.1\r\nHost: api.test\r\n\r\n", 41);
	rig_kill_injector(&rig, 0);
	rig_run(&rig, 50);
	assert_true(is_over(fd)); /* broken off, and not ended as if it were whole */
	assert_int_equal(say(other, ""), 502);
	assert_int_equal(say(other, "GET /v1/a HTTP/1.1\r\nHost: api.test\r\n\r\n"), 503);
	rig_add_injector(&rig, "");
	assert_int_equal(say(other, "GET /v1/a HTTP/1.1\r\nHost: api.test\r\n\r\n"), 200);
	close(fd);
	close(other);
	assert_at_rest();
}

/* E23: one that upstream has taken over says what it should not. */
static void test_rogue_injector(void **state)
{
	int fd = opened("api.test", 80);

	(void)state;
	assert_int_equal(say(fd, "GET /v1/rogue HTTP/1.1\r\nHost: api.test\r\n\r\n"), 502);
	close(fd);
	assert_at_rest();
}

/* H7: nothing passes, nothing is lost, and what was denied meanwhile is counted. */
static void test_audit_stands_still(void **state)
{
	const char ask[] = "GET /v2/a HTTP/1.1\r\nHost: api.test\r\n\r\n";
	int fd = opened("api.test", 80), size = 4096;
	unsigned int denied = 0, count;

	(void)state;
	setsockopt(rig.proxy->config.audit_fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	for (; denied < 10000; denied++) {
		int status = say(fd, ask);

		assert_true(
			status == 403 || (status == 503 && !audit_sender_ready(rig.proxy->audit)));
	}
	assert_false(audit_sender_ready(rig.proxy->audit));
	assert_int_equal(audit_sender_lost(rig.proxy->audit), 0);
	assert_int_equal(say(fd, "GET /v1/a HTTP/1.1\r\nHost: api.test\r\n\r\n"), 503);
	assert_int_equal(rig.asked, 0);
	rig_events(&rig, AUDIT_DENIED, &count);
	assert_int_equal(say(fd, "GET /v1/a HTTP/1.1\r\nHost: api.test\r\n\r\n"), 200);
	denied = count;
	rig_events(&rig, AUDIT_DENIED, &count);
	assert_int_equal(denied + count, 10001);
	close(fd);
	assert_at_rest();
}

/* E11: whoever says too little in too long a time is cut off. */
static void test_slowloris(void **state)
{
	static const char *const partly[] = { "", "\x01\x01\x50", "\x16\x03\x01",
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc" };
	int fds[ARRAY_SIZE(partly) + 1];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(partly); i++) {
		fds[i] = i < 2 ? rig_stream(&rig) : opened("api.test", 443);
		rig_write(&rig, fds[i], partly[i], strlen(partly[i]));
	}
	fds[ARRAY_SIZE(partly)] = opened("api.test", 80);
	for (int i = 0; i < 35; i++) { /* a byte now and then is no sign of life */
		rig_write(&rig, fds[ARRAY_SIZE(partly)], i ? "a" : "GET /", i ? 1 : 5);
		rig_run(&rig, 100);
	}
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		if (!is_over(fds[i]))
			fail_msg("stream %zu was not cut off", i);
		close(fds[i]);
	}
	assert_at_rest();
}

/* But a connection on which requests come and go is not idle, however short they are. */
static void test_not_idle(void **state)
{
	int fd = opened("api.test", 80);

	(void)state;
	for (int i = 0; i < 8; i++) {
		assert_int_equal(say(fd, "GET /v1/a HTTP/1.1\r\nHost: api.test\r\n\r\n"), 200);
		rig_run(&rig, 500);
	}
	close(fd);
	assert_at_rest();
}

static void test_reports(void **state)
{
	int fds[PROXY_REPORTS_MAX + 1], fd;
	uint8_t verdict;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = rig_open(&rig, EGRESS_REPORTS, "", 0, &verdict);
		assert_int_equal(verdict, i < PROXY_REPORTS_MAX ? EGRESS_ACCEPTED : EGRESS_DENIED);
	}
	fd = opened("api.test", 80);
	for (int i = 0; i < 100; i++) /* nobody reads: dropped, not kept */
		assert_int_equal(say(fd, "GET /v2/a HTTP/1.1\r\nHost: api.test\r\n\r\n"), 403);
	for (size_t i = 0; i < PROXY_REPORTS_MAX; i++) {
		struct egress_answer answer;

		assert_true(rig_read(&rig, fds[i], text, sizeof(text), NULL) > 100);
		assert_true(egress_answer_decode(text, strlen(text) + 200, &answer) > 0);
		assert_int_equal(answer.verdict, EGRESS_DENIED);
	}
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	close(fd);
	assert_at_rest();
}

/* HTTP/2 as it is spoken inside TLS, from a client of ours. */

struct client {
	struct h2 *h2;
	struct guest_http *http;
	struct policy_host host;
	uint16_t status[64]; /* by the order of asking; 0: none yet */
	char grpc[64][8];
	unsigned int asked, closed;
	size_t bytes;
};

static void on_head(void *owner, struct h2_stream *stream, const struct h2_head *head)
{
	struct client *c = owner;
	size_t which = (size_t)h2_data(stream) - 1;

	c->status[which] = head->status;
	for (uint16_t i = 0; i < head->fields.count; i++)
		if (!strcmp(head->fields.list[i].name, "grpc-status"))
			snprintf(c->grpc[which], sizeof(c->grpc[which]), "%s",
				head->fields.list[i].value);
}

static struct client *client;

static void on_data(struct h2_stream *stream, const uint8_t *bytes, size_t len)
{
	(void)bytes;
	client->bytes += len;
	h2_consumed(stream, len);
}

static void on_end(struct h2_stream *stream, const struct record_fields *trailers)
{
	(void)stream;
	(void)trailers;
}

static void on_drained(struct h2_stream *stream)
{
	(void)stream;
}

static void on_closed(struct h2_stream *stream, bool clean, uint32_t error)
{
	(void)stream;
	(void)clean;
	(void)error;
	client->closed++;
}

static void nothing(void *owner)
{
	(void)owner;
}

/* Until neither has anything to say. */
static void exchange_bytes(struct client *c)
{
	static uint8_t bytes[256 << 10];
	bool moved = true;

	while (moved) {
		ssize_t n = h2_pull(c->h2, bytes, sizeof(bytes));

		moved = n > 0 && guest_http_receive(c->http, bytes, (size_t)n) >= 0;
		rig_settle(&rig);
		n = (ssize_t)guest_http_pull(c->http, bytes, sizeof(bytes));
		moved |= n > 0 && h2_receive(c->h2, bytes, (size_t)n, NULL) == 0;
	}
}

static void client_init(struct client *c, const char *host)
{
	static const struct h2_ops ops = { on_head, on_data, on_end, on_drained, on_closed };
	static const struct guest_http_ops http_ops = { nothing, nothing };
	struct exchange_place place = { rig.proxy, &c->host, 443, true };

	*c = (struct client){};
	client = c;
	assert_true(policy_host_parse(host, strlen(host), &c->host));
	assert_int_equal(guest_http_create(&place, true, &http_ops, NULL, &c->http), 0);
	assert_int_equal(h2_create(H2_CLIENT, &ops, c, &c->h2, NULL), 0);
	exchange_bytes(c);
}

static void client_finish(struct client *c)
{
	guest_http_destroy(c->http);
	h2_destroy(c->h2);
	assert_at_rest();
}

static struct h2_stream *ask(struct client *c, struct h2_head head, const char *type)
{
	struct h2_stream *stream = NULL;

	head.scheme = "https";
	if (type) {
		head.fields.count = 1;
		head.fields.list[0] = (struct record_field){ "content-type", type };
	}
	assert_int_equal(h2_request(c->h2, &head, (void *)(size_t)(c->asked + 1), &stream), 0);
	c->asked++;
	exchange_bytes(c);
	return stream;
}

static void test_http2(void **state)
{
	static struct client c;
	struct h2_stream *stream;

	(void)state;
	client_init(&c, "api.test");
	ask(&c,
		(struct h2_head){ .method = "GET",
			.authority = "api.test",
			.path = "/v1/a?b=c",
			.end = true },
		NULL);
	ask(&c,
		(struct h2_head){
			.method = "GET", .authority = "evil.test", .path = "/v1/a", .end = true },
		NULL);
	ask(&c,
		(struct h2_head){ .method = "GET",
			.authority = "api.test",
			.path = "/v1/../v2",
			.end = true },
		NULL);
	ask(&c,
		(struct h2_head){
			.method = "POST", .authority = "api.test", .path = "/v2/rpc", .end = true },
		"application/grpc+proto");
	assert_int_equal(c.status[0], 200);
	assert_int_equal(c.status[1], 421); /* E4: each request, not the connection's first */
	assert_int_equal(c.status[2], 400); /* E12 */
	assert_int_equal(c.status[3], 200); /* gRPC says it in its own way */
	assert_string_equal(c.grpc[3], "7");
	assert_int_equal(rig.asked, 1);
	/* RFC 8441. */
	stream = ask(&c,
		(struct h2_head){ .method = "CONNECT",
			.protocol = "websocket",
			.authority = "api.test",
			.path = "/v1/socket" },
		NULL);
	assert_int_equal(c.status[4], 200);
	assert_true(rig.websocket);
	c.bytes = 0;
	h2_send(stream, "frame", 5);
	exchange_bytes(&c);
	assert_int_equal(c.bytes, 5);
	client_finish(&c);
	client_init(&c, "bound.test"); /* E15: its own injector */
	ask(&c,
		(struct h2_head){
			.method = "GET", .authority = "bound.test", .path = "/", .end = true },
		NULL);
	assert_int_equal(c.status[0], 200);
	assert_int_equal(rig.with_token, 1);
	client_finish(&c);
}

/* E11: what is reset is over at the injector as well; an upload that stands still costs its credit. */
static void test_http2_resets(void **state)
{
	static struct client c;
	static uint8_t body[RECORD_CREDIT_FIRST];

	(void)state;
	client_init(&c, "api.test");
	for (int i = 0; i < 60; i++)
		h2_reset(ask(&c,
				 (struct h2_head){ .method = "GET",
					 .authority = "api.test",
					 .path = "/v1/hang",
					 .end = true },
				 NULL),
			8);
	exchange_bytes(&c);
	assert_int_equal(rig.asked, 60);
	assert_int_equal(rig.resets, 60);
	assert_null(rig.proxy->users);
	client_finish(&c);
	client_init(&c, "api.test");
	for (int i = 0; i < 8; i++) {
		struct h2_stream *stream = ask(&c,
			(struct h2_head){
				.method = "POST", .authority = "api.test", .path = "/v1/slow" },
			NULL);

		for (size_t room; (room = h2_room(stream)) > 0; exchange_bytes(&c))
			h2_send(stream, body, room);
	}
	assert_int_equal(rig.taken, 8 * RECORD_CREDIT_FIRST);
	assert_int_equal(guest_http_requests(c.http), 8);
	client_finish(&c);
	assert_int_equal(rig.resets, 68);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_requests_of_a_connection),
		TEST(test_http2),
		TEST(test_http2_resets),
		TEST(test_refused),
		TEST(test_connections_denied),
		TEST(test_tunnel),
		TEST(test_proxy_port),
		TEST(test_limits),
		TEST(test_wall_time),
		TEST(test_body_cap),
		TEST(test_slow_reader),
		TEST(test_slow_upstream),
		TEST(test_expect),
		TEST(test_websocket),
		TEST(test_killed_injector),
		TEST(test_rogue_injector),
		TEST(test_audit_stands_still),
		TEST(test_slowloris),
		TEST(test_not_idle),
		TEST(test_reports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
