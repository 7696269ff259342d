/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What sandbox-proxy and an injector say to each other: length-prefixed records on a stream socket, many streams side by
 * side, no HTTP text. Theory of operation:
 *
 *   proxy     REQUEST (or TUNNEL), DATA..., END | RESET          one stream; ids rise, and are never used again (E22)
 *   injector  RESPONSE (or OPENED, DENIED), DATA..., END | RESET
 *   both      CREDIT: so many more bytes of DATA may come on a stream. It begins with RECORD_CREDIT_FIRST; who sends more than
 *             it was given is cut off. So a slow end costs its peer RECORD_CREDIT_FIRST bytes, never more.
 * DENIED and RESET end a stream both ways. END is one direction's; after both it is over.
 *
 * A decoder takes nothing on trust, whoever wrote it (E22, E23): a host, path or query is parsed again and must be what it
 * parses to; a method is a token, fields are lower-case tokens and values without CR, LF and NUL (RFC 9110, section 5). What is
 * decided, dialled and written is one struct policy_request made by this decoder.
 *
 * Wire form, little endian. Head: u8 type, u8 flags, u16 0, u32 stream, u32 length of what follows. Text: u16 length, the bytes,
 * NUL counted and last, no other NUL. Fields: u16 count, then name and value for each.
 * Pure. Decoded strings borrow from the input.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/decide.h"
#include "policy/request.h"
#include "vmm/base/bytes.h"

#define RECORD_HEAD_SIZE      12
#define RECORD_DATA_MAX	      (16u << 10) /* bytes of one DATA */
#define RECORD_PAYLOAD_MAX    (96u << 10) /* of REQUEST, RESPONSE and END: fields, and some */
#define RECORD_FIELDS_MAX     128
#define RECORD_FIELD_MAX      (32u << 10) /* bytes of one value */
#define RECORD_NAME_MAX	      256 /* of a field's name */
#define RECORD_METHOD_MAX     32
#define RECORD_TEXT_MAX	      512 /* of a rule's id, a reason, a command */
#define RECORD_STREAMS_MAX    1024 /* open at once between a proxy and an injector */
#define RECORD_CREDIT_FIRST   (256u << 10)
#define RECORD_CREDIT_MAX     (4u << 20) /* more is never outstanding */
#define RECORD_LENGTH_UNKNOWN UINT64_MAX

enum record_type {
	/* from the proxy */
	RECORD_REQUEST = 1, /* POLICY_PROTOCOL_HTTP */
	RECORD_TUNNEL = 2, /* the opaque protocols */
	/* from the injector */
	RECORD_RESPONSE = 16, /* interim ones (1xx) too, before the final one */
	RECORD_OPENED = 17, /* TUNNEL's upstream is connected */
	RECORD_DENIED = 18,
	/* from both */
	RECORD_DATA = 32, /* never empty */
	RECORD_END = 33, /* with trailers, if any */
	RECORD_CREDIT = 34,
	RECORD_RESET = 35,
};

enum record_sender { RECORD_FROM_PROXY = 1, RECORD_FROM_INJECTOR = 2 };

/* Why a stream ended before its time. */
enum record_reason {
	RECORD_CANCELLED = 1, /* the other side of the one that says so left */
	RECORD_UNREACHABLE = 2, /* not resolved, not connected */
	RECORD_UNTRUSTED = 3, /* upstream's certificate or name does not verify */
	RECORD_UPSTREAM = 4, /* upstream broke its protocol, or broke off */
	RECORD_TIMEOUT = 5,
	RECORD_TOO_LARGE = 6, /* a body over its cap */
	RECORD_UNMASKABLE = 7, /* an answer in which the secret could not be looked for (E14) */
	RECORD_INTERNAL = 8,
};

struct record_head {
	uint8_t type; /* enum record_type */
	uint32_t stream; /* never 0 */
	uint32_t len;
};

struct record_field {
	const char *name, *value;
};

struct record_fields {
	uint16_t count;
	struct record_field list[RECORD_FIELDS_MAX];
};

/* REQUEST and TUNNEL. host is in request.host, already parsed. */
struct record_request {
	struct policy_request request;
	uint64_t content_length; /* RECORD_LENGTH_UNKNOWN: until END */
	struct record_fields fields; /* without Host and what belongs to a connection */
};

struct record_response {
	uint16_t status; /* 100..599 but 101; a WebSocket's is 200, as RFC 8441 has it */
	uint64_t content_length;
	struct record_fields fields;
};

struct record_denied {
	uint8_t reason; /* enum policy_reason */
	uint64_t lifts_at; /* when a limit lifts, seconds since 1970; 0: not a limit's */
	const char *rule_id, *text, *command;
};

/* False: unknown, not this sender's, stream 0, or a length out of its type's bounds. *ret untouched then. */
bool record_head_decode(const uint8_t in[static RECORD_HEAD_SIZE], enum record_sender sender,
	struct record_head *ret);

/*
 * Decoders of payloads: false where anything is not as above; *ret is in no defined state then. ret->request's strings
 * borrow from data.
 */
bool record_get_request(
	const struct record_head *head, const uint8_t *data, struct record_request *ret);
bool record_get_response(
	const struct record_head *head, const uint8_t *data, struct record_response *ret);
bool record_get_denied(
	const struct record_head *head, const uint8_t *data, struct record_denied *ret);
bool record_get_end(const struct record_head *head, const uint8_t *data, struct record_fields *ret);
bool record_get_credit(const struct record_head *head, const uint8_t *data, uint32_t *ret_bytes);
bool record_get_reset(const struct record_head *head, const uint8_t *data, enum record_reason *ret);

/*
 * Encoders append whole records; the writer fails where a limit is passed: what they write, the decoders take. Nothing is
 * repaired: a request that is not canonical fails the writer.
 */
void record_put_request(struct bytes_writer *w, uint32_t stream, const struct record_request *m);
void record_put_response(struct bytes_writer *w, uint32_t stream, const struct record_response *m);
void record_put_opened(struct bytes_writer *w, uint32_t stream);
void record_put_denied(struct bytes_writer *w, uint32_t stream, const struct record_denied *m);
/* The head of a DATA of len bytes (1 to RECORD_DATA_MAX), which are to follow. */
void record_put_data_head(struct bytes_writer *w, uint32_t stream, uint32_t len);
void record_put_end(struct bytes_writer *w, uint32_t stream, const struct record_fields *trailers);
void record_put_credit(struct bytes_writer *w, uint32_t stream, uint32_t bytes);
void record_put_reset(struct bytes_writer *w, uint32_t stream, enum record_reason reason);
