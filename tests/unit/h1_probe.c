/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h1_probe FILE...: what our parser makes of each message, a line of JSON per file, for test_h1_differential.py. In a
 * folder `h1_response` are responses: one whose name begins with `head_` or `connect_` to that method, else to GET.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/array.h"
#include "vsock-proxy/h1_body.h"

static char data[1 << 18];
static struct h1_body body;

static const char *method_of(const char *path)
{
	const char *name = strrchr(path, '/');

	name = name ? name + 1 : path;
	if (strncmp(name, "head_", 5) == 0)
		return "HEAD";
	return strncmp(name, "connect_", 8) == 0 ? "CONNECT" : "GET";
}

static void print_hex(const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		printf("%02x", (unsigned char)bytes[i]);
}

static void print_text(const char *key, const char *text)
{
	printf("\"%s\": \"", key);
	print_hex(text, strlen(text));
	printf("\", ");
}

static void print_fields(const char *key, const struct record_fields *fields)
{
	printf("\"%s\": [", key);
	for (size_t i = 0; i < fields->count; i++) {
		printf("%s[\"", i ? ", " : "");
		print_hex(fields->list[i].name, strlen(fields->list[i].name));
		printf("\", \"");
		print_hex(fields->list[i].value, strlen(fields->list[i].value));
		printf("\"]");
	}
	printf("], ");
}

static void print_target(const struct h1_request *r)
{
	static char target[H1_LINE_MAX + 16];

	snprintf(target, sizeof(target), "%s%s%s%s%s%s", r->scheme ? r->scheme : "",
		r->scheme ? "://" : "", r->authority ? r->authority : "", r->path ? r->path : "",
		r->query ? "?" : "", r->query ? r->query : "");
	print_text("target", target);
}

/* The body's bytes; its end, as far as these bytes tell. */
static enum h1_error print_body(const char *in, size_t len)
{
	static char out[sizeof(data)];
	static struct record_fields trailers;
	size_t at = 0, out_len = 0;
	enum h1_error error = H1_OK;

	while (!error && at < len && !h1_body_done(&body)) {
		size_t used, part_len;
		const char *part;

		error = h1_body_take(&body, in + at, len - at, &used, &part, &part_len);
		if (error)
			return error;
		memcpy(out + out_len, part, part_len);
		out_len += part_len;
		at += used;
	}
	if (h1_body_done(&body))
		error = h1_body_trailers(&body, &trailers);
	if (error)
		return error;
	print_fields("trailers", &trailers);
	printf("\"body\": \"");
	print_hex(out, out_len);
	printf("\", \"rest\": %zu, \"kind\": %d, \"done\": %s, ", len - at, (int)body.kind,
		h1_body_done(&body) ? "true" : "false");
	return H1_OK;
}

static enum h1_error print_request(size_t end)
{
	static struct h1_request r;
	static char head[sizeof(data)];
	enum h1_error error;

	memcpy(head, data, end);
	error = h1_request_parse(head, end, &r);
	if (!error)
		error = h1_body_of_request(&r, &body);
	if (error)
		return error;
	print_text("method", r.method);
	print_target(&r);
	print_fields("fields", &r.fields);
	return H1_OK;
}

static enum h1_error print_response(size_t end, const char *method)
{
	static struct h1_response r;
	static char head[sizeof(data)];
	enum h1_error error;

	memcpy(head, data, end);
	error = h1_response_parse(head, end, &r);
	if (!error)
		error = h1_body_of_response(&r, method, &body);
	if (error)
		return error;
	printf("\"status\": %u, ", r.status);
	print_fields("fields", &r.fields);
	return H1_OK;
}

static void probe(const char *path, size_t len)
{
	struct h1_scan scan;
	size_t end = 0;
	enum h1_error error;

	h1_scan_init(&scan, H1_HEAD_MAX);
	error = h1_scan(&scan, data, len, &end);
	printf("{");
	if (!error && end) {
		error = strstr(path, "h1_response/") ? print_response(end, method_of(path))
						     : print_request(end);
		if (!error)
			error = print_body(data + end, len - end);
	}
	printf("\"verdict\": \"%s\", \"why\": \"%s\"}\n",
		error ? "refused"
		: end ? "accepted"
		      : "more",
		h1_error_text(error));
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		FILE *file = fopen(argv[i], "re");
		size_t len;

		if (!file) {
			perror(argv[i]);
			return 1;
		}
		len = fread(data, 1, sizeof(data), file);
		fclose(file);
		probe(argv[i], len);
	}
	return 0;
}
