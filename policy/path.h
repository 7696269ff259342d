/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The one canonical form of a request path (E12): rules see it, and it is what is sent upstream. Per segment,
 * percent-encoded unreserved characters (RFC 3986 section 2.3) are decoded, other escapes get upper-case digits, and
 * bytes that may not stand in a path are refused. A segment that is a plain `.` is left out (section 5.2.4; apt asks for
 * `/./Packages`). Refused too: an escape that is not one, %00, encoded control
 * characters, `..` in any spelling and an encoded `.` as segments, an empty segment (`//`) except a last one, `;` in any spelling,
 * a backslash in any spelling, and `%2F` unless encoded_slash is set (npm's scopes need it: there it stays `%2F`). And what becomes one of these
 * where somebody decodes twice or laxly: `%25` before what would be an escape of `.`, `/`, `;`, a backslash or a control
 * character (however many `25` are between), and overlong UTF-8.
 * The query is apart and never normalised: printable ASCII but `"`, `#`, `<` and `>`; escapes that are
 * escapes, and none of NUL, CR or LF.
 */
#include <stdbool.h>
#include <stddef.h>

#define POLICY_PATH_MAX	 4096
#define POLICY_QUERY_MAX 8192

struct policy_path {
	char text[POLICY_PATH_MAX + 1]; /* begins with `/`; `*` of OPTIONS is not a path */
	bool has_encoded_slash; /* a rule must allow it by its own flag */
};

/* The path part, without `?`. True and *ret, or false and *ret untouched. */
bool policy_path_parse(const char *bytes, size_t len, struct policy_path *ret);
/* Whether these bytes may stand in a query. */
bool policy_query_valid(const char *bytes, size_t len);
