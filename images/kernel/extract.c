/* SPDX-License-Identifier: Apache-2.0 */
#include "images/kernel/extract.h"

#include <errno.h>
#include <lz4.h>
#include <lzma.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>
#include <zstd.h>

#include "vmm/base/array.h"
#include "vmm/base/bytes.h"
#include "vmm/base/checked.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"

/* The setup header, by offset into the file */
#define SETUP_SECTS	     0x1f1
#define BOOT_FLAG	     0x1fe
#define HEADER		     0x202
#define VERSION		     0x206
#define PAYLOAD_OFFSET	     0x248
#define PAYLOAD_LENGTH	     0x24c
#define SETUP_HEADER_END     0x250
#define SECTOR		     512
#define VERSION_WITH_PAYLOAD 0x0208

#define OUTPUT_CHUNK	    (256u << 10)
#define XZ_MEMORY_MAX	    (256ull << 20)
#define ZSTD_WINDOW_LOG_MAX 27 /* what the kernel's own build asks for at most */
#define LZ4_BLOCK_MAX	    (8u << 20) /* of the legacy frame */

static const struct {
	enum kernel_packing packing;
	const char *magic;
	size_t magic_size;
} packings[] = {
	{ KERNEL_GZIP, "\x1f\x8b\x08", 3 },
	{ KERNEL_XZ,
		"\xfd"
		"7zXZ",
		6 },
	{ KERNEL_ZSTD, "\x28\xb5\x2f\xfd", 4 },
	{ KERNEL_LZ4, "\x02\x21\x4c\x18", 4 },
};

static int find_packing(struct kernel_payload *payload, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(packings); i++)
		if (payload->size >= packings[i].magic_size &&
			!memcmp(payload->data, packings[i].magic, packings[i].magic_size)) {
			payload->packing = packings[i].packing;
			return 0;
		}
	return err_set(err, -ENOEXEC,
		"kernel: packed in a way not known here (gzip, xz, zstd and lz4 are)");
}

int kernel_find_payload(const void *file, size_t size, struct kernel_payload *ret, struct err *err)
{
	const uint8_t *f = file;
	struct kernel_payload payload = {};
	uint64_t offset, length;
	int r;

	if (size < SETUP_HEADER_END || load_le16(f + BOOT_FLAG) != 0xaa55 ||
		memcmp(f + HEADER, "HdrS", 4) != 0)
		return err_set(err, -ENOEXEC, "kernel: neither an ELF vmlinux nor a bzImage");
	if (load_le16(f + VERSION) < VERSION_WITH_PAYLOAD)
		return err_set(err, -ENOEXEC, "kernel: a bzImage older than boot protocol 2.08");
	/* 0 means 4, for reasons of old boot loaders. */
	offset = (f[SETUP_SECTS] ? f[SETUP_SECTS] + 1ull : 5ull) * SECTOR +
		 load_le32(f + PAYLOAD_OFFSET);
	length = load_le32(f + PAYLOAD_LENGTH);
	if (length < 8 || !range_fits(offset, length, size))
		return err_set(err, -ENOEXEC, "kernel: its payload reaches beyond the file's end");
	payload.data = f + offset;
	payload.size = length - 4;
	payload.unpacked_size = load_le32(f + offset + length - 4);
	r = find_packing(&payload, err);
	if (r < 0)
		return r;
	/* gzip ends in that size by itself. */
	if (payload.packing == KERNEL_GZIP)
		payload.size = length;
	*ret = payload;
	return 0;
}

/* Where pieces go: counts, bounds, passes on. */
struct output {
	kernel_sink_fn *sink;
	void *data;
	uint64_t written, max;
	struct err *err;
	uint8_t *chunk; /* OUTPUT_CHUNK */
};

static int output_put(struct output *out, const void *bytes, size_t len)
{
	if (len > out->max - out->written)
		return err_set(out->err, -EFBIG, "kernel: unpacks to more than %llu bytes",
			(unsigned long long)out->max);
	out->written += len;
	return len ? out->sink(out->data, bytes, len) : 0;
}

static int damaged(const struct output *out, const char *format, const char *why)
{
	return err_set(out->err, -EBADMSG, "kernel: its %s payload is damaged: %s", format, why);
}

static int run_gzip(z_stream *z, struct output *out)
{
	int state, r;

	do {
		z->next_out = out->chunk;
		z->avail_out = OUTPUT_CHUNK;
		state = inflate(z, Z_NO_FLUSH);
		if (state != Z_OK && state != Z_STREAM_END)
			return damaged(out, "gzip", z->msg ? z->msg : "cut short");
		r = output_put(out, out->chunk, OUTPUT_CHUNK - z->avail_out);
		if (r < 0)
			return r;
	} while (state != Z_STREAM_END);
	return 0;
}

static int unpack_gzip(const struct kernel_payload *payload, struct output *out)
{
	z_stream z = { .next_in = (Bytef *)payload->data, .avail_in = (uInt)payload->size };
	int r;

	if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK)
		return err_set(out->err, -ENOMEM, "kernel: no memory to unpack it");
	r = run_gzip(&z, out);
	inflateEnd(&z);
	return r;
}

static int run_xz(lzma_stream *lzma, struct output *out)
{
	lzma_ret state;
	int r;

	do {
		lzma->next_out = out->chunk;
		lzma->avail_out = OUTPUT_CHUNK;
		state = lzma_code(lzma, LZMA_RUN);
		if (state != LZMA_OK && state != LZMA_STREAM_END)
			return damaged(out, "xz",
				state == LZMA_MEMLIMIT_ERROR ? "wants too much memory"
							     : "not valid");
		r = output_put(out, out->chunk, OUTPUT_CHUNK - lzma->avail_out);
		if (r < 0)
			return r;
	} while (state != LZMA_STREAM_END);
	return 0;
}

static int unpack_xz(const struct kernel_payload *payload, struct output *out)
{
	lzma_stream lzma = LZMA_STREAM_INIT;
	int r;

	if (lzma_stream_decoder(&lzma, XZ_MEMORY_MAX, 0) != LZMA_OK)
		return err_set(out->err, -ENOMEM, "kernel: no memory to unpack it");
	lzma.next_in = payload->data;
	lzma.avail_in = payload->size;
	r = run_xz(&lzma, out);
	lzma_end(&lzma);
	return r;
}

static int run_zstd(ZSTD_DStream *zstd, const struct kernel_payload *payload, struct output *out)
{
	ZSTD_inBuffer in = { .src = payload->data, .size = payload->size };
	size_t state;

	do {
		ZSTD_outBuffer piece = { .dst = out->chunk, .size = OUTPUT_CHUNK };
		size_t had = in.pos;
		int r;

		state = ZSTD_decompressStream(zstd, &piece, &in);
		if (ZSTD_isError(state))
			return damaged(out, "zstd", ZSTD_getErrorName(state));
		if (state && !piece.pos && in.pos == had)
			return damaged(out, "zstd", "cut short");
		r = output_put(out, out->chunk, piece.pos);
		if (r < 0)
			return r;
	} while (state);
	return 0;
}

static int unpack_zstd(const struct kernel_payload *payload, struct output *out)
{
	ZSTD_DStream *zstd = ZSTD_createDStream();
	int r;

	if (!zstd)
		return err_set(out->err, -ENOMEM, "kernel: no memory to unpack it");
	ZSTD_DCtx_setParameter(zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
	r = run_zstd(zstd, payload, out);
	ZSTD_freeDStream(zstd);
	return r;
}

/* The legacy frame: a magic, then blocks of a u32 size and that many bytes, each of them 8 MiB unpacked or the last. */
static int unpack_lz4(const struct kernel_payload *payload, struct output *out)
{
	struct bytes_reader in = bytes_reader(payload->data, payload->size);
	_cleanup_free_ char *block = malloc(LZ4_BLOCK_MAX);

	if (!block)
		return err_set(out->err, -ENOMEM, "kernel: no memory to unpack it");
	bytes_get_u32(&in);
	while (bytes_left(&in)) {
		uint32_t size = bytes_get_u32(&in);
		const uint8_t *packed = bytes_get(&in, size);
		int n, r;

		if (!packed || size > LZ4_COMPRESSBOUND(LZ4_BLOCK_MAX))
			return damaged(out, "lz4", "cut short");
		n = LZ4_decompress_safe((const char *)packed, block, (int)size, LZ4_BLOCK_MAX);
		if (n < 0)
			return damaged(out, "lz4", "not valid");
		r = output_put(out, block, (size_t)n);
		if (r < 0)
			return r;
	}
	return in.failed ? damaged(out, "lz4", "cut short") : 0;
}

static int unpack(const struct kernel_payload *payload, struct output *out)
{
	switch (payload->packing) {
	case KERNEL_GZIP:
		return unpack_gzip(payload, out);
	case KERNEL_XZ:
		return unpack_xz(payload, out);
	case KERNEL_ZSTD:
		return unpack_zstd(payload, out);
	case KERNEL_LZ4:
		return unpack_lz4(payload, out);
	}
	return -ENOEXEC;
}

int kernel_unpack(const struct kernel_payload *payload, uint64_t max, kernel_sink_fn *sink,
	void *data, struct err *err)
{
	_cleanup_free_ uint8_t *chunk = malloc(OUTPUT_CHUNK);
	struct output out = { .sink = sink, .data = data, .max = max, .err = err, .chunk = chunk };
	int r;

	if (!chunk)
		return err_set(err, -ENOMEM, "kernel: no memory to unpack it");
	r = unpack(payload, &out);
	if (r < 0)
		return r;
	if (out.written != payload->unpacked_size)
		return err_set(err, -EBADMSG, "kernel: unpacks to %llu bytes, and says %u",
			(unsigned long long)out.written, payload->unpacked_size);
	return 0;
}

struct file_sink {
	int fd;
	uint64_t written;
	struct err *err;
};

/* What comes out has to be an ELF file: told at the first piece, not at the next boot. */
static int write_to_file(void *data, const void *bytes, size_t len)
{
	struct file_sink *sink = data;
	int r;

	if (!sink->written && (len < 4 || memcmp(bytes,
						  "\x7f"
						  "ELF",
						  4) != 0))
		return err_set(sink->err, -ENOEXEC, "kernel: what it unpacks to is no ELF file");
	r = fdio_write_full(sink->fd, bytes, len);
	if (r < 0)
		return err_set(sink->err, r, "kernel: cannot write it: %s", strerror(-r));
	sink->written += len;
	return 0;
}

static int extract(const uint8_t *file, size_t size, int out_fd, struct err *err)
{
	struct file_sink sink = { .fd = out_fd, .err = err };
	struct kernel_payload payload;
	int r;

	if (size >= 4 && !memcmp(file,
				 "\x7f"
				 "ELF",
				 4))
		return write_to_file(&sink, file, size);
	r = kernel_find_payload(file, size, &payload, err);
	return r < 0 ? r : kernel_unpack(&payload, KERNEL_VMLINUX_MAX, write_to_file, &sink, err);
}

int kernel_extract(int in_fd, int out_fd, struct err *err)
{
	_cleanup_free_ uint8_t *file = NULL;
	struct stat st;
	int r;

	if (fstat(in_fd, &st) < 0)
		return err_set(err, -errno, "kernel: %m");
	if (!S_ISREG(st.st_mode) || st.st_size <= 0 || (uint64_t)st.st_size > KERNEL_FILE_MAX)
		return err_set(err, -ENOEXEC, "kernel: not a file of at most %llu MiB",
			KERNEL_FILE_MAX >> 20);
	file = malloc((size_t)st.st_size);
	if (!file)
		return err_set(err, -ENOMEM, "kernel: no memory to read it");
	r = fdio_pread_full(in_fd, file, (size_t)st.st_size, 0);
	if (r < 0)
		return err_set(err, r, "kernel: cannot read it: %s", strerror(-r));
	return extract(file, (size_t)st.st_size, out_fd, err);
}
