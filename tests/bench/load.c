/* SPDX-License-Identifier: Apache-2.0 */
/* load: see usage() and load.h. What it saw is one line of JSON on stdout. */
#include "tests/bench/load.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "guest-agent/protocol/egress.h"
#include "vmm/base/array.h"

#define READ_SIZE 65536
#define LATENCIES (1u << 20)
#define EVENTS	  64

enum way { WAY_DIRECT, WAY_CONNECT, WAY_STREAM };
enum stage { STAGE_CONNECTING, STAGE_ANSWER, STAGE_HANDSHAKE, STAGE_OPEN };

struct connection {
	int fd;
	enum stage stage;
	SSL *ssl;
	struct load_http *http;
	uint8_t answer[1024];
	size_t answer_len;
	uint64_t begun_ns;
	uint32_t events;
};

static const char *connect_to; /* NULL: the name */
static struct load load = { .streams = 1, .path = "/small", .body = 200 };
static enum way way;
static struct sockaddr_in target;
static int streams_fd = -1, epoll_fd;
static SSL_CTX *context;
static unsigned int broken;

uint64_t load_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void load_answered(struct load *l, uint64_t begun_ns)
{
	l->requests++;
	if (l->latency_count < l->latency_size)
		l->latency_us[l->latency_count++] = (load_now_ns() - begun_ns) / 1000;
}

static void fail(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Getting there. */

static int dial(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0 || (connect(fd, (struct sockaddr *)&target, sizeof(target)) < 0 &&
			      errno != EINPROGRESS))
		fail("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static int open_stream(void)
{
	struct egress_request request = { .kind = EGRESS_CAPTURED, .port = 443 };
	uint8_t head[EGRESS_REQUEST_MAX];
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {};
	struct iovec byte = { (void *)"\x01", 1 };
	struct msghdr message = { .msg_iov = &byte,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);
	int pair[2];
	size_t len;

	snprintf(request.host, sizeof(request.host), "%s", load.name);
	len = egress_request_encode(&request, head);
	if (!len || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
		fail("socketpair");
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &pair[1], sizeof(int));
	if (sendmsg(streams_fd, &message, 0) != 1)
		fail("sendmsg");
	close(pair[1]);
	if (send(pair[0], head, len, MSG_NOSIGNAL) != (ssize_t)len)
		fail("send");
	return pair[0];
}

static void begin(struct connection *c)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data = { .ptr = c } };

	memset(c, 0, sizeof(*c));
	c->begun_ns = load_now_ns();
	c->fd = way == WAY_STREAM ? open_stream() : dial();
	c->stage = way == WAY_STREAM ? STAGE_ANSWER : STAGE_CONNECTING;
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event) < 0)
		fail("epoll_ctl");
}

static void end(struct connection *c, bool well)
{
	if (c->fd < 0)
		return;
	broken += !well;
	if (c->ssl && well)
		SSL_shutdown(c->ssl);
	SSL_free(c->ssl);
	load_http_destroy(c->http);
	close(c->fd);
	memset(c, 0, sizeof(*c));
	c->fd = -1;
	if (broken > 100) {
		fprintf(stderr, "load: too many connections broke\n");
		exit(1);
	}
}

static bool begin_tls(struct connection *c)
{
	c->ssl = SSL_new(context);
	if (!c->ssl || !SSL_set_fd(c->ssl, c->fd) || !SSL_set_tlsext_host_name(c->ssl, load.name) ||
		!SSL_set1_host(c->ssl, load.name))
		return false;
	SSL_set_connect_state(c->ssl);
	c->stage = STAGE_HANDSHAKE;
	return true;
}

static bool connected(struct connection *c)
{
	char head[512];
	int error = 0, n;
	socklen_t len = sizeof(error);

	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error)
		return false;
	if (way == WAY_DIRECT)
		return begin_tls(c);
	n = snprintf(head, sizeof(head), "CONNECT %s:443 HTTP/1.1\r\nHost: %s:443\r\n\r\n",
		connect_to ?: load.name, connect_to ?: load.name);
	c->stage = STAGE_ANSWER;
	return send(c->fd, head, (size_t)n, MSG_NOSIGNAL) == n;
}

/* 1: the way is free, 0: more is to come, -1: it is not. */
static int judge_answer(const struct connection *c)
{
	if (way == WAY_CONNECT) {
		if (!memmem(c->answer, c->answer_len, "\r\n\r\n", 4))
			return 0;
		return c->answer_len > 12 && !memcmp(c->answer + 8, " 200", 4) ? 1 : -1;
	}
	if (c->answer_len < 4 || c->answer_len < 4 + (size_t)(c->answer[2] | c->answer[3] << 8))
		return 0;
	return c->answer[1] == EGRESS_ACCEPTED ? 1 : -1;
}

/* Each: whether it lives on. */

static bool read_answer(struct connection *c)
{
	ssize_t n = recv(c->fd, c->answer + c->answer_len, sizeof(c->answer) - c->answer_len, 0);
	int verdict;

	if (n < 0)
		return errno == EAGAIN;
	if (n == 0)
		return false;
	c->answer_len += (size_t)n;
	verdict = judge_answer(c);
	return verdict > 0 ? begin_tls(c) : verdict == 0;
}

static bool shake_hands(struct connection *c)
{
	const unsigned char *protocol;
	unsigned int len;
	int r = SSL_do_handshake(c->ssl), error;

	if (r != 1) {
		error = SSL_get_error(c->ssl, r);
		return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
	}
	SSL_get0_alpn_selected(c->ssl, &protocol, &len);
	if ((len == 2) != load.http2) {
		fprintf(stderr, "load: the other end does not speak it\n");
		exit(3);
	}
	c->http = load_http_create(&load, c->begun_ns);
	c->stage = STAGE_OPEN;
	return c->http != NULL;
}

static int write_all(struct connection *c)
{
	const uint8_t *bytes;
	ssize_t len;
	size_t n;

	while ((len = load_http_peek(c->http, &bytes)) > 0) {
		int r = SSL_write_ex(c->ssl, bytes, (size_t)len, &n);

		if (r != 1)
			return SSL_get_error(c->ssl, r) == SSL_ERROR_WANT_WRITE ? 0 : -1;
		load_http_taken(c->http, n);
	}
	return len < 0 ? -1 : 0;
}

static bool converse(struct connection *c)
{
	static uint8_t bytes[READ_SIZE];
	size_t n;
	int r;

	do {
		if (write_all(c) < 0)
			return false;
		r = SSL_read_ex(c->ssl, bytes, sizeof(bytes), &n);
		if (r != 1)
			return SSL_get_error(c->ssl, r) == SSL_ERROR_WANT_READ;
		if (!load_http_take(c->http, bytes, n))
			return false;
	} while (!load_http_is_over(c->http));
	return write_all(c) == 0;
}

/* Answers 1: it lives, 0: all was answered, -1: it broke. */
static int step(struct connection *c, uint32_t events)
{
	bool good = true;

	if (c->stage == STAGE_CONNECTING) {
		if (!(events & (EPOLLOUT | EPOLLHUP | EPOLLERR)))
			return 1;
		good = connected(c);
	}
	if (good && c->stage == STAGE_ANSWER)
		good = read_answer(c);
	if (good && c->stage == STAGE_HANDSHAKE)
		good = shake_hands(c);
	if (good && c->stage == STAGE_OPEN)
		good = converse(c);
	if (!good)
		return -1;
	return c->http && load_http_is_over(c->http) ? 0 : 1;
}

/* Until the time, or so many requests, are over and the last ones answered. */
static void run(struct connection *list, unsigned int count, double seconds, uint64_t limit)
{
	uint64_t until = load_now_ns() + (uint64_t)(seconds * 1e9), late = until + 20000000000u;
	struct epoll_event events[EVENTS];
	unsigned int open = count;

	while (open && load_now_ns() < late) {
		int n = epoll_wait(epoll_fd, events, EVENTS, 100);

		if (load_now_ns() >= until || (limit && load.requests >= limit))
			load.stopping = true;
		for (int i = 0; i < n; i++) {
			struct connection *c = events[i].data.ptr;
			int r = c->fd < 0 ? 1 : step(c, events[i].events);

			if (r == 1)
				continue;
			end(c, r == 0);
			if (load.stopping)
				open--;
			else
				begin(c);
		}
		/* One that waits to be told may have been told before the end came. */
		for (unsigned int i = 0; load.stopping && i < count; i++)
			if (list[i].fd >= 0 && list[i].http && load_http_is_over(list[i].http)) {
				end(&list[i], true);
				open--;
			}
	}
	if (open)
		fprintf(stderr, "load: %u connections stand still\n", open);
}

/* All connected, each with one answer, until standard input ends. */
static void hold(unsigned int count, struct connection *list)
{
	uint64_t late = load_now_ns() + 60000000000u;
	struct epoll_event events[EVENTS];
	unsigned int begun = 0;
	char byte;

	while (load.requests < count && load_now_ns() < late) {
		int n;

		/* Not all at once: a listener's queue has an end. */
		while (begun < count && begun < load.requests + 32)
			begin(&list[begun++]);
		n = epoll_wait(epoll_fd, events, EVENTS, 100);
		for (int i = 0; i < n; i++) {
			struct connection *c = events[i].data.ptr;

			if (c->fd >= 0 && step(c, events[i].events) < 0)
				end(c, false);
		}
	}
	printf("{\"held\": %llu, \"broken\": %u}\n", (unsigned long long)load.requests, broken);
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t percentile(unsigned int percent)
{
	return load.latency_count ? load.latency_us[(load.latency_count - 1) * percent / 100] : 0;
}

static void report(double seconds)
{
	qsort(load.latency_us, load.latency_count, sizeof(*load.latency_us), by_size);
	printf("{\"requests\": %llu, \"failed\": %llu, \"broken\": %u, \"seconds\": %.4f, \"bytes\": %llu, \"sent\": %llu, "
	       "\"p50_us\": %llu, \"p99_us\": %llu}\n",
		(unsigned long long)load.requests, (unsigned long long)load.failed, broken, seconds,
		(unsigned long long)load.bytes, (unsigned long long)load.sent,
		(unsigned long long)percentile(50), (unsigned long long)percentile(99));
}

static int usage(void)
{
	fputs("load --way direct|connect|stream [--to ADDRESS:PORT] [--connect-to HOST] [--streams-fd N] --name NAME --trust FILE\n"
	      "     [--path P --body BYTES] [--upload BYTES] [--http2 [--streams N]] [--connections N] [--renew]\n"
	      "     [--seconds S] [--requests N] | [--hold]\n",
		stderr);
	return 2;
}

static const struct option options[] = { { "way", 1, NULL, 'w' }, { "to", 1, NULL, 't' },
	{ "streams-fd", 1, NULL, 'f' }, { "name", 1, NULL, 'n' }, { "trust", 1, NULL, 'c' },
	{ "path", 1, NULL, 'p' }, { "body", 1, NULL, 'b' }, { "upload", 1, NULL, 'u' },
	{ "http2", 0, NULL, '2' }, { "streams", 1, NULL, 'm' }, { "connections", 1, NULL, 'C' },
	{ "renew", 0, NULL, 'r' }, { "seconds", 1, NULL, 's' }, { "requests", 1, NULL, 'R' },
	{ "hold", 0, NULL, 'h' }, { "connect-to", 1, NULL, 'a' }, {} };

static bool parse_target(char *text)
{
	char *colon = strrchr(text, ':');

	if (!colon)
		return false;
	*colon = 0;
	target = (struct sockaddr_in){ .sin_family = AF_INET,
		.sin_port = htons((uint16_t)atoi(colon + 1)) };
	return inet_pton(AF_INET, text, &target.sin_addr) == 1;
}

static bool prepare_tls(const char *trust)
{
	context = SSL_CTX_new(TLS_client_method());
	if (!context || SSL_CTX_load_verify_file(context, trust) != 1)
		return false;
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(
		context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	/* A program that is started anew has no tickets. */
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_alpn_protos(context,
		(const unsigned char *)(load.http2 ? "\x02h2" : "\x08http/1.1"),
		load.http2 ? 3 : 9);
	return SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1;
}

int main(int argc, char **argv)
{
	struct rlimit files = { 8192, 8192 };
	unsigned int connections = 1;
	const char *trust = NULL;
	struct connection *list;
	double seconds = 1;
	uint64_t limit = 0, begun;
	bool holds = false;

	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (option) {
		case 'w':
			way = !strcmp(optarg, "direct")	   ? WAY_DIRECT
			      : !strcmp(optarg, "connect") ? WAY_CONNECT
							   : WAY_STREAM;
			break;
		case 't':
			if (!parse_target(optarg))
				return usage();
			break;
		case 'f':
			streams_fd = atoi(optarg);
			break;
		case 'n':
			load.name = optarg;
			break;
		case 'c':
			trust = optarg;
			break;
		case 'p':
			load.path = optarg;
			break;
		case 'b':
			load.body = strtoull(optarg, NULL, 10);
			break;
		case 'u':
			load.upload = strtoull(optarg, NULL, 10);
			break;
		case '2':
			load.http2 = true;
			break;
		case 'm':
			load.streams = (unsigned int)atoi(optarg);
			break;
		case 'C':
			connections = (unsigned int)atoi(optarg);
			break;
		case 'r':
			load.renew = true;
			break;
		case 's':
			seconds = atof(optarg);
			break;
		case 'R':
			limit = strtoull(optarg, NULL, 10);
			break;
		case 'a':
			connect_to = optarg;
			break;
		case 'h':
			holds = load.renew = true; /* one request each */
			break;
		default:
			return usage();
		}
	}
	if (!load.name || !trust || !prepare_tls(trust) || load.streams > 16 || !connections ||
		connections > 4000)
		return usage();
	signal(SIGPIPE, SIG_IGN);
	setrlimit(RLIMIT_NOFILE, &files);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	list = calloc(connections, sizeof(*list));
	load.latency_us = malloc(LATENCIES * sizeof(*load.latency_us));
	if (epoll_fd < 0 || !list || !load.latency_us)
		fail("begin");
	load.latency_size = LATENCIES;
	if (holds) {
		hold(connections, list);
		return 0;
	}
	begun = load_now_ns();
	for (unsigned int i = 0; i < connections; i++)
		begin(&list[i]);
	run(list, connections, seconds, limit);
	report((double)(load_now_ns() - begun) / 1e9);
	return load.requests ? 0 : 1;
}
