/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A binding: where a named secret may be put, and nowhere else (E15). It needs TLS towards the upstream, one exact host
 * and port, methods and paths, or the repositories of a git server. It allows nothing by itself: a rule does.
 */
#include "policy/rule.h"

#define POLICY_BINDINGS_MAX    128
#define POLICY_SECRET_NAME_MAX 64
#define POLICY_PREFIX_MAX      64
#define POLICY_REPOSITORY_MAX  256

enum policy_scheme {
	POLICY_SCHEME_BEARER = 1, /* Authorization: Bearer SECRET */
	POLICY_SCHEME_BASIC = 2, /* Authorization: Basic base64(username:SECRET) */
	POLICY_SCHEME_HEADER = 3, /* header: prefix SECRET */
	POLICY_SCHEME_QUERY = 4, /* ?parameter=SECRET; where nothing else works */
};

struct policy_binding {
	const char *id;
	const char *secret; /* its name; the value is in the injector alone */
	enum policy_layer layer;
	struct policy_host host;
	uint16_t port;
	enum policy_tier tier; /* from this one up */
	enum policy_scheme scheme;
	const char *header; /* lower case: "authorization" for bearer and basic; "" for query */
	const char *prefix; /* what stands before the value in the header, "" for none */
	const char *username; /* basic: "" for none */
	const char *parameter; /* query */
	bool require; /* what goes to this host and port outside of it is denied */
	struct policy_texts methods, paths; /* not git */
	struct policy_texts repositories; /* git: "owner/name", without `.git`; none: not git */
	bool push; /* git-receive-pack as well */
	bool lfs; /* git-lfs as well, at this host */
};

/* Whether the secret may go into this request. The rule's own decision comes first and is not looked at here. */
bool policy_binding_covers(
	const struct policy_binding *binding, const struct policy_request *request);
