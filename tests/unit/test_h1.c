/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1 heads and bodies (E10): one meaning or none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/base/array.h"
#include "vsock-proxy/fields.h"
#include "vsock-proxy/h1_body.h"
#include "vsock-proxy/h1_head.h"
#include "vsock-proxy/h1_write.h"

#define HOST "Host: a.example\r\n"
#define GET  "GET / HTTP/1.1\r\n" HOST

static char head[2 * H1_HEAD_MAX];

/* Scans the text in pieces of step bytes; the head's length, or 0 with *error set. */
static size_t scan(const char *text, size_t len, size_t step, enum h1_error *error)
{
	struct h1_scan s;
	size_t end = 0;

	h1_scan_init(&s, H1_HEAD_MAX);
	*error = H1_OK;
	for (size_t part = 0; part < len && !end && !*error;) {
		part += MIN(step, len - part);
		*error = h1_scan(&s, text, part, &end);
	}
	return *error ? 0 : end;
}

static enum h1_error parse_request_of(const char *text, size_t len, struct h1_request *ret)
{
	enum h1_error error, error_bytewise;
	size_t end = scan(text, len, len, &error);

	assert_int_equal(scan(text, len, 1, &error_bytewise), end);
	assert_int_equal(error, error_bytewise);
	if (error)
		return error;
	assert_true(end > 0 && end <= sizeof(head));
	memcpy(head, text, end);
	return h1_request_parse(head, end, ret);
}

static enum h1_error parse_request(const char *text, struct h1_request *ret)
{
	return parse_request_of(text, strlen(text), ret);
}

static enum h1_error parse_response(const char *text, struct h1_response *ret)
{
	enum h1_error error;
	size_t end = scan(text, strlen(text), strlen(text), &error);

	if (error)
		return error;
	assert_true(end > 0 && end <= sizeof(head));
	memcpy(head, text, end);
	return h1_response_parse(head, end, ret);
}

static void test_request(void **state)
{
	struct h1_request r;

	(void)state;
	assert_int_equal(
		parse_request("POST /a/b?c=d?e HTTP/1.1\r\nHOST:\t a.example:80 \t\r\nX-Y:\r\n"
			      "Content-Length: 00012\r\nX-y: \xc3\xa9 : z\r\n\r\nrest",
			&r),
		H1_OK);
	assert_string_equal(r.method, "POST");
	assert_int_equal(r.form, H1_ORIGIN);
	assert_string_equal(r.path, "/a/b");
	assert_string_equal(r.query, "c=d?e");
	assert_null(r.authority);
	assert_string_equal(r.host, "a.example:80");
	assert_int_equal(r.minor, 1);
	assert_true(r.persistent && r.length.known && !r.length.chunked);
	assert_int_equal(r.length.length, 12);
	assert_int_equal(r.fields.count, 4);
	assert_string_equal(r.fields.list[1].name, "x-y");
	assert_string_equal(r.fields.list[1].value, "");
	assert_string_equal(r.fields.list[3].value, "\xc3\xa9 : z");

	assert_int_equal(parse_request("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n"
				       "Connection: x, Close\r\n\r\n",
				 &r),
		H1_OK);
	assert_true(r.length.chunked && !r.length.known && !r.persistent);
	assert_null(r.query);
	assert_int_equal(parse_request("GET / HTTP/1.0\r\n\r\n", &r), H1_OK);
	assert_true(!r.host && !r.minor && !r.persistent);
	assert_int_equal(
		parse_request("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", &r), H1_OK);
	assert_false(r.persistent);
}

static void test_targets(void **state)
{
	static const struct {
		const char *line;
		enum h1_form form;
		const char *scheme, *authority, *path, *query;
	} cases[] = {
		{ "GET /", H1_ORIGIN, NULL, NULL, "/", NULL },
		{ "GET /?", H1_ORIGIN, NULL, NULL, "/", "" },
		{ "GET //x", H1_ORIGIN, NULL, NULL, "//x", NULL },
		{ "GET http://a.example/b?c", H1_ABSOLUTE, "http", "a.example", "/b", "c" },
		{ "GET HTTPS://a.example:1", H1_ABSOLUTE, "https", "a.example:1", "/", NULL },
		{ "GET http://u@a?b/c", H1_ABSOLUTE, "http", "u@a", "/", "b/c" },
		{ "CONNECT a.example:443", H1_AUTHORITY, NULL, "a.example:443", NULL, NULL },
		{ "CONNECT [::1]:443", H1_AUTHORITY, NULL, "[::1]:443", NULL, NULL },
		{ "OPTIONS *", H1_ASTERISK, NULL, NULL, "*", NULL },
		{ "connect /x", H1_ORIGIN, NULL, NULL, "/x", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct h1_request r;
		char text[256];

		snprintf(text, sizeof(text), "%s HTTP/1.1\r\n" HOST "\r\n", cases[i].line);
		if (parse_request(text, &r) != H1_OK || r.form != cases[i].form)
			fail_msg("%s", cases[i].line);
		assert_string_equal(
			r.scheme ? r.scheme : "-", cases[i].scheme ? cases[i].scheme : "-");
		assert_string_equal(r.authority ? r.authority : "-",
			cases[i].authority ? cases[i].authority : "-");
		assert_string_equal(r.path ? r.path : "-", cases[i].path ? cases[i].path : "-");
		assert_string_equal(r.query ? r.query : "-", cases[i].query ? cases[i].query : "-");
	}
}

static void test_refused_requests(void **state)
{
	static const struct {
		const char *text;
		enum h1_error error;
	} cases[] = {
		{ "\r\n" GET "\r\n", H1_START_LINE },
		{ "GET /\r\n\r\n", H1_START_LINE },
		{ "GET\r\n\r\n", H1_START_LINE },
		{ "GET  / HTTP/1.1\r\n" HOST "\r\n", H1_START_LINE },
		{ "GET /  HTTP/1.1\r\n" HOST "\r\n", H1_START_LINE },
		{ "GET / HTTP/1.1 \r\n" HOST "\r\n", H1_START_LINE },
		{ "GET / x HTTP/1.1\r\n" HOST "\r\n", H1_START_LINE },
		{ "GET /\tHTTP/1.1\r\n" HOST "\r\n", H1_START_LINE },
		{ " GET / HTTP/1.1\r\n" HOST "\r\n", H1_METHOD },
		{ "G\xc3\x89T / HTTP/1.1\r\n" HOST "\r\n", H1_METHOD },
		{ "GET: / HTTP/1.1\r\n" HOST "\r\n", H1_METHOD },
		{ "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA / HTTP/1.1\r\n" HOST "\r\n", H1_METHOD },
		{ "GET / HTTP/1.2\r\n" HOST "\r\n", H1_VERSION },
		{ "GET / HTTP/2.0\r\n" HOST "\r\n", H1_VERSION },
		{ "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", H1_VERSION },
		{ "GET / HTTP/0.9\r\n" HOST "\r\n", H1_VERSION },
		{ "GET / http/1.1\r\n" HOST "\r\n", H1_VERSION },
		{ "GET / HTTP/1.10\r\n" HOST "\r\n", H1_VERSION },
		{ "GET / HTTP/01.1\r\n" HOST "\r\n", H1_VERSION },
		{ "GET / HTTP/1,1\r\n" HOST "\r\n", H1_VERSION },
		{ "GET a HTTP/1.1\r\n" HOST "\r\n", H1_TARGET },
		{ "GET * HTTP/1.1\r\n" HOST "\r\n", H1_TARGET },
		{ "OPTIONS ** HTTP/1.1\r\n" HOST "\r\n", H1_TARGET },
		{ "GET /a#b HTTP/1.1\r\n" HOST "\r\n", H1_TARGET },
		{ "GET /\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n", H1_TARGET },
		{ "GET ftp://a/ HTTP/1.1\r\n" HOST "\r\n", H1_TARGET },
		{ "GET http:/a HTTP/1.1\r\n" HOST "\r\n", H1_TARGET },
		{ "GET http:///a HTTP/1.1\r\n" HOST "\r\n", H1_TARGET },
		{ "GET ://a HTTP/1.1\r\n" HOST "\r\n", H1_TARGET },
		{ "GET a:443 HTTP/1.1\r\n" HOST "\r\n", H1_TARGET },
		{ "CONNECT /a HTTP/1.1\r\n" HOST "\r\n", H1_TARGET },
		{ "CONNECT http://a/ HTTP/1.1\r\n" HOST "\r\n", H1_TARGET },
		{ "CONNECT u@a:443 HTTP/1.1\r\n" HOST "\r\n", H1_TARGET },
		{ "GET / HTTP/1.1\r\n\r\n", H1_HOST },
		{ GET HOST "\r\n", H1_HOST },
		{ "GET / HTTP/1.0\r\n" HOST "hOST: b\r\n\r\n", H1_HOST },
		{ "GET / HTTP/1.1\nHost: a\n\n", H1_LINE_END },
		{ "GET / HTTP/1.1\r\nHost: a\n\r\n", H1_LINE_END },
		{ GET "A: b\rC: d\r\n\r\n", H1_LINE_END },
		{ GET "A: b\r\r\n\r\n", H1_LINE_END },
		{ GET "\r\r\n", H1_LINE_END },
		{ GET "A: \x01\r\n\r\n", H1_CONTROL },
		{ GET "A: \x7f\r\n\r\n", H1_CONTROL },
		{ GET "A: \x0b\r\n\r\n", H1_CONTROL },
		{ GET " A: b\r\n\r\n", H1_FOLD },
		{ GET "A: b\r\n\tc\r\n\r\n", H1_FOLD },
		{ GET "A: b\r\n \r\n\r\n", H1_FOLD },
		{ GET "A : b\r\n\r\n", H1_FIELD },
		{ GET "A\t: b\r\n\r\n", H1_FIELD },
		{ GET "A b: c\r\n\r\n", H1_FIELD },
		{ GET "A\r\n\r\n", H1_FIELD },
		{ GET ": b\r\n\r\n", H1_FIELD },
		{ GET "(a): b\r\n\r\n", H1_FIELD },
		{ GET "\xc3\xa9: b\r\n\r\n", H1_FIELD },
		{ GET "Content_Length: 1\r\n\r\n", H1_FIELD },
		{ GET "transfer_encoding: chunked\r\n\r\n", H1_FIELD },
		{ GET "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", H1_BOTH },
		{ GET "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", H1_BOTH },
		{ GET "Content-Length: 1\r\ncontent-length: 1\r\n\r\n", H1_LENGTH },
		{ GET "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", H1_LENGTH },
		{ GET "Content-Length: 1, 1\r\n\r\n", H1_LENGTH },
		{ GET "Content-Length: \r\n\r\n", H1_LENGTH },
		{ GET "Content-Length: +1\r\n\r\n", H1_LENGTH },
		{ GET "Content-Length: -1\r\n\r\n", H1_LENGTH },
		{ GET "Content-Length: 0x1\r\n\r\n", H1_LENGTH },
		{ GET "Content-Length: 1 0\r\n\r\n", H1_LENGTH },
		{ GET "Content-Length: 1;\r\n\r\n", H1_LENGTH },
		{ GET "Content-Length: \xc2\xb2\r\n\r\n", H1_LENGTH },
		{ GET "Content-Length: 9223372036854775808\r\n\r\n", H1_LENGTH },
		{ GET "Content-Length: 18446744073709551617\r\n\r\n", H1_LENGTH },
		{ GET "Transfer-Encoding: gzip, chunked\r\n\r\n", H1_CODING },
		{ GET "Transfer-Encoding: chunked, identity\r\n\r\n", H1_CODING },
		{ GET "Transfer-Encoding: chunked, chunked\r\n\r\n", H1_CODING },
		{ GET "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
			H1_CODING },
		{ GET "Transfer-Encoding: identity\r\n\r\n", H1_CODING },
		{ GET "Transfer-Encoding: xchunked\r\n\r\n", H1_CODING },
		{ GET "Transfer-Encoding: \"chunked\"\r\n\r\n", H1_CODING },
		{ GET "Transfer-Encoding: chunked;a=b\r\n\r\n", H1_CODING },
		{ GET "Transfer-Encoding: \r\n\r\n", H1_CODING },
		{ "GET / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", H1_CODING },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct h1_request r;
		enum h1_error error = parse_request(cases[i].text, &r);

		if (error != cases[i].error)
			fail_msg("%s: %s", h1_error_text(error), cases[i].text);
	}
	assert_int_equal(parse_request_of("GET /\0 HTTP/1.1\r\n\r\n", 19, &(struct h1_request){}),
		H1_CONTROL);
	for (int e = H1_OK; e < H1_ERRORS; e++)
		assert_true(strlen(h1_error_text(e)) > 3 && h1_error_status(e) >= 200);
}

static void test_caps(void **state)
{
	static char text[2 * H1_HEAD_MAX];
	struct h1_request r;
	enum h1_error error;
	size_t len;

	(void)state;
	/* a line without end */
	memset(text, 'a', sizeof(text));
	assert_int_equal(scan(text, H1_LINE_MAX, 7, &error), 0);
	assert_int_equal(error, H1_OK);
	scan(text, H1_LINE_MAX + 1, 7, &error);
	assert_int_equal(error, H1_TOO_LARGE);
	/* fields: as many as may be, and one more */
	for (size_t more = 0; more < 2; more++) {
		len = (size_t)sprintf(text, GET);
		for (size_t i = 1; i < RECORD_FIELDS_MAX + more; i++)
			len += (size_t)sprintf(text + len, "a: b\r\n");
		len += (size_t)sprintf(text + len, "\r\n");
		assert_int_equal(parse_request_of(text, len, &r), more ? H1_TOO_MANY : H1_OK);
		scan(text, len, len, &error);
		assert_int_equal(error, more ? H1_TOO_MANY : H1_OK);
	}
	/* the whole */
	len = (size_t)sprintf(text, GET);
	while (len < H1_HEAD_MAX) {
		memcpy(text + len, "a: ", 3);
		memset(text + len + 3, 'b', 8000);
		memcpy(text + len + 8003, "\r\n", 2);
		len += 8005;
	}
	scan(text, len, 1000, &error);
	assert_int_equal(error, H1_TOO_LARGE);
}

static void test_response(void **state)
{
	static const struct {
		const char *text;
		enum h1_error error;
	} cases[] = {
		{ "HTTP/1.1 200 OK\r\n\r\n", H1_OK },
		{ "HTTP/1.1 200 \r\n\r\n", H1_OK },
		{ "HTTP/1.1 200\r\n\r\n", H1_OK },
		{ "HTTP/1.0 599 a  b \xc3\xa9\r\n\r\n", H1_OK },
		{ "HTTP/1.1\r\n\r\n", H1_START_LINE },
		{ "HTTP/1.1  200 OK\r\n\r\n", H1_STATUS },
		{ "HTTP/1.1 20 OK\r\n\r\n", H1_STATUS },
		{ "HTTP/1.1 2000 OK\r\n\r\n", H1_STATUS },
		{ "HTTP/1.1 099 OK\r\n\r\n", H1_STATUS },
		{ "HTTP/1.1 600 OK\r\n\r\n", H1_STATUS },
		{ "HTTP/1.1 2x0 OK\r\n\r\n", H1_STATUS },
		{ "HTTP/1.1 +20 OK\r\n\r\n", H1_STATUS },
		{ "HTTP/2 200 OK\r\n\r\n", H1_VERSION },
		{ "ICY 200 OK\r\n\r\n", H1_VERSION },
		{ " HTTP/1.1 200 OK\r\n\r\n", H1_VERSION },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", H1_LENGTH },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
			H1_BOTH },
		{ "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", H1_CODING },
		{ "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", H1_FOLD },
	};
	struct h1_response r;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (parse_response(cases[i].text, &r) != cases[i].error)
			fail_msg("%s", cases[i].text);
	assert_int_equal(parse_response("HTTP/1.0 304 x\r\nA: b\r\n\r\n", &r), H1_OK);
	assert_true(r.status == 304 && r.minor == 0 && !r.persistent && r.fields.count == 1);
}

static void test_where_bodies_end(void **state)
{
	static const struct {
		const char *method;
		int status;
		const char *fields;
		int kind; /* negative: refused */
	} cases[] = {
		{ "GET", 200, "", H1_BODY_UNTIL_CLOSE },
		{ "GET", 200, "Content-Length: 5\r\n", H1_BODY_LENGTH },
		{ "GET", 200, "Transfer-Encoding: chunked\r\n", H1_BODY_CHUNKED },
		{ "HEAD", 200, "Content-Length: 5\r\n", H1_BODY_NONE },
		{ "HEAD", 200, "Transfer-Encoding: chunked\r\n", H1_BODY_NONE },
		{ "head", 200, "Content-Length: 5\r\n", H1_BODY_LENGTH },
		{ "GET", 304, "Content-Length: 5\r\n", H1_BODY_NONE },
		{ "GET", 204, "", H1_BODY_NONE },
		{ "GET", 204, "Content-Length: 0\r\n", H1_BODY_NONE },
		{ "GET", 204, "Content-Length: 5\r\n", -1 },
		{ "GET", 204, "Transfer-Encoding: chunked\r\n", -1 },
		{ "GET", 100, "", H1_BODY_NONE },
		{ "GET", 103, "Content-Length: 5\r\n", -1 },
		{ "GET", 101, "", H1_BODY_TUNNEL },
		{ "GET", 101, "Transfer-Encoding: chunked\r\n", -1 },
		{ "CONNECT", 200, "", H1_BODY_TUNNEL },
		{ "CONNECT", 200, "Content-Length: 5\r\n", -1 },
		{ "CONNECT", 407, "Content-Length: 5\r\n", H1_BODY_LENGTH },
		{ "GET", 500, "", H1_BODY_UNTIL_CLOSE },
	};
	static struct h1_body body;
	struct h1_request request;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct h1_response r;
		char text[256];
		enum h1_error error;

		snprintf(text, sizeof(text), "HTTP/1.1 %d x\r\n%s\r\n", cases[i].status,
			cases[i].fields);
		assert_int_equal(parse_response(text, &r), H1_OK);
		error = h1_body_of_response(&r, cases[i].method, &body);
		if (error != (cases[i].kind < 0 ? H1_FRAMING : H1_OK) ||
			(!error && (int)body.kind != cases[i].kind))
			fail_msg("%s %s", cases[i].method, text);
	}
	assert_int_equal(parse_request(GET "\r\n", &request), H1_OK);
	assert_int_equal(h1_body_of_request(&request, &body), H1_OK);
	assert_int_equal(body.kind, H1_BODY_NONE);
	assert_int_equal(parse_request("CONNECT a:1 HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\n",
				 &request),
		H1_OK);
	assert_int_equal(h1_body_of_request(&request, &body), H1_FRAMING);
}

/* Takes all of the input in pieces of step bytes, the body's bytes into out. */
static enum h1_error take_all(struct h1_body *body, const char *in, size_t len, size_t step,
	char *out, size_t *ret_out, size_t *ret_used)
{
	size_t at = 0, out_len = 0;

	while (at < len && !h1_body_done(body)) {
		size_t used, data_len, part = MIN(step, len - at);
		const char *data;
		enum h1_error error = h1_body_take(body, in + at, part, &used, &data, &data_len);

		if (error)
			return error;
		assert_true(used > 0 && used <= part && data_len <= used);
		memcpy(out + out_len, data, data_len);
		out_len += data_len;
		at += used;
	}
	*ret_out = out_len;
	*ret_used = at;
	return H1_OK;
}

static enum h1_error take_chunked(
	const char *text, size_t step, char *out, size_t *ret_rest, struct h1_body *body)
{
	struct h1_request r;
	size_t out_len = 0, used = 0;
	enum h1_error error;

	assert_int_equal(parse_request(GET "Transfer-Encoding: chunked\r\n\r\n", &r), H1_OK);
	assert_int_equal(h1_body_of_request(&r, body), H1_OK);
	error = take_all(body, text, strlen(text), step, out, &out_len, &used);
	out[out_len] = '\0';
	*ret_rest = strlen(text) - used;
	return error;
}

static void test_chunks(void **state)
{
	static const struct {
		const char *text, *body;
		int rest; /* what is left after it; negative: refused */
	} cases[] = {
		{ "0\r\n\r\n", "", 0 },
		{ "5\r\nhello\r\n0\r\n\r\nGET", "hello", 3 },
		{ "000001\r\na\r\nA\r\n0123456789\r\n000\r\n\r\n", "a0123456789", 0 },
		{ "0000000000000001\r\na\r\n0\r\n\r\n", "a", 0 },
		{ "1\r\na\r\n0\r\nX-A: b\r\nc: d\r\n\r\nx", "a", 1 },
		{ "00000000000000001\r\na\r\n0\r\n\r\n", "", -1 },
		{ "1;a=b\r\na\r\n0\r\n\r\n", "", -1 },
		{ "1 \r\na\r\n0\r\n\r\n", "", -1 },
		{ " 1\r\na\r\n0\r\n\r\n", "", -1 },
		{ "1\na\r\n0\r\n\r\n", "", -1 },
		{ "1\r\na\n0\r\n\r\n", "", -1 },
		{ "1\r\nab\r\n0\r\n\r\n", "", -1 },
		{ "1\r\na0\r\n\r\n", "", -1 },
		{ "1\ra\r\n", "", -1 },
		{ "1\r\ra", "", -1 },
		{ "\r\na", "", -1 },
		{ "-1\r\na", "", -1 },
		{ "+1\r\na", "", -1 },
		{ "0x1\r\na", "", -1 },
		{ "g\r\na", "", -1 },
		{ "8000000000000000\r\n", "", -1 },
		{ "ffffffffffffffff\r\n", "", -1 },
		{ "10000000000000000\r\n", "", -1 },
		{ "0\n\n", "", -1 },
		{ "0\r\n\n", "", -1 },
		{ "0\r\n\r\r\n", "", -1 },
		{ "0\r\na: \x01\r\n\r\n", "", -1 },
	};
	static struct h1_body body;
	char out[256];
	size_t rest;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		for (size_t step = 1; step < 32; step++) {
			enum h1_error error = take_chunked(cases[i].text, step, out, &rest, &body);

			if ((error != H1_OK) != (cases[i].rest < 0))
				fail_msg("%s: %s", h1_error_text(error), cases[i].text);
			if (error)
				continue;
			assert_true(h1_body_done(&body));
			assert_string_equal(out, cases[i].body);
			assert_int_equal(rest, cases[i].rest);
		}
	assert_int_equal(take_chunked("7fffffffffffffff\r\nabc", 100, out, &rest, &body), H1_OK);
	assert_string_equal(out, "abc");
	assert_false(h1_body_done(&body));
}

static void test_trailers(void **state)
{
	static const char *const refused[] = { "Content-Length: 1\r\n", "Host: a\r\n",
		"Transfer-Encoding: x\r\n", "transfer_encoding: x\r\n", "Authorization: x\r\n",
		"a : b\r\n", "a: b\r\n c\r\n", "X-Forwarded-For: a\r\n", ": \r\n" };
	static char large[2 * H1_TRAILER_MAX];
	static struct h1_body body;
	struct record_fields fields;
	char text[256], out[256];
	size_t rest, len;

	(void)state;
	assert_int_equal(
		take_chunked("0\r\nGrpc-Status: 0\r\nB:\r\n\r\n", 3, out, &rest, &body), H1_OK);
	assert_int_equal(h1_body_trailers(&body, &fields), H1_OK);
	assert_int_equal(fields.count, 2);
	assert_string_equal(fields.list[0].name, "grpc-status");
	assert_string_equal(fields.list[0].value, "0");
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		snprintf(text, sizeof(text), "0\r\n%s\r\n", refused[i]);
		assert_int_equal(take_chunked(text, 100, out, &rest, &body), H1_OK);
		if (h1_body_trailers(&body, &fields) == H1_OK)
			fail_msg("%s", refused[i]);
	}
	len = (size_t)sprintf(large, "0\r\n");
	while (len < H1_TRAILER_MAX + 10)
		len += (size_t)sprintf(large + len,
			"a: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
			"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n");
	assert_int_equal(take_chunked(large, 100, out, &rest, &body), H1_TOO_LARGE);
}

static void test_writing(void **state)
{
	static const struct record_fields good = { .count = 2,
		.list = { { "host", "a.example" }, { "x-y", "" } } };
	static const struct record_field bad[] = { { "a\r\nb", "c" }, { "A", "c" }, { "", "c" },
		{ "a b", "c" }, { "a:", "c" }, { "a", "b\r\nc: d" }, { "a", "b\nc" },
		{ "a", "b\rc" }, { "a", " b" } };
	static const char *const bad_targets[] = { "", " ", "/a b", "/\r\n", "/\n", "/\x7f",
		"/\xc3\xa9" };
	char out[256] = "";
	struct bytes_writer w = bytes_writer(out, sizeof(out));
	struct h1_request r;

	(void)state;
	h1_write_request(&w, "GET", "/a?b", &good);
	assert_false(w.failed);
	out[w.offset] = '\0';
	assert_string_equal(out, "GET /a?b HTTP/1.1\r\nhost: a.example\r\nx-y: \r\n\r\n");
	assert_int_equal(parse_request(out, &r), H1_OK);

	w = bytes_writer(out, sizeof(out));
	h1_write_response(&w, 207, &good);
	h1_write_chunk_head(&w, 0x1f);
	h1_write_chunk_end(&w);
	h1_write_last_chunk(&w, NULL);
	assert_false(w.failed);
	out[w.offset] = '\0';
	assert_string_equal(
		out, "HTTP/1.1 207 \r\nhost: a.example\r\nx-y: \r\n\r\n1f\r\n\r\n0\r\n\r\n");
	w = bytes_writer(out, sizeof(out));
	h1_write_chunk_head(&w, UINT64_MAX);
	assert_int_equal(w.offset, H1_CHUNK_HEAD_MAX);

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct record_fields fields = { .count = 1, .list = { bad[i] } };

		w = bytes_writer(out, sizeof(out));
		h1_write_request(&w, "GET", "/", &fields);
		assert_true(w.failed);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad_targets); i++) {
		w = bytes_writer(out, sizeof(out));
		h1_write_request(&w, "GET", bad_targets[i], &good);
		assert_true(w.failed);
	}
	w = bytes_writer(out, sizeof(out));
	h1_write_request(&w, "GE T", "/", &good);
	assert_true(w.failed);
	w = bytes_writer(out, sizeof(out));
	h1_write_response(&w, 99, &good);
	assert_true(w.failed);
	w = bytes_writer(out, sizeof(out));
	h1_write_chunk_head(&w, 0);
	assert_true(w.failed);
	w = bytes_writer(out, 10);
	h1_write_response(&w, 200, &good);
	assert_true(w.failed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_targets),
		cmocka_unit_test(test_refused_requests),
		cmocka_unit_test(test_caps),
		cmocka_unit_test(test_response),
		cmocka_unit_test(test_where_bodies_end),
		cmocka_unit_test(test_chunks),
		cmocka_unit_test(test_trailers),
		cmocka_unit_test(test_writing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
