/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-proxy/h1_head.h"

#include <string.h>
#include <strings.h>

#include "vmm/base/array.h"
#include "vsock-proxy/fields.h"

/* What is left of the section; lines are taken from its front. */
struct lines {
	char *at;
	size_t left;
};

/* The next line, ended by NUL in place of its CR; NULL where no CR LF is left, which h1_scan() rules out. */
static char *next_line(struct lines *lines)
{
	char *line = lines->at;
	char *end = lines->left ? memchr(line, '\r', lines->left) : NULL;
	size_t len;

	if (!end || memchr(line, '\0', (size_t)(end - line)))
		return NULL;
	len = (size_t)(end - line);
	if (lines->left - len < 2 || end[1] != '\n')
		return NULL;
	*end = '\0';
	lines->at = end + 2;
	lines->left -= len + 2;
	return line;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Takes the blanks (OWS, RFC 9110 section 5.6.3) from both ends, in place. */
static char *trim(char *text)
{
	size_t len;

	while (is_blank(*text))
		text++;
	len = strlen(text);
	while (len && is_blank(text[len - 1]))
		len--;
	text[len] = '\0';
	return text;
}

static void to_lower(char *text)
{
	for (; *text; text++)
		if (*text >= 'A' && *text <= 'Z')
			*text = (char)(*text - 'A' + 'a');
}

static enum h1_error parse_field(char *line, struct record_fields *fields)
{
	char *colon = strchr(line, ':');
	char *value;

	if (is_blank(*line))
		return H1_FOLD;
	if (!colon)
		return H1_FIELD;
	*colon = '\0';
	if (!field_token_valid(line, RECORD_NAME_MAX))
		return H1_FIELD;
	to_lower(line);
	value = trim(colon + 1);
	if (!field_value_valid(value))
		return H1_CONTROL;
	return fields_add(fields, line, value) ? H1_OK : H1_TOO_MANY;
}

static enum h1_error parse_fields(struct lines *lines, struct record_fields *fields)
{
	for (;;) {
		char *line = next_line(lines);
		enum h1_error error;

		if (!line)
			return H1_LINE_END;
		if (!*line)
			return lines->left ? H1_LINE_END : H1_OK;
		error = parse_field(line, fields);
		if (error)
			return error;
	}
}

enum h1_error h1_fields_parse(char *section, size_t len, struct record_fields *fields)
{
	struct lines lines = { .at = section, .left = len };

	return parse_fields(&lines, fields);
}

/* 1*DIGIT, RFC 9110 section 8.6: no sign, no list, no blank. */
static bool parse_length(const char *text, uint64_t *ret)
{
	uint64_t value = 0;

	if (!*text)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		if (value > (INT64_MAX - (uint64_t)(*text - '0')) / 10)
			return false;
		value = value * 10 + (uint64_t)(*text - '0');
	}
	*ret = value;
	return true;
}

/* A name that is this one only for a server that reads `_` as `-`. */
static bool is_disguised(const char *name)
{
	static const char *const names[] = { "content-length", "transfer-encoding" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(name, names[i]) != 0 && field_name_is(name, names[i]))
			return true;
	return false;
}

/* RFC 9112, section 6: one way to say the length, or none. */
static enum h1_error read_length(
	const struct record_fields *fields, unsigned int minor, struct h1_length *ret)
{
	size_t lengths = fields_count(fields, "content-length");
	size_t codings = fields_count(fields, "transfer-encoding");

	for (size_t i = 0; i < fields->count; i++)
		if (is_disguised(fields->list[i].name))
			return H1_FIELD;
	*ret = (struct h1_length){ .chunked = codings > 0, .known = lengths > 0 };
	if (lengths && codings)
		return H1_BOTH;
	if (codings && (codings > 1 || minor == 0 ||
			       strcasecmp(fields_get(fields, "transfer-encoding"), "chunked") != 0))
		return H1_CODING;
	if (lengths &&
		(lengths > 1 || !parse_length(fields_get(fields, "content-length"), &ret->length)))
		return H1_LENGTH;
	return H1_OK;
}

/* HTTP/1.0's keep-alive is nobody's friend: such a connection is closed. */
static bool is_persistent(const struct record_fields *fields, unsigned int minor)
{
	return minor == 1 && !fields_list_has(fields, "connection", "close");
}

static bool parse_version(const char *text, unsigned int *ret_minor)
{
	if (strcmp(text, "HTTP/1.1") != 0 && strcmp(text, "HTTP/1.0") != 0)
		return false;
	*ret_minor = (unsigned int)(text[7] - '0');
	return true;
}

static bool is_visible(const char *text)
{
	for (const char *p = text; *p; p++)
		if (*p <= 0x20 || *p >= 0x7f || *p == '#')
			return false;
	return *text != '\0';
}

static void split_query(char *path, struct h1_request *ret)
{
	char *mark = strchr(path, '?');

	if (mark)
		*mark++ = '\0';
	ret->path = *path ? path : "/";
	ret->query = mark;
}

/*
 * After `scheme:/`: the authority is moved over the second slash, so that the path keeps its own (RFC 3986 section 3).
 */
static enum h1_error parse_absolute(char *target, struct h1_request *ret)
{
	char *rest = strstr(target, "://");
	size_t len;

	if (!rest)
		return H1_TARGET;
	*rest = '\0';
	ret->scheme = strcasecmp(target, "http") == 0	 ? "http"
		      : strcasecmp(target, "https") == 0 ? "https"
							 : NULL;
	rest += 3;
	len = strcspn(rest, "/?");
	if (!ret->scheme || !len)
		return H1_TARGET;
	memmove(rest - 1, rest, len);
	rest[len - 1] = '\0';
	ret->authority = rest - 1;
	split_query(rest + len, ret);
	return H1_OK;
}

static enum h1_error parse_target(char *target, struct h1_request *ret)
{
	bool connect = strcmp(ret->method, "CONNECT") == 0;

	if (!is_visible(target))
		return H1_TARGET;
	if (connect) {
		ret->form = H1_AUTHORITY;
		ret->authority = target;
		return strpbrk(target, "/?@") ? H1_TARGET : H1_OK;
	}
	if (*target == '/') {
		ret->form = H1_ORIGIN;
		split_query(target, ret);
		return H1_OK;
	}
	if (strcmp(target, "*") == 0) {
		ret->form = H1_ASTERISK;
		ret->path = target;
		return strcmp(ret->method, "OPTIONS") == 0 ? H1_OK : H1_TARGET;
	}
	ret->form = H1_ABSOLUTE;
	return parse_absolute(target, ret);
}

/* Cuts the text at its first blank; what comes after it, or NULL. */
static char *cut(char *text)
{
	char *blank = strchr(text, ' ');

	if (blank)
		*blank++ = '\0';
	return blank;
}

/* RFC 9112, section 3 */
static enum h1_error parse_request_line(char *line, struct h1_request *ret)
{
	char *target = cut(line), *version = target ? cut(target) : NULL;

	if (!version)
		return H1_START_LINE;
	if (!field_token_valid(line, RECORD_METHOD_MAX))
		return H1_METHOD;
	ret->method = line;
	if (strchr(version, ' ') || !*target)
		return H1_START_LINE;
	if (!parse_version(version, &ret->minor))
		return H1_VERSION;
	return parse_target(target, ret);
}

enum h1_error h1_request_parse(char *head, size_t len, struct h1_request *ret)
{
	struct lines lines = { .at = head, .left = len };
	char *line = next_line(&lines);
	enum h1_error error;
	size_t hosts;

	*ret = (struct h1_request){};
	if (!line)
		return H1_LINE_END;
	error = parse_request_line(line, ret);
	if (error)
		return error;
	error = parse_fields(&lines, &ret->fields);
	if (error)
		return error;
	hosts = fields_count(&ret->fields, "host");
	if (hosts > 1 || (!hosts && ret->minor == 1))
		return H1_HOST;
	ret->host = fields_get(&ret->fields, "host");
	ret->persistent = is_persistent(&ret->fields, ret->minor);
	return read_length(&ret->fields, ret->minor, &ret->length);
}

/* RFC 9112, section 4. Many servers leave the blank before an empty reason out. */
static enum h1_error parse_status_line(char *line, struct h1_response *ret)
{
	char *status = cut(line);
	unsigned int value = 0;

	if (!status)
		return H1_START_LINE;
	if (!parse_version(line, &ret->minor))
		return H1_VERSION;
	cut(status);
	if (strlen(status) != 3)
		return H1_STATUS;
	for (const char *p = status; *p; p++) {
		if (*p < '0' || *p > '9')
			return H1_STATUS;
		value = value * 10 + (unsigned int)(*p - '0');
	}
	if (value < 100 || value > 599)
		return H1_STATUS;
	ret->status = (uint16_t)value;
	return H1_OK;
}

enum h1_error h1_response_parse(char *head, size_t len, struct h1_response *ret)
{
	struct lines lines = { .at = head, .left = len };
	char *line = next_line(&lines);
	enum h1_error error;

	*ret = (struct h1_response){};
	if (!line)
		return H1_LINE_END;
	error = parse_status_line(line, ret);
	if (error)
		return error;
	error = parse_fields(&lines, &ret->fields);
	if (error)
		return error;
	ret->persistent = is_persistent(&ret->fields, ret->minor);
	return read_length(&ret->fields, ret->minor, &ret->length);
}
