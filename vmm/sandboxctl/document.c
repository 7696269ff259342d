/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/document.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "vmm/sandboxctl/terminal_filter.h"

#define KEY_MAX 64

struct document *document_of_json(struct json_t *json)
{
	return (struct document *)json;
}

struct json_t *document_json(const struct document *d)
{
	return (struct json_t *)d;
}

struct document *document_object(void)
{
	return document_of_json(json_object());
}

struct document *document_list(void)
{
	return document_of_json(json_array());
}

void document_destroy(struct document *d)
{
	json_decref(document_json(d));
}

struct document *document_copy(const struct document *d)
{
	return d ? document_of_json(json_deep_copy(document_json(d))) : NULL;
}

int document_parse(const char *text, size_t len, struct document **ret, struct err *err)
{
	json_error_t where;
	json_t *j;

	if (len > DOCUMENT_MAX)
		return err_set(err, -EFBIG, "the answer is longer than %u bytes", DOCUMENT_MAX);
	j = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);
	if (!j)
		return err_set(err, -EPROTO, "the answer is not JSON: line %d: %s", where.line,
			where.text);
	*ret = document_of_json(j);
	return 0;
}

bool document_can_hold(const char *text)
{
	json_t *j = json_string(text);

	json_decref(j);
	return j != NULL;
}

/* A string that jansson takes, whatever the bytes are. */
static json_t *json_text(const char *text)
{
	json_t *j = json_string(text);

	if (!j) {
		size_t size = strlen(text) + 16;
		char *clean = malloc(size);

		j = clean ? json_string(terminal_filter_text(text, clean, size)) : NULL;
		free(clean);
	}
	return j;
}

void document_set_text(struct document *d, const char *key, const char *text)
{
	json_object_set_new(document_json(d), key, text ? json_text(text) : json_null());
}

void document_set_int(struct document *d, const char *key, int64_t value)
{
	json_object_set_new(document_json(d), key, json_integer(value));
}

void document_set_bool(struct document *d, const char *key, bool value)
{
	json_object_set_new(document_json(d), key, json_boolean(value));
}

void document_set_child(struct document *d, const char *key, struct document *child)
{
	json_object_set_new(document_json(d), key, child ? document_json(child) : json_null());
}

void document_append(struct document *list, struct document *child)
{
	json_array_append_new(document_json(list), document_json(child));
}

void document_append_text(struct document *list, const char *text)
{
	json_array_append_new(document_json(list), json_text(text));
}

/* "a.b.c" from the object at j, borrowed. */
static json_t *find(const struct document *d, const char *path)
{
	json_t *j = document_json(d);

	while (j && path) {
		size_t len = strcspn(path, ".");
		char key[KEY_MAX];

		if (len >= sizeof(key))
			return NULL;
		memcpy(key, path, len);
		key[len] = '\0';
		j = json_object_get(j, key);
		if (!path[len])
			break;
		path += len + 1;
	}
	return j;
}

const char *document_text(const struct document *d, const char *path, const char *fallback)
{
	const char *text = json_string_value(find(d, path));

	return text ? text : fallback;
}

int64_t document_int(const struct document *d, const char *path, int64_t fallback)
{
	json_t *j = find(d, path);

	return json_is_integer(j) ? json_integer_value(j) : fallback;
}

bool document_bool(const struct document *d, const char *path, bool fallback)
{
	json_t *j = find(d, path);

	return json_is_boolean(j) ? json_is_true(j) : fallback;
}

const struct document *document_child(const struct document *d, const char *path)
{
	json_t *j = find(d, path);

	return json_is_null(j) ? NULL : document_of_json(j);
}

size_t document_count(const struct document *list)
{
	return json_array_size(document_json(list));
}

const struct document *document_at(const struct document *list, size_t index)
{
	return document_of_json(json_array_get(document_json(list), index));
}

static void show_value(json_t *j, char *out, size_t size)
{
	out[0] = '\0';
	if (json_is_string(j))
		terminal_filter_text(json_string_value(j), out, size);
	else if (json_is_integer(j))
		snprintf(out, size, "%lld", (long long)json_integer_value(j));
	else if (json_is_real(j))
		snprintf(out, size, "%.2f", json_real_value(j));
	else if (json_is_boolean(j))
		snprintf(out, size, "%s", json_is_true(j) ? "yes" : "no");
}

const char *document_show(const struct document *d, const char *path, char *out, size_t size)
{
	json_t *j = find(d, path);

	show_value(j, out, size);
	for (size_t i = 0; i < json_array_size(j); i++) {
		size_t used = strlen(out);

		if (used + 2 >= size)
			break;
		if (used)
			out[used++] = ' ';
		show_value(json_array_get(j, i), out + used, size - used);
	}
	return out;
}

bool document_next(const struct document *object, void **iterator, const char **ret_key,
	const struct document **ret_value)
{
	json_t *j = document_json(object);

	*iterator = *iterator ? json_object_iter_next(j, *iterator) : json_object_iter(j);
	if (!*iterator)
		return false;
	*ret_key = json_object_iter_key(*iterator);
	*ret_value = document_of_json(json_object_iter_value(*iterator));
	return true;
}

int document_print(FILE *out, const struct document *d, bool compact)
{
	size_t flags = compact ? JSON_COMPACT : JSON_INDENT(2);

	/* Control and invisible characters leave as \u escapes, so that a terminal may be given the document as it is. */
	if (json_dumpf(document_json(d), out, flags | JSON_ENSURE_ASCII | JSON_ENCODE_ANY) < 0 ||
		fputc('\n', out) < 0)
		return -EIO;
	return fflush(out) ? -EIO : 0;
}

struct document *document_envelope(const char *kind, struct document *data)
{
	struct document *d = document_object();

	document_set_text(d, "apiVersion", DOCUMENT_API_VERSION);
	document_set_text(d, "kind", kind);
	document_set_child(d, "data", data);
	return d;
}

char *document_dump(const struct document *d)
{
	return json_dumps(document_json(d), JSON_COMPACT | JSON_ENCODE_ANY);
}
