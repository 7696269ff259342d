/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/path.h"

#include <string.h>

#include "vmm/base/parse.h"

static bool is_alphanumeric(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* RFC 3986, section 2.3 */
static bool is_unreserved(unsigned char c)
{
	return is_alphanumeric(c) || (c && strchr("-._~", c));
}

/* What may stand in a segment as it is: pchar of section 3.3 without `;`, which splits paths for some servers. */
static bool is_plain(unsigned char c)
{
	return is_unreserved(c) || (c && strchr("!$&'()*+,=:@", c));
}

/* An escape's byte, or -1. */
static int escape_value(const char *bytes, size_t left)
{
	int high = left >= 3 ? parse_hex_digit(bytes[1]) : -1;
	int low = left >= 3 ? parse_hex_digit(bytes[2]) : -1;

	return high < 0 || low < 0 ? -1 : high << 4 | low;
}

struct output {
	struct policy_path path;
	size_t len, segment; /* where the last segment began */
};

static bool put(struct output *out, char c)
{
	if (out->len >= POLICY_PATH_MAX)
		return false;
	out->path.text[out->len++] = c;
	return true;
}

static bool put_escape(struct output *out, int value)
{
	static const char digits[] = "0123456789ABCDEF";

	if (is_unreserved((unsigned char)value))
		return put(out, (char)value);
	/* Controls, DEL, `;` and a backslash have no business in a path, in whatever spelling. */
	if (value < 0x20 || value == 0x7f || value == ';' || value == '\\')
		return false;
	out->path.has_encoded_slash |= value == '/';
	return put(out, '%') && put(out, digits[value >> 4]) && put(out, digits[value & 15]);
}

/*
 * What a second or a lax decoder would take for a dot, a slash, a semicolon, a backslash or a control character: the escape
 * of an escape (`%252e`, `%25252e`), and UTF-8 that is longer than need be (RFC 3629 section 3: `%c0%ae`).
 */
static bool decodes_twice(const char *bytes, size_t left)
{
	int value = escape_value(bytes, left), next;

	if (value == 0xe0 || value == 0xf0) {
		next = left > 3 && bytes[3] == '%' ? escape_value(bytes + 3, left - 3) : -1;
		return next >= 0x80 && next < (value == 0xe0 ? 0xa0 : 0x90);
	}
	if (value != '%')
		return value == 0xc0 || value == 0xc1;
	/* bytes stands on the `%` whose digits are `25`: the next digits are two further on. */
	do {
		bytes += 2;
		left -= 2;
		next = escape_value(bytes, left);
	} while (next == '%');
	return next >= 0 && (next < 0x20 || next == 0x7f || strchr("./;\\", next));
}

/* Of what comes out: `%25%32%65` is `%252e` only then. */
static bool is_final(const char *text, size_t len)
{
	for (const char *p = text; (p = memchr(p, '%', len - (size_t)(p - text))); p++)
		if (decodes_twice(p, len - (size_t)(p - text)))
			return false;
	return true;
}

/* The segment that ends here is a name: not `.`, not `..`; empty only where it is the last. */
static bool end_segment(struct output *out, bool last)
{
	size_t len = out->len - out->segment;
	const char *text = out->path.text + out->segment;

	if ((len == 1 && text[0] == '.') || (len == 2 && text[0] == '.' && text[1] == '.'))
		return false;
	return len > 0 || last;
}

static bool put_slash(struct output *out)
{
	/* Before the first slash there is no segment. */
	if (out->len && !end_segment(out, false))
		return false;
	if (!put(out, '/'))
		return false;
	out->segment = out->len;
	return true;
}

/* RFC 3986, section 5.2.4, as far as a plain `.` goes: how much of `/./x` or of a last `/.` says nothing. */
static size_t dot_segment(const char *bytes, size_t left)
{
	if (left >= 3 && memcmp(bytes, "/./", 3) == 0)
		return 2;
	return left == 2 && memcmp(bytes, "/.", 2) == 0 ? 1 : 0;
}

bool policy_path_parse(const char *bytes, size_t len, struct policy_path *ret)
{
	struct output out = {};

	if (!len || bytes[0] != '/')
		return false;
	for (size_t i = 0; i < len; i++) {
		size_t skip;
		int value;

		if (bytes[i] == '/') {
			while ((skip = dot_segment(bytes + i, len - i)) == 2)
				i += skip;
			if (!put_slash(&out))
				return false;
			i += skip;
		} else if (bytes[i] == '%') {
			value = escape_value(bytes + i, len - i);
			if (value < 0 || !put_escape(&out, value))
				return false;
			i += 2;
		} else if (!is_plain((unsigned char)bytes[i]) || !put(&out, bytes[i])) {
			return false;
		}
	}
	if (!end_segment(&out, true) || !is_final(out.path.text, out.len))
		return false;
	*ret = out.path;
	return true;
}

/* RFC 3986, section 3.4, and what browsers' and many clients' URLs have besides: brackets, braces, `|`, `^`, `\`. */
bool policy_query_valid(const char *bytes, size_t len)
{
	if (len > POLICY_QUERY_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)bytes[i];

		if (c == '%') {
			int value = escape_value(bytes + i, len - i);

			/* CR, LF and NUL split what somebody logs or forwards (E1). */
			if (value <= 0 || value == '\r' || value == '\n')
				return false;
			i += 2;
		} else if (c <= 0x20 || c >= 0x7f || strchr("\"#<>", c)) {
			return false;
		}
	}
	return true;
}
