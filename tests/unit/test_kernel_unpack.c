/* SPDX-License-Identifier: Apache-2.0 */
/*
 * H10: a kernel file is unpacked by a process that can do nothing else. The real sandbox-unpack, and in its place a
 * shell that hangs, lies and dies.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <cmocka.h>

#include "images/kernel_unpack.h"
#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/base/loop.h"

#define PAYLOAD_AT  (3 * 512 + 64)
#define KERNEL_SIZE 300000u

static char script[] = "/tmp/unpack-XXXXXX";

/* A bzImage of zeros behind `start`, packed by gzip, that says it unpacks to `says` bytes. */
static int image_of(const char *start, size_t size, uint32_t says)
{
	_cleanup_free_ uint8_t *kernel = calloc(1, size), *image = calloc(1, 64 << 10);
	z_stream z = { .next_in = kernel, .avail_in = (uInt)size, .avail_out = 60 << 10 };
	int fd = memfd_create("image", MFD_CLOEXEC);

	assert_non_null(kernel);
	assert_non_null(image);
	memcpy(kernel, start, strlen(start));
	z.next_out = image + PAYLOAD_AT;
	assert_int_equal(
		deflateInit2(&z, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	store_le32(image + PAYLOAD_AT + z.total_out - 4, says);
	image[0x1f1] = 2;
	store_le16(image + 0x1fe, 0xaa55);
	memcpy(image + 0x202, "HdrS", 4);
	store_le16(image + 0x206, 0x20f);
	store_le32(image + 0x248, 64);
	store_le32(image + 0x24c, (uint32_t)z.total_out);
	assert_int_equal(fdio_write_full(fd, image, PAYLOAD_AT + z.total_out), 0);
	return fd;
}

static int unpack_by(
	const char *program, int in, unsigned int wall_ms, int *ret_out, struct err *err)
{
	struct kernel_unpacker unpacker = { program, geteuid(), getegid() };

	*ret_out = memfd_create("out", MFD_CLOEXEC);
	return kernel_unpack_jailed(&unpacker, in, *ret_out, wall_ms, err);
}

static void test_unpacks(void **state)
{
	_cleanup_close_ int in = image_of("\177ELF", KERNEL_SIZE, KERNEL_SIZE), out = -1;
	struct err err = {};
	struct stat st;

	(void)state;
	if (unpack_by(getenv("SANDBOX_UNPACK"), in, 0, &out, &err) < 0)
		fail_msg("%s (%s)", err.text, err.next_step);
	assert_int_equal(fstat(out, &st), 0);
	assert_int_equal(st.st_size, KERNEL_SIZE);
}

static void test_errors_come_through(void **state)
{
	_cleanup_close_ int no_elf = image_of("text", KERNEL_SIZE, KERNEL_SIZE), out1 = -1;
	_cleanup_close_ int wrong_size = image_of("\177ELF", KERNEL_SIZE, 7), out2 = -1;
	struct err err = {};

	(void)state;
	assert_int_equal(unpack_by(getenv("SANDBOX_UNPACK"), no_elf, 0, &out1, &err), -ENOEXEC);
	assert_non_null(strstr(err.text, "no ELF"));
	assert_int_equal(unpack_by(getenv("SANDBOX_UNPACK"), wrong_size, 0, &out2, &err), -EBADMSG);
}

/* A program in sandbox-unpack's place, as a hijacked one would go on. */
static int lie(const char *text, unsigned int wall_ms, int *ret_out, struct err *err)
{
	_cleanup_close_ int in = image_of("\177ELF", KERNEL_SIZE, KERNEL_SIZE);
	_cleanup_close_ int fd = open(script, O_WRONLY | O_TRUNC);

	assert_true(fd >= 0);
	assert_int_equal(fdio_write_full(fd, text, strlen(text)), 0);
	close(TAKE_FD(fd));
	return unpack_by(script, in, wall_ms, ret_out, err);
}

static void test_a_liar_is_not_believed(void **state)
{
	_cleanup_close_ int out1 = -1, out2 = -1, out3 = -1, out4 = -1, out5 = -1;
	struct err err = {};

	(void)state;
	assert_int_equal(lie("#!/bin/sh\nexit 0\n", 0, &out1, &err), -EPROTO);
	assert_int_equal(lie("#!/bin/sh\nkill -9 $$\n", 0, &out2, &err), -EPROTO);
	/* "done", and no ELF */
	assert_int_equal(
		lie("#!/bin/sh\necho text\nhead -c 256 /dev/zero >&3\n", 0, &out3, &err), -EPROTO);
	/* terminal bytes for a text */
	assert_int_equal(lie("#!/bin/sh\nprintf '\\010\\0\\0\\0\\033]0;x\\007' >&3\n"
			     "head -c 256 /dev/zero >&3\n",
				 0, &out4, &err),
		-ENOEXEC);
	assert_string_equal(err.text, "?]0;x?");
	assert_int_equal(lie("#!/bin/sh\nprintf '\\377\\377\\377\\377' >&3\n"
			     "head -c 256 /dev/zero >&3\n",
				 0, &out5, &err),
		-EPROTO);
}

static void test_one_that_hangs_is_killed(void **state)
{
	uint64_t start = clock_monotonic_ms();
	_cleanup_close_ int out = -1;
	struct err err = {};

	(void)state;
	assert_int_equal(lie("#!/bin/sh\nsleep 100\n", 300, &out, &err), -ETIMEDOUT);
	assert_true(clock_monotonic_ms() - start < 30000);
}

static int set_up(void **state)
{
	int fd = mkstemp(script);

	(void)state;
	if (fd < 0 || fchmod(fd, 0755) < 0)
		return -1;
	return close(fd);
}

static int tear_down(void **state)
{
	(void)state;
	return unlink(script);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unpacks),
		cmocka_unit_test(test_errors_come_through),
		cmocka_unit_test(test_a_liar_is_not_believed),
		cmocka_unit_test(test_one_that_hangs_is_killed),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
