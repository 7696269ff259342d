/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What happened, as a process tells the one writer of a sandbox's audit log (H7, H10): one event is one message on the
 * process's own inherited SOCK_SEQPACKET. Which sandbox and instance it is about, and whether host or guest says so, is not
 * in it: the writer knows that by the socket (struct audit_origin, audit_line.h).
 *
 * Wire form, little endian: u8 version, u8 kind, u8 tier, u8 decision, u16 status, u16 0, u32 count, u64 time (CLOCK_REALTIME,
 * ns), u64 bytes sent, u64 bytes received, u64 duration (us); then each text of enum audit_text in order: u16 length, bytes.
 * A text is any bytes, NUL too, within its limit; a path holds no '?' or '#' (values of a query are never logged).
 * Pure; a decoded event borrows from the message. Outputs are untouched on failure.
 */
#include <stddef.h>
#include <stdint.h>

#define AUDIT_MESSAGE_VERSION 1
#define AUDIT_MESSAGE_MAX     4096

enum audit_kind {
	AUDIT_LIFECYCLE = 1, /* the sandbox's state changed; detail: from what to what */
	AUDIT_EXEC = 2,
	AUDIT_EGRESS = 3, /* a request or a tunnel, decided */
	AUDIT_DEVICE_FAULT = 4,
	AUDIT_SHARE_REFUSED = 5,
	AUDIT_AGENT = 6,
	AUDIT_LOG =
		7, /* about the log itself: a torn record mended, records that were folded or could not be taken */
};

enum audit_tier {
	AUDIT_TIER_NONE = 0,
	AUDIT_TIER_BUILDER = 1,
	AUDIT_TIER_DEPLOYER = 2,
	AUDIT_TIER_ORCHESTRATOR = 3,
	AUDIT_TIER_ADMIN = 4,
};

enum audit_decision {
	AUDIT_DECISION_NONE = 0,
	AUDIT_ALLOWED = 1,
	AUDIT_DENIED = 2,
	AUDIT_LEARNT = 3, /* passed by a rule that only watches */
};

enum audit_text {
	AUDIT_RULE, /* its id */
	AUDIT_POLICY, /* the policy's digest */
	AUDIT_SECRET, /* a name, never a value (E18) */
	AUDIT_METHOD,
	AUDIT_HOST,
	AUDIT_PATH,
	AUDIT_DETAIL,
	AUDIT_TEXTS,
};

struct audit_bytes {
	const uint8_t *data;
	size_t len; /* 0: there is none */
};

struct audit_event {
	uint8_t kind; /* enum audit_kind */
	uint8_t tier;
	uint8_t decision;
	uint16_t status; /* of HTTP; 0: none */
	uint32_t count; /* how many alike this one stands for, at least 1 */
	uint64_t time_ns;
	uint64_t sent_bytes, received_bytes;
	uint64_t duration_us;
	struct audit_bytes text[AUDIT_TEXTS];
};

/* Most bytes of that text; together they fit a message. */
size_t audit_text_max(enum audit_text text);
/* NULL where there is no such kind, tier or decision; the word of the JSON. */
const char *audit_kind_word(unsigned int kind);
const char *audit_tier_word(unsigned int tier);
const char *audit_decision_word(unsigned int decision);
/* As the JSON has it. */
const char *audit_text_word(enum audit_text text);

/* The message's length, or -EINVAL where the event breaks a rule above. */
int audit_event_encode(const struct audit_event *event, uint8_t out[static AUDIT_MESSAGE_MAX]);
/* 0, or -EPROTO: it is no event. */
int audit_event_decode(const void *data, size_t len, struct audit_event *ret);
