/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-proxy/session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "guest-agent/protocol/egress.h"
#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"
#include "vsock-proxy/client_hello.h"
#include "vsock-proxy/guest_http.h"
#include "vsock-proxy/h1_head.h"
#include "vsock-proxy/h2.h"
#include "vsock-proxy/tunnel.h"

#define PEEK_MAX    (20u << 10) /* a ClientHello with its records' heads, or a CONNECT's head */
#define LINGER_MS   1000 /* for what was said last to be taken */
#define PUMP_TURNS  32 /* before other sources of the loop have theirs */
#define DENIED_MS   2000 /* for the first byte on a connection that is denied in any case */
#define ANSWERS_MAX (16 * EGRESS_ANSWER_MAX) /* denials that a listener has not taken */

enum stage {
	STAGE_HEAD,
	STAGE_PEEK,
	STAGE_HANDSHAKE,
	STAGE_HTTP,
	STAGE_OPENING, /* a tunnel, not yet connected */
	STAGE_TUNNEL,
	STAGE_REPORTS,
	STAGE_LINGER, /* what is in out is said, then it ends */
};

struct session {
	struct proxy *proxy;
	struct session *next, **link; /* of the proxy's */
	int fd;
	struct loop_source *source;
	uint32_t events; /* what the loop was told to look for */
	uint32_t told; /* what it told, this time */
	enum stage stage;
	uint64_t deadline_ms, moved_ms;
	uint64_t requests; /* that had come at the last tick */
	bool pumping, again, dead, answered, input_ended, output_ended;
	bool hung; /* the guest has closed both ways; what it had said is still read */
	bool by_connect; /* its answers are HTTP/1's, not the agent's */
	bool want_read, want_write; /* TLS's */
	bool readable; /* the fd, as far as is known: while it is looked for, the loop tells */
	struct egress_request wanted;
	bool has_host;
	struct policy_host host;
	uint16_t port;
	bool secure;
	struct client_hello *hello;
	struct tls_session *tls;
	struct guest_http *http;
	struct tunnel *tunnel;
	uint8_t *in, *out; /* SESSION_BUFFER each, while HTTP is spoken; out also for answers */
	size_t in_first, in_len, out_first, out_len, out_size;
};

/* Life and time. */

static uint64_t now_ms(void)
{
	return clock_monotonic_ms();
}

static void set_deadline(struct session *s, uint64_t after_ms)
{
	s->deadline_ms = now_ms() + after_ms;
}

static void free_session(struct session *s)
{
	*s->link = s->next;
	if (s->next)
		s->next->link = s->link;
	s->proxy->session_count--;
	s->proxy->ended_count++;
	guest_http_destroy(s->http);
	tunnel_destroy(s->tunnel);
	tls_session_destroy(s->tls);
	loop_remove(s->source);
	close(s->fd);
	free(s->hello);
	free(s->in);
	free(s->out);
	free(s);
}

struct session *session_next(const struct session *s)
{
	return s->next;
}

void session_destroy(struct session *s)
{
	free_session(s);
}

/* A change looks at the fd anew, an edge or not; without one a byte that was only peeked is no news. */
static void look_for(struct session *s, uint32_t events)
{
	if (s->hung)
		events |= EPOLLET; /* HUP cannot be left out, but told once */
	if (loop_must_look_anew(s->events, events, s->told, s->readable))
		loop_modify(s->source, s->events = events);
}

/* The loop is to call, now. */
static void wake(struct session *s)
{
	loop_call_soon(s->source);
}

void session_abort(struct session *s)
{
	s->dead = true;
	if (!s->pumping)
		wake(s); /* it is buried from the loop */
}

/* What is said besides HTTP: into out, which is then sent. */

static bool make_out(struct session *s, size_t size)
{
	uint8_t *out = s->out_size >= size ? s->out : realloc(s->out, size);

	if (!out)
		return false;
	s->out = out;
	s->out_size = MAX(s->out_size, size);
	return true;
}

static bool put_out(struct session *s, const void *bytes, size_t len)
{
	if (!make_out(s, SESSION_BUFFER))
		return false;
	if (s->out_first && s->out_first + s->out_len + len > s->out_size) {
		memmove(s->out, s->out + s->out_first, s->out_len);
		s->out_first = 0;
	}
	if (s->out_first + s->out_len + len > s->out_size)
		return false;
	memcpy(s->out + s->out_first + s->out_len, bytes, len);
	s->out_len += len;
	return true;
}

static void say_answer(struct session *s, const struct egress_answer *answer)
{
	uint8_t wire[EGRESS_ANSWER_MAX];
	size_t len = egress_answer_encode(answer, wire);

	if (!len || !put_out(s, wire, len))
		session_abort(s);
}

/* A response of our own to CONNECT. */
static void say_connect(struct session *s, const struct denial *denial)
{
	static const char good[] = "HTTP/1.1 200 Connection established\r\n\r\n";
	static char response[DENIAL_HTTP1_MAX];

	if (denial ? !put_out(s, response, denial_http1(denial, 0, proxy_now_s(), response))
		   : !put_out(s, good, sizeof(good) - 1))
		session_abort(s);
}

/* The one answer to the stream's head or to CONNECT. denial NULL: go on. */
static void answer(struct session *s, const struct denial *denial)
{
	struct egress_answer a = { .verdict = EGRESS_ACCEPTED };

	if (s->by_connect) {
		say_connect(s, denial);
	} else if (!s->answered) {
		if (denial)
			denial_answer(denial, &a);
		say_answer(s, &a);
		s->answered = true;
	}
	if (!denial)
		return;
	s->stage = STAGE_LINGER;
	set_deadline(s, LINGER_MS);
}

/* Nothing can be said on it in a form of its own any more: told elsewhere, and cut off. */
static void cut_off(struct session *s, enum denial_kind kind, const char *detail)
{
	struct policy_request request = {
		.protocol = POLICY_PROTOCOL_TLS, .host = s->host, .port = s->port
	};
	struct denial denial;
	char what[400];

	snprintf(what, sizeof(what), "a connection to %s:%u",
		s->has_host ? s->host.text : "the proxy", s->port);
	denial_of_failure(&denial, kind, what, detail);
	proxy_refused(s->proxy, s->has_host ? &request : NULL, &denial);
	session_abort(s);
}

/* HTTP. */

static void http_flush(void *owner)
{
	session_flush(owner);
}

static void http_abort(void *owner)
{
	session_abort(owner);
}

static const struct guest_http_ops http_ops = { http_flush, http_abort };

static void begin_http(struct session *s)
{
	struct exchange_place place = { .proxy = s->proxy,
		.host = s->has_host ? &s->host : NULL,
		.port = s->port,
		.secure = s->secure };
	bool http2 = s->tls && tls_session_protocol(s->tls) == TLS_PROTOCOL_HTTP2;

	s->in = s->in ? s->in : malloc(SESSION_BUFFER);
	if (!s->in || !make_out(s, SESSION_BUFFER) ||
		guest_http_create(&place, http2, &http_ops, s, &s->http) < 0) {
		session_abort(s);
		return;
	}
	free(TAKE_PTR(s->hello));
	s->readable = true; /* it may have come with the handshake's last words */
	s->stage = STAGE_HTTP;
	set_deadline(s, s->proxy->idle_ms);
}

static void begin_tls(struct session *s)
{
	s->secure = true;
	if (tls_server_accept(s->proxy->tls, s->fd, &s->host, s->hello->alpn_h2, time(NULL),
		    &s->tls, NULL) < 0) {
		session_abort(s);
		return;
	}
	s->stage = STAGE_HANDSHAKE;
	set_deadline(s, s->proxy->head_ms);
}

/* Opaque. */

static void tunnel_opened(void *owner)
{
	struct session *s = owner;

	if (s->stage == STAGE_OPENING) {
		answer(s, NULL);
		s->stage = STAGE_TUNNEL;
		set_deadline(s, PROXY_SILENT_MS);
	}
	session_flush(s);
}

static void tunnel_refused(void *owner, const struct denial *denial)
{
	struct session *s = owner;

	if (s->answered && !s->by_connect)
		session_abort(s); /* accepted to hear a ClientHello: only a reset is left */
	else
		answer(s, denial);
	session_flush(s);
}

static void tunnel_flush(void *owner)
{
	session_flush(owner);
}

static const struct tunnel_ops tunnel_ops = { tunnel_opened, tunnel_refused, tunnel_flush };

static void begin_tunnel(struct session *s, enum policy_protocol protocol)
{
	struct tunnel *tunnel;

	free(TAKE_PTR(s->hello));
	s->stage = STAGE_OPENING;
	set_deadline(s, 2 * s->proxy->head_ms);
	if (tunnel_open(s->proxy, protocol, &s->host, s->port, &tunnel_ops, s, &tunnel) < 0)
		session_abort(s);
	else
		s->tunnel = tunnel;
}

/* HEAD */

/* Ports on which a denial can be told in HTTP: whoever knocks there speaks it, or TLS. */
static bool is_web_port(uint16_t port)
{
	return port == 80 || port == 443 || port == 3000 || port == 5000 ||
	       (port >= 8000 && port < 9000) || port == 9443;
}

#define FINAL_REASONS                                                                              \
	(1u << POLICY_REASON_NO_RULE | 1u << POLICY_REASON_LITERAL |                               \
		1u << POLICY_REASON_FORBIDDEN | 1u << POLICY_REASON_PORT |                         \
		1u << POLICY_REASON_PROTOCOL | 1u << POLICY_REASON_TIER)

/* Whether no request to this host and port could pass, so that nothing is lost by saying so at once. */
static bool is_denied_always(struct session *s, struct denial *ret)
{
	struct policy_request request = { .protocol = POLICY_PROTOCOL_HTTP,
		.host = s->host,
		.port = s->port,
		.secure = true,
		.method = "GET",
		.path = "/" };
	struct policy_decision decision;

	policy_decide(s->proxy->policy->policy, &request, &decision);
	if (decision.verdict != POLICY_DENY)
		return false;
	if (!(1u << decision.reason & FINAL_REASONS))
		return false; /* another method or path may pass */
	policy_explain(s->proxy->policy->policy, &request, &decision, &ret->explanation);
	/* It is a connection that is denied, not a GET of ours. */
	snprintf(ret->explanation.what, sizeof(ret->explanation.what), "a connection to %s:%u",
		s->host.text, s->port);
	denial_of_explanation(ret, DENIAL_POLICY);
	return true;
}

static void deny_connection(struct session *s, const struct denial *denial)
{
	struct policy_request request = {
		.protocol = POLICY_PROTOCOL_TCP, .host = s->host, .port = s->port
	};

	proxy_refused(s->proxy, &request, denial);
	answer(s, denial);
}

/* Host and port are known: by the agent's word, or by CONNECT. */
static void begin_connection(struct session *s)
{
	enum policy_protocol protocol =
		policy_decide_protocol(s->proxy->policy->policy, &s->host, s->port);
	struct denial denial;

	s->has_host = true;
	switch (protocol) {
	case POLICY_PROTOCOL_TCP:
	case POLICY_PROTOCOL_SSH:
		begin_tunnel(s, protocol);
		return;
	case POLICY_PROTOCOL_TLS:
	case POLICY_PROTOCOL_HTTP:
		break;
	}
	if (is_denied_always(s, &denial) && protocol == POLICY_PROTOCOL_HTTP) {
		if (!is_web_port(s->port)) {
			deny_connection(s, &denial);
			return;
		}
		set_deadline(s, DENIED_MS);
	} else {
		set_deadline(s, s->proxy->head_ms);
	}
	answer(s, NULL);
	s->by_connect = false;
	s->stage = STAGE_PEEK;
}

/* What names no host that a rule could be asked about. */
static void refuse_head(struct session *s, const char *what, const char *why)
{
	struct denial denial;

	denial_of_failure(&denial, DENIAL_REQUEST, what, why);
	proxy_refused(s->proxy, NULL, &denial);
	answer(s, &denial);
}

static unsigned int count_listeners(const struct proxy *proxy)
{
	unsigned int count = 0;

	for (const struct session *s = proxy->sessions; s; s = s->next)
		count += session_takes_reports(s);
	return count;
}

static void take_wanted(struct session *s)
{
	switch ((enum egress_kind)s->wanted.kind) {
	case EGRESS_CAPTURED:
		s->port = s->wanted.port;
		if (!policy_host_parse(s->wanted.host, strlen(s->wanted.host), &s->host))
			refuse_head(s, "a connection", "that is no host (E1)");
		else
			begin_connection(s);
		return;
	case EGRESS_PROXY:
		answer(s, NULL);
		s->stage = STAGE_PEEK;
		set_deadline(s, s->proxy->idle_ms);
		return;
	case EGRESS_REPORTS:
		if (count_listeners(s->proxy) >= PROXY_REPORTS_MAX) {
			refuse_head(s, "a stream of reports", "there are enough of them");
			return;
		}
		answer(s, NULL);
		s->stage = STAGE_REPORTS;
		s->deadline_ms = 0;
		return;
	}
}

static ssize_t peek(struct session *s, void *data, size_t size)
{
	ssize_t n = recv(s->fd, data, size, MSG_PEEK | MSG_DONTWAIT);

	return n < 0 ? -errno : n;
}

/* They were peeked, and are for us. */
static bool consume(struct session *s, size_t len)
{
	uint8_t bytes[1024];

	while (len) {
		ssize_t n = recv(s->fd, bytes, MIN(len, sizeof(bytes)), MSG_DONTWAIT);

		if (n <= 0)
			return false;
		len -= (size_t)n;
	}
	return true;
}

static void read_head(struct session *s)
{
	uint8_t bytes[EGRESS_REQUEST_MAX];
	ssize_t n = peek(s, bytes, sizeof(bytes));
	int used;

	if (n == -EAGAIN)
		return;
	used = n > 0 ? egress_request_decode(bytes, (size_t)n, &s->wanted) : -EPIPE;
	if (used < 0 || (used > 0 && !consume(s, (size_t)used)))
		session_abort(s);
	else if (used > 0)
		take_wanted(s);
}

/* PEEK */

static void judge_hello(struct session *s, enum client_hello_result result)
{
	struct policy_host name;
	bool literal = s->host.kind != POLICY_HOST_NAME;
	enum policy_protocol protocol =
		policy_decide_protocol(s->proxy->policy->policy, &s->host, s->port);

	if (result == CLIENT_HELLO_NAMED &&
		(!policy_host_parse(s->hello->name, s->hello->name_len, &name) ||
			!policy_host_equal(&name, &s->host))) {
		cut_off(s, DENIAL_AUTHORITY,
			"TLS asks for another name than was connected to (E4)");
		return;
	}
	if (result == CLIENT_HELLO_UNNAMED && !literal) {
		cut_off(s, DENIAL_AUTHORITY, "TLS names no host (E4)");
		return;
	}
	if (protocol == POLICY_PROTOCOL_TLS)
		begin_tunnel(s, protocol);
	else
		begin_tls(s);
}

/* A head that begins with CONNECT, whole. */
static void take_connect(struct session *s, char *head, size_t len)
{
	struct h1_request *m = malloc(sizeof(*m));
	bool good;

	s->by_connect = true;
	good = m && consume(s, len) && h1_request_parse(head, len, m) == H1_OK &&
	       m->form == H1_AUTHORITY &&
	       policy_authority_parse(m->authority, strlen(m->authority), &s->host, &s->port) &&
	       s->port;
	free(m);
	if (good)
		begin_connection(s);
	else
		refuse_head(s, "CONNECT", "it does not say HOST:PORT");
}

/* CONNECT's head is read here and not by h1_conn: what comes after it is another connection, with TLS of its own. */
static bool look_for_connect(struct session *s, char *bytes, size_t len)
{
	static const char word[] = "CONNECT ";
	struct h1_scan scan;
	size_t end;

	if (s->has_host || memcmp(bytes, word, MIN(len, sizeof(word) - 1)) != 0)
		return false;
	h1_scan_init(&scan, PEEK_MAX - 1);
	if (h1_scan(&scan, bytes, len, &end) != H1_OK || (!end && len >= PEEK_MAX - 1))
		session_abort(s);
	else if (end)
		take_connect(s, bytes, end);
	return true;
}

static void peek_first(struct session *s)
{
	static char bytes[PEEK_MAX];
	ssize_t n = peek(s, bytes, sizeof(bytes));
	enum client_hello_result result;

	if (n == -EAGAIN)
		return;
	if (n <= 0) {
		session_abort(s);
		return;
	}
	if (!s->hello)
		s->hello = calloc(1, sizeof(*s->hello));
	if (!s->hello) {
		session_abort(s);
		return;
	}
	if (look_for_connect(s, bytes, (size_t)n))
		return;
	result = s->has_host ? client_hello_peek(s->hello, (const uint8_t *)bytes, (size_t)n)
			     : CLIENT_HELLO_NOT_TLS;
	switch (result) {
	case CLIENT_HELLO_MORE:
		break;
	case CLIENT_HELLO_NAMED:
	case CLIENT_HELLO_UNNAMED:
		judge_hello(s, result);
		break;
	case CLIENT_HELLO_NOT_TLS:
		if (s->has_host && policy_decide_protocol(s->proxy->policy->policy, &s->host,
					   s->port) == POLICY_PROTOCOL_TLS)
			cut_off(s, DENIAL_REQUEST, "its rule is for TLS, and this is none");
		else
			begin_http(s);
		break;
	case CLIENT_HELLO_MALFORMED:
		cut_off(s, DENIAL_REQUEST, "a ClientHello that cannot be read in one way");
		break;
	}
}

/* HANDSHAKE */

static void shake_hands(struct session *s)
{
	int r = tls_session_handshake(s->tls, NULL);

	s->want_read = r == TLS_WANT_READ;
	s->want_write = r == TLS_WANT_WRITE;
	if (r == 0)
		begin_http(s);
	else if (r != TLS_WANT_READ && r != TLS_WANT_WRITE)
		session_abort(s);
}

/* Moving bytes: each says whether any moved. */

static bool write_out(struct session *s)
{
	ssize_t n;

	if (!s->out_len)
		return false;
	if (s->tls) {
		n = tls_session_write(s->tls, s->out + s->out_first, s->out_len);
		s->want_write = n == TLS_WANT_WRITE;
		if (n == TLS_WANT_READ || n == TLS_WANT_WRITE)
			return false;
	} else {
		n = send(s->fd, s->out + s->out_first, s->out_len, MSG_DONTWAIT | MSG_NOSIGNAL);
		s->want_write = n < 0 && errno == EAGAIN;
		if (s->want_write)
			return false;
	}
	if (n <= 0) {
		session_abort(s);
		return false;
	}
	s->out_first += (size_t)n;
	s->out_len -= (size_t)n;
	if (!s->out_len)
		s->out_first = 0;
	return true;
}

static bool read_in(struct session *s)
{
	ssize_t n;

	if (!s->readable || s->in_len || s->input_ended || !guest_http_wants_input(s->http))
		return false;
	if (s->tls) {
		n = tls_session_read(s->tls, s->in, SESSION_BUFFER);
		/* Without an edge to be told only once, what is left is told again. */
		s->readable = n > 0 && (s->hung || tls_session_pending(s->tls));
		if (n == TLS_WANT_READ || n == TLS_WANT_WRITE)
			return false;
	} else {
		n = recv(s->fd, s->in, SESSION_BUFFER, MSG_DONTWAIT);
		s->readable = n > 0 && (s->hung || n == (ssize_t)SESSION_BUFFER);
		if (n < 0 && errno == EAGAIN)
			return false;
	}
	if (n <= 0) {
		s->input_ended = true;
		guest_http_input_ended(s->http);
		return true;
	}
	s->in_first = 0;
	s->in_len = (size_t)n;
	return true;
}

static bool feed(struct session *s)
{
	ssize_t n;

	if (!s->in_len || !guest_http_wants_input(s->http))
		return false;
	n = guest_http_receive(s->http, s->in + s->in_first, s->in_len);
	if (n < 0) {
		s->in_len = 0;
		return true;
	}
	s->in_first += (size_t)n;
	s->in_len -= (size_t)n;
	return n > 0;
}

static bool pull(struct session *s)
{
	if (s->out_len)
		return false;
	s->out_first = 0;
	s->out_len = guest_http_pull(s->http, s->out, s->out_size);
	return s->out_len > 0;
}

static bool pump_http(struct session *s)
{
	bool moved = read_in(s);

	moved = feed(s) || moved;
	moved = pull(s) || moved;
	moved = write_out(s) || moved;
	if (!moved && !s->out_len && guest_http_is_over(s->http)) {
		if (s->tls)
			tls_session_close(s->tls);
		s->stage = STAGE_LINGER;
		set_deadline(s, LINGER_MS);
		return true; /* which ends it at once */
	}
	return moved;
}

static bool pump_tunnel(struct session *s)
{
	uint8_t bytes[16 << 10];
	size_t room = MIN(tunnel_room(s->tunnel), sizeof(bytes)), len;
	const uint8_t *next;
	bool moved = write_out(s);
	ssize_t n;

	if (tunnel_is_broken(s->tunnel)) {
		session_abort(s);
		return false;
	}
	if (room && !s->input_ended) {
		n = recv(s->fd, bytes, room, MSG_DONTWAIT);
		if (n > 0)
			tunnel_put(s->tunnel, bytes, (size_t)n);
		else if (n == 0 || errno != EAGAIN) {
			s->input_ended = true;
			tunnel_put_end(s->tunnel);
		}
		moved = moved || n >= 0;
	}
	len = s->out_len ? 0 : tunnel_peek(s->tunnel, &next);
	if (len) {
		n = send(s->fd, next, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		s->want_write = n < 0 && errno == EAGAIN;
		if (n > 0)
			tunnel_take(s->tunnel, (size_t)n);
		else if (!s->want_write)
			session_abort(s);
		moved = moved || n > 0;
	}
	if (!s->dead && !s->out_len && tunnel_out_ended(s->tunnel) && !s->output_ended) {
		s->output_ended = true;
		shutdown(s->fd, SHUT_WR);
	}
	if (s->output_ended && s->input_ended)
		session_abort(s);
	return moved;
}

static bool step(struct session *s)
{
	enum stage before = s->stage;

	switch (s->stage) {
	case STAGE_HEAD:
		read_head(s);
		break;
	case STAGE_PEEK:
		if (s->out_len)
			return write_out(s);
		peek_first(s);
		break;
	case STAGE_HANDSHAKE:
		shake_hands(s);
		break;
	case STAGE_HTTP:
		return pump_http(s);
	case STAGE_TUNNEL:
		return pump_tunnel(s);
	case STAGE_OPENING:
		break;
	case STAGE_REPORTS: {
		char byte;
		ssize_t n = recv(s->fd, &byte, 1, MSG_DONTWAIT);

		if (n == 0 || (n < 0 && errno != EAGAIN) || n > 0)
			session_abort(s);
		return write_out(s);
	}
	case STAGE_LINGER:
		if (!s->out_len) {
			session_abort(s);
			return false;
		}
		return write_out(s);
	}
	return s->stage != before;
}

/* What the loop is to look for now. In the stages that peek, a byte that is looked at stays: only new ones are news. */
static uint32_t wanted_events(const struct session *s)
{
	uint32_t events = s->out_len || s->want_write ? EPOLLOUT : 0;

	switch (s->stage) {
	case STAGE_HEAD:
	case STAGE_PEEK:
		return events | EPOLLIN | EPOLLET;
	case STAGE_HANDSHAKE:
		return s->want_write ? EPOLLOUT : EPOLLIN;
	case STAGE_HTTP:
		if (!s->in_len && !s->input_ended && guest_http_wants_input(s->http))
			events |= EPOLLIN;
		return events;
	case STAGE_TUNNEL: {
		const uint8_t *next;

		if (!s->input_ended && tunnel_room(s->tunnel))
			events |= EPOLLIN;
		return tunnel_peek(s->tunnel, &next) ? events | EPOLLOUT : events;
	}
	case STAGE_REPORTS:
		return events | EPOLLIN;
	case STAGE_OPENING:
	case STAGE_LINGER:
		break;
	}
	return events;
}

/* The guest is gone, and all that it asked for was read: nobody hears the answer. */
static bool is_unheard(const struct session *s)
{
	return s->hung && s->stage == STAGE_HTTP &&
	       (s->input_ended || guest_http_is_answering(s->http));
}

/* The guest is gone in the middle of what has to be whole before anything follows from it: what is missing never comes. */
static bool is_cut_short(const struct session *s)
{
	return s->hung &&
	       (s->stage == STAGE_HEAD || s->stage == STAGE_PEEK || s->stage == STAGE_HANDSHAKE);
}

static void pump(struct session *s)
{
	bool moved = true;

	if (s->pumping) {
		s->again = true;
		return;
	}
	s->pumping = true;
	for (int i = 0; i < PUMP_TURNS && !s->dead && (moved || s->again); i++) {
		s->again = false;
		moved = step(s);
		if (moved)
			s->moved_ms = now_ms();
	}
	s->pumping = false;
	if (s->dead || is_unheard(s) || (!moved && !s->again && is_cut_short(s))) {
		free_session(s);
		return;
	}
	if (moved || s->again)
		wake(s); /* a turn was not enough */
	else
		look_for(s, wanted_events(s));
}

void session_flush(struct session *s)
{
	/* From a channel's callback: the pump runs when the loop comes round, for it may end the session. */
	if (s->pumping)
		s->again = true;
	else
		wake(s);
}

static void on_ready(void *data, uint32_t events)
{
	struct session *s = data;

	s->told = events;
	s->readable |= (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0;
	if (events & EPOLLHUP) {
		s->hung = true;
		/* What it said before may still be on its way; nobody hears an answer. */
		s->dead |= s->input_ended || (s->stage != STAGE_HTTP && s->stage != STAGE_TUNNEL &&
						     s->stage != STAGE_HEAD);
	}
	pump(s);
}

int session_begin(struct proxy *proxy, int fd)
{
	struct session *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->proxy = proxy;
	s->fd = fd;
	r = loop_add_fd(proxy->loop, fd, EPOLLIN | EPOLLET, on_ready, s, &s->source);
	if (r < 0) {
		free(s);
		return r;
	}
	s->events = EPOLLIN | EPOLLET;
	s->moved_ms = now_ms();
	set_deadline(s, s->proxy->head_ms);
	s->next = proxy->sessions;
	s->link = &proxy->sessions;
	if (s->next)
		s->next->link = &s->next;
	proxy->sessions = s;
	proxy->session_count++;
	return 0;
}

static bool is_busy(const struct session *s)
{
	return (s->http && guest_http_is_busy(s->http)) || s->stage == STAGE_TUNNEL;
}

void session_tick(struct session *s, uint64_t now)
{
	if (s->http)
		guest_http_tick(s->http);
	if (s->tunnel)
		tunnel_tick(s->tunnel);
	if (s->hung && (s->http || s->tunnel))
		s->deadline_ms = s->moved_ms + s->proxy->idle_ms; /* nobody hears it */
	else if (is_busy(s))
		s->deadline_ms = s->moved_ms + PROXY_SILENT_MS;
	else if (s->http && guest_http_requests(s->http) != s->requests)
		set_deadline(s, s->proxy->idle_ms);
	else if (s->stage == STAGE_HTTP && s->deadline_ms > now + s->proxy->idle_ms)
		s->deadline_ms = now + s->proxy->idle_ms; /* it was busy till now */
	s->requests = s->http ? guest_http_requests(s->http) : 0;
	if (s->deadline_ms && now >= s->deadline_ms) {
		if (s->stage == STAGE_PEEK && s->has_host)
			cut_off(s, DENIAL_REQUEST,
				"nothing was said that a rule could be asked about: where the server speaks first, a rule says so (protocol tcp)");
		session_abort(s);
	}
}

bool session_takes_reports(const struct session *s)
{
	return s->stage == STAGE_REPORTS && !s->dead;
}

void session_report(struct session *s, const struct egress_answer *answer)
{
	if (s->out_len + EGRESS_ANSWER_MAX > ANSWERS_MAX)
		return; /* it takes none: the audit log has them all */
	say_answer(s, answer);
	session_flush(s);
}
