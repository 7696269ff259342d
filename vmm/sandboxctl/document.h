/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * JSON documents: what --json prints and what the supervisor answers. The one file of sandboxctl that includes
 * jansson; elsewhere a document is opaque.
 *
 * Ownership: document_object/list/parse make one (document_destroy; NULL allowed); document_set_child and
 * document_append steal their child, also on failure; document_child/at and every text returned borrow from the tree.
 * Setters ignore NULL documents, and a failed allocation inside a tree leaves the field out. Keys may be paths: "a.b".
 * Limits: DOCUMENT_MAX bytes of text, jansson's own limit on depth.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/err.h"

#define DOCUMENT_MAX	     (4u << 20)
#define DOCUMENT_API_VERSION "sandboxctl/v1"

struct document;
struct json_t; /* jansson's, as the supervisor's library gives and takes it */

/* The same tree under both names; ownership stays as it was. */
struct document *document_of_json(struct json_t *json);
struct json_t *document_json(const struct document *d);

struct document *document_object(void);
struct document *document_list(void);
void document_destroy(struct document *d);
DEFINE_CLEANUP(document, document_destroy)
#define _cleanup_document_ _cleanup_(cleanup_document_)

int document_parse(const char *text, size_t len, struct document **ret, struct err *err);
struct document *document_copy(const struct document *d); /* deep; NULL for NULL */

/* Text that is not UTF-8 is stored with '?' for what is wrong in it. NULL text stores null. */
void document_set_text(struct document *d, const char *key, const char *text);
void document_set_int(struct document *d, const char *key, int64_t value);
void document_set_bool(struct document *d, const char *key, bool value);
void document_set_child(struct document *d, const char *key, struct document *child);
void document_append(struct document *list, struct document *child);
void document_append_text(struct document *list, const char *text);
/* Whether text goes into a document as it is: JSON holds UTF-8 alone. */
bool document_can_hold(const char *text);

/* Reading: the fallback where the path is not there or of another type. */
const char *document_text(const struct document *d, const char *path, const char *fallback);
int64_t document_int(const struct document *d, const char *path, int64_t fallback);
bool document_bool(const struct document *d, const char *path, bool fallback);
const struct document *document_child(
	const struct document *d, const char *path); /* NULL if missing */
size_t document_count(const struct document *list);
const struct document *document_at(const struct document *list, size_t index);
/* A value as a person reads it (numbers and truth values too), into out; gives out. Lists: joined by spaces. A NULL path: d itself. */
const char *document_show(const struct document *d, const char *path, char *out, size_t size);

/* Walks an object's members. *iterator starts as NULL; false at the end. */
bool document_next(const struct document *object, void **iterator, const char **ret_key,
	const struct document **ret_value);

/* One document and a line end. compact: on one line (NDJSON). */
int document_print(FILE *out, const struct document *d, bool compact);
/* {"apiVersion", "kind", "data": d}; steals d. */
struct document *document_envelope(const char *kind, struct document *data);
/* The text of a document, to be freed; NULL without memory. */
char *document_dump(const struct document *d);
