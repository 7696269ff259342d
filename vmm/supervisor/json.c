/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/json.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/place.h"
#include "vmm/base/array.h"

#define PLACE_MAX 256

/* jansson recurses up to a fixed 2048 levels; ours is a smaller number, counted on the text before it is parsed. */
static bool depth_fits(const char *text, size_t len)
{
	unsigned int depth = 0;
	bool in_text = false;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (in_text && c == '\\')
			i++;
		else if (c == '"')
			in_text = !in_text;
		else if (!in_text && (c == '[' || c == '{') && ++depth > JSON_DEPTH_MAX)
			return false;
		else if (!in_text && (c == ']' || c == '}') && depth)
			depth--;
	}
	return true;
}

int json_parse_object(
	const char *text, size_t len, size_t max, const char *what, json_t **ret, struct err *err)
{
	char path[PLACE_MAX];
	json_error_t mistake;
	json_t *json;

	if (len > max)
		return err_set(err, -EFBIG, "%s: longer than %zu bytes", what, max);
	if (!depth_fits(text, len))
		return err_set(err, -EINVAL, "%s: nested deeper than %d", what, JSON_DEPTH_MAX);
	json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &mistake);
	if (!json && json_error_code(&mistake) == json_error_duplicate_key)
		return err_set(err, -EINVAL, "%s: %s: this key is there twice (line %d)", what,
			place_in_json(text, MIN((size_t)mistake.position, len), path, sizeof(path)),
			mistake.line);
	if (!json)
		return err_set(err, -EINVAL, "%s: not JSON: %s (line %d, column %d)", what,
			mistake.text, mistake.line, mistake.column);
	if (!json_is_object(json)) {
		json_decref(json);
		return err_set(err, -EINVAL, "%s: not a JSON object", what);
	}
	*ret = json;
	return 0;
}

struct json_reader json_reader(json_t *object, const char *what, struct err *err)
{
	struct json_reader r = { .object = object, .what = what, .err = err };

	if (!json_is_object(object))
		json_reader_fail(&r, "not an object");
	return r;
}

void json_reader_fail(struct json_reader *r, const char *format, ...)
{
	char text[ERR_TEXT_MAX];
	va_list args;

	if (r->failed)
		return;
	r->failed = true;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	err_set(r->err, -EINVAL, "%s: %s", r->what, text);
}

bool json_has(const struct json_reader *r, const char *key)
{
	return !r->failed && json_object_get(r->object, key);
}

/* The field, counted as asked for; NULL and a failure where it is missing and required. */
static json_t *take_field(struct json_reader *r, const char *key, bool required)
{
	json_t *field;

	if (r->failed)
		return NULL;
	field = json_object_get(r->object, key);
	if (!field) {
		if (required)
			json_reader_fail(r, "field %s is missing", key);
		return NULL;
	}
	r->asked++;
	return field;
}

static const char *check_text(
	struct json_reader *r, const char *key, const json_t *field, size_t max_len)
{
	if (!field)
		return NULL;
	if (!json_is_string(field)) {
		json_reader_fail(r, "field %s is not a text", key);
		return NULL;
	}
	if (json_string_length(field) > max_len) {
		json_reader_fail(r, "field %s is longer than %zu bytes", key, max_len);
		return NULL;
	}
	return json_string_value(field);
}

const char *json_get_text(struct json_reader *r, const char *key, size_t max_len)
{
	return check_text(r, key, take_field(r, key, true), max_len);
}

const char *json_get_text_or(
	struct json_reader *r, const char *key, size_t max_len, const char *otherwise)
{
	json_t *field = take_field(r, key, false);

	return field ? check_text(r, key, field, max_len) : otherwise;
}

static uint64_t check_u64(
	struct json_reader *r, const char *key, const json_t *field, uint64_t min, uint64_t max)
{
	json_int_t value;

	if (!field)
		return 0;
	value = json_integer_value(field);
	if (!json_is_integer(field) || value < 0 || (uint64_t)value < min ||
		(uint64_t)value > max) {
		json_reader_fail(r, "field %s is not a whole number from %llu to %llu", key,
			(unsigned long long)min, (unsigned long long)max);
		return 0;
	}
	return (uint64_t)value;
}

uint64_t json_get_u64(struct json_reader *r, const char *key, uint64_t min, uint64_t max)
{
	return check_u64(r, key, take_field(r, key, true), min, max);
}

uint64_t json_get_u64_or(
	struct json_reader *r, const char *key, uint64_t min, uint64_t max, uint64_t otherwise)
{
	json_t *field = take_field(r, key, false);

	return field ? check_u64(r, key, field, min, max) : otherwise;
}

static bool check_bool(struct json_reader *r, const char *key, const json_t *field)
{
	if (field && !json_is_boolean(field))
		json_reader_fail(r, "field %s is neither true nor false", key);
	return json_is_true(field);
}

bool json_get_bool(struct json_reader *r, const char *key)
{
	return check_bool(r, key, take_field(r, key, true));
}

bool json_get_bool_or(struct json_reader *r, const char *key, bool otherwise)
{
	json_t *field = take_field(r, key, false);

	return field ? check_bool(r, key, field) : otherwise;
}

static json_t *check_array(struct json_reader *r, const char *key, json_t *field, size_t max_count)
{
	if (!field)
		return NULL;
	if (!json_is_array(field) || json_array_size(field) > max_count) {
		json_reader_fail(r, "field %s is not a list of at most %zu", key, max_count);
		return NULL;
	}
	return field;
}

json_t *json_get_array(struct json_reader *r, const char *key, size_t max_count)
{
	return check_array(r, key, take_field(r, key, true), max_count);
}

json_t *json_get_array_or_null(struct json_reader *r, const char *key, size_t max_count)
{
	return check_array(r, key, take_field(r, key, false), max_count);
}

static json_t *check_object(struct json_reader *r, const char *key, json_t *field)
{
	if (field && !json_is_object(field)) {
		json_reader_fail(r, "field %s is not an object", key);
		return NULL;
	}
	return field;
}

json_t *json_get_object(struct json_reader *r, const char *key)
{
	return check_object(r, key, take_field(r, key, true));
}

json_t *json_get_object_or_null(struct json_reader *r, const char *key)
{
	return check_object(r, key, take_field(r, key, false));
}

void json_free_texts(char **texts)
{
	for (char **p = texts; p && *p; p++)
		free(*p);
	free(texts);
}

char **json_get_texts(struct json_reader *r, const char *key, size_t max_count, size_t max_len)
{
	json_t *array = json_get_array_or_null(r, key, max_count);
	size_t count = json_array_size(array); /* 0 for NULL */
	char **texts = calloc(count + 1, sizeof(*texts));

	if (!texts) {
		json_reader_fail(r, "out of memory");
		return NULL;
	}
	for (size_t i = 0; i < count && !r->failed; i++) {
		const char *text = check_text(r, key, json_array_get(array, i), max_len);

		texts[i] = text ? strdup(text) : NULL;
		if (text && !texts[i])
			json_reader_fail(r, "out of memory");
	}
	if (r->failed) {
		json_free_texts(texts);
		return NULL;
	}
	return texts;
}

int json_reader_done(struct json_reader *r)
{
	if (!r->failed && r->asked != json_object_size(r->object))
		json_reader_fail(r, "a field that is not known is in it");
	return r->failed ? -EINVAL : 0;
}

json_t *json_from_texts(char *const *texts)
{
	json_t *array = json_array();

	for (char *const *p = texts; p && *p; p++)
		if (json_array_append_new(array, json_string(*p)) < 0) {
			json_decref(array);
			return NULL;
		}
	return array;
}

bool json_text_valid(const char *text)
{
	_cleanup_json_ json_t *json = json_string(text);

	return json;
}
