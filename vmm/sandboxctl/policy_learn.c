/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/policy_learn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/array.h"
#include "vmm/base/parse.h"
#include "vmm/sandboxctl/document.h"
#include "vmm/supervisor/audit/reader.h"

static const char *const known_methods[] = { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE",
	"OPTIONS" };

/* "name:443", "192.0.2.1:443", "[2001:db8::1]:443" */
static bool split_host(const char *text, struct learnt *ret)
{
	const char *colon = strrchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : 0;
	uint64_t port;

	if (!len || !parse_u64(colon + 1, 1, UINT16_MAX, &port))
		return false;
	if (text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	if (len >= sizeof(ret->host))
		return false;
	memcpy(ret->host, text, len);
	ret->host[len] = '\0';
	ret->port = (uint16_t)port;
	return true;
}

static void add_method(struct learnt *l, const char *method)
{
	const char *known = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(known_methods); i++)
		if (strcmp(known_methods[i], method) == 0)
			known = known_methods[i];
	if (!known) {
		l->other_methods = true;
		return;
	}
	for (size_t i = 0; i < l->method_count; i++)
		if (l->methods[i] == known)
			return;
	l->methods[l->method_count++] = known;
}

static struct learnt *find(struct learnt *list, size_t count, const struct learnt *wanted)
{
	for (size_t i = 0; i < count; i++)
		if (list[i].port == wanted->port && strcmp(list[i].host, wanted->host) == 0)
			return &list[i];
	return NULL;
}

static int take(struct learnt *list, size_t *count, const struct document *record, struct err *err)
{
	const char *decision = document_text(record, "decision", "");
	const char *method = document_text(record, "method", "");
	struct learnt one = {}, *at;

	if (strcmp(document_text(record, "kind", ""), "egress") != 0 ||
		(strcmp(decision, "learnt") != 0 && strcmp(decision, "allowed") != 0) ||
		!split_host(document_text(record, "host", ""), &one))
		return 0;
	at = find(list, *count, &one);
	if (!at && *count == POLICY_LEARN_MAX)
		return err_set(err, -E2BIG, "more than %d destinations: write rules with patterns",
			POLICY_LEARN_MAX);
	if (!at) {
		at = &list[(*count)++];
		*at = one;
	}
	if (*method)
		add_method(at, method);
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct learnt *x = a, *y = b;
	int order = strcmp(x->host, y->host);

	return order ? order : x->port - y->port;
}

int policy_learn(
	int log_fd, struct learnt ret[static POLICY_LEARN_MAX], size_t *ret_count, struct err *err)
{
	_cleanup_(cleanup_reader_) struct reader *reader = NULL;
	const char *line;
	size_t len;
	int r = reader_create(log_fd, 0, &reader);

	*ret_count = 0;
	while (r == 0 && (r = reader_next(reader, &line, &len)) > 0) {
		_cleanup_document_ struct document *record = NULL;

		r = document_parse(line, len, &record, err);
		if (r == 0)
			r = take(ret, ret_count, record, err);
	}
	if (r < 0)
		return *err->text ? r : err_set(err, r, "the audit log: %s", strerror(-r));
	qsort(ret, *ret_count, sizeof(*ret), compare);
	return 0;
}
