/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-proxy/fields.h"

#include <string.h>
#include <strings.h>

#include "vmm/base/array.h"

/* Never passes. A name that ends in `*` stands for all that begin so. */
static const char *const dropped[] = {
	/* of one connection */
	"connection",
	"keep-alive",
	"proxy-*",
	"te",
	"trailer",
	"transfer-encoding",
	"upgrade",
	"http2-settings",
	/* written anew */
	"content-length",
	"host",
	/* another method, path or origin for some servers */
	"x-http-method*",
	"x-method-override",
	"x-original-url",
	"x-original-uri",
	"x-original-method",
	"x-original-host",
	"x-rewrite-url",
	"x-rewrite-uri",
	"forwarded*",
	"x-forwarded*",
	"x-host",
	/* another way to the server, RFC 7838, 8336 */
	"alt-svc",
	"alt-used",
};

static bool is_token_byte(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_token(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!is_token_byte((unsigned char)text[i]))
			return false;
	return len > 0;
}

bool field_token_valid(const char *text, size_t max)
{
	size_t len = strnlen(text, max + 1);

	return len <= max && is_token(text, len);
}

bool field_name_valid(const char *text)
{
	for (const char *p = text; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			return false;
	return field_token_valid(text, RECORD_NAME_MAX);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

bool field_value_valid(const char *text)
{
	size_t len = strnlen(text, RECORD_FIELD_MAX + 1);

	if (len > RECORD_FIELD_MAX || (len && (is_blank(text[0]) || is_blank(text[len - 1]))))
		return false;
	for (size_t i = 0; i < len; i++)
		if (((unsigned char)text[i] < 0x20 && text[i] != '\t') || text[i] == 0x7f)
			return false;
	return true;
}

static char fold(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c - 'A' + 'a');
	return c == '_' ? '-' : c;
}

/* name against the other's len bytes. */
static bool name_is(const char *name, const char *other, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!name[i] || fold(name[i]) != fold(other[i]))
			return false;
	return name[len] == '\0';
}

bool field_name_is(const char *name, const char *other)
{
	return name_is(name, other, strlen(other));
}

static bool begins_with(const char *name, const char *prefix, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!name[i] || fold(name[i]) != prefix[i])
			return false;
	return true;
}

static bool is_dropped(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(dropped); i++) {
		size_t len = strlen(dropped[i]);

		if (dropped[i][len - 1] == '*' ? begins_with(name, dropped[i], len - 1)
					       : field_name_is(name, dropped[i]))
			return true;
	}
	return false;
}

const char *fields_get(const struct record_fields *fields, const char *name)
{
	for (size_t i = 0; i < fields->count; i++)
		if (strcmp(fields->list[i].name, name) == 0)
			return fields->list[i].value;
	return NULL;
}

size_t fields_count(const struct record_fields *fields, const char *name)
{
	size_t count = 0;

	for (size_t i = 0; i < fields->count; i++)
		count += strcmp(fields->list[i].name, name) == 0;
	return count;
}

bool fields_add(struct record_fields *fields, const char *name, const char *value)
{
	if (fields->count >= RECORD_FIELDS_MAX)
		return false;
	fields->list[fields->count++] = (struct record_field){ .name = name, .value = value };
	return true;
}

static void remove_at(struct record_fields *fields, size_t i)
{
	fields->count--;
	memmove(&fields->list[i], &fields->list[i + 1],
		(fields->count - i) * sizeof(fields->list[0]));
}

static void remove_name(struct record_fields *fields, const char *name, size_t len)
{
	for (size_t i = fields->count; i-- > 0;)
		if (name_is(fields->list[i].name, name, len))
			remove_at(fields, i);
}

void fields_remove(struct record_fields *fields, const char *name)
{
	remove_name(fields, name, strlen(name));
}

/* The next member of a list (RFC 9110, section 5.6.1), without blanks around it; empty members are skipped. */
static bool next_member(const char **cursor, const char **ret, size_t *ret_len)
{
	const char *p = *cursor + strspn(*cursor, ", \t");
	size_t len = strcspn(p, ",");

	*cursor = p + len;
	while (len && is_blank(p[len - 1]))
		len--;
	*ret = p;
	*ret_len = len;
	return len > 0;
}

bool fields_list_has(const struct record_fields *fields, const char *name, const char *token)
{
	size_t token_len = strlen(token), len;
	const char *member;

	for (size_t i = 0; i < fields->count; i++) {
		const char *p = fields->list[i].value;

		if (strcmp(fields->list[i].name, name) != 0)
			continue;
		while (next_member(&p, &member, &len))
			if (len == token_len && strncasecmp(member, token, len) == 0)
				return true;
	}
	return false;
}

/* Connection's own text outlives the removal: only pointers to it are taken out. */
static bool remove_named(struct record_fields *fields, const char *list, size_t *named)
{
	const char *member;
	size_t len;

	while (next_member(&list, &member, &len)) {
		if (!is_token(member, len) || ++*named > FIELDS_CONNECTION_MAX)
			return false;
		if (!name_is("connection", member, len))
			remove_name(fields, member, len);
	}
	return true;
}

bool fields_strip(struct record_fields *fields)
{
	const char *lists[RECORD_FIELDS_MAX];
	size_t count = 0, named = 0;

	for (size_t i = 0; i < fields->count; i++)
		if (field_name_is(fields->list[i].name, "connection"))
			lists[count++] = fields->list[i].value;
	for (size_t i = 0; i < count; i++)
		if (!remove_named(fields, lists[i], &named))
			return false;
	for (size_t i = fields->count; i-- > 0;)
		if (is_dropped(fields->list[i].name))
			remove_at(fields, i);
	return true;
}

bool field_name_in_trailers(const char *name)
{
	static const char *const others[] = { "authorization", "cookie", "set-cookie",
		"content-encoding", "content-range", "content-type", "range", "expect", "location",
		"cache-control", "max-forwards" };

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (field_name_is(name, others[i]))
			return false;
	return !is_dropped(name);
}

void fields_strip_trailers(struct record_fields *trailers)
{
	if (!fields_strip(trailers))
		trailers->count = 0;
	for (size_t i = trailers->count; i-- > 0;)
		if (!field_name_in_trailers(trailers->list[i].name))
			remove_at(trailers, i);
}
