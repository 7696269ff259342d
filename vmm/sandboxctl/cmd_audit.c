/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "vmm/base/fdio.h"
#include "vmm/sandboxctl/audit_view.h"
#include "vmm/sandboxctl/subverb.h"
#include "vmm/supervisor/audit/audit_open.h"
#include "vmm/supervisor/audit/log_copy.h"
#include "vmm/supervisor/audit/reader.h"
#include "vmm/supervisor/audit/segment.h"
#include "vmm/supervisor/audit/verify.h"
#include "vmm/supervisor/registry.h"

#define TAIL_LINES 10
#define LOGS_MAX   4096

static const struct option_def options[] = {
	OPTIONS_AUDIT_VIEW,
	{ "key", 0, "FILE", "verify: the public key (default: this host's)" },
	{ "folder", 0, "FOLDER", "verify: a copy of the log that lies there" },
	{ "output", 'o', "FOLDER", "export: copy the log's files into this new folder" },
	{ "json", 0, NULL, "print JSON: one document, or one per record" },
	OPTIONS_COMMON,
};

static const char *word_of(const struct invocation *in)
{
	return in->options.word_count > 1 ? in->options.words[1] : NULL;
}

/* tail, export */

static int tail(struct invocation *in)
{
	struct audit_target target;
	struct audit_view view;
	int code = audit_target_find(in, word_of(in), &target);

	if (!code)
		code = audit_view_options(in, TAIL_LINES, &view);
	if (!code)
		code = audit_view_show(in, &target, &view);
	audit_target_finish(&target);
	return code;
}

static int copy_key(const struct audit_target *target, int to_fd, struct err *err)
{
	_cleanup_close_ int dir_fd = -1;
	_cleanup_free_ char *text = NULL;
	char folder[PATH_MAX];
	size_t len = 0;
	int r = audit_folder_path(&target->paths, NULL, folder, err);

	if (r < 0)
		return r;
	dir_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = dir_fd < 0 ? -errno : segment_read(dir_fd, AUDIT_PUBLIC_KEY_FILE, &text, &len);
	if (r == 0)
		r = fdio_write_file_atomic(to_fd, AUDIT_PUBLIC_KEY_FILE, text, len, 0600);
	return r < 0 ? err_set(err, r, "the public key: %s", strerror(-r)) : 0;
}

static int export_to(
	const struct invocation *in, const struct audit_target *target, const char *path)
{
	_cleanup_close_ int to_fd = -1;
	struct err err = {};
	int r = mkdir(path, 0700) < 0 ? -errno : 0;

	if (r == -EEXIST) {
		err_set(&err, r, "--output %s: it is there already", path);
		err_next_step(&err, "name a folder that is not there yet");
		return report_general(in, "audit", &err);
	}
	if (r == 0) {
		to_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = to_fd < 0 ? -errno : log_copy(target->dir_fd, to_fd);
	}
	if (r < 0)
		err_set(&err, r, "--output %s: %s", path, strerror(-r));
	else
		r = copy_key(target, to_fd, &err);
	return r < 0 ? report_general(in, "audit", &err) : EXIT_OK;
}

/* The lines as they stand in the log. */
static int export_lines(const struct invocation *in, const struct audit_target *target)
{
	_cleanup_(cleanup_reader_) struct reader *reader = NULL;
	struct err err = {};
	const char *line;
	size_t len;
	int r = reader_create(target->dir_fd, 0, &reader);

	while (r == 0 && (r = reader_next(reader, &line, &len)) > 0)
		r = printf("%s\n", line) < 0 ? -EPIPE : 0;
	if (r == 0 && fflush(stdout) == 0)
		return EXIT_OK;
	err_set(&err, r ? r : -EIO, "audit log %s: %s", target->name, strerror(r ? -r : EIO));
	return report_general(in, "audit", &err);
}

static int export(struct invocation *in)
{
	const char *output = options_value(&in->options, "output");
	struct audit_target target;
	int code = audit_target_find(in, word_of(in), &target);

	if (!code)
		code = output ? export_to(in, &target, output) : export_lines(in, &target);
	audit_target_finish(&target);
	return code;
}

/* verify */

static int read_key(
	const struct paths *paths, const char *path, struct audit_key **ret, struct err *err)
{
	char own[PATH_MAX], pem[AUDIT_KEY_PEM_MAX];
	_cleanup_close_ int fd = -1;
	ssize_t n;
	int r = 0;

	if (!path) {
		r = audit_folder_path(paths, NULL, own, err);
		if (r == 0 && strlen(own) + sizeof("/" AUDIT_PUBLIC_KEY_FILE) > sizeof(own))
			r = err_set(err, -ENAMETOOLONG, "%s: path too long", own);
		if (r < 0)
			return r;
		strcat(own, "/" AUDIT_PUBLIC_KEY_FILE);
		path = own;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	n = fd < 0 ? -1 : read(fd, pem, sizeof(pem));
	if (n < 0)
		return err_set(err, -errno, "the public key %s: %m", path);
	r = audit_key_parse_public(pem, (size_t)n, ret);
	return r < 0 ? err_set(err, r, "%s: no Ed25519 public key in PEM", path) : 0;
}

/* Lines behind the head are a writer at work, or one whose log is still to be signed in a copy; where no writer is, anybody's. */
static bool is_sound(const struct invocation *in, const struct audit_target *target,
	const struct verify_finding *f)
{
	if (f->verdict != VERIFY_UNSIGNED)
		return f->verdict == VERIFY_WHOLE;
	return options_value(&in->options, "folder") ||
	       registry_is_locked(&target->paths, target->name) == 1;
}

static int tell_finding(const struct invocation *in, const struct audit_target *target,
	const struct verify_finding *f)
{
	bool sound = is_sound(in, target, f);
	struct document *data;

	if (in->json) {
		data = document_object();
		document_set_text(data, "name", target->name);
		document_set_text(data, "verdict", verify_verdict_word(f->verdict));
		document_set_bool(data, "sound", sound);
		document_set_int(data, "records", (int64_t)f->sequence);
		document_set_text(data, "file", *f->file ? f->file : NULL);
		document_set_int(data, "line", (int64_t)f->line);
		report_document("AuditVerdict", data);
	} else if (f->line) {
		printf("%s: %s: %s, line %" PRIu64 "; sound up to record %" PRIu64 "\n",
			target->name, verify_verdict_word(f->verdict), f->file, f->line,
			f->sequence);
	} else if (sound) {
		printf("%s: %s: %" PRIu64 " records\n", target->name,
			verify_verdict_word(f->verdict), f->sequence);
	} else {
		printf("%s: %s: %s; sound up to record %" PRIu64 "\n", target->name,
			verify_verdict_word(f->verdict), f->file, f->sequence);
	}
	return sound ? EXIT_OK : EXIT_GENERAL;
}

/* A copy: the name is still that of the log, which its head says. */
static int find_copy(const struct invocation *in, const char *folder, struct audit_target *ret)
{
	const char *word = word_of(in);
	struct err err = {};
	int code;

	*ret = (struct audit_target){ .dir_fd = -1 };
	code = target_paths(in, &ret->paths);
	if (code)
		return code;
	if (!word) {
		err_set(&err, -EINVAL,
			"--folder: whose log is it? sandboxctl audit verify NAME --folder %s",
			folder);
		return report_usage(in, &err);
	}
	if (!sandbox_name_valid(word))
		return target_bad_name(in, word);
	snprintf(ret->name, sizeof(ret->name), "%s", word);
	ret->dir_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (ret->dir_fd >= 0)
		return 0;
	err_set(&err, -errno, "--folder %s: %m", folder);
	return report_general(in, "audit", &err);
}

static int verify(struct invocation *in)
{
	_cleanup_(cleanup_audit_key_) struct audit_key *key = NULL;
	const char *folder = options_value(&in->options, "folder");
	struct verify_finding finding = {};
	struct audit_target target;
	struct err err = {};
	int code = folder ? find_copy(in, folder, &target)
			  : audit_target_find(in, word_of(in), &target);
	int r;

	if (code)
		return code;
	r = read_key(&target.paths, options_value(&in->options, "key"), &key, &err);
	if (r == 0)
		r = verify_folder(target.dir_fd, target.name, key, &finding, &err);
	audit_target_finish(&target);
	return r < 0 ? report_general(in, "audit", &err) : tell_finding(in, &target, &finding);
}

/* ls */

/* Its files' bytes, and the sealed files. */
static void measure(int dir_fd, struct document *log)
{
	_cleanup_free_ uint64_t *firsts = NULL;
	char name[SEGMENT_NAME_MAX];
	size_t count = 0;
	uint64_t bytes = 0;
	struct stat st;

	if (segment_list(dir_fd, &firsts, &count) < 0)
		count = 0;
	for (size_t i = 0; i < count; i++) {
		segment_name(firsts[i], name);
		if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			bytes += (uint64_t)st.st_size;
	}
	if (fstatat(dir_fd, SEGMENT_ACTIVE, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		bytes += (uint64_t)st.st_size;
		document_set_int(log, "changed_at", (int64_t)st.st_mtime);
	}
	document_set_int(log, "sealed_files", (int64_t)count);
	document_set_int(log, "bytes", (int64_t)bytes);
}

static struct document *list_logs(int audit_fd)
{
	struct document *list = document_list();
	_cleanup_closedir_ DIR *dir = fdopendir(dup(audit_fd));
	const struct dirent *entry;
	size_t count = 0;

	while (dir && (entry = readdir(dir)) != NULL && count++ < LOGS_MAX) {
		_cleanup_close_ int fd = -1;
		struct document *log;

		if (!sandbox_name_valid(entry->d_name))
			continue;
		fd = openat(
			audit_fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (fd < 0)
			continue;
		log = document_object();
		document_set_text(log, "name", entry->d_name);
		measure(fd, log);
		document_append(list, log);
	}
	return list;
}

static void print_logs(const struct document *list)
{
	printf("%-32s  %10s  %s\n", "NAME", "BYTES", "LAST RECORD");
	for (size_t i = 0; i < document_count(list); i++) {
		const struct document *log = document_at(list, i);
		time_t changed = (time_t)document_int(log, "changed_at", 0);
		char when[32] = "-";
		struct tm tm;

		if (changed && gmtime_r(&changed, &tm))
			strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
		printf("%-32s  %10" PRId64 "  %s\n", document_text(log, "name", "?"),
			document_int(log, "bytes", 0), when);
	}
}

static int list(struct invocation *in)
{
	_cleanup_document_ struct document *logs = NULL;
	_cleanup_close_ int fd = -1;
	char folder[PATH_MAX];
	struct paths paths;
	struct err err = {};
	int code = target_paths(in, &paths);

	if (code)
		return code;
	if (audit_folder_path(&paths, NULL, folder, &err) < 0)
		return report_general(in, "audit", &err);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno != ENOENT) {
		err_set(&err, -errno, "%s: %m", folder);
		return report_general(in, "audit", &err);
	}
	logs = fd < 0 ? document_list() : list_logs(fd);
	if (in->json)
		return report_document("AuditLogList", document_copy(logs));
	print_logs(logs);
	return EXIT_OK;
}

static int run(struct invocation *in)
{
	const char *verb = in->options.words[0];

	if (!strcmp(verb, "ls") && in->options.word_count == 1)
		return list(in);
	if (!strcmp(verb, "tail"))
		return tail(in);
	if (!strcmp(verb, "verify"))
		return verify(in);
	if (!strcmp(verb, "export"))
		return export(in);
	return subverb_usage(in);
}

const struct command command_audit = {
	.name = "audit",
	.words_help = "ls | tail [NAME] | verify [NAME] | export [NAME]",
	.summary = "The log of what sandboxes did, which shows whether anybody changed it",
	.details =
		"verify follows the chain of all records to the head that this host signed, and ends with 1 where they do not fit. export prints\n"
		"the records as they stand in the log; with --output it copies the files, which verify --folder takes anywhere. A log is kept when its\n"
		"sandbox is removed. docs/audit-events.md has the format.",
	.options = options,
	.words = WORDS_OTHER,
	.words_min = 1,
	.words_max = 2,
	.run = run,
};
