/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Field names and values of HTTP (RFC 9110, section 5), and the ones that never pass this proxy. Lists are struct
 * record_fields: bounded, borrowed text, names in lower case.
 *
 * Names are compared without case and with `_` as `-` wherever one is taken out: many servers make both one
 * variable (CVE-2015-0219). Pure.
 */
#include <stdbool.h>
#include <stddef.h>

#include "vsock-proxy/record.h"

#define FIELDS_CONNECTION_MAX 32 /* names that Connection may list */

/* A token of 1 to max bytes (section 5.6.2). */
bool field_token_valid(const char *text, size_t max);
/* A token in lower case of at most RECORD_NAME_MAX bytes. */
bool field_name_valid(const char *text);
/* At most RECORD_FIELD_MAX bytes, none a control character but TAB, no blank at either end. */
bool field_value_valid(const char *text);
/* The same name for a server that reads `_` as `-`; case is nothing either. */
bool field_name_is(const char *name, const char *other);

/* The first value of that very name (no folding), or NULL; how many there are. */
const char *fields_get(const struct record_fields *fields, const char *name);
size_t fields_count(const struct record_fields *fields, const char *name);
/* False where the list is full. Text is borrowed. */
bool fields_add(struct record_fields *fields, const char *name, const char *value);
/* As many as there are: the list's rest is in no defined state. */
void fields_copy(struct record_fields *to, const struct record_fields *from);
/* Takes out every field of that name, folded. */
void fields_remove(struct record_fields *fields, const char *name);
/* Whether a comma-separated list of tokens, in any field of that name, holds this one (`connection`, `close`). */
bool fields_list_has(const struct record_fields *fields, const char *name, const char *token);

/*
 * E24: takes out what belongs to one connection (RFC 9110, section 7.6.1: the fields that Connection names, and those that
 * are known to, TE included: who needs `te: trailers` writes it), the framing and Host, which whoever writes the message
 * makes anew, what overrides method, path or origin for some servers, and what leads around the proxy (Alt-Svc). For
 * requests, responses and trailers. False: Connection is no list of tokens, or names more than FIELDS_CONNECTION_MAX; the
 * message is to be refused then.
 */
bool fields_strip(struct record_fields *fields);
/* Whether a field of this name may stand in a trailer section (RFC 9110, section 6.5.1): nothing that frames or routes. */
bool field_name_in_trailers(const char *name);
/* Takes out of trailers what has no business there (RFC 9110, section 6.5.1). */
void fields_strip_trailers(struct record_fields *trailers);
