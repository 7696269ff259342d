/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Masks every spelling of one secret (redact_forms.h) in a stream of bytes, however they are cut (E14). Theory of operation:
 *
 * An automaton of all forms (Aho and Corasick, 1975) says after each byte how long the longest tail of the stream is that
 * begins a form. Just that tail is held back; nothing is while nothing has begun. A form that ends here is overwritten with
 * REDACT_MARK in the same length, so that lengths stated before stay true. Forms that overlap are all masked. Between beginnings
 * most bytes are never looked at: by the last two bytes of a window as long as the shortest form (Wu and Manber, 1994) one
 * knows how far the next form is at least. Time is linear in the stream whatever is in it; memory is some 20 bytes for each
 * byte of a form (about 40 times the secret) and 64 KiB.
 *
 * Both structs hold the secret or parts of it; the finishers wipe.
 */
#include <stddef.h>
#include <stdint.h>

#include "vsock-proxy/redact_forms.h"

#define REDACT_MARK '*'

struct redact; /* one secret's automaton: read only once it is made, for any number of streams */

struct redact_stream {
	const struct redact *redact; /* borrowed: outlives the stream */
	uint32_t state;
	size_t held_len;
	uint8_t *held; /* what may be the beginning of a form */
};

/* 0, -EINVAL where the secret is too short or too long, -ENOMEM. */
int redact_create(const uint8_t *secret, size_t len, struct redact **ret);
void redact_destroy(struct redact *redact);
/* The longest form: what a stream holds back at most, and one byte more. */
size_t redact_held_max(const struct redact *redact);

/* 0 or -ENOMEM. */
int redact_stream_init(struct redact_stream *stream, const struct redact *redact);
void redact_stream_finish(struct redact_stream *stream);
/*
 * The next bytes. out: room for len + redact_held_max() bytes, not overlapping in; what may be passed on is put there, its
 * length is returned. At the stream's end redact_stream_end() gives what was held back.
 */
size_t redact_stream_take(
	struct redact_stream *stream, const uint8_t *in, size_t len, uint8_t *out);
size_t redact_stream_end(struct redact_stream *stream, uint8_t *out);
