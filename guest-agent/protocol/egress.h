/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The two messages that open an egress stream: what the guest wants to reach, and what the host says to that.
 *
 * Theory of operation. One stream for each connection, guest to host, vsock port PROTOCOL_EGRESS_PORT. The agent sends one
 * request and waits; the host sends one answer. After EGRESS_ACCEPTED the bytes are raw, both ways, each with its own
 * half-close; any other verdict is the last word and the host closes. Accepted means that the stream may go on, not that
 * all said on it will be allowed: the host's proxy still judges each request.
 * The host need not believe that a request comes from the agent: any process of the guest can open such a stream, and gains
 * what policy gives the guest (E17, E22's idea).
 *
 * Wire form, little endian. Request: u8 version, u8 kind, u16 port, u16 length, host. Answer: u8 version, u8 verdict,
 * u16 length of what follows: nothing for ACCEPTED, else u64 lifts_at_s and three texts (u16 length, bytes): rule,
 * reason, command. A host is a name as DNS has it in lower case, or an address literal without brackets or zone; what of
 * that is canonical is for the host to say (policy/name.h). Texts are printable ASCII.
 *
 * Pure. A decoder takes the start of a stream: the number of bytes of the whole message, 0 where it is cut short so far (no
 * byte after that will make a refused start good: what is wrong is told as early as it is seen), or -EPROTO.
 */
#include <stddef.h>
#include <stdint.h>

#define PROTOCOL_EGRESS_PORT 1025

#define EGRESS_VERSION	   1
#define EGRESS_HOST_MAX	   253
#define EGRESS_REQUEST_MAX (6 + EGRESS_HOST_MAX)
#define EGRESS_RULE_MAX	   64
#define EGRESS_TEXT_MAX	   256
#define EGRESS_ANSWER_MAX  (4 + 8 + 3 * 2 + EGRESS_RULE_MAX + 2 * EGRESS_TEXT_MAX)

enum egress_kind {
	EGRESS_CAPTURED = 1, /* a connection to host and port that was taken up on its way out */
	/* Somebody spoke to the proxy's port: the host hears CONNECT or an absolute-form request. No host, port 0. */
	EGRESS_PROXY = 2,
	/*
	 * The agent's own: what is denied inside streams that were accepted (a request on a connection) is told here. No host,
	 * port 0. After ACCEPTED the host sends one answer for each denial, until either side closes.
	 */
	EGRESS_REPORTS = 3,
};

struct egress_request {
	uint8_t kind; /* enum egress_kind */
	uint16_t port;
	char host[EGRESS_HOST_MAX + 1];
};

enum egress_verdict {
	EGRESS_ACCEPTED = 1,
	EGRESS_DENIED = 2, /* by a rule, or for want of one */
	EGRESS_LIMITED = 3, /* over a limit, until lifts_at_s */
	EGRESS_UNREACHABLE = 4, /* allowed, and could not be reached */
	EGRESS_STOPPED = 5, /* all egress stands still: no audit, no egress */
};

struct egress_answer {
	uint8_t verdict; /* enum egress_verdict; all else is for a denial */
	uint64_t lifts_at_s; /* CLOCK_REALTIME; 0: it does not lift by itself */
	char rule[EGRESS_RULE_MAX + 1]; /* its id; may be empty */
	char reason[EGRESS_TEXT_MAX + 1]; /* for a human; not empty */
	char command[EGRESS_TEXT_MAX + 1]; /* that would allow it; may be empty */
};

/* Each gives the size, or 0 where the message is not valid. */
size_t egress_request_encode(
	const struct egress_request *request, uint8_t out[static EGRESS_REQUEST_MAX]);
size_t egress_answer_encode(
	const struct egress_answer *answer, uint8_t out[static EGRESS_ANSWER_MAX]);

/* *ret is untouched unless the result is positive. */
int egress_request_decode(const void *data, size_t len, struct egress_request *ret);
int egress_answer_decode(const void *data, size_t len, struct egress_answer *ret);

/* A fixed word for a verdict ("denied"); never NULL. */
const char *egress_verdict_word(uint8_t verdict);
