/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <lz4.h>
#include <lzma.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <cmocka.h>

#include "images/kernel/extract.h"
#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"

#define SETUP_SECTS 2
#define PAYLOAD_AT  ((SETUP_SECTS + 1) * 512 + 64)
#define IMAGE_MAX   (64u << 10)
#define KERNEL_SIZE 300000u /* more than one chunk of output */

static uint8_t kernel[KERNEL_SIZE];

static void make_kernel(void)
{
	memcpy(kernel,
		"\x7f"
		"ELF",
		4);
	for (size_t i = 4; i < sizeof(kernel); i++)
		kernel[i] = (uint8_t)(i / 1000 * 7);
}

static size_t pack_gzip(uint8_t *out, size_t size)
{
	z_stream z = { .next_in = kernel,
		.avail_in = sizeof(kernel),
		.next_out = out,
		.avail_out = (uInt)size };

	assert_int_equal(
		deflateInit2(&z, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return z.total_out; /* its own end is the size */
}

static size_t with_size(uint8_t *out, size_t len)
{
	store_le32(out + len, KERNEL_SIZE);
	return len + 4;
}

static size_t pack_xz(uint8_t *out, size_t size)
{
	size_t len = 0;

	assert_int_equal(lzma_easy_buffer_encode(6, LZMA_CHECK_CRC32, NULL, kernel, sizeof(kernel),
				 out, &len, size),
		LZMA_OK);
	return with_size(out, len);
}

static size_t pack_zstd(uint8_t *out, size_t size)
{
	size_t len = ZSTD_compress(out, size, kernel, sizeof(kernel), 3);

	assert_false(ZSTD_isError(len));
	return with_size(out, len);
}

static size_t pack_lz4(uint8_t *out, size_t size)
{
	int len = LZ4_compress_default(
		(const char *)kernel, (char *)out + 8, sizeof(kernel), (int)size - 8);

	assert_true(len > 0);
	memcpy(out, "\x02\x21\x4c\x18", 4);
	store_le32(out + 4, (uint32_t)len);
	return with_size(out, (size_t)len + 8);
}

/* A bzImage that holds just what the loader looks at. */
static size_t make_image(uint8_t image[static IMAGE_MAX], size_t (*pack)(uint8_t *out, size_t size))
{
	size_t len;

	memset(image, 0, IMAGE_MAX);
	len = pack(image + PAYLOAD_AT, IMAGE_MAX - PAYLOAD_AT - 8);
	image[0x1f1] = SETUP_SECTS;
	store_le16(image + 0x1fe, 0xaa55);
	memcpy(image + 0x202, "HdrS", 4);
	store_le16(image + 0x206, 0x20f);
	store_le32(image + 0x248, 64);
	store_le32(image + 0x24c, (uint32_t)len);
	return PAYLOAD_AT + len;
}

static int file_of(const void *data, size_t len)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fdio_write_full(fd, data, len), 0);
	return fd;
}

static int extract(const void *image, size_t len, int *ret_out, struct err *err)
{
	_cleanup_close_ int in = file_of(image, len);

	*ret_out = memfd_create("out", MFD_CLOEXEC);
	return kernel_extract(in, *ret_out, err);
}

static void assert_unpacks(size_t (*pack)(uint8_t *out, size_t size), enum kernel_packing packing)
{
	_cleanup_free_ uint8_t *image = malloc(IMAGE_MAX);
	_cleanup_free_ uint8_t *back = malloc(KERNEL_SIZE);
	_cleanup_close_ int out = -1;
	size_t len = make_image(image, pack);
	struct kernel_payload payload;

	assert_int_equal(kernel_find_payload(image, len, &payload, NULL), 0);
	assert_int_equal(payload.packing, packing);
	assert_int_equal(payload.unpacked_size, KERNEL_SIZE);
	assert_int_equal(extract(image, len, &out, NULL), 0);
	assert_int_equal(lseek(out, 0, SEEK_END), KERNEL_SIZE);
	assert_int_equal(fdio_pread_full(out, back, KERNEL_SIZE, 0), 0);
	assert_memory_equal(back, kernel, KERNEL_SIZE);
}

static void test_unpacks_each_format(void **state)
{
	(void)state;
	assert_unpacks(pack_gzip, KERNEL_GZIP);
	assert_unpacks(pack_xz, KERNEL_XZ);
	assert_unpacks(pack_zstd, KERNEL_ZSTD);
	assert_unpacks(pack_lz4, KERNEL_LZ4);
}

static void test_elf_passes_through(void **state)
{
	_cleanup_close_ int out = -1;

	(void)state;
	assert_int_equal(extract(kernel, sizeof(kernel), &out, NULL), 0);
	assert_int_equal(lseek(out, 0, SEEK_END), KERNEL_SIZE);
}

static void assert_refused(const uint8_t *image, size_t len, int code)
{
	_cleanup_close_ int out = -1;
	struct err err = {};

	assert_int_equal(extract(image, len, &out, &err), code);
	assert_int_equal(err.code, code);
	assert_non_null(strstr(err.text, "kernel"));
}

static void test_damage_is_told(void **state)
{
	size_t (*packs[])(uint8_t * out, size_t size) = { pack_gzip, pack_xz, pack_zstd, pack_lz4 };
	_cleanup_free_ uint8_t *image = malloc(IMAGE_MAX);

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		size_t len = make_image(image, packs[i]);
		uint32_t payload = load_le32(image + 0x24c);

		/* cut in the middle */
		store_le32(image + 0x24c, payload / 2);
		assert_refused(image, len, -EBADMSG);
		store_le32(image + 0x24c, payload);
		/* another size than it says */
		store_le32(image + len - 4, KERNEL_SIZE + 1);
		assert_refused(image, len, -EBADMSG);
		/* beyond the end of the file */
		store_le32(image + 0x24c, payload + 1);
		assert_refused(image, len, -ENOEXEC);
		store_le32(image + 0x24c, payload);
		store_le32(image + 0x248, UINT32_MAX);
		assert_refused(image, len, -ENOEXEC);
	}
}

static void test_what_is_no_kernel(void **state)
{
	_cleanup_free_ uint8_t *image = malloc(IMAGE_MAX);
	size_t len;

	(void)state;
	assert_refused((const uint8_t *)"#!/bin/sh\n", 10, -ENOEXEC);
	assert_refused((const uint8_t *)"", 0, -ENOEXEC);
	len = make_image(image, pack_zstd);
	memcpy(image + PAYLOAD_AT, "BZh9", 4);
	assert_refused(image, len, -ENOEXEC);
	len = make_image(image, pack_zstd);
	store_le16(image + 0x206, 0x207);
	assert_refused(image, len, -ENOEXEC);
	/* unpacks well, to something else */
	kernel[1] = 'e';
	len = make_image(image, pack_zstd);
	kernel[1] = 'E';
	assert_refused(image, len, -ENOEXEC);
}

static int count(void *data, const void *bytes, size_t len)
{
	(void)bytes;
	*(size_t *)data += len;
	return 0;
}

static void test_output_is_bounded(void **state)
{
	_cleanup_free_ uint8_t *image = malloc(IMAGE_MAX);
	struct kernel_payload payload;
	size_t len = make_image(image, pack_zstd), taken = 0;

	(void)state;
	assert_int_equal(kernel_find_payload(image, len, &payload, NULL), 0);
	assert_int_equal(kernel_unpack(&payload, KERNEL_SIZE - 1, count, &taken, NULL), -EFBIG);
	assert_true(taken < KERNEL_SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unpacks_each_format),
		cmocka_unit_test(test_elf_passes_through),
		cmocka_unit_test(test_damage_is_told),
		cmocka_unit_test(test_what_is_no_kernel),
		cmocka_unit_test(test_output_is_bounded),
	};

	make_kernel();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
