/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/reader.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/place.h"
#include "vmm/base/array.h"
#include "vmm/base/parse.h"

#define WORDS_TEXT_MAX 256

__attribute__((format(printf, 3, 0))) static int fail(
	struct reader *r, const char *key, const char *format, va_list arguments)
{
	char text[ERR_TEXT_MAX];
	const char *dot = key && r->path_len ? "." : "";
	const char *colon = key || r->path_len ? ": " : "";

	if (r->result)
		return r->result;
	vsnprintf(text, sizeof(text), format, arguments);
	r->result = err_set(r->err, -EINVAL, "%s: %.*s%s%s%s%s", r->name, (int)r->path_len, r->path,
		dot, key ? key : "", colon, text);
	return r->result;
}

int reader_fail(struct reader *r, const char *format, ...)
{
	va_list arguments;
	int result;

	va_start(arguments, format);
	result = fail(r, NULL, format, arguments);
	va_end(arguments);
	return result;
}

int reader_fail_at(struct reader *r, const char *key, const char *format, ...)
{
	va_list arguments;
	int result;

	va_start(arguments, format);
	result = fail(r, key, format, arguments);
	va_end(arguments);
	return result;
}

int reader_init(struct reader *r, struct policy_memory *memory, const char *name, const char *json,
	size_t len, struct err *err)
{
	json_error_t error;

	*r = (struct reader){ .memory = memory, .name = name, .err = err };
	r->root = json_loadb(json, len, JSON_REJECT_DUPLICATES, &error);
	if (!r->root && json_error_code(&error) == json_error_duplicate_key) {
		place_in_json(json, MIN((size_t)error.position, len), r->path, sizeof(r->path));
		r->path_len = strlen(r->path);
		return reader_fail(r, "this key is there twice (line %d)", error.line);
	}
	if (!r->root)
		return reader_fail(
			r, "line %d, column %d: %.200s", error.line, error.column, error.text);
	if (!json_is_object(r->root))
		return reader_fail(r, "a policy is a JSON object");
	return 0;
}

void reader_finish(struct reader *r)
{
	json_decref(r->root);
	r->root = NULL;
}

size_t reader_enter(struct reader *r, const char *key, size_t index)
{
	size_t mark = r->path_len, left = sizeof(r->path) - mark;
	int n;

	if (key)
		n = snprintf(r->path + mark, left, "%s%s", mark ? "." : "", key);
	else
		n = snprintf(r->path + mark, left, "[%zu]", index);
	r->path_len = MIN(mark + (n > 0 ? (size_t)n : 0), sizeof(r->path) - 1);
	return mark;
}

void reader_leave(struct reader *r, size_t mark)
{
	r->path_len = mark;
}

/* "a, b, c" */
static const char *join_words(const char *const *words, char out[static WORDS_TEXT_MAX])
{
	size_t used = 0;

	out[0] = '\0';
	for (size_t i = 0; words[i] && used < WORDS_TEXT_MAX; i++) {
		int n = snprintf(
			out + used, WORDS_TEXT_MAX - used, "%s%s", i ? ", " : "", words[i]);

		used += n > 0 ? (size_t)n : 0;
	}
	return out;
}

static bool is_word(const char *text, const char *const *words)
{
	for (size_t i = 0; words[i]; i++)
		if (strcmp(text, words[i]) == 0)
			return true;
	return false;
}

/* "hosts" for "host", "method" for "methods": the misspelling that is made most. */
static const char *near_word(const char *text, const char *const *words)
{
	size_t len = strlen(text);

	for (size_t i = 0; words[i]; i++) {
		size_t n = strlen(words[i]);

		if (len && n && strncmp(text, words[i], MIN(len, n)) == 0 && len + 2 > n &&
			n + 2 > len)
			return words[i];
	}
	return NULL;
}

bool reader_object(struct reader *r, const struct json_t *v, const char *const *keys)
{
	char words[WORDS_TEXT_MAX];
	const char *key, *near;
	json_t *value;

	if (!json_is_object(v)) {
		reader_fail(r, "is not an object ({...})");
		return false;
	}
	/* jansson's macro wants what is not const, and changes nothing. */
	json_object_foreach((json_t *)(uintptr_t)v, key, value)
	{
		if (is_word(key, keys))
			continue;
		near = near_word(key, keys);
		if (near)
			reader_fail(r, "unknown key \"%.64s\"; did you mean \"%s\"?", key, near);
		else
			reader_fail(r, "unknown key \"%.64s\"; there are %s", key,
				join_words(keys, words));
		return false;
	}
	return true;
}

const struct json_t *reader_member(const struct json_t *object, const char *key)
{
	return json_object_get(object, key);
}

bool reader_is_list(const struct json_t *object, const char *key)
{
	return json_is_array(json_object_get(object, key));
}

size_t reader_count(struct reader *r, const struct json_t *object, const char *key, size_t max)
{
	const json_t *v = json_object_get(object, key);
	size_t count = json_is_array(v) ? json_array_size(v) : 1;

	if (!v || r->result)
		return 0;
	if (!count)
		reader_fail_at(r, key, "is an empty list; leave it out instead");
	else if (count > max)
		reader_fail_at(r, key, "has %zu entries; %zu is the most", count, max);
	return r->result ? 0 : count;
}

size_t reader_list(struct reader *r, const struct json_t *object, const char *key, size_t max)
{
	const json_t *v = json_object_get(object, key);

	if (v && !json_is_array(v))
		reader_fail_at(r, key, "is not a list ([...])");
	else if (json_array_size(v) > max)
		reader_fail_at(r, key, "has %zu entries; %zu is the most", json_array_size(v), max);
	return r->result ? 0 : json_array_size(v);
}

const struct json_t *reader_item(const struct json_t *object, const char *key, size_t index)
{
	const json_t *v = json_object_get(object, key);

	return json_is_array(v) ? json_array_get(v, index) : v;
}

const char *reader_text(struct reader *r, const struct json_t *v, size_t max)
{
	size_t len = json_string_length(v);
	const char *text = json_string_value(v);

	if (!text) {
		reader_fail(r, "is not a text (\"...\")");
		return "";
	}
	if (!len || len > max) {
		reader_fail(r, "is %zu bytes long; 1 to %zu are allowed", len, max);
		return "";
	}
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
			reader_fail(r, "has a control character in it");
			return "";
		}
	}
	text = policy_memory_text(r->memory, text, len);
	if (!text)
		reader_fail(r, "the policy is larger than %u MiB, or memory ran out",
			POLICY_MEMORY_MAX >> 20);
	return text ? text : "";
}

bool reader_is_number(const struct json_t *v)
{
	return json_is_number(v);
}

uint64_t reader_number(struct reader *r, const struct json_t *v, uint64_t min, uint64_t max)
{
	json_int_t value = json_integer_value(v);

	if (!json_is_integer(v))
		reader_fail(r, "is not a whole number");
	else if (value < 0 || (uint64_t)value < min || (uint64_t)value > max)
		reader_fail(r, "is %lld; %llu to %llu are allowed", (long long)value,
			(unsigned long long)min, (unsigned long long)max);
	return r->result ? min : (uint64_t)value;
}

const char *reader_get_text(struct reader *r, const struct json_t *object, const char *key,
	size_t max, const char *fallback)
{
	const json_t *v = json_object_get(object, key);
	const char *text = fallback;
	size_t mark;

	if (v) {
		mark = reader_enter(r, key, 0);
		text = reader_text(r, v, max);
		reader_leave(r, mark);
	}
	return text;
}

bool reader_get_bool(struct reader *r, const struct json_t *object, const char *key)
{
	const json_t *v = json_object_get(object, key);

	if (v && !json_is_boolean(v))
		reader_fail_at(r, key, "is neither true nor false");
	return json_is_true(v);
}

uint64_t reader_get_number(struct reader *r, const struct json_t *object, const char *key,
	uint64_t min, uint64_t max, uint64_t fallback)
{
	const json_t *v = json_object_get(object, key);
	uint64_t value = fallback;
	size_t mark;

	if (v) {
		mark = reader_enter(r, key, 0);
		value = reader_number(r, v, min, max);
		reader_leave(r, mark);
	}
	return value;
}

uint64_t reader_get_size(struct reader *r, const struct json_t *object, const char *key)
{
	const json_t *v = json_object_get(object, key);
	uint64_t value;

	if (!json_is_string(v))
		return reader_get_number(r, object, key, 0, INT64_MAX, UINT64_MAX);
	/* Written out where parse_size() is wider: the schema says the same. */
	if (!parse_size(json_string_value(v), &value) || value > INT64_MAX ||
		strpbrk(json_string_value(v), "ikgmtbB")) {
		reader_fail_at(
			r, key, "is no size: a number of bytes, or \"64K\", \"10M\", \"1G\"");
		return UINT64_MAX;
	}
	return value;
}

int reader_word(struct reader *r, const struct json_t *v, const char *const *words)
{
	const char *text = json_string_value(v);
	char all[WORDS_TEXT_MAX];

	for (int i = 0; text && words[i]; i++)
		if (strcmp(text, words[i]) == 0)
			return i;
	reader_fail(r, "is none of %s", join_words(words, all));
	return -1;
}

int reader_get_word(
	struct reader *r, const struct json_t *object, const char *key, const char *const *words)
{
	const json_t *v = json_object_get(object, key);
	int word = -1;
	size_t mark;

	if (v) {
		mark = reader_enter(r, key, 0);
		word = reader_word(r, v, words);
		reader_leave(r, mark);
	}
	return word;
}

const char *reader_canonical(struct reader *r)
{
	char *text = json_dumps(r->root, JSON_SORT_KEYS | JSON_COMPACT);
	const char *copy = text ? policy_memory_text(r->memory, text, strlen(text)) : NULL;

	free(text);
	if (!copy)
		reader_fail(r, "memory ran out");
	return copy;
}
