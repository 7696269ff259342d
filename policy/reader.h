/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Reads one JSON document and knows at any time where in it it is: `policy.json: rules[3].host: ...`. The only file of
 * policy/ that includes jansson; elsewhere a value is opaque. Sticky: the first failure stays, later reads give
 * fallbacks, and the caller asks reader->result once, at the end. Duplicate keys and text after the document are errors.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/memory.h"
#include "vmm/base/err.h"

#define READER_PATH_MAX 256
#define READER_TEXT_MAX 4096 /* bytes of one text in a document */

struct json_t; /* jansson's */

struct reader {
	struct policy_memory *memory; /* what texts are copied into */
	const char *name; /* the document's */
	struct json_t *root;
	struct err *err;
	int result; /* 0, or the first failure */
	size_t path_len;
	char path[READER_PATH_MAX];
};

/* The root is an object, or this fails. reader_finish() in any case. */
int reader_init(struct reader *r, struct policy_memory *memory, const char *name, const char *json,
	size_t len, struct err *err);
void reader_finish(struct reader *r);
/* Fails at the place where it is; gives the result, negative. */
int reader_fail(struct reader *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
int reader_fail_at(struct reader *r, const char *key, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Goes down into `key`, or into `[index]` where key is NULL; reader_leave() takes the mark. */
size_t reader_enter(struct reader *r, const char *key, size_t index);
void reader_leave(struct reader *r, size_t mark);

/* That v is an object with no key but these (ended by NULL). */
bool reader_object(struct reader *r, const struct json_t *v, const char *const *keys);
const struct json_t *reader_member(const struct json_t *object, const char *key); /* NULL */

/* `x` or `[x, y]`: how many there are, and each. A list that is empty or longer than max fails. */
size_t reader_count(struct reader *r, const struct json_t *object, const char *key, size_t max);
const struct json_t *reader_item(const struct json_t *object, const char *key, size_t index);
/* A member that is a list, empty ones too, and nothing else: its size. */
size_t reader_list(struct reader *r, const struct json_t *object, const char *key, size_t max);
bool reader_is_list(const struct json_t *object, const char *key);

/* A value of a type, or failure at the place where it is. Texts are copied, and hold no control characters. */
const char *reader_text(struct reader *r, const struct json_t *v, size_t max);
bool reader_is_number(const struct json_t *v);
uint64_t reader_number(struct reader *r, const struct json_t *v, uint64_t min, uint64_t max);

/* The same of a member; without one, the fallback. */
const char *reader_get_text(struct reader *r, const struct json_t *object, const char *key,
	size_t max, const char *fallback);
bool reader_get_bool(struct reader *r, const struct json_t *object, const char *key);
uint64_t reader_get_number(struct reader *r, const struct json_t *object, const char *key,
	uint64_t min, uint64_t max, uint64_t fallback);
/* Bytes: a number, or "64K", "10M", "1G". */
uint64_t reader_get_size(struct reader *r, const struct json_t *object, const char *key);
/* One of words (ended by NULL): its index; -1 where it is missing or something else (which fails). */
int reader_word(struct reader *r, const struct json_t *v, const char *const *words);
int reader_get_word(
	struct reader *r, const struct json_t *object, const char *key, const char *const *words);

/* The whole document with sorted keys and no white space, in the reader's memory; NULL: failed. */
const char *reader_canonical(struct reader *r);
