/* SPDX-License-Identifier: Apache-2.0 */
/* Streams between a proxy and an injector: both ends of ours against each other, then rogues at either (E22, E23). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/base/array.h"
#include "vsock-proxy/channel.h"

#define STREAMS 64

/* What an owner saw of one stream. */
struct seen {
	struct channel_stream *stream;
	unsigned int responses, opened, ends, resets, denials, writables;
	uint16_t status;
	size_t bytes;
	uint32_t sum;
	bool keep; /* does not give back what came */
	enum record_reason reason;
	char trailer[32];
};

struct fixture {
	struct loop *loop;
	struct channel *proxy, *injector;
	int raw; /* a rogue's end, where there is one */
	struct seen asked[STREAMS]; /* the proxy's, by its data */
	struct seen served[STREAMS]; /* the injector's, in order */
	unsigned int served_count;
	bool refuse; /* the injector resets what it is asked for at once */
	unsigned int broken;
	int broken_code;
};

static struct fixture *current;

static uint32_t add_up(uint32_t sum, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sum = sum * 31 + bytes[i];
	return sum;
}

static void on_request(void *owner, struct channel_stream *stream, const struct record_request *m)
{
	struct fixture *f = owner;
	struct seen *seen = &f->served[f->served_count++ % STREAMS];

	assert_string_equal(m->request.host.text, "api.example.com");
	*seen = (struct seen){ .stream = stream, .keep = f->served[0].keep };
	channel_set_data(stream, seen);
	if (f->refuse)
		channel_reset(stream, RECORD_CANCELLED);
}

static void on_response(struct channel_stream *stream, const struct record_response *m)
{
	struct seen *seen = channel_data(stream);

	seen->opened += m == NULL;
	seen->responses += m != NULL;
	seen->status = m ? m->status : 0;
}

static void on_denied(struct channel_stream *stream, const struct record_denied *m)
{
	struct seen *seen = channel_data(stream);

	assert_string_equal(m->rule_id, "r1");
	seen->denials++;
	seen->stream = NULL;
}

static void on_data(struct channel_stream *stream, const uint8_t *bytes, size_t len)
{
	struct seen *seen = channel_data(stream);

	seen->bytes += len;
	seen->sum = add_up(seen->sum, bytes, len);
	if (!seen->keep)
		channel_consumed(stream, len);
}

static void on_end(struct channel_stream *stream, const struct record_fields *trailers)
{
	struct seen *seen = channel_data(stream);

	seen->ends++;
	if (trailers->count)
		strncpy(seen->trailer, trailers->list[0].value, sizeof(seen->trailer) - 1);
}

static void on_reset(struct channel_stream *stream, enum record_reason reason)
{
	struct seen *seen = channel_data(stream);

	seen->resets++;
	seen->reason = reason;
	seen->stream = NULL;
}

static void on_writable(struct channel_stream *stream)
{
	((struct seen *)channel_data(stream))->writables++;
}

static void on_broken(void *owner, int code, const char *why)
{
	struct fixture *f = owner;

	assert_non_null(why);
	f->broken++;
	f->broken_code = code;
}

static const struct channel_ops ops = { on_request, on_response, on_denied, on_data, on_end,
	on_reset, on_writable, on_broken };

static void turn(struct fixture *f)
{
	while (loop_run_once(f->loop, 5) > 0)
		;
}

static int setup(void **state)
{
	current = calloc(1, sizeof(*current));
	assert_int_equal(loop_create(&current->loop), 0);
	current->raw = -1;
	*state = current;
	return 0;
}

static int setup_pair(void **state)
{
	struct fixture *f;
	int fds[2];

	setup(state);
	f = *state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	assert_int_equal(
		channel_create(f->loop, fds[0], RECORD_FROM_PROXY, &ops, f, &f->proxy, NULL), 0);
	assert_int_equal(
		channel_create(f->loop, fds[1], RECORD_FROM_INJECTOR, &ops, f, &f->injector, NULL),
		0);
	return 0;
}

/* self is ours, the other end raw. */
static struct channel *against_raw(struct fixture *f, enum record_sender self)
{
	struct channel *channel;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	assert_int_equal(channel_create(f->loop, fds[0], self, &ops, f, &channel, NULL), 0);
	f->raw = fds[1];
	if (self == RECORD_FROM_PROXY)
		f->proxy = channel;
	else
		f->injector = channel;
	return channel;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	channel_destroy(f->proxy);
	channel_destroy(f->injector);
	if (f->raw >= 0)
		close(f->raw);
	loop_destroy(f->loop);
	free(f);
	return 0;
}

static struct record_request request(void)
{
	struct record_request m = { .request = { .protocol = POLICY_PROTOCOL_HTTP,
					    .port = 443,
					    .secure = true,
					    .method = "POST",
					    .path = "/" },
		.content_length = RECORD_LENGTH_UNKNOWN };

	assert_true(policy_host_parse("api.example.com", 15, &m.request.host));
	return m;
}

static const struct record_response answer = { .status = 200,
	.content_length = RECORD_LENGTH_UNKNOWN };

static struct channel_stream *ask(struct fixture *f, unsigned int i)
{
	struct record_request m = request();

	assert_int_equal(channel_open(f->proxy, &m, &f->asked[i], &f->asked[i].stream), 0);
	return f->asked[i].stream;
}

static void test_a_whole_exchange(void **state)
{
	struct fixture *f = *state;
	struct record_fields trailers = { .count = 1, .list = { { "grpc-status", "0" } } };
	struct record_response hints = { .status = 103 };
	struct channel_stream *s = ask(f, 0);

	assert_int_equal(channel_room(s), RECORD_DATA_MAX);
	channel_send(s, "question", 8);
	assert_int_equal(channel_end(s, NULL), 0);
	assert_int_equal(channel_room(s), 0);
	turn(f);
	assert_int_equal(f->served_count, 1);
	assert_int_equal(f->served[0].bytes, 8);
	assert_int_equal(f->served[0].ends, 1);
	assert_int_equal(channel_respond(f->served[0].stream, &hints), 0);
	assert_int_equal(channel_respond(f->served[0].stream, &answer), 0);
	channel_send(f->served[0].stream, "answer", 6);
	assert_int_equal(channel_end(f->served[0].stream, &trailers), 0);
	turn(f);
	assert_int_equal(f->asked[0].responses, 2);
	assert_int_equal(f->asked[0].status, 200);
	assert_int_equal(f->asked[0].bytes, 6);
	assert_string_equal(f->asked[0].trailer, "0");
	assert_int_equal(channel_stream_count(f->proxy), 0);
	assert_int_equal(channel_stream_count(f->injector), 0);
	assert_int_equal(f->broken, 0);
}

static void test_denials_resets_and_tunnels(void **state)
{
	struct fixture *f = *state;
	struct record_denied denied = {
		.reason = POLICY_REASON_NO_RULE, .rule_id = "r1", .text = "", .command = ""
	};
	struct record_request tunnel = { .request = {
						 .protocol = POLICY_PROTOCOL_TCP, .port = 22 } };

	ask(f, 0);
	ask(f, 1);
	ask(f, 2);
	tunnel.request.host = request().request.host;
	assert_int_equal(channel_open(f->proxy, &tunnel, &f->asked[3], &f->asked[3].stream), 0);
	turn(f);
	assert_int_equal(f->served_count, 4);
	assert_int_equal(channel_deny(f->served[0].stream, &denied), 0);
	channel_reset(f->served[1].stream, RECORD_UNTRUSTED);
	channel_reset(f->asked[2].stream, RECORD_CANCELLED);
	channel_opened(f->served[3].stream);
	turn(f);
	assert_int_equal(f->asked[0].denials, 1);
	assert_int_equal(f->asked[1].resets, 1);
	assert_int_equal(f->asked[1].reason, RECORD_UNTRUSTED);
	assert_int_equal(f->served[2].resets, 1);
	assert_int_equal(f->asked[3].opened, 1);
	assert_int_equal(channel_stream_count(f->proxy), 1);
	assert_int_equal(channel_stream_count(f->injector), 1);
}

/* What was on its way to a stream that has been reset is dropped, on both sides. */
static void test_what_crossed_on_the_way(void **state)
{
	struct fixture *f = *state;
	struct channel_stream *s = ask(f, 0);

	turn(f);
	assert_int_equal(channel_respond(f->served[0].stream, &answer), 0);
	channel_send(f->served[0].stream, "late", 4);
	channel_reset(s, RECORD_CANCELLED);
	turn(f);
	assert_int_equal(f->served[0].resets, 1);
	assert_int_equal(f->asked[0].responses, 0);
	assert_int_equal(f->broken, 0);
	ask(f, 1);
	turn(f);
	assert_int_equal(f->served_count, 2);
}

/* Megabytes both ways over several streams at once; one that stands still hinders no other and holds a bounded amount. */
static void test_credit(void **state)
{
	enum { BYTES = 3 << 20, MOVING = 8 };
	struct fixture *f = *state;
	static uint8_t data[RECORD_DATA_MAX];
	size_t sent[MOVING + 1] = {}, back[MOVING + 1] = {};
	uint32_t sums[MOVING + 1] = {}, back_sums[MOVING + 1] = {};
	bool more = true;

	for (unsigned int i = 0; i <= MOVING; i++)
		ask(f, i);
	turn(f);
	f->served[MOVING].keep = f->asked[MOVING].keep = true;
	for (unsigned int i = 0; i <= MOVING; i++)
		assert_int_equal(channel_respond(f->served[i].stream, &answer), 0);
	while (more) {
		more = false;
		for (unsigned int i = 0; i <= MOVING; i++) {
			struct channel_stream *ends[] = { f->asked[i].stream, f->served[i].stream };

			for (int way = 0; way < 2; way++) {
				size_t *done = way ? &back[i] : &sent[i],
				       room = channel_room(ends[way]);
				uint32_t *sum = way ? &back_sums[i] : &sums[i];

				room = MIN(room, BYTES - *done);
				if (!room)
					continue;
				for (size_t k = 0; k < room; k++)
					data[k] = (uint8_t)(*done + k * 3 + i + (size_t)way);
				channel_send(ends[way], data, room);
				*sum = add_up(*sum, data, room);
				*done += room;
				more = true;
			}
		}
		turn(f);
	}
	for (unsigned int i = 0; i < MOVING; i++) {
		assert_int_equal(f->served[i].bytes, BYTES);
		assert_int_equal(f->served[i].sum, sums[i]);
		assert_int_equal(f->asked[i].bytes, BYTES);
		assert_int_equal(f->asked[i].sum, back_sums[i]);
	}
	assert_int_equal(f->served[MOVING].bytes, RECORD_CREDIT_FIRST);
	assert_int_equal(f->asked[MOVING].bytes, RECORD_CREDIT_FIRST);
	channel_consumed(f->served[MOVING].stream, RECORD_CREDIT_FIRST);
	turn(f);
	assert_true(f->asked[MOVING].writables > 0);
	assert_int_equal(channel_room(f->asked[MOVING].stream), RECORD_DATA_MAX);
	assert_int_equal(f->broken, 0);
}

/* Room that comes while something else is sent, and not by the loop: who waits for it is told all the same. */
static void test_room_that_comes_between(void **state)
{
	enum { COUNT = 8 };
	struct fixture *f = *state;
	static uint8_t data[RECORD_DATA_MAX];
	size_t room;

	against_raw(f, RECORD_FROM_PROXY);
	for (unsigned int i = 0; i < COUNT; i++)
		ask(f, i);
	turn(f);
	for (unsigned int i = 0; i < COUNT; i++)
		while ((room = channel_room(f->asked[i].stream)) > 0)
			channel_send(f->asked[i].stream, data, room);
	for (unsigned int i = 0; i < COUNT - 1; i++) {
		while (recv(f->raw, data, sizeof(data), MSG_DONTWAIT) > 0)
			;
		channel_reset(f->asked[i].stream, RECORD_CANCELLED);
	}
	assert_int_equal(f->asked[COUNT - 1].writables, 0);
	turn(f);
	assert_true(f->asked[COUNT - 1].writables > 0);
}

static void test_the_other_end_leaves(void **state)
{
	struct fixture *f = *state;

	ask(f, 0);
	turn(f);
	channel_destroy(f->injector);
	f->injector = NULL;
	turn(f);
	assert_int_equal(f->broken, 1);
	assert_int_equal(f->broken_code, 0);
	assert_int_equal(channel_stream_count(f->proxy), 1);
	assert_int_equal(channel_room(f->asked[0].stream), 0);
	assert_int_equal(
		channel_open(f->proxy, &(struct record_request){}, NULL, &f->asked[1].stream),
		-EPIPE);
}

static void test_caps(void **state)
{
	struct fixture *f = *state;
	struct record_request m = request();
	struct channel_stream *s;
	int r;

	m.request.method = "not a token";
	assert_int_equal(channel_open(f->proxy, &m, f, &s), -EINVAL);
	m = request();
	for (int i = 0; i < RECORD_STREAMS_MAX; i++) {
		while ((r = channel_open(f->proxy, &m, &f->asked[0], &s)) == -EAGAIN)
			turn(f);
		assert_int_equal(r, 0);
	}
	assert_int_equal(channel_open(f->proxy, &m, &f->asked[0], &s), -EMFILE);
	turn(f);
	assert_int_equal(channel_stream_count(f->injector), RECORD_STREAMS_MAX);
	assert_int_equal(f->broken, 0);
}

/* -- rogues -- */

static uint8_t bytes[RECORD_HEAD_SIZE * 64 + 4 * RECORD_PAYLOAD_MAX];
static struct bytes_writer w;

static void begin(void)
{
	w = bytes_writer(bytes, sizeof(bytes));
}

/* The channel takes all of it, and breaks, or does not. */
static void expect(struct fixture *f, bool breaks)
{
	assert_false(w.failed);
	for (size_t at = 0; at < w.offset;) {
		ssize_t n = send(f->raw, bytes + at, w.offset - at, MSG_NOSIGNAL);

		if (n < 0) /* broken, and no longer read */
			break;
		at += (size_t)n;
		turn(f);
	}
	turn(f);
	assert_int_equal(f->broken, breaks);
	if (breaks)
		assert_int_equal(f->broken_code, -EPROTO);
}

static void put_request(uint32_t stream)
{
	struct record_request m = request();

	record_put_request(&w, stream, &m);
}

static void put_data(uint32_t stream, uint32_t len)
{
	record_put_data_head(&w, stream, len);
	for (uint32_t i = 0; i < len; i++)
		bytes_put_u8(&w, 1);
}

static void test_an_honest_raw_proxy(void **state)
{
	struct fixture *f = *state;

	against_raw(f, RECORD_FROM_INJECTOR);
	begin();
	put_request(1);
	put_data(1, 10);
	record_put_end(&w, 1, NULL);
	put_request(7);
	expect(f, false);
	assert_int_equal(f->served_count, 2);
}

static void test_an_id_used_again(void **state)
{
	struct fixture *f = *state;

	against_raw(f, RECORD_FROM_INJECTOR);
	begin();
	put_request(5);
	put_request(5);
	expect(f, true);
	assert_int_equal(f->served_count, 1);
}

static void test_an_id_from_before(void **state)
{
	struct fixture *f = *state;

	against_raw(f, RECORD_FROM_INJECTOR);
	begin();
	put_request(5);
	put_request(4);
	expect(f, true);
	assert_int_equal(f->served_count, 1);
}

static void test_a_stream_never_opened(void **state)
{
	struct fixture *f = *state;

	against_raw(f, RECORD_FROM_INJECTOR);
	begin();
	put_data(3, 1);
	expect(f, true);
}

static void test_data_after_the_end(void **state)
{
	struct fixture *f = *state;

	against_raw(f, RECORD_FROM_INJECTOR);
	begin();
	put_request(1);
	record_put_end(&w, 1, NULL);
	put_data(1, 1);
	expect(f, true);
}

static void test_two_ends(void **state)
{
	struct fixture *f = *state;

	against_raw(f, RECORD_FROM_INJECTOR);
	begin();
	put_request(1);
	record_put_end(&w, 1, NULL);
	record_put_end(&w, 1, NULL);
	expect(f, true);
}

static void test_more_than_its_credit(void **state)
{
	struct fixture *f = *state;

	against_raw(f, RECORD_FROM_INJECTOR);
	f->served[0].keep = true;
	begin();
	put_request(1);
	for (uint32_t sent = 0; sent < RECORD_CREDIT_FIRST; sent += RECORD_DATA_MAX)
		put_data(1, RECORD_DATA_MAX);
	expect(f, false);
	begin();
	put_data(1, 1);
	expect(f, true);
	assert_int_equal(f->served[0].bytes, RECORD_CREDIT_FIRST);
}

static void test_credit_without_end(void **state)
{
	struct fixture *f = *state;

	against_raw(f, RECORD_FROM_INJECTOR);
	begin();
	put_request(1);
	record_put_credit(&w, 1, RECORD_CREDIT_MAX - RECORD_CREDIT_FIRST);
	expect(f, false);
	begin();
	record_put_credit(&w, 1, 1);
	expect(f, true);
}

static void test_the_other_sides_words(void **state)
{
	struct fixture *f = *state;

	against_raw(f, RECORD_FROM_INJECTOR);
	begin();
	put_request(1);
	record_put_response(&w, 1, &answer);
	expect(f, true);
}

static void test_an_injector_that_asks(void **state)
{
	struct fixture *f = *state;

	against_raw(f, RECORD_FROM_PROXY);
	begin();
	put_request(1);
	expect(f, true);
}

static void test_data_before_the_answer(void **state)
{
	struct fixture *f = *state;

	against_raw(f, RECORD_FROM_PROXY);
	ask(f, 0);
	begin();
	put_data(1, 1);
	expect(f, true);
	assert_int_equal(f->asked[0].bytes, 0);
}

static void test_two_answers(void **state)
{
	struct fixture *f = *state;

	against_raw(f, RECORD_FROM_PROXY);
	ask(f, 0);
	begin();
	record_put_response(&w, 1, &answer);
	record_put_response(&w, 1, &answer);
	expect(f, true);
	assert_int_equal(f->asked[0].responses, 1);
}

static void test_an_answer_to_nothing(void **state)
{
	struct fixture *f = *state;

	against_raw(f, RECORD_FROM_PROXY);
	ask(f, 0);
	begin();
	record_put_response(&w, 2, &answer);
	expect(f, true);
}

/* A peer that asks and asks and takes no answer: our words for it do not pile up without end. */
static void test_a_peer_that_reads_nothing(void **state)
{
	struct fixture *f = *state;
	uint32_t id = 0;

	against_raw(f, RECORD_FROM_INJECTOR);
	f->refuse = true;
	while (!f->broken && id < 1000000) {
		size_t at = 0;

		begin();
		for (int i = 0; i < 200; i++)
			put_request(++id);
		while (at < w.offset && !f->broken) {
			ssize_t n = send(f->raw, bytes + at, w.offset - at, MSG_NOSIGNAL);

			at += n > 0 ? (size_t)n : 0;
			loop_run_once(f->loop, 0);
		}
	}
	assert_int_equal(f->broken, 1);
	assert_int_equal(f->broken_code, -EPROTO);
	assert_int_equal(channel_stream_count(f->injector), 0);
}

/* A byte at a time is the same as all at once. */
static void test_any_cut(void **state)
{
	struct fixture *f = *state;

	against_raw(f, RECORD_FROM_INJECTOR);
	begin();
	put_request(1);
	put_data(1, 100);
	record_put_end(&w, 1, NULL);
	for (size_t i = 0; i < w.offset; i++) {
		assert_int_equal(send(f->raw, bytes + i, 1, 0), 1);
		turn(f);
	}
	assert_int_equal(f->served[0].bytes, 100);
	assert_int_equal(f->served[0].ends, 1);
	assert_int_equal(f->broken, 0);
	assert_int_equal(send(f->raw, bytes, 5, 0), 5);
	close(f->raw);
	f->raw = -1;
	turn(f);
	assert_int_equal(f->broken, 1);
	assert_int_equal(f->broken_code, -EPROTO);
}

#define TEST(name)	 cmocka_unit_test_setup_teardown(name, setup_pair, teardown)
#define TEST_ROGUE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_whole_exchange),
		TEST(test_denials_resets_and_tunnels),
		TEST(test_what_crossed_on_the_way),
		TEST(test_credit),
		TEST(test_the_other_end_leaves),
		TEST(test_caps),
		TEST_ROGUE(test_room_that_comes_between),
		TEST_ROGUE(test_an_honest_raw_proxy),
		TEST_ROGUE(test_an_id_used_again),
		TEST_ROGUE(test_an_id_from_before),
		TEST_ROGUE(test_a_stream_never_opened),
		TEST_ROGUE(test_data_after_the_end),
		TEST_ROGUE(test_two_ends),
		TEST_ROGUE(test_more_than_its_credit),
		TEST_ROGUE(test_credit_without_end),
		TEST_ROGUE(test_the_other_sides_words),
		TEST_ROGUE(test_an_injector_that_asks),
		TEST_ROGUE(test_data_before_the_answer),
		TEST_ROGUE(test_two_answers),
		TEST_ROGUE(test_an_answer_to_nothing),
		TEST_ROGUE(test_a_peer_that_reads_nothing),
		TEST_ROGUE(test_any_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
