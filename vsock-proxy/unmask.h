/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * An answer on its way to the guest past the mask (E14): field values, and the body, which is decoded first where it is in a coding
 * (gzip, deflate: RFC 9110, section 8.4.1; br: RFC 7932; zstd: RFC 8878), for a secret inside one is not seen. A coding that is not known
 * here cannot be let through.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vsock-proxy/record.h"
#include "vsock-proxy/redact.h"

#define UNMASK_RATIO_MAX 1024 /* bytes out of one byte in, over the whole: more is a bomb (E11) */

#define UNMASK_BROTLI_MAX                                                                          \
	(16u << 20) /* bytes of one decoder: windows of 8 MiB, as of zstd, with tables and growth */

struct unmask;

/* Where decoded and masked bytes go; -errno ends it. */
typedef int unmask_sink_fn(void *data, const uint8_t *bytes, size_t len);

/*
 * coding: Content-Encoding's value; NULL or "identity": none. -EOPNOTSUPP: a coding that is not known. *ret_decodes: the body's length
 * is another than was announced.
 */
int unmask_create(const struct redact *redact, const char *coding, unmask_sink_fn *sink, void *data,
	bool *ret_decodes, struct unmask **ret);
void unmask_destroy(struct unmask *unmask); /* NULL is allowed */
/* -EPROTO: not what its coding says; -E2BIG: a bomb; or the sink's. */
int unmask_take(struct unmask *unmask, const uint8_t *bytes, size_t len);
int unmask_end(struct unmask *unmask);
/*
 * The body is messages with a head of five bytes each, as gRPC's: from now on each is looked through by itself, for what is whole is
 * passed on whole; nobody says when the next one comes. One that is coded by itself is -EOPNOTSUPP.
 */
void unmask_by_message(struct unmask *unmask);

/* Names and values are masked in place of *fields, whose text is in *ret_text from then on (freed by the caller). -ENOMEM. */
int unmask_fields(const struct redact *redact, struct record_fields *fields, char **ret_text);
