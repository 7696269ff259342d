/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections carried to the host, with a socket pair in place of vsock and the test as the host; the resolver's sockets; the
 * file of denials. One loop, turned by the test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest-agent/egress/capture.h"
#include "guest-agent/egress/denials.h"
#include "guest-agent/egress/resolver.h"
#include "vmm/base/array.h"

#define HOSTS_MAX (CAPTURE_CONNECTIONS_MAX + 8)

static struct names names;
static struct origin next_origin;

struct rig {
	struct loop *loop;
	struct capture *capture;
	int listener;
	struct sockaddr_in address;
	int host[HOSTS_MAX]; /* the host's ends, in order */
	unsigned int hosts;
	int connect_fails; /* -errno */
	unsigned int denials;
	struct egress_request denied_request;
	struct egress_answer denied_answer;
};

static int fake_connect(void *data)
{
	struct rig *rig = data;
	int ends[2];

	if (rig->connect_fails)
		return rig->connect_fails;
	assert_true(rig->hosts < HOSTS_MAX);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
	rig->host[rig->hosts++] = ends[1];
	return ends[0];
}

static int fake_origin(int fd, struct origin *ret)
{
	(void)fd;
	*ret = next_origin;
	return 0;
}

static void fake_denied(
	void *data, const struct egress_request *request, const struct egress_answer *answer)
{
	struct rig *rig = data;

	rig->denials++;
	rig->denied_request = *request;
	rig->denied_answer = *answer;
}

static const struct capture_ops ops = { fake_connect, fake_origin, fake_denied };

static int listen_loopback(int type, struct sockaddr_in *ret)
{
	int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(*ret);

	*ret = (struct sockaddr_in){ .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	assert_int_equal(bind(fd, (struct sockaddr *)ret, sizeof(*ret)), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, HOSTS_MAX), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)ret, &len), 0);
	return fd;
}

static int dial(const struct sockaddr_in *address, int type)
{
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)address, sizeof(*address)), 0);
	return fd;
}

static void rig_init(struct rig *rig, enum egress_kind kind)
{
	memset(rig, 0, sizeof(*rig));
	memset(&names, 0, sizeof(names));
	next_origin = (struct origin){ .port = 443, .address = { 192, 0, 2, 7 } };
	rig->listener = listen_loopback(SOCK_STREAM, &rig->address);
	assert_int_equal(loop_create(&rig->loop), 0);
	assert_int_equal(capture_create(rig->loop, &names, &ops, rig, &rig->capture), 0);
	assert_int_equal(capture_listen(rig->capture, rig->listener, kind), 0);
}

static void rig_finish(struct rig *rig)
{
	capture_destroy(rig->capture);
	loop_destroy(rig->loop);
	for (unsigned int i = 0; i < rig->hosts; i++)
		close(rig->host[i]);
	close(rig->listener);
}

#define ROUNDS_MAX                                                                                 \
	5000 /* of a millisecond: a loaded machine is slow, a test that fails waits this long */

/* Until nothing happens any more, for now. */
static void turn(struct loop *loop)
{
	for (int i = 0; i < ROUNDS_MAX && loop_run_once(loop, 1) > 0; i++)
		;
}

/* Until it is so. */
#define turn_until(loop, what)                                                                     \
	do {                                                                                       \
		for (int round_ = 0; round_ < ROUNDS_MAX && !(what); round_++)                     \
			(void)loop_run_once(loop, 1);                                              \
		assert_true(what);                                                                 \
	} while (0)

/* What fd has to say: bytes, 0 at its end, or -1 and an errno that is not EAGAIN. */
static ssize_t take(struct loop *loop, int fd, void *data, size_t size)
{
	ssize_t n = -1;

	for (int i = 0; i < ROUNDS_MAX; i++) {
		n = recv(fd, data, size, MSG_DONTWAIT);
		if (n >= 0 || errno != EAGAIN)
			return n;
		(void)loop_run_once(loop, 1);
	}
	return n;
}

/* Exactly len bytes, in any pieces. */
static void take_all(struct loop *loop, int fd, void *data, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = take(loop, fd, (uint8_t *)data + done, len - done);

		assert_true(n > 0);
		done += (size_t)n;
	}
}

static void expect(struct loop *loop, int fd, const char *text)
{
	char data[64] = {};

	take_all(loop, fd, data, strlen(text));
	assert_string_equal(data, text);
}

static void expect_end(struct loop *loop, int fd)
{
	assert_int_equal(take(loop, fd, &(char){ 0 }, 1), 0);
}

static void expect_nothing(struct loop *loop, int fd)
{
	turn(loop);
	assert_int_equal(recv(fd, &(char){ 0 }, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
}

static void expect_reset(struct loop *loop, int fd)
{
	assert_int_equal(take(loop, fd, &(char){ 0 }, 1), -1);
	assert_int_equal(errno, ECONNRESET);
	close(fd);
}

static struct egress_request hear_request(struct rig *rig, unsigned int which)
{
	uint8_t data[EGRESS_REQUEST_MAX];
	struct egress_request request = {};
	ssize_t n;

	turn_until(rig->loop, rig->hosts > which);
	n = take(rig->loop, rig->host[which], data, sizeof(data));
	assert_true(n > 0);
	assert_int_equal(egress_request_decode(data, (size_t)n, &request), n);
	return request;
}

static void answer(
	struct rig *rig, unsigned int which, const struct egress_answer *say, const char *more)
{
	uint8_t data[EGRESS_ANSWER_MAX];
	size_t len = egress_answer_encode(say, data);

	assert_true(len > 0);
	/* Byte for byte: it may come in any pieces. */
	for (size_t i = 0; i + 1 < len; i++) {
		assert_int_equal(send(rig->host[which], data + i, 1, 0), 1);
		turn(rig->loop);
	}
	memmove(data, data + len - 1, 1);
	memcpy(data + 1, more, strlen(more));
	assert_int_equal(send(rig->host[which], data, 1 + strlen(more), 0), 1 + strlen(more));
	turn(rig->loop);
}

static const struct egress_answer accepted = { .verdict = EGRESS_ACCEPTED };

static void test_bytes_go_both_ways(void **state)
{
	struct egress_request request;
	struct rig rig;
	int client;

	(void)state;
	rig_init(&rig, EGRESS_CAPTURED);
	names_put_v4(names_number(&names, "host.test"), next_origin.address);
	client = dial(&rig.address, SOCK_STREAM);
	assert_int_equal(send(client, "too soon", 8, 0), 8);
	request = hear_request(&rig, 0);
	assert_int_equal(request.kind, EGRESS_CAPTURED);
	assert_string_equal(request.host, "host.test");
	assert_int_equal(request.port, 443);
	/* Nothing of the workload's before the host's word. */
	expect_nothing(rig.loop, rig.host[0]);
	answer(&rig, 0, &accepted, "early");
	expect(rig.loop, client, "early");
	expect(rig.loop, rig.host[0], "too soon");
	/* Each direction ends by itself. */
	assert_int_equal(shutdown(client, SHUT_WR), 0);
	expect_end(rig.loop, rig.host[0]);
	assert_int_equal(send(rig.host[0], "late", 4, 0), 4);
	turn(rig.loop);
	expect(rig.loop, client, "late");
	assert_int_equal(capture_connections(rig.capture), 1);
	assert_int_equal(shutdown(rig.host[0], SHUT_WR), 0);
	expect_end(rig.loop, client);
	turn_until(rig.loop, capture_connections(rig.capture) == 0);
	assert_int_equal(rig.denials, 0);
	close(client);
	rig_finish(&rig);
}

static void test_proxy_port_has_no_destination(void **state)
{
	struct egress_request request;
	struct rig rig;
	int client;

	(void)state;
	rig_init(&rig, EGRESS_PROXY);
	client = dial(&rig.address, SOCK_STREAM);
	request = hear_request(&rig, 0);
	assert_int_equal(request.kind, EGRESS_PROXY);
	assert_string_equal(request.host, "");
	close(client);
	turn(rig.loop);
	answer(&rig, 0, &accepted, "");
	rig_finish(&rig);
}

static void test_denial_resets_and_is_told(void **state)
{
	static const struct egress_answer denied = { EGRESS_DENIED, 0, "no-1", "not allowed",
		"sandboxctl policy allow x" };
	struct rig rig;
	int client;

	(void)state;
	rig_init(&rig, EGRESS_CAPTURED);
	client = dial(&rig.address, SOCK_STREAM);
	assert_string_equal(hear_request(&rig, 0).host, "192.0.2.7");
	answer(&rig, 0, &denied, "");
	expect_reset(rig.loop, client);
	assert_int_equal(rig.denials, 1);
	assert_string_equal(rig.denied_request.host, "192.0.2.7");
	assert_string_equal(rig.denied_answer.rule, "no-1");
	turn_until(rig.loop, capture_connections(rig.capture) == 0);
	rig_finish(&rig);
}

static void test_broken_hosts_reset(void **state)
{
	struct rig rig;
	int client;

	(void)state;
	rig_init(&rig, EGRESS_CAPTURED);
	client = dial(&rig.address, SOCK_STREAM); /* which answers nonsense */
	(void)hear_request(&rig, 0);
	assert_int_equal(send(rig.host[0], "HTTP/1.1 200 OK", 15, 0), 15);
	turn(rig.loop);
	expect_reset(rig.loop, client);
	client = dial(&rig.address, SOCK_STREAM); /* which goes away in the middle of its answer */
	(void)hear_request(&rig, 1);
	assert_int_equal(send(rig.host[1], "\1\2", 2, 0), 2);
	assert_int_equal(shutdown(rig.host[1], SHUT_RDWR), 0);
	turn(rig.loop);
	expect_reset(rig.loop, client);
	client = dial(&rig.address, SOCK_STREAM); /* which breaks later */
	(void)hear_request(&rig, 2);
	answer(&rig, 2, &accepted, "x");
	expect(rig.loop, client, "x");
	assert_int_equal(send(client, "unread", 6, 0), 6);
	turn(rig.loop);
	close(rig.host[2]);
	rig.host[2] = dup(0);
	turn(rig.loop);
	expect_reset(rig.loop, client);
	rig.connect_fails = -ECONNRESET; /* which is not there */
	client = dial(&rig.address, SOCK_STREAM);
	turn(rig.loop);
	expect_reset(rig.loop, client);
	assert_int_equal(rig.denials, 3);
	assert_int_equal(rig.denied_answer.verdict, EGRESS_UNREACHABLE);
	turn_until(rig.loop, capture_connections(rig.capture) == 0);
	rig_finish(&rig);
}

static void test_nobodys_address_is_not_asked_for(void **state)
{
	static const struct origin nobodys[] = {
		{ .port = 443, .address = { 198, 18, 0, 99 } }, /* synthetic, of no name */
		{ .port = 443, .address = { 127, 0, 0, 1 } },
		{ .v6 = true, .port = 443, .address = { [15] = 1 } },
		{ .port = 0, .address = { 192, 0, 2, 7 } },
	};
	struct rig rig;

	(void)state;
	rig_init(&rig, EGRESS_CAPTURED);
	for (size_t i = 0; i < ARRAY_SIZE(nobodys); i++) {
		int client = dial(&rig.address, SOCK_STREAM);

		next_origin = nobodys[i];
		turn(rig.loop);
		expect_reset(rig.loop, client);
	}
	assert_int_equal(rig.hosts, 0);
	rig_finish(&rig);
}

/* A host that does not read stops the workload, at an amount that is bounded; then nothing is lost. */
static void test_back_pressure(void **state)
{
	static uint8_t block[64 << 10];
	size_t sent = 0, heard = 0;
	struct rig rig;
	int client;
	ssize_t n;

	(void)state;
	rig_init(&rig, EGRESS_CAPTURED);
	client = dial(&rig.address, SOCK_STREAM);
	(void)hear_request(&rig, 0);
	answer(&rig, 0, &accepted, "");
	for (int idle = 0; idle < 3;) {
		n = send(client, block, sizeof(block), MSG_DONTWAIT);
		idle = n > 0 ? 0 : idle + 1;
		sent += n > 0 ? (size_t)n : 0;
		assert_true(sent < (32u << 20));
		turn(rig.loop);
	}
	assert_int_equal(shutdown(client, SHUT_WR), 0);
	while ((n = take(rig.loop, rig.host[0], block, sizeof(block))) > 0)
		heard += (size_t)n;
	assert_int_equal(n, 0);
	assert_int_equal(heard, sent);
	close(client);
	rig_finish(&rig);
}

/* At the cap what comes waits its turn, and is not refused. */
static void test_cap(void **state)
{
	static int client[CAPTURE_CONNECTIONS_MAX + 1];
	struct sockaddr_in second_address;
	int second = listen_loopback(SOCK_STREAM, &second_address);
	struct rlimit files;
	struct rig rig;

	(void)state;
	(void)getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &files);
	if (files.rlim_cur < 3 * CAPTURE_CONNECTIONS_MAX + 64)
		skip();
	rig_init(&rig, EGRESS_PROXY);
	assert_int_equal(capture_listen(rig.capture, second, EGRESS_PROXY), 0);
	for (size_t i = 0; i + 2 < ARRAY_SIZE(client); i++) {
		client[i] = dial(&rig.address, SOCK_STREAM);
		turn_until(rig.loop, rig.hosts == i + 1);
	}
	/* For the last place two come at once, each by another door. */
	client[CAPTURE_CONNECTIONS_MAX - 1] = dial(&rig.address, SOCK_STREAM);
	client[CAPTURE_CONNECTIONS_MAX] = dial(&second_address, SOCK_STREAM);
	turn_until(rig.loop, rig.hosts == CAPTURE_CONNECTIONS_MAX);
	turn(rig.loop);
	assert_int_equal(capture_connections(rig.capture), CAPTURE_CONNECTIONS_MAX);
	assert_int_equal(rig.hosts, CAPTURE_CONNECTIONS_MAX);
	close(rig.host[7]);
	rig.host[7] = dup(0);
	turn_until(rig.loop, rig.hosts == CAPTURE_CONNECTIONS_MAX + 1);
	for (size_t i = 0; i < ARRAY_SIZE(client); i++)
		close(client[i]);
	rig_finish(&rig);
	close(second);
}

/* -- the resolver's sockets -- */

static const uint8_t query[] = { 0, 29, 0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 4, 'h', 'o', 's',
	't', 4, 't', 'e', 's', 't', 0, 0, 1, 0, 1, 0, 0 };
#define QUERY_LEN (sizeof(query) - 4) /* without the length and the two bytes too many */

struct resolving {
	struct loop *loop;
	struct resolver *resolver;
	struct dns_zone zone;
	int udp, tcp;
	struct sockaddr_in udp_address, tcp_address;
};

static void resolving_init(struct resolving *r)
{
	memset(&names, 0, sizeof(names));
	r->zone = (struct dns_zone){ &names, "box", true, true };
	r->udp = listen_loopback(SOCK_DGRAM, &r->udp_address);
	r->tcp = listen_loopback(SOCK_STREAM, &r->tcp_address);
	assert_int_equal(loop_create(&r->loop), 0);
	assert_int_equal(resolver_create(r->loop, &r->zone, &r->resolver), 0);
	assert_int_equal(resolver_add_udp(r->resolver, r->udp), 0);
	assert_int_equal(resolver_add_tcp(r->resolver, r->tcp), 0);
}

static void resolving_finish(struct resolving *r)
{
	resolver_destroy(r->resolver);
	loop_destroy(r->loop);
	close(r->udp);
	close(r->tcp);
}

static void test_resolver(void **state)
{
	uint8_t two[2 * (2 + QUERY_LEN)], got[512];
	struct resolving r;
	int udp, tcp;

	(void)state;
	resolving_init(&r);
	udp = dial(&r.udp_address, SOCK_DGRAM);
	assert_int_equal(send(udp, "x", 1, 0), 1); /* gets no answer, and stops nobody */
	assert_int_equal(send(udp, query + 2, QUERY_LEN, 0), QUERY_LEN);
	assert_int_equal(take(r.loop, udp, got, sizeof(got)), QUERY_LEN + 16);
	assert_memory_equal(got + QUERY_LEN + 12, "\306\22\0\20", 4);
	/* Over TCP: two in one piece, then one byte by byte. */
	for (size_t i = 0; i < 2; i++) {
		memcpy(two + i * (2 + QUERY_LEN), query, 2 + QUERY_LEN);
		two[i * (2 + QUERY_LEN) + 1] = QUERY_LEN;
	}
	tcp = dial(&r.tcp_address, SOCK_STREAM);
	assert_int_equal(send(tcp, two, sizeof(two), 0), sizeof(two));
	take_all(r.loop, tcp, got, 2 * (2 + QUERY_LEN + 16));
	for (size_t i = 0; i < 2 + QUERY_LEN; i++) {
		assert_int_equal(send(tcp, two + i, 1, 0), 1);
		turn(r.loop);
	}
	take_all(r.loop, tcp, got, 2 + QUERY_LEN + 16);
	assert_int_equal(got[1], QUERY_LEN + 16);
	assert_int_equal(send(tcp, "\377\377", 2, 0), 2); /* longer than a query may be */
	expect_end(r.loop, tcp);
	close(tcp);
	close(udp);
	resolving_finish(&r);
}

static void test_resolver_cap(void **state)
{
	int client[RESOLVER_TCP_MAX + 1];
	struct resolving r;

	(void)state;
	resolving_init(&r);
	for (size_t i = 0; i < ARRAY_SIZE(client); i++) {
		client[i] = dial(&r.tcp_address, SOCK_STREAM);
		turn(r.loop);
	}
	expect_end(r.loop, client[0]); /* made room */
	for (size_t i = 1; i < ARRAY_SIZE(client); i++)
		expect_nothing(r.loop, client[i]);
	for (size_t i = 0; i < ARRAY_SIZE(client); i++)
		close(client[i]);
	resolving_finish(&r);
}

/* -- denials -- */

static void test_denials_line(void **state)
{
	static const struct egress_request request = { EGRESS_CAPTURED, 443, "host.test" };
	static const struct egress_answer limited = { EGRESS_LIMITED, 77, "r",
		"a \"quoted\" \\ word", "" };
	static const char golden[] =
		"{\"schema_version\":1,\"time_s\":5,\"verdict\":\"limited\",\"host\":\"host.test\",\"port\":443,"
		"\"rule\":\"r\",\"reason\":\"a \\\"quoted\\\" \\\\ word\",\"command\":\"\",\"lifts_at_s\":77}\n";
	struct egress_answer longest = { .verdict = EGRESS_DENIED };
	char line[DENIALS_LINE_MAX];

	(void)state;
	assert_int_equal(denials_line(&request, &limited, 5, line), strlen(golden));
	assert_memory_equal(line, golden, strlen(golden));
	memset(longest.rule, '"', EGRESS_RULE_MAX);
	memset(longest.reason, '"', EGRESS_TEXT_MAX);
	memset(longest.command, '"', EGRESS_TEXT_MAX);
	assert_true(denials_line(&request, &longest, UINT64_MAX, line) > 0);
}

static void test_denials_file_is_bounded(void **state)
{
	static struct denials denials, second;
	static char text[DENIALS_MAX + 1];
	int fd = memfd_create("denials", MFD_CLOEXEC);
	char line[128];
	ssize_t n = 0;

	(void)state;
	denials_init(&denials, fd);
	for (int i = 0; i < 3000; i++) {
		int len = snprintf(line, sizeof(line), "{\"n\":%d,%60s}\n", i, "");

		denials_add(&denials, line, (size_t)len);
		n = pread(fd, text, sizeof(text), 0);
		assert_true(n > 0 && n <= (ssize_t)DENIALS_MAX);
		assert_memory_equal(text, "{\"n\":", 5); /* whole lines */
		assert_memory_equal(text + n - len, line, len);
	}
	assert_true(n > (ssize_t)DENIALS_MAX / 4);
	denials_init(&second, fd); /* a later process */
	denials_add(&second, line, strlen(line));
	assert_int_equal(pread(fd, text, sizeof(text), 0), n + (ssize_t)strlen(line));
	denials_add(&second, line, DENIALS_LINE_MAX + 1);
	assert_int_equal(second.len, (size_t)n + strlen(line));
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes_go_both_ways),
		cmocka_unit_test(test_proxy_port_has_no_destination),
		cmocka_unit_test(test_denial_resets_and_is_told),
		cmocka_unit_test(test_broken_hosts_reset),
		cmocka_unit_test(test_nobodys_address_is_not_asked_for),
		cmocka_unit_test(test_back_pressure),
		cmocka_unit_test(test_cap),
		cmocka_unit_test(test_resolver),
		cmocka_unit_test(test_resolver_cap),
		cmocka_unit_test(test_denials_line),
		cmocka_unit_test(test_denials_file_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
