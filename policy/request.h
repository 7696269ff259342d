/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What the guest wants, in canonical form. One struct is decided, dialled and written (E22): the proxy fills it, the
 * injector decides it again and writes its HTTP from it, `policy check` makes it from a URL. Strings are borrowed.
 */
#include <stdbool.h>
#include <stdint.h>

#include "policy/name.h"

enum policy_protocol {
	POLICY_PROTOCOL_HTTP = 1, /* intercepted: plain, or inside TLS that we end */
	POLICY_PROTOCOL_TLS = 2, /* opaque: only the SNI is seen (E25) */
	POLICY_PROTOCOL_TCP = 3,
	POLICY_PROTOCOL_SSH = 4,
};

struct policy_request {
	enum policy_protocol protocol;
	struct policy_host host; /* as stated, and as SNI and authority say (E4) */
	uint16_t port;
	/* POLICY_PROTOCOL_HTTP only */
	bool secure; /* inside TLS */
	bool websocket; /* asks for an upgrade (RFC 6455, 8441) */
	const char
		*method; /* a token, as sent: methods are case-sensitive (RFC 9110 section 9.1) */
	const char *path; /* canonical (policy/path.h) */
	bool has_encoded_slash; /* of policy_path */
	const char *query; /* NULL: none */
};
