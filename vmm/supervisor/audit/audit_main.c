/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox-audit: from its command line to its end. The key is read, the host's root is left for one that holds the log's folder alone,
 * the log is opened and mended, the process is sealed; then it writes until SIGTERM or until the supervisor is gone.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/base/event.h"
#include "vmm/base/log.h"
#include "vmm/base/parse.h"
#include "vmm/jail/seccomp_table.h"
#include "vmm/supervisor/audit/forward.h"
#include "vmm/supervisor/audit/writer.h"
#include "vsock-proxy/process.h"

#define LOG_FOLDER "/log" /* in our root */
#define WORDS_MAX  64
#define TELL_MS	   1000

struct options {
	const char *name, *folder, *sandbox, *instance, *forward;
	int lifeline_fd, event_fd, control_fd, lock_fd, key_fd, forward_fd;
	struct writer_source sources[WRITER_SOURCES_MAX];
	size_t source_count;
};

struct own {
	struct process process;
	struct options options;
	struct jail_bind bind;
	struct audit_key *key;
	int folder_fd;
	struct store *store;
	struct writer *writer;
	struct forward forward;
	struct forward told; /* what the supervisor knows of it */
	uint64_t told_ms;
	uint32_t told_sequence;
};

/* FD:host or FD:guest */
static int take_source(struct options *o, const char *value, struct err *err)
{
	const char *colon = strchr(value, ':');
	size_t len = colon ? (size_t)(colon - value) : 0;
	struct writer_source source = {};
	char digits[12] = {};

	if (o->source_count == WRITER_SOURCES_MAX)
		return err_set(err, -E2BIG, "--source: too many");
	if (len == 0 || len >= sizeof(digits))
		return err_set(err, -EINVAL, "--source: not FD:host or FD:guest: %s", value);
	memcpy(digits, value, len);
	if (strcmp(colon, ":host") == 0)
		source.source = AUDIT_FROM_HOST;
	else if (strcmp(colon, ":guest") == 0)
		source.source = AUDIT_FROM_GUEST;
	if (!source.source || !parse_int(digits, 0, INT_MAX, &source.fd))
		return err_set(err, -EINVAL, "--source: not FD:host or FD:guest: %s", value);
	o->sources[o->source_count++] = source;
	return 0;
}

/* Sources may be many: they are taken out before the rest is read. */
static int take_sources(struct options *o, int *argc, char **argv, char **words, struct err *err)
{
	int count = 0;

	for (int i = 0; i < *argc; i++) {
		int r;

		if (strcmp(argv[i], "--source") != 0 || i + 1 == *argc) {
			if (count == WORDS_MAX)
				return err_set(err, -E2BIG, "too many words");
			words[count++] = argv[i];
			continue;
		}
		r = take_source(o, argv[++i], err);
		if (r < 0)
			return r;
	}
	*argc = count;
	return 0;
}

static int parse_options(struct own *own, int argc, char **argv, struct err *err)
{
	struct options *o = &own->options;
	const struct process_option table[] = {
		{ "--name", NULL, &o->name, true },
		{ "--lifeline-fd", &o->lifeline_fd, NULL, false },
		{ "--event-fd", &o->event_fd, NULL, false },
		{ "--control-fd", &o->control_fd, NULL, false },
		{ "--lock-fd", &o->lock_fd, NULL, false },
		{ "--folder", NULL, &o->folder, true },
		{ "--key-fd", &o->key_fd, NULL, true },
		{ "--sandbox", NULL, &o->sandbox, true },
		{ "--instance", NULL, &o->instance, true },
		{ "--forward", NULL, &o->forward, false },
		{ "--forward-fd", &o->forward_fd, NULL, false },
	};
	char *words[WORDS_MAX];
	int r = take_sources(o, &argc, argv, words, err);

	if (r == 0)
		r = process_options_parse(
			table, ARRAY_SIZE(table), &own->process.unjailed, argc, words, err);
	if (r == 0 && (!sandbox_name_valid(o->sandbox) || o->folder[0] != '/' ||
			      strlen(o->instance) > AUDIT_NAME_MAX))
		r = err_set(err, -EINVAL,
			"--sandbox, --instance or --folder is not a name, an id or a path");
	if (r == 0 && o->forward) {
		own->forward = (struct forward){ .kind = forward_kind_parse(o->forward),
			.fd = o->forward_fd,
			.sandbox = o->sandbox };
		if (own->forward.kind == FORWARD_NONE || o->forward_fd < 0)
			r = err_set(
				err, -EINVAL, "--forward: journald or syslog, with --forward-fd");
	}
	return r;
}

/* At a change, and how many were lost once in a while. */
static void tell_forward(struct own *own)
{
	const struct forward *f = &own->forward;
	const uint64_t values[] = { (uint64_t)f->error, f->lost };
	uint64_t now_ms = clock_monotonic_ms();

	if (own->options.event_fd < 0 ||
		(f->error == own->told.error &&
			(f->lost == own->told.lost || now_ms - own->told_ms < TELL_MS)))
		return;
	if (event_send(own->options.event_fd, &own->told_sequence, EVENT_AUDIT_FORWARD, values,
		    ARRAY_SIZE(values)) < 0)
		return;
	own->told = *f;
	own->told_ms = now_ms;
}

static void on_written(void *data, const char *text, size_t len)
{
	struct own *own = data;

	forward_send(&own->forward, text, len);
	tell_forward(own);
}

static int open_log(struct own *own, struct err *err)
{
	const struct store_limits limits = STORE_LIMITS_DEFAULT;
	const struct audit_origin origin = { .sandbox = own->options.sandbox,
		.instance = own->options.instance,
		.source = AUDIT_FROM_HOST };
	const char *path = own->process.unjailed ? own->options.folder : LOG_FOLDER;
	int r;

	own->folder_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (own->folder_fd < 0)
		return err_set(err, -errno, "%s: %m", own->options.folder);
	r = store_open(own->folder_fd, own->key, &origin, &limits, &own->store, err);
	if (r < 0)
		return err_prefix(
			err, r, "%s", own->options.folder); /* as the host's user knows it */
	store_listen(own->store, on_written, own);
	return 0;
}

static int set_up(struct own *own, struct err *err)
{
	const struct options *o = &own->options;
	int r = process_begin(&own->process, err);

	if (r == 0)
		r = audit_key_read(o->key_fd, &own->key, err);
	close(o->key_fd);
	if (r == 0)
		r = process_leave_host(&own->process, err);
	if (r == 0)
		r = open_log(own, err);
	if (r == 0)
		r = writer_create(own->process.loop, own->store, o->event_fd, o->sources,
			o->source_count, &own->writer);
	return r < 0 ? r : process_seal(&own->process, &seccomp_audit, err);
}

static int end(struct own *own)
{
	struct err err = {};
	int r = writer_drain(own->writer), code = 0;

	if (r < 0) {
		err_set(&err, r, "the audit log: its last records cannot be written: %s",
			strerror(-r));
		code = process_failed(&own->process, &err);
	}
	writer_destroy(own->writer);
	store_destroy(own->store);
	audit_key_destroy(own->key);
	close(own->folder_fd);
	loop_destroy(own->process.loop);
	return code;
}

int main(int argc, char **argv)
{
	static struct own own = { .process = { .name = "sandbox-audit",
					  .isolated_kind = EVENT_AUDIT_ISOLATED,
					  .failed_kind = EVENT_AUDIT_FAILED } };
	struct process *p = &own.process;
	struct err err = {};

	log_set_process(p->name);
	signal(SIGXFSZ, SIG_IGN); /* a limit of file size is a full disk, not an end */
	if (parse_options(&own, argc, argv, &err) < 0) {
		log_error("%s", err.text);
		return PROCESS_EXIT_USAGE;
	}
	p->event_fd = own.options.event_fd;
	own.bind = (struct jail_bind){ .source = own.options.folder, .target = LOG_FOLDER };
	p->plan = (struct jail_plan){ .process = p->name,
		.lifeline_fd = own.options.lifeline_fd,
		.binds = &own.bind,
		.bind_count = 1 };
	if (set_up(&own, &err) < 0)
		return process_failed(p, &err);
	while (!p->stopping)
		if (loop_run_once(p->loop, -1) < 0)
			break;
	return end(&own);
}
