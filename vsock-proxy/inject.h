/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What becomes of a request's credentials, in the injector: those that the guest brought go (E13), the bound one comes into its one
 * place (E14, E15). Pure: the same for HTTP/1.1 and HTTP/2, before either is written.
 *
 * The guest's own are known by name: fields that authenticate (authorization, cookie, api keys, tokens of the code hosts) and
 * query parameters that do (access_token, api_key, presigned URLs' signatures), case and `_` or `-` apart. The list errs on
 * the side of too much: a rule's `guest_credentials: allow` is there for who needs one. Whatever comes in the bound one's
 * place goes as well, whatever its name.
 *
 * Ownership: the output borrows the input's text; what is made anew lies in the output, which the caller wipes
 * (inject_output_finish()) as soon as it is written: the secret is in it.
 */
#include <stdbool.h>
#include <stddef.h>

#include "policy/binding.h"
#include "policy/path.h"
#include "vmm/base/err.h"
#include "vsock-proxy/record.h"

#define INJECT_SECRET_MAX    8192 /* bytes of a secret */
#define INJECT_VALUE_MAX     (2 * INJECT_SECRET_MAX) /* encoded, with prefix */
#define INJECT_PARAMETER_MAX 64
#define INJECT_QUERY_MAX     (POLICY_QUERY_MAX + 3 * INJECT_SECRET_MAX + INJECT_PARAMETER_MAX + 2)

/* A secret's value, in locked memory of its owner's. Not text: its length counts. */
struct inject_secret {
	const char *value;
	size_t len;
};

struct inject_output {
	struct record_fields fields;
	const char *query; /* NULL: none */
	unsigned int stripped; /* of the guest's, fields and parameters */
	size_t value_used, query_used; /* bytes of these, the last one NUL */
	char value[INJECT_VALUE_MAX + 1];
	char query_text[INJECT_QUERY_MAX + 1];
};

/* Whether a field or a query parameter of this name is a credential. */
bool inject_field_is_credential(const char *name);
bool inject_parameter_is_credential(const char *name, size_t len);

/*
 * guest_credentials: the rule's. binding and secret: both, or neither is NULL. -EINVAL: the secret cannot stand in its place
 * (empty, or with bytes that no field may have), with words that do not hold it; -E2BIG.
 */
int inject_apply(const struct record_request *request, bool guest_credentials,
	const struct policy_binding *binding, const struct inject_secret *secret,
	struct inject_output *ret, struct err *err);
/* Of a request: the same for its trailers, into which nothing is put. */
void inject_trailers(struct record_fields *trailers, bool guest_credentials,
	const struct policy_binding *binding);
void inject_output_finish(struct inject_output *output);
