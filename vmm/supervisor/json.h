/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Strict reading of JSON objects, over jansson: each known field is asked for once, of one type and in bounds; at the end
 * an object must hold nothing that was not asked for. The reader is sticky like bytes.h: the first thing that is wrong is
 * kept in err, later calls do nothing, and the caller asks json_reader_done() once.
 *
 * Text is UTF-8 without NUL (jansson refuses both). Everything a reader gives out borrows from the object.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/err.h"

#define JSON_FIELDS_MAX 48
#define JSON_DEPTH_MAX	16

struct json_reader {
	json_t *object; /* borrowed */
	const char *what; /* for messages: "record", "spec", "request" */
	struct err *err;
	size_t asked; /* fields that were asked for and are there */
	bool failed;
};

/* Parses a whole text of at most max bytes: one object, no duplicate keys. */
int json_parse_object(
	const char *text, size_t len, size_t max, const char *what, json_t **ret, struct err *err);

struct json_reader json_reader(json_t *object, const char *what, struct err *err);
bool json_has(const struct json_reader *r, const char *key);
/* Required fields. On failure they give NULL, 0 or false. */
const char *json_get_text(struct json_reader *r, const char *key, size_t max_len);
uint64_t json_get_u64(struct json_reader *r, const char *key, uint64_t min, uint64_t max);
bool json_get_bool(struct json_reader *r, const char *key);
json_t *json_get_array(struct json_reader *r, const char *key, size_t max_count);
json_t *json_get_object(struct json_reader *r, const char *key);
/* The same where the field may be absent. */
const char *json_get_text_or(
	struct json_reader *r, const char *key, size_t max_len, const char *otherwise);
uint64_t json_get_u64_or(
	struct json_reader *r, const char *key, uint64_t min, uint64_t max, uint64_t otherwise);
bool json_get_bool_or(struct json_reader *r, const char *key, bool otherwise);
json_t *json_get_array_or_null(struct json_reader *r, const char *key, size_t max_count);
json_t *json_get_object_or_null(struct json_reader *r, const char *key);
/* An array of texts as a NULL-ended vector on the heap (strings too: json_free_texts). Absent: an empty vector. */
char **json_get_texts(struct json_reader *r, const char *key, size_t max_count, size_t max_len);
void json_free_texts(char **texts);
/* Marks a mistake found by the caller. */
void json_reader_fail(struct json_reader *r, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* 0, or -EINVAL with err set: something failed, or a field was not asked for. */
int json_reader_done(struct json_reader *r);

/* NULL-ended; NULL gives an empty array. NULL where a text is not UTF-8. */
json_t *json_from_texts(char *const *texts);
/* Whether text may stand in JSON: valid UTF-8. */
bool json_text_valid(const char *text);

static inline void cleanup_json_(json_t **json)
{
	json_decref(*json);
}
#define _cleanup_json_ __attribute__((cleanup(cleanup_json_)))
