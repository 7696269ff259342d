/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/audit_view.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "vmm/sandboxctl/project.h"
#include "vmm/sandboxctl/terminal_filter.h"
#include "vmm/supervisor/audit/audit_open.h"
#include "vmm/supervisor/audit/reader.h"
#include "vmm/supervisor/registry.h"

#define LOOK_INTERVAL_MS 200
#define TEXT_MAX	 6000 /* of a record: a path of 2048 bytes is its longest part */

/* Which log. */

static int log_of_folder(const struct invocation *in, struct audit_target *target, struct err *err)
{
	struct project project = {};
	int r = project_find(&target->paths, ".", &project, err);

	if (r < 0)
		return report_general(in, "lookup", err);
	snprintf(target->name, sizeof(target->name), "%s", project.name);
	return 0;
}

static int missing_log(const struct invocation *in, const char *name)
{
	struct failure failure = { EXIT_NO_SANDBOX, "not-found", "lookup" };
	struct err err = {};

	err_set(&err, -ENOENT, "there is no audit log of a sandbox %s", name);
	err_next_step(&err, "sandboxctl audit ls");
	return report_failure(in, failure, &err);
}

int audit_target_find(const struct invocation *in, const char *word, struct audit_target *ret)
{
	char folder[PATH_MAX];
	struct err err = {};
	int code;

	*ret = (struct audit_target){ .dir_fd = -1 };
	code = target_paths(in, &ret->paths);
	if (code)
		return code;
	if (word && !sandbox_name_valid(word))
		return target_bad_name(in, word);
	if (word)
		snprintf(ret->name, sizeof(ret->name), "%s", word);
	else
		code = log_of_folder(in, ret, &err);
	if (code)
		return code;
	if (audit_folder_path(&ret->paths, ret->name, folder, &err) < 0)
		return report_general(in, "lookup", &err);
	ret->dir_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (ret->dir_fd < 0 && errno == ENOENT)
		return missing_log(in, ret->name);
	if (ret->dir_fd < 0) {
		err_set(&err, -errno, "%s: %m", folder);
		return report_general(in, "lookup", &err);
	}
	return 0;
}

void audit_target_finish(struct audit_target *target)
{
	close_keeping_errno(target->dir_fd);
	target->dir_fd = -1;
}

/* How a record reads. */

struct line {
	char text[TEXT_MAX];
	size_t used;
};

static void put(struct line *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct line *l, const char *format, ...)
{
	size_t room = sizeof(l->text) - l->used;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(l->text + l->used, room, format, args);
	va_end(args);
	l->used += n > 0 && (size_t)n < room ? (size_t)n : n > 0 ? room - 1 : 0;
}

/* A code point of the log stands for one byte: U+0080 to U+00FF take two in UTF-8. */
static void bytes_of(const char *text, char *out, size_t size)
{
	size_t used = 0;

	for (; *text && used + 1 < size; text++) {
		unsigned char c = (unsigned char)*text, next = (unsigned char)text[1];

		if ((c == 0xc2 || c == 0xc3) && next >= 0x80 && next < 0xc0) {
			c = (unsigned char)((c & 3) << 6 | (next & 0x3f));
			text++;
		}
		out[used++] = (char)c;
	}
	out[used] = '\0';
}

static void put_field(struct line *l, const char *before, const struct document *record,
	const char *key, const char *after)
{
	const char *text = document_text(record, key, NULL);
	char bytes[TEXT_MAX];

	if (!text)
		return;
	bytes_of(text, bytes, sizeof(bytes));
	put(l, "%s%s%s", before, bytes, after);
}

static void put_egress(struct line *l, const struct document *record)
{
	int64_t status = document_int(record, "status", 0);
	int64_t us = document_int(record, "duration_us", 0);

	put_field(l, "", record, "method", " ");
	put_field(l, "", record, "host", "");
	put_field(l, "", record, "path", "");
	if (status)
		put(l, " %" PRId64, status);
	if (us)
		put(l, " %" PRId64 " ms", us / 1000);
	if (document_int(record, "received_bytes", 0) || document_int(record, "sent_bytes", 0))
		put(l, " %" PRId64 "+%" PRId64 " bytes", document_int(record, "sent_bytes", 0),
			document_int(record, "received_bytes", 0));
	put_field(l, " rule ", record, "rule", "");
	put_field(l, " secret ", record, "secret", "");
	put_field(l, ": ", record, "detail", "");
}

void audit_view_text(const struct document *record, char *out, size_t size)
{
	const char *kind = document_text(record, "kind", "?");
	int64_t count = document_int(record, "count", 1);
	struct line l = {};

	put(&l, "%.19sZ  %-5s  %-13s  %-7s  ", document_text(record, "time", "?"),
		document_text(record, "source", "?"), kind, document_text(record, "decision", ""));
	if (strcmp(kind, "egress") == 0) {
		put_egress(&l, record);
	} else {
		put_field(&l, "", record, "rule", " ");
		put_field(&l, "", record, "detail", "");
	}
	if (count > 1)
		put(&l, " (%" PRId64 " times)", count);
	terminal_filter_text(l.text, out, size);
}

/* Showing them. */

struct shower {
	const struct audit_view *view;
	struct document **last; /* a ring of the newest view->lines, until they are shown */
	uint64_t held;
};

static bool is_wanted(const struct audit_view *v, const struct document *record)
{
	if (*v->instance && strcmp(document_text(record, "instance", ""), v->instance) != 0)
		return false;
	return !v->egress_only || strcmp(document_text(record, "kind", ""), "egress") == 0;
}

/* Steals the record. */
static int show(const struct audit_view *v, struct document *record)
{
	_cleanup_document_ struct document *d = NULL;
	char text[TEXT_MAX];

	if (v->json) {
		d = document_envelope("AuditRecord", record);
		return document_print(stdout, d, true);
	}
	d = record;
	audit_view_text(d, text, sizeof(text));
	return printf("%s\n", text) < 0 || fflush(stdout) != 0 ? -EPIPE : 0;
}

static int take(struct shower *s, struct document *record)
{
	uint64_t at;

	if (!is_wanted(s->view, record)) {
		document_destroy(record);
		return 0;
	}
	if (!s->last)
		return show(s->view, record);
	at = s->held++ % s->view->lines;
	document_destroy(s->last[at]);
	s->last[at] = record;
	return 0;
}

static int show_held(struct shower *s)
{
	uint64_t lines = s->view->lines, from = s->held > lines ? s->held - lines : 0;
	int r = 0;

	for (uint64_t i = from; i < s->held; i++) {
		if (r == 0)
			r = show(s->view, s->last[i % lines]);
		else
			document_destroy(s->last[i % lines]);
	}
	free(s->last);
	s->last = NULL;
	return r;
}

static int read_on(struct reader *reader, struct shower *s, struct err *err)
{
	const char *line;
	size_t len;
	int r;

	while ((r = reader_next(reader, &line, &len)) > 0) {
		struct document *record = NULL;

		r = document_parse(line, len, &record, err);
		if (r == 0)
			r = take(s, record);
		if (r < 0)
			return r;
	}
	return r < 0 && !*err->text
		       ? err_set(err, r, "a record that cannot be read: %s", strerror(-r))
		       : r;
}

static int follow(
	const struct audit_target *target, struct reader *reader, struct shower *s, struct err *err)
{
	const struct timespec pause = { .tv_nsec = LOOK_INTERVAL_MS * 1000000L };
	bool alive = true;
	int r = 0;

	while (r == 0 && alive) {
		if (s->view->until_end)
			alive = registry_is_locked(&target->paths, target->name) == 1;
		r = read_on(reader, s, err);
		if (r == 0 && alive)
			nanosleep(&pause, NULL);
	}
	return r;
}

int audit_view_options(const struct invocation *in, uint64_t lines_default, struct audit_view *ret)
{
	const char *lines = options_value(&in->options, "lines");
	struct err err = {};

	*ret = (struct audit_view){ .follow = options_flag(&in->options, "follow"),
		.json = in->json,
		.lines = lines_default,
		.all = !lines_default && !lines };
	if (!lines || parse_u64(lines, 0, 1000000, &ret->lines))
		return 0;
	err_set(&err, -EINVAL, "--lines %.40s: not a number up to 1000000", lines);
	return report_usage(in, &err);
}

int audit_view_show(const struct invocation *in, const struct audit_target *target,
	const struct audit_view *view)
{
	_cleanup_(cleanup_reader_) struct reader *reader = NULL;
	struct shower s = { .view = view };
	struct err err = {};
	int r = reader_create(target->dir_fd, 0, &reader);

	if (r == 0 && !view->all) {
		s.last = calloc(view->lines + 1, sizeof(struct document *));
		r = s.last ? 0 : -ENOMEM;
	}
	if (r == 0)
		r = read_on(reader, &s, &err);
	if (s.last) {
		int shown = show_held(&s);

		r = r < 0 ? r : shown;
	}
	if (r == 0 && view->follow)
		r = follow(target, reader, &s, &err);
	if (r == 0 || r == -EPIPE)
		return EXIT_OK;
	if (!*err.text)
		err_set(&err, r, "audit log %s: %s", target->name, strerror(-r));
	return report_general(in, "audit", &err);
}
