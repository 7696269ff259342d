/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-proxy/unmask.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <brotli/decode.h>
#include <zlib.h>
#include <zstd.h>

#include "vmm/base/array.h"

#define PIECE	      (16u << 10)
#define MESSAGE_HEAD  5 /* gRPC over HTTP2, Length-Prefixed-Message: flags, length */
#define MESSAGE_CODED 1
#define BLOCK_HEAD    16 /* before what brotli was given: its size; keeps it aligned */

struct unmask {
	const struct redact *redact;
	struct redact_stream stream;
	unmask_sink_fn *sink;
	void *data;
	bool has_zlib, over; /* over: its coding's own end came */
	z_stream zlib;
	ZSTD_DStream *zstd;
	BrotliDecoderState *brotli;
	size_t brotli_bytes; /* that it holds */
	uint64_t in, out;
	bool by_message;
	uint8_t head[MESSAGE_HEAD]; /* of the message that is coming */
	size_t head_used;
	uint64_t left; /* of that message, behind its head */
	size_t held_max, masked_size;
	uint8_t *masked; /* room for the longest piece so far and held_max */
	uint8_t *decoded; /* PIECE; NULL: nothing is to be decoded */
};

/* E11: what a body's window and tables ask for is bounded, and so is the window. */
static void *brotli_take(void *data, size_t size)
{
	struct unmask *u = data;
	uint8_t *block;

	if (size > UNMASK_BROTLI_MAX || u->brotli_bytes > UNMASK_BROTLI_MAX - size)
		return NULL;
	block = malloc(BLOCK_HEAD + size);
	if (!block)
		return NULL;
	memcpy(block, &size, sizeof(size));
	u->brotli_bytes += size;
	return block + BLOCK_HEAD;
}

/* A window has had the secret in it. */
static void brotli_give(void *data, void *address)
{
	struct unmask *u = data;
	uint8_t *block = address ? (uint8_t *)address - BLOCK_HEAD : NULL;
	size_t size;

	if (!block)
		return;
	memcpy(&size, block, sizeof(size));
	u->brotli_bytes -= size;
	explicit_bzero(block, BLOCK_HEAD + size);
	free(block);
}

static int begin_coding(struct unmask *u, const char *coding, bool *ret_decodes)
{
	*ret_decodes = true;
	if (!coding || !strcasecmp(coding, "identity")) {
		*ret_decodes = false;
		return 0;
	}
	u->decoded = malloc(PIECE);
	if (!u->decoded)
		return -ENOMEM;
	if (!strcasecmp(coding, "gzip") || !strcasecmp(coding, "x-gzip") ||
		!strcasecmp(coding, "deflate")) {
		/* 32: gzip's or zlib's head, whichever is there. */
		u->has_zlib = inflateInit2(&u->zlib, 15 + 32) == Z_OK;
		return u->has_zlib ? 0 : -ENOMEM;
	}
	if (!strcasecmp(coding, "zstd")) {
		u->zstd = ZSTD_createDStream();
		if (!u->zstd)
			return -ENOMEM;
		/* RFC 8878, section 3.1.1.1.2: 8 MiB is what a decoder must take, and RFC 9659 allows no more. */
		ZSTD_DCtx_setParameter(u->zstd, ZSTD_d_windowLogMax, 23);
		return 0;
	}
	if (!strcasecmp(coding, "br")) {
		/* RFC 7932. "Large window" streams are no part of it, and an error unless asked for. */
		u->brotli = BrotliDecoderCreateInstance(brotli_take, brotli_give, u);
		return u->brotli ? 0 : -ENOMEM;
	}
	return -EOPNOTSUPP;
}

int unmask_create(const struct redact *redact, const char *coding, unmask_sink_fn *sink, void *data,
	bool *ret_decodes, struct unmask **ret)
{
	struct unmask *u = calloc(1, sizeof(*u));
	int r;

	if (!u)
		return -ENOMEM;
	u->redact = redact;
	u->sink = sink;
	u->data = data;
	u->held_max = redact_held_max(redact);
	r = redact_stream_init(&u->stream, redact);
	if (r < 0) {
		free(u);
		return r;
	}
	r = begin_coding(u, coding, ret_decodes);
	if (r < 0)
		unmask_destroy(u);
	else
		*ret = u;
	return r;
}

void unmask_destroy(struct unmask *u)
{
	if (!u)
		return;
	redact_stream_finish(&u->stream);
	if (u->has_zlib)
		inflateEnd(&u->zlib);
	ZSTD_freeDStream(u->zstd);
	if (u->brotli)
		BrotliDecoderDestroyInstance(u->brotli);
	if (u->masked)
		explicit_bzero(u->masked, u->masked_size);
	free(u->masked);
	if (u->decoded)
		explicit_bzero(u->decoded, PIECE);
	free(u->decoded);
	free(u);
}

/* Room for what a piece of len bytes becomes; what was there is of no use any more. */
static int make_room(struct unmask *u, size_t len)
{
	size_t size = len + u->held_max;
	uint8_t *masked = size > u->masked_size ? malloc(size) : u->masked;

	if (!masked)
		return -ENOMEM;
	if (masked == u->masked)
		return 0;
	if (u->masked)
		explicit_bzero(u->masked, u->masked_size);
	free(u->masked);
	u->masked = masked;
	u->masked_size = size;
	return 0;
}

static int release(struct unmask *u)
{
	size_t n;

	if (make_room(u, 0) < 0)
		return -ENOMEM;
	n = redact_stream_end(&u->stream, u->masked);
	return n ? u->sink(u->data, u->masked, n) : 0;
}

static int mask(struct unmask *u, const uint8_t *bytes, size_t len)
{
	int r = 0;

	while (r >= 0 && len) {
		size_t piece = MIN(len, (size_t)PIECE);
		size_t n;

		r = make_room(u, piece);
		if (r < 0)
			break;
		n = redact_stream_take(&u->stream, bytes, piece, u->masked);
		r = n ? u->sink(u->data, u->masked, n) : 0;
		bytes += piece;
		len -= piece;
	}
	return r;
}

/* A message's head, as far as it has come. */
static int take_message_head(struct unmask *u, const uint8_t *byte)
{
	u->head[u->head_used++] = *byte;
	if (u->head_used < MESSAGE_HEAD)
		return mask(u, byte, 1);
	if (u->head[0] & MESSAGE_CODED)
		return -EOPNOTSUPP;
	for (size_t i = 1; i < MESSAGE_HEAD; i++)
		u->left = u->left << 8 | u->head[i];
	return mask(u, byte, 1);
}

static int mask_messages(struct unmask *u, const uint8_t *bytes, size_t len)
{
	int r = 0;

	while (r == 0 && len) {
		size_t piece = 1;

		if (u->head_used < MESSAGE_HEAD) {
			r = take_message_head(u, bytes);
		} else {
			piece = (size_t)MIN(u->left, (uint64_t)len);
			r = mask(u, bytes, piece);
			u->left -= piece;
		}
		bytes += piece;
		len -= piece;
		if (r == 0 && u->head_used == MESSAGE_HEAD && !u->left) {
			u->head_used = 0;
			r = release(u);
		}
	}
	return r;
}

void unmask_by_message(struct unmask *u)
{
	u->by_message = true;
}

static int pass_on(struct unmask *u, const uint8_t *bytes, size_t len)
{
	u->out += len;
	if (u->out > PIECE && u->out / UNMASK_RATIO_MAX > u->in)
		return -E2BIG;
	return u->by_message ? mask_messages(u, bytes, len) : mask(u, bytes, len);
}

static int take_zlib(struct unmask *u, const uint8_t *bytes, size_t len)
{
	int r = 0, z = Z_OK;

	u->zlib.next_in = (uint8_t *)(size_t)bytes;
	u->zlib.avail_in = (unsigned int)len;
	do {
		u->zlib.next_out = u->decoded;
		u->zlib.avail_out = PIECE;
		z = inflate(&u->zlib, Z_NO_FLUSH);
		if (z != Z_OK && z != Z_STREAM_END && z != Z_BUF_ERROR)
			return -EPROTO;
		r = pass_on(u, u->decoded, PIECE - u->zlib.avail_out);
		if (r == 0 && z == Z_STREAM_END) {
			/* Members may follow each other (RFC 1952, section 2.2). */
			u->over = !u->zlib.avail_in;
			if (u->zlib.avail_in && inflateReset(&u->zlib) != Z_OK)
				return -EPROTO;
		} else {
			u->over = false;
		}
	} while (r == 0 && (u->zlib.avail_in || !u->zlib.avail_out) && z != Z_BUF_ERROR);
	return r;
}

static int take_zstd(struct unmask *u, const uint8_t *bytes, size_t len)
{
	ZSTD_inBuffer in = { bytes, len, 0 };
	ZSTD_outBuffer out;
	size_t z;
	int r;

	do {
		out = (ZSTD_outBuffer){ u->decoded, PIECE, 0 };
		z = ZSTD_decompressStream(u->zstd, &out, &in);
		if (ZSTD_isError(z))
			return -EPROTO;
		u->over = z == 0;
		r = pass_on(u, u->decoded, out.pos);
	} while (r == 0 && (in.pos < in.size || out.pos == out.size));
	return r;
}

static int take_brotli(struct unmask *u, const uint8_t *bytes, size_t len)
{
	BrotliDecoderResult z;
	int r;

	/* Nothing may follow a stream's end. */
	if (u->over && len)
		return -EPROTO;
	do {
		size_t room = PIECE;
		uint8_t *out = u->decoded;

		z = BrotliDecoderDecompressStream(u->brotli, &len, &bytes, &room, &out, NULL);
		if (z == BROTLI_DECODER_RESULT_ERROR || (z == BROTLI_DECODER_RESULT_SUCCESS && len))
			return -EPROTO;
		u->over = z == BROTLI_DECODER_RESULT_SUCCESS;
		r = pass_on(u, u->decoded, PIECE - room);
	} while (r == 0 && z == BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT);
	return r;
}

int unmask_take(struct unmask *u, const uint8_t *bytes, size_t len)
{
	u->in += len;
	if (u->has_zlib)
		return take_zlib(u, bytes, len);
	if (u->brotli)
		return take_brotli(u, bytes, len);
	return u->zstd ? take_zstd(u, bytes, len) : pass_on(u, bytes, len);
}

int unmask_end(struct unmask *u)
{
	if ((u->has_zlib || u->zstd || u->brotli) && u->in && !u->over)
		return -EPROTO;
	return release(u);
}

/* In place: what is masked is as long as it was. */
static void mask_text(struct redact_stream *stream, char *value, size_t len, uint8_t *scratch)
{
	size_t n = redact_stream_take(stream, (const uint8_t *)value, len, scratch);

	n += redact_stream_end(stream, scratch + n);
	memcpy(value, scratch, MIN(n, len));
}

/* The text at *at, put there; what comes behind it is at *at then. */
static const char *put_masked(
	struct redact_stream *stream, char **at, const char *text, uint8_t *scratch)
{
	char *start = *at, *end = stpcpy(start, text);

	mask_text(stream, start, (size_t)(end - start), scratch);
	*at = end + 1;
	return start;
}

int unmask_fields(const struct redact *redact, struct record_fields *fields, char **ret_text)
{
	size_t size = 1, longest = 0;
	char *text, *at;
	struct redact_stream stream;
	uint8_t *scratch;
	int r;

	for (uint16_t i = 0; i < fields->count; i++) {
		size_t len = strlen(fields->list[i].value), name_len = strlen(fields->list[i].name);

		size += name_len + len + 2;
		longest = MAX(longest, len);
		longest = MAX(longest, name_len);
	}
	text = at = malloc(size);
	scratch = malloc(longest + redact_held_max(redact));
	r = text && scratch ? redact_stream_init(&stream, redact) : -ENOMEM;
	for (uint16_t i = 0; r == 0 && i < fields->count; i++) {
		struct record_field *f = &fields->list[i];

		f->name = put_masked(&stream, &at, f->name, scratch);
		f->value = put_masked(&stream, &at, f->value, scratch);
	}
	if (r == 0)
		redact_stream_finish(&stream);
	free(scratch);
	if (r < 0)
		free(text);
	else
		*ret_text = text;
	return r;
}
