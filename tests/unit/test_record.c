/* SPDX-License-Identifier: Apache-2.0 */
/* The records between proxy and injector: what is written is read, and a rogue at either end gets nothing past (E22, E23). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/base/array.h"
#include "vsock-proxy/record.h"

static uint8_t buffer[RECORD_HEAD_SIZE + 2 * RECORD_PAYLOAD_MAX];

static struct record_request sample(void)
{
	struct record_request m = {
		.request = { .protocol = POLICY_PROTOCOL_HTTP,
			.port = 443,
			.secure = true,
			.has_encoded_slash = true,
			.method = "GET",
			.path = "/@scope%2Fname",
			.query = "a=b" },
		.content_length = 7,
		.fields = { .count = 2, .list = { { "accept", "*/*" }, { "x-empty", "" } } },
	};

	assert_true(policy_host_parse("api.example.com", 15, &m.request.host));
	return m;
}

/* The head of what w holds, which is one whole record. */
static struct record_head head_of(const struct bytes_writer *w, enum record_sender sender)
{
	struct record_head head = {};

	assert_false(w->failed);
	assert_true(record_head_decode(buffer, sender, &head));
	assert_int_equal(RECORD_HEAD_SIZE + head.len, w->offset);
	return head;
}

static bool writes(const struct record_request *m)
{
	struct bytes_writer w = bytes_writer(buffer, sizeof(buffer));

	record_put_request(&w, 1, m);
	return !w.failed;
}

static void test_a_request_there_and_back(void **state)
{
	struct record_request m = sample(), got;
	struct bytes_writer w = bytes_writer(buffer, sizeof(buffer));
	struct record_head head;

	(void)state;
	record_put_request(&w, 5, &m);
	head = head_of(&w, RECORD_FROM_PROXY);
	assert_int_equal(head.type, RECORD_REQUEST);
	assert_int_equal(head.stream, 5);
	assert_true(record_get_request(&head, buffer + RECORD_HEAD_SIZE, &got));
	assert_true(policy_host_equal(&got.request.host, &m.request.host));
	assert_int_equal(got.request.port, 443);
	assert_true(got.request.secure && got.request.has_encoded_slash && !got.request.websocket);
	assert_string_equal(got.request.method, "GET");
	assert_string_equal(got.request.path, "/@scope%2Fname");
	assert_string_equal(got.request.query, "a=b");
	assert_int_equal(got.content_length, 7);
	assert_int_equal(got.fields.count, 2);
	assert_string_equal(got.fields.list[0].name, "accept");
	assert_string_equal(got.fields.list[1].value, "");
	assert_false(record_head_decode(buffer, RECORD_FROM_INJECTOR, &head));
}

/* Cut short, or with anything behind: not a request. */
static void test_no_other_length(void **state)
{
	struct record_request m = sample(), got;
	struct bytes_writer w = bytes_writer(buffer, sizeof(buffer));
	struct record_head head;
	uint32_t whole;

	(void)state;
	record_put_request(&w, 1, &m);
	head = head_of(&w, RECORD_FROM_PROXY);
	whole = head.len;
	for (head.len = 0; head.len < whole; head.len++)
		assert_false(record_get_request(&head, buffer + RECORD_HEAD_SIZE, &got));
	head.len = whole + 1;
	assert_false(record_get_request(&head, buffer + RECORD_HEAD_SIZE, &got));
}

/* A golden vector: what is on the wire does not change unnoticed. */
static void test_the_wire_form(void **state)
{
	static const uint8_t wanted[] = { RECORD_TUNNEL, 0, 0, 0, 9, 0, 0, 0, 11, 0, 0, 0,
		POLICY_PROTOCOL_SSH, 22, 0, 6, 0, 'a', '.', 'i', 'n', 't', 0 };
	struct record_request m = { .request = { .protocol = POLICY_PROTOCOL_SSH, .port = 22 } },
			      got;
	struct bytes_writer w = bytes_writer(buffer, sizeof(buffer));
	struct record_head head;

	(void)state;
	assert_true(policy_host_parse("a.int", 5, &m.request.host));
	record_put_request(&w, 9, &m);
	assert_false(w.failed);
	assert_int_equal(w.offset, sizeof(wanted));
	assert_memory_equal(buffer, wanted, sizeof(wanted));
	head = head_of(&w, RECORD_FROM_PROXY);
	assert_true(record_get_request(&head, buffer + RECORD_HEAD_SIZE, &got));
	assert_int_equal(got.request.protocol, POLICY_PROTOCOL_SSH);
}

/* E22: each of these a rogue proxy may want to send; neither end lets it through. */
static void test_what_is_not_canonical(void **state)
{
	static const char *const paths[] = { "", "a", "//", "/..", "/%2e%2e/x", "/a b",
		"/a\r\nX: y", "/a?b", "/a;b", "/%61", "*" };
	static const char *const methods[] = { "", "GET ", "G\r\nET", "GET\t", "A(B",
		"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG" };
	static const char *const queries[] = { "a b", "a\r\nb", "%0d", "#" };
	static const char *const names[] = { "", "Accept", "a b", "a:", "a\r\n", "a\x80" };
	static const char *const values[] = { " a", "a ", "\ta", "a\r\nb: c", "a\nb", "a\rb",
		"\x7f", "\x01" };
	struct record_request m;

	(void)state;
	m = sample();
	m.request.has_encoded_slash = false;
	assert_false(writes(&m));
	m.request.path = "/plain";
	assert_true(writes(&m));
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		m.request.path = paths[i];
		assert_false(writes(&m));
	}
	m.request.path = "*";
	m.request.method = "OPTIONS";
	m.request.query = NULL;
	assert_true(writes(&m));
	m = sample();
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		m.request.method = methods[i];
		assert_false(writes(&m));
	}
	m = sample();
	for (size_t i = 0; i < ARRAY_SIZE(queries); i++) {
		m.request.query = queries[i];
		assert_false(writes(&m));
	}
	m = sample();
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		m.fields.list[0].name = names[i];
		assert_false(writes(&m));
	}
	m = sample();
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		m.fields.list[0].value = values[i];
		assert_false(writes(&m));
	}
	m = sample();
	m.request.port = 0;
	assert_false(writes(&m));
	m = sample();
	strcpy(m.request.host.text, "API.example.com");
	assert_false(writes(&m));
	m = sample();
	m.request.host.address[0] = 1;
	assert_false(writes(&m));
	m = sample();
	m.fields.count = RECORD_FIELDS_MAX + 1;
	assert_false(writes(&m));
}

/* The same, past an encoder that a rogue does not use: each byte of a good record changed to each value. */
static void test_a_rogue_writes_bytes_of_its_own(void **state)
{
	static uint8_t forged[sizeof(buffer)];
	static struct record_request got;
	struct record_request m = sample();
	struct bytes_writer w = bytes_writer(forged, sizeof(forged));
	struct record_head head;
	size_t taken = 0;

	(void)state;
	record_put_request(&w, 1, &m);
	assert_true(record_head_decode(forged, RECORD_FROM_PROXY, &head));
	for (size_t i = RECORD_HEAD_SIZE; i < w.offset; i++) {
		uint8_t honest = forged[i];

		for (int value = 0; value < 256; value++) {
			struct bytes_writer again = bytes_writer(buffer, sizeof(buffer));

			forged[i] = (uint8_t)value;
			if (!record_get_request(&head, forged + RECORD_HEAD_SIZE, &got))
				continue;
			/* What is taken, an honest proxy could have written. */
			record_put_request(&again, 1, &got);
			assert_false(again.failed);
			assert_memory_equal(buffer, forged, again.offset);
			taken++;
		}
		forged[i] = honest;
	}
	assert_true(taken > 0);
}

static void test_answers(void **state)
{
	struct record_response m = { .status = 200,
		.content_length = RECORD_LENGTH_UNKNOWN,
		.fields = { .count = 1, .list = { { "content-type", "text/plain" } } } };
	struct record_denied denied = { .reason = POLICY_REASON_NO_RULE,
		.lifts_at = 12,
		.rule_id = "r1",
		.text = "no rule allows it",
		.command = "sandboxctl policy allow x" },
			     got_denied;
	struct bytes_writer w = bytes_writer(buffer, sizeof(buffer));
	struct record_response got;
	struct record_head head;

	(void)state;
	record_put_response(&w, 3, &m);
	head = head_of(&w, RECORD_FROM_INJECTOR);
	assert_true(record_get_response(&head, buffer + RECORD_HEAD_SIZE, &got));
	assert_int_equal(got.status, 200);
	assert_string_equal(got.fields.list[0].value, "text/plain");
	for (uint16_t status = 0; status < 700; status++) {
		w = bytes_writer(buffer, sizeof(buffer));
		m.status = status;
		record_put_response(&w, 3, &m);
		assert_int_equal(!w.failed, status >= 100 && status <= 599 && status != 101);
	}
	w = bytes_writer(buffer, sizeof(buffer));
	record_put_denied(&w, 3, &denied);
	head = head_of(&w, RECORD_FROM_INJECTOR);
	assert_true(record_get_denied(&head, buffer + RECORD_HEAD_SIZE, &got_denied));
	assert_string_equal(got_denied.command, denied.command);
	assert_int_equal(got_denied.lifts_at, 12);
	denied.reason = 0;
	w = bytes_writer(buffer, sizeof(buffer));
	record_put_denied(&w, 3, &denied);
	assert_true(w.failed);
}

static void test_small_records(void **state)
{
	struct record_fields trailers = { .count = 1, .list = { { "grpc-status", "0" } } }, got;
	struct bytes_writer w = bytes_writer(buffer, sizeof(buffer));
	enum record_reason reason;
	struct record_head head;
	uint32_t bytes;

	(void)state;
	record_put_end(&w, 1, &trailers);
	head = head_of(&w, RECORD_FROM_INJECTOR);
	assert_true(record_get_end(&head, buffer + RECORD_HEAD_SIZE, &got));
	assert_string_equal(got.list[0].name, "grpc-status");
	w = bytes_writer(buffer, sizeof(buffer));
	record_put_end(&w, 1, NULL);
	head = head_of(&w, RECORD_FROM_PROXY);
	assert_true(record_get_end(&head, buffer + RECORD_HEAD_SIZE, &got));
	assert_int_equal(got.count, 0);
	w = bytes_writer(buffer, sizeof(buffer));
	record_put_credit(&w, 1, RECORD_CREDIT_MAX);
	head = head_of(&w, RECORD_FROM_PROXY);
	assert_true(record_get_credit(&head, buffer + RECORD_HEAD_SIZE, &bytes));
	assert_int_equal(bytes, RECORD_CREDIT_MAX);
	store_le32(buffer + RECORD_HEAD_SIZE, RECORD_CREDIT_MAX + 1);
	assert_false(record_get_credit(&head, buffer + RECORD_HEAD_SIZE, &bytes));
	store_le32(buffer + RECORD_HEAD_SIZE, 0);
	assert_false(record_get_credit(&head, buffer + RECORD_HEAD_SIZE, &bytes));
	w = bytes_writer(buffer, sizeof(buffer));
	record_put_reset(&w, 1, RECORD_TIMEOUT);
	head = head_of(&w, RECORD_FROM_PROXY);
	assert_true(record_get_reset(&head, buffer + RECORD_HEAD_SIZE, &reason));
	assert_int_equal(reason, RECORD_TIMEOUT);
	buffer[RECORD_HEAD_SIZE] = RECORD_INTERNAL + 1;
	assert_false(record_get_reset(&head, buffer + RECORD_HEAD_SIZE, &reason));
	w = bytes_writer(buffer, sizeof(buffer));
	record_put_opened(&w, 1);
	head_of(&w, RECORD_FROM_INJECTOR);
	w = bytes_writer(buffer, sizeof(buffer));
	record_put_data_head(&w, 1, RECORD_DATA_MAX);
	assert_true(record_head_decode(buffer, RECORD_FROM_PROXY, &head));
	assert_int_equal(head.len, RECORD_DATA_MAX);
	record_put_data_head(&w, 1, RECORD_DATA_MAX + 1);
	assert_true(w.failed);
}

static void test_heads(void **state)
{
	static const struct {
		uint8_t type, flags, reserved;
		uint32_t stream, len;
		unsigned int senders;
	} cases[] = {
		{ RECORD_DATA, 0, 0, 1, 1, 3 },
		{ RECORD_DATA, 0, 0, 1, 0, 0 },
		{ RECORD_DATA, 0, 0, 1, RECORD_DATA_MAX + 1, 0 },
		{ RECORD_DATA, 0, 0, 0, 1, 0 },
		{ RECORD_DATA, 1, 0, 1, 1, 0 },
		{ RECORD_DATA, 0, 1, 1, 1, 0 },
		{ 0, 0, 0, 1, 1, 0 },
		{ 99, 0, 0, 1, 1, 0 },
		{ RECORD_REQUEST, 0, 0, 1, RECORD_PAYLOAD_MAX, 1 },
		{ RECORD_REQUEST, 0, 0, 1, RECORD_PAYLOAD_MAX + 1, 0 },
		{ RECORD_RESPONSE, 0, 0, 1, 20, 2 },
		{ RECORD_DENIED, 0, 0, 1, 20, 2 },
		{ RECORD_OPENED, 0, 0, 1, 0, 2 },
		{ RECORD_OPENED, 0, 0, 1, 1, 0 },
		{ RECORD_CREDIT, 0, 0, 1, 4, 3 },
		{ RECORD_CREDIT, 0, 0, 1, 5, 0 },
		{ RECORD_RESET, 0, 0, UINT32_MAX, 1, 3 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t in[RECORD_HEAD_SIZE] = { cases[i].type, cases[i].flags, cases[i].reserved };
		struct record_head head;

		store_le32(in + 4, cases[i].stream);
		store_le32(in + 8, cases[i].len);
		assert_int_equal(record_head_decode(in, RECORD_FROM_PROXY, &head),
			(cases[i].senders & 1) != 0);
		assert_int_equal(record_head_decode(in, RECORD_FROM_INJECTOR, &head),
			(cases[i].senders & 2) != 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_request_there_and_back),
		cmocka_unit_test(test_no_other_length),
		cmocka_unit_test(test_the_wire_form),
		cmocka_unit_test(test_what_is_not_canonical),
		cmocka_unit_test(test_a_rogue_writes_bytes_of_its_own),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_small_records),
		cmocka_unit_test(test_heads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
