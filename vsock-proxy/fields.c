/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-proxy/fields.h"

#include <string.h>
#include <strings.h>

#include "vmm/base/array.h"

#define NAME(text)                                                                                 \
	{                                                                                          \
		text, sizeof(text) - 1, false                                                      \
	}
#define PREFIX(text)                                                                               \
	{                                                                                          \
		text, sizeof(text) - 1, true                                                       \
	} /* stands for all that begin so */

/* Never passes. */
static const struct {
	const char *text;
	uint8_t len;
	bool is_prefix;
} dropped[] = {
	/* of one connection */
	NAME("connection"),
	NAME("keep-alive"),
	PREFIX("proxy-"),
	NAME("te"),
	NAME("trailer"),
	NAME("transfer-encoding"),
	NAME("upgrade"),
	NAME("http2-settings"),
	/* written anew */
	NAME("content-length"),
	NAME("host"),
	/* another method, path or origin for some servers */
	PREFIX("x-http-method"),
	NAME("x-method-override"),
	NAME("x-original-url"),
	NAME("x-original-uri"),
	NAME("x-original-method"),
	NAME("x-original-host"),
	NAME("x-rewrite-url"),
	NAME("x-rewrite-uri"),
	PREFIX("forwarded"),
	PREFIX("x-forwarded"),
	NAME("x-host"),
	/* another way to the server, RFC 7838, 8336 */
	NAME("alt-svc"),
	NAME("alt-used"),
};

/* By byte: RFC 9110, section 5.6.2. */
static const bool token_bytes[256] = {
	['0' ... '9'] = true,
	['a' ... 'z'] = true,
	['A' ... 'Z'] = true,
	['!'] = true,
	['#'] = true,
	['$'] = true,
	['%'] = true,
	['&'] = true,
	['\''] = true,
	['*'] = true,
	['+'] = true,
	['-'] = true,
	['.'] = true,
	['^'] = true,
	['_'] = true,
	['`'] = true,
	['|'] = true,
	['~'] = true,
};

static bool is_token(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!token_bytes[(unsigned char)text[i]])
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
	size_t len = 0;

	for (; text[len]; len++)
		if (!token_bytes[(unsigned char)text[len]] || len == RECORD_NAME_MAX ||
			(text[len] >= 'A' && text[len] <= 'Z'))
			return false;
	return len > 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

bool field_value_valid(const char *text)
{
	size_t len = 0;

	if (is_blank(text[0]))
		return false;
	for (; text[len]; len++)
		if (len == RECORD_FIELD_MAX || text[len] == 0x7f ||
			((unsigned char)text[len] < 0x20 && text[len] != '\t'))
			return false;
	return !len || !is_blank(text[len - 1]);
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
	while (*name && fold(*name) == fold(*other)) {
		name++;
		other++;
	}
	return !*name && !*other;
}

static bool is_dropped(const char *name)
{
	char first = fold(name[0]);

	for (size_t i = 0; i < ARRAY_SIZE(dropped); i++) {
		const char *text = dropped[i].text;
		size_t k = 1;

		if (text[0] != first)
			continue;
		while (k < dropped[i].len && name[k] && fold(name[k]) == text[k])
			k++;
		if (k == dropped[i].len && (dropped[i].is_prefix || !name[k]))
			return true;
	}
	return false;
}

/* That very name. */
static bool same(const char *a, const char *b)
{
	return *a == *b && strcmp(a, b) == 0;
}

const char *fields_get(const struct record_fields *fields, const char *name)
{
	for (size_t i = 0; i < fields->count; i++)
		if (same(fields->list[i].name, name))
			return fields->list[i].value;
	return NULL;
}

size_t fields_count(const struct record_fields *fields, const char *name)
{
	size_t count = 0;

	for (size_t i = 0; i < fields->count; i++)
		count += same(fields->list[i].name, name);
	return count;
}

bool fields_add(struct record_fields *fields, const char *name, const char *value)
{
	if (fields->count >= RECORD_FIELDS_MAX)
		return false;
	fields->list[fields->count++] = (struct record_field){ .name = name, .value = value };
	return true;
}

void fields_copy(struct record_fields *to, const struct record_fields *from)
{
	to->count = from->count;
	memcpy(to->list, from->list, from->count * sizeof(from->list[0]));
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

		if (!same(fields->list[i].name, name))
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
