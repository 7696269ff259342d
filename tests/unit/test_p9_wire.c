/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/base/array.h"
#include "vmm/devices/p9_wire.h"

/* Golden vectors: bytes as Linux's client sends them, written down by hand from the protocol's text. */

static int parse(const uint8_t *message, size_t size, struct p9_request *ret)
{
	uint32_t said;
	uint16_t tag;
	uint8_t type;

	assert_true(p9_parse_header(message, &said, &type, &tag));
	assert_int_equal(said, size);
	return p9_parse(type, tag, message + P9_HEADER_BYTES, size - P9_HEADER_BYTES, ret);
}

static void test_version(void **state)
{
	static const uint8_t message[] = { 21, 0, 0, 0, 100, 0xff, 0xff, 0x00, 0xd0, 0x07, 0x00, 8,
		0, '9', 'P', '2', '0', '0', '0', '.', 'L' };
	struct p9_request q;

	(void)state;
	assert_int_equal(parse(message, sizeof(message), &q), 0);
	assert_int_equal(q.type, P9_TVERSION);
	assert_int_equal(q.tag, P9_NOTAG);
	assert_int_equal(q.msize, 512000);
	assert_int_equal(q.name.len, 8);
	assert_memory_equal(q.name.data, "9P2000.L", 8);
}

static void test_walk(void **state)
{
	static const uint8_t message[] = { 23, 0, 0, 0, 110, 1, 0, 2, 0, 0, 0, 3, 0, 0, 0, 2, 0, 1,
		0, 'a', 1, 0, 'b' };
	struct p9_request q;

	(void)state;
	assert_int_equal(parse(message, sizeof(message), &q), 0);
	assert_int_equal(q.fid, 2);
	assert_int_equal(q.other_fid, 3);
	assert_int_equal(q.name_count, 2);
	assert_int_equal(q.names[1].len, 1);
	assert_int_equal(*q.names[1].data, 'b');
}

static void test_setattr(void **state)
{
	static const uint8_t message[67] = { 67, 0, 0, 0, 26, 9, 0, 5, 0, 0, 0, 0xff, 1, 0, 0, 0xa4,
		0x81, 0, 0, 0xe8, 3, 0, 0, 0xe9, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0,
		0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4 };
	struct p9_request q;

	(void)state;
	assert_int_equal(parse(message, sizeof(message), &q), 0);
	assert_int_equal(q.fid, 5);
	assert_int_equal(q.valid, 0x1ff);
	assert_int_equal(q.mode, 0100644);
	assert_int_equal(q.uid, 1000);
	assert_int_equal(q.gid, 1001);
	assert_int_equal(q.size, 256);
	assert_int_equal(q.atime_s, 1);
	assert_int_equal(q.atime_ns, 2);
	assert_int_equal(q.mtime_s, 3);
	assert_int_equal(q.mtime_ns, 4);
}

static void test_link_names_the_folder_first(void **state)
{
	static const uint8_t message[] = { 18, 0, 0, 0, 70, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0,
		'n' };
	struct p9_request q;

	(void)state;
	assert_int_equal(parse(message, sizeof(message), &q), 0);
	assert_int_equal(q.other_fid, 1);
	assert_int_equal(q.fid, 2);
}

static void test_lock(void **state)
{
	static const uint8_t message[] = { 38, 0, 0, 0, 52, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 0, 16, 0,
		0, 0, 0, 0, 0, 0, 32, 0, 0, 0, 0, 0, 0, 0, 77, 0, 0, 0, 0, 0 };
	struct p9_request q;

	(void)state;
	assert_int_equal(parse(message, sizeof(message), &q), 0);
	assert_int_equal(q.lock_type, P9_LOCK_WRITE);
	assert_int_equal(q.flags, 1);
	assert_int_equal(q.lock_start, 16);
	assert_int_equal(q.lock_length, 32);
	assert_int_equal(q.lock_process, 77);
	assert_int_equal(q.name.len, 0);
}

static void test_write_without_its_data(void **state)
{
	static const uint8_t message[] = { 23, 0, 0, 0, 118, 0, 0, 1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0,
		0, 3, 0, 0, 0 };
	struct p9_request q;

	(void)state;
	assert_int_equal(parse(message, sizeof(message), &q), 0);
	assert_int_equal(q.offset, 512);
	assert_int_equal(q.count, 3);
}

/* Every message cut at every place, and with a byte too many, is refused. */
static void test_cut_messages(void **state)
{
	static const uint8_t types[] = { P9_TSTATFS, P9_TLOPEN, P9_TLCREATE, P9_TSYMLINK, P9_TMKNOD,
		P9_TRENAME, P9_TREADLINK, P9_TGETATTR, P9_TSETATTR, P9_TXATTRWALK, P9_TXATTRCREATE,
		P9_TREADDIR, P9_TLOCK, P9_TGETLOCK, P9_TLINK, P9_TMKDIR, P9_TRENAMEAT, P9_TUNLINKAT,
		P9_TVERSION, P9_TAUTH, P9_TATTACH, P9_TFLUSH, P9_TWALK, P9_TREAD, P9_TWRITE,
		P9_TCLUNK, P9_TREMOVE };
	uint8_t zeros[128] = {};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		unsigned int right = 0;

		for (size_t size = 0; size <= sizeof(zeros); size++) {
			struct p9_request q = { .fid = 42 };
			int r = p9_parse(types[i], 1, zeros, size, &q);

			assert_true(r == 0 || r == -EPROTO);
			right += r == 0;
			if (r < 0)
				assert_int_equal(q.fid, 42);
		}
		/* With empty strings there is one right length. */
		assert_int_equal(right, 1);
	}
}

static void test_refused(void **state)
{
	static const uint8_t many[] = { 0, 0, 0, 0, 1, 0, 0, 0, 17, 0 };
	static const uint8_t small[] = { 6, 0, 0, 0, 100, 0, 0 };
	struct p9_request q;
	uint32_t size;
	uint16_t tag;
	uint8_t type;

	(void)state;
	assert_int_equal(p9_parse(P9_TWALK, 0, many, sizeof(many), &q), -EPROTO);
	assert_false(p9_parse_header(small, &size, &type, &tag));
	/* Replies, 9P2000's own messages, numbers nobody has. */
	for (unsigned int t = 0; t < 256; t++) {
		if (t % 2 && p9_parse((uint8_t)t, 0, many, 0, &q) != -EOPNOTSUPP)
			fail();
	}
	assert_int_equal(p9_parse(112, 0, many, 5, &q), -EOPNOTSUPP);
	assert_int_equal(p9_parse(255, 0, many, 0, &q), -EOPNOTSUPP);
}

static void test_replies(void **state)
{
	static const uint8_t wanted[] = { 31, 0, 0, 0, 41, 7, 0, 0x80, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0,
		0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0 };
	uint8_t data[64];
	struct bytes_writer w = bytes_writer(data, sizeof(data));

	(void)state;
	p9_begin(&w, P9_TREADDIR + 1, 7);
	p9_put_entry(&w, &(struct p9_qid){ .type = 0x80, .version = 1, .path = 2 }, 9, 4, "", 0);
	assert_int_equal(p9_end(&w, 0), sizeof(wanted));
	assert_memory_equal(data, wanted, sizeof(wanted));
	assert_int_equal(p9_end(&w, 100), sizeof(wanted) + 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_version),
		cmocka_unit_test(test_walk),
		cmocka_unit_test(test_setattr),
		cmocka_unit_test(test_link_names_the_folder_first),
		cmocka_unit_test(test_lock),
		cmocka_unit_test(test_write_without_its_data),
		cmocka_unit_test(test_cut_messages),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_replies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
