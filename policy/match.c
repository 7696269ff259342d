/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/match.h"

#include <libpsl.h>
#include <string.h>

#include "policy/path.h"
#include "vmm/base/array.h"

/* Takes `**.` and any `*.` off the left; what is left is the suffix, "" for a bare `**`. */
static const char *take_wildcards(const char *text, struct policy_pattern *ret)
{
	if (strcmp(text, "**") == 0) {
		ret->any = true;
		return text + 2;
	}
	if (strncmp(text, "**.", 3) == 0) {
		ret->any = true;
		text += 3;
	}
	while (strncmp(text, "*.", 2) == 0 && ret->stars < POLICY_PATTERN_LABELS) {
		ret->stars++;
		text += 2;
	}
	return text;
}

static const char *why_no_host(const char *text)
{
	if (strstr(text, "://"))
		return "is a URL; write the host alone (\"example.com\")";
	if (strchr(text, '/'))
		return "has a `/` in it: paths go into \"paths\", ranges of addresses into \"cidr\"";
	if (strchr(text, ':'))
		return "has a `:` in it: the port goes into \"port\"";
	if (strchr(text, '*'))
		return "has a wildcard in the wrong place: `*.` (one label) and `**.` (any number) stand at the left, as whole labels";
	return "is no host name (letters, digits, hyphens and dots; others as xn--)";
}

const char *policy_pattern_parse(
	const char *text, struct policy_memory *memory, struct policy_pattern *ret)
{
	struct policy_pattern pattern = {};
	const char *suffix = take_wildcards(text, &pattern);
	size_t wild = (size_t)(suffix - text);
	struct policy_host host = {};
	char *copy;

	if (*suffix && !policy_host_parse(suffix, strlen(suffix), &host))
		return why_no_host(text);
	if (!*suffix && strcmp(text, "**") != 0)
		return why_no_host(text);
	if (*suffix && host.kind != POLICY_HOST_NAME)
		return "puts a wildcard before an address; ranges go into \"cidr\"";
	copy = policy_memory_take(memory, wild + strlen(host.text) + 1, 1);
	if (!copy)
		return "does not fit: memory ran out";
	memcpy(copy, text, wild);
	memcpy(copy + wild, host.text, strlen(host.text));
	pattern.text = copy;
	pattern.suffix = copy + wild;
	*ret = pattern;
	return NULL;
}

/*
 * A suffix under which anybody may have a name (ICANN's and private section) is nobody's own. An exact name of one label
 * is not in the list (an intranet's): it may stand; a wildcard over a single label may not, whatever it is.
 */
const char *policy_pattern_too_wide(const struct policy_pattern *pattern)
{
	bool wild = pattern->any || pattern->stars;
	int type = wild ? PSL_TYPE_ANY : PSL_TYPE_ANY | PSL_TYPE_NO_STAR_RULE;

	if (!*pattern->suffix)
		return "lets every host through; only a rule of mode audit may";
	if (!psl_is_public_suffix2(psl_builtin(), pattern->suffix, type))
		return NULL;
	return wild ? "covers a public suffix: anybody may have a name below it (E2)"
		    : "is a public suffix: nobody's own host (E2)";
}

static unsigned int count_labels(const char *text, size_t len)
{
	unsigned int count = len ? 1 : 0;

	for (size_t i = 0; i < len; i++)
		count += text[i] == '.';
	return count;
}

bool policy_pattern_matches(const struct policy_pattern *pattern, const struct policy_host *host)
{
	size_t len = strlen(host->text), tail = strlen(pattern->suffix);
	unsigned int labels;

	if (host->kind != POLICY_HOST_NAME || len < tail ||
		strcmp(host->text + len - tail, pattern->suffix) != 0)
		return false;
	len -= tail;
	/* What is left ends with the dot before the suffix: whole labels only (E2). */
	if (len && tail && host->text[--len] != '.')
		return false;
	labels = count_labels(host->text, len);
	return pattern->any ? labels >= pattern->stars : labels == pattern->stars;
}

bool policy_listed_matches(
	const struct policy_hosts *hosts, const struct policy_host *address, bool *ret_private)
{
	bool found = false;

	if (address->kind == POLICY_HOST_NAME)
		return false;
	for (size_t i = 0; i < hosts->listed_count; i++) {
		if (!policy_range_holds(&hosts->listed[i].range, address))
			continue;
		*ret_private = hosts->listed[i].private || (found && *ret_private);
		found = true;
	}
	return found;
}

bool policy_hosts_match(
	const struct policy_hosts *hosts, const struct policy_host *host, bool *ret_private)
{
	for (size_t i = 0; i < hosts->pattern_count; i++)
		if (policy_pattern_matches(&hosts->patterns[i], host))
			return true;
	return policy_listed_matches(hosts, host, ret_private);
}

bool policy_hosts_reached(const struct policy_hosts *hosts, const struct policy_host *host)
{
	for (size_t i = 0; i < hosts->pattern_count; i++)
		if (policy_pattern_matches(&hosts->patterns[i], host))
			return true;
	for (size_t i = 0; i < hosts->listed_count; i++)
		if (policy_range_reached(&hosts->listed[i].range, host))
			return true;
	return false;
}

bool policy_ports_match(const struct policy_ports *ports, size_t count, uint16_t port)
{
	for (size_t i = 0; i < count; i++)
		if (port >= ports[i].first && port <= ports[i].last)
			return true;
	return count == 0;
}

bool policy_texts_hold(const struct policy_texts *texts, const char *text)
{
	for (size_t i = 0; i < texts->count; i++)
		if (strcmp(texts->items[i], text) == 0)
			return true;
	return false;
}

struct segment {
	const char *text; /* NULL: past the last one */
	size_t len;
	bool split; /* %2F parts too */
};

static size_t separator_len(const char *text, bool split)
{
	if (*text == '/')
		return 1;
	return split && strncmp(text, "%2F", 3) == 0 ? 3 : 0;
}

static struct segment segment_at(const char *text, bool split)
{
	struct segment s = { .text = text, .split = split };

	while (text[s.len] && !separator_len(text + s.len, split))
		s.len++;
	return s;
}

static struct segment segment_next(struct segment s)
{
	const char *end = s.text ? s.text + s.len : "";

	if (!*end)
		return (struct segment){};
	return segment_at(end + separator_len(end, s.split), s.split);
}

static bool segment_is(struct segment s, const char *word)
{
	return s.text && s.len == strlen(word) && memcmp(s.text, word, s.len) == 0;
}

static unsigned char hex_digit(char c)
{
	return (unsigned char)(c <= '9' ? c - '0' : c - 'A' + 10);
}

/* The byte at *at, decoded: canonical paths have whole escapes in upper case. */
static unsigned char take_byte(const char *text, size_t *at)
{
	unsigned char byte = (unsigned char)text[*at];

	if (byte != '%') {
		*at += 1;
		return byte;
	}
	byte = (unsigned char)(hex_digit(text[*at + 1]) << 4 | hex_digit(text[*at + 2]));
	*at += 3;
	return byte;
}

static bool segment_matches(struct segment want, struct segment have)
{
	size_t i = 0, j = 0;

	if (!want.text)
		return false;
	if (segment_is(want, "*"))
		return have.len > 0;
	while (i < want.len && j < have.len)
		if (take_byte(want.text, &i) != take_byte(have.text, &j))
			return false;
	return i >= want.len && j >= have.len;
}

bool policy_path_matches(const char *pattern, const char *path, bool split_encoded)
{
	struct segment want = segment_at(pattern + 1, false);
	struct segment have = segment_at(path + 1, split_encoded);
	struct segment after = {}, from = {}; /* behind the last `**`, and what it has not taken */
	bool starred = false;

	while (have.text) {
		if (segment_is(want, "**")) {
			starred = true;
			after = want = segment_next(want);
			from = have;
		} else if (segment_matches(want, have)) {
			want = segment_next(want);
			have = segment_next(have);
		} else if (starred) {
			from = have = segment_next(from);
			want = after;
		} else {
			return false;
		}
	}
	while (segment_is(want, "**"))
		want = segment_next(want);
	return !want.text;
}

bool policy_path_clean_when_split(const char *path)
{
	for (struct segment s = segment_at(path + 1, true), next; s.text; s = next) {
		next = segment_next(s);
		if (segment_is(s, ".") || segment_is(s, "..") || (!s.len && next.text))
			return false;
	}
	return true;
}

static const char *segments_wrong(const char *text)
{
	size_t count = 0;

	for (struct segment s = segment_at(text + 1, false); s.text; s = segment_next(s)) {
		if (++count > POLICY_PATH_SEGMENTS)
			return "has too many segments (64 at most)";
		if (!segment_is(s, "*") && !segment_is(s, "**") && memchr(s.text, '*', s.len))
			return "has a wildcard within a segment: `*` (one) and `**` (any number) stand for whole ones";
	}
	return NULL;
}

const char *policy_path_pattern_parse(
	const char *text, struct policy_memory *memory, const char **ret)
{
	struct policy_path path;
	const char *wrong, *copy;

	if (text[0] != '/')
		return "does not begin with `/`";
	if (strchr(text, '?'))
		return "has a query in it; rules see paths only";
	if (!policy_path_parse(text, strlen(text), &path))
		return "is no path that a request could have (`..`, `//`, `;`, `\\` and broken escapes never pass)";
	wrong = segments_wrong(path.text);
	if (wrong)
		return wrong;
	copy = policy_memory_text(memory, path.text, strlen(path.text));
	if (!copy)
		return "does not fit: memory ran out";
	*ret = copy;
	return NULL;
}

bool policy_is_token(const char *text)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~";

	return *text && strspn(text, allowed) == strlen(text);
}

bool policy_is_method(const char *text)
{
	return *text >= 'A' && *text <= 'Z' && strlen(text) <= POLICY_METHOD_MAX &&
	       strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-_") == strlen(text) &&
	       strcmp(text, "CONNECT") != 0;
}
