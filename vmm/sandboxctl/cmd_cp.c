/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cp: a file or tree between this host and a guest. Folders of this host are opened with no symbolic link on the way (H14): a
 * name inside a workspace may have been made a link by the guest.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/protocol/messages.h"
#include "vmm/base/parse.h"
#include "vmm/sandboxctl/copy_path.h"
#include "vmm/sandboxctl/copy_sink.h"
#include "vmm/sandboxctl/copy_source.h"
#include "vmm/sandboxctl/host_path.h"
#include "vmm/sandboxctl/target.h"
#include "vmm/sandboxctl/terminal_filter.h"

#define PROGRESS_EVERY 256

static const struct option_def options[] = {
	{ "user", 'u', "USER", "with this guest user's rights (default: sandbox)" },
	{ "follow", 'L', NULL, "where the guest's SRC is itself a link, copy what it leads to" },
	{ "links", 0, NULL, "also make links that lead out of the copied tree" },
	{ "limit", 0, "SIZE", "the most bytes taken from a guest (default 64G)" },
	OPTIONS_COMMON,
};

struct copy {
	const struct invocation *in;
	struct copy_path source, target;
	struct target sandbox;
	uint64_t bytes_max; /* --limit */
	uint64_t left_out;
};

/* A path of this host, split into an open folder and a name in it. */
struct place {
	int folder_fd;
	char name[NAME_MAX + 1]; /* "": the folder itself is meant */
};

static void close_place(struct place *place)
{
	close_keeping_errno(place->folder_fd);
}

static void note_left_out(void *data, const char *name)
{
	struct copy *c = data;
	char text[2 * NAME_MAX];

	report_progress_end(c->in);
	fprintf(stderr, "left out: %s\n", terminal_filter_text(name, text, sizeof(text)));
	c->left_out++;
}

static bool is_folder(const char *path)
{
	struct stat s;

	return lstat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

/* Where a guest's tree goes: into a folder that is there, else as a new name in its parent. */
static int open_target(const char *path, struct place *ret, struct err *err)
{
	size_t len = strlen(path);

	ret->name[0] = '\0';
	if (is_folder(path) || path[len - 1] == '/' || !copy_path_last(path, ret->name)) {
		ret->name[0] = '\0';
		return host_path_open_folder(path, &ret->folder_fd, err);
	}
	return host_path_open_parent(path, &ret->folder_fd, err);
}

/*
 * What the copy is called is never the guest's to say: its agent would be free to choose any name that is in the target
 * already. The name is that of the target, or the last of the source's path.
 */
static int name_top(const struct copy *c, struct place *place, struct err *err)
{
	char name[NAME_MAX + 1];
	size_t len = strlen(c->target.path);

	if (place->name[0])
		return 0;
	if (copy_path_last(c->source.path, name)) {
		strcpy(place->name, name);
		return 0;
	}
	err_set(err, -EINVAL, "%.200s names no file that the copy could be called after",
		c->source.path);
	err_next_step(err, "say what it is to be called: %.200s%sNAME", c->target.path,
		c->target.path[len - 1] == '/' ? "" : "/");
	return -EINVAL;
}

/* What is sent: a name in its parent. `.` and the like by the folder's real name. */
static int open_source(const char *path, struct place *ret, struct err *err)
{
	char real[PATH_MAX];

	if (copy_path_last(path, ret->name))
		return host_path_open_parent(path, &ret->folder_fd, err);
	if (!realpath(path, real))
		return err_set(err, -errno, "%.300s: %s", path, strerror(errno));
	if (!copy_path_last(real, ret->name))
		return err_set(err, -EINVAL, "%.300s cannot be copied as a whole", path);
	return host_path_open_parent(real, &ret->folder_fd, err);
}

static struct document *copy_request(
	const struct copy *c, const char *op, const char *path, unsigned int flags)
{
	const char *user = options_value(&c->in->options, "user");
	struct document *request = document_object();

	document_set_text(request, "op", op);
	document_set_text(request, "path", path);
	if (user)
		document_set_text(request, "user", user);
	if (flags)
		document_set_int(request, "flags", flags);
	return request;
}

static int finish(struct copy *c, const struct copy_wire *wire)
{
	struct err err = {};
	uint64_t left_out = c->left_out;

	if (wire->exit.kind == STREAM_EXITED)
		left_out += wire->exit.value;
	if (!left_out)
		return EXIT_OK;
	err_set(&err, -EPERM,
		"%llu entries were left out: special files, links that lead out of the tree, or not readable",
		(unsigned long long)left_out);
	err_next_step(&err, "--links also makes links that lead out");
	return report_failure(c->in, (struct failure){ EXIT_GENERAL, "incomplete", "copy" }, &err);
}

static int sink_frame(
	struct copy *c, struct copy_sink *sink, const struct copy_wire *wire, struct err *err)
{
	struct stream_copy_entry entry;

	switch (wire->head.type) {
	case STREAM_STARTED:
		return 0;
	case STREAM_COPY_ENTRY:
		if (!stream_copy_entry_decode(wire->payload, wire->head.len, &entry))
			return err_set(err, -EPROTO, "the guest sent an entry that is not valid");
		if (copy_sink_entries(sink) % PROGRESS_EVERY == PROGRESS_EVERY - 1)
			report_progress(
				c->in, "%llu copied", (unsigned long long)copy_sink_entries(sink));
		return copy_sink_entry(sink, &entry, err);
	case STREAM_COPY_DATA:
		return copy_sink_data(sink, wire->payload, wire->head.len, err);
	default:
		return err_set(err, -EPROTO, "the guest's stream is not understood");
	}
}

static int pump_out(struct copy *c, struct copy_sink *sink, struct copy_wire *wire, struct err *err)
{
	int r;

	while ((r = copy_wire_next(wire, err)) > 0) {
		r = sink_frame(c, sink, wire, err);
		if (r < 0)
			break;
	}
	report_progress_end(c->in);
	if (r == 0 && !copy_sink_done(sink))
		return err_set(err, -EPROTO, "the guest ended the copy before its end");
	return r;
}

static int receive(struct copy *c, const struct place *place, int proc_fd, int stream_fd,
	struct copy_wire *wire, struct err *err)
{
	struct copy_sink_options sink_options = { .top_name = place->name,
		.keep_links = options_flag(&c->in->options, "links"),
		.bytes_max = c->bytes_max,
		.on_left_out = note_left_out,
		.data = c };
	struct copy_sink *sink = NULL;
	int r = copy_wire_init(wire, stream_fd, c->source.path, err);

	if (r == 0)
		r = copy_sink_create(place->folder_fd, proc_fd, &sink_options, &sink, err);
	if (r == 0)
		r = pump_out(c, sink, wire, err);
	copy_sink_destroy(sink);
	return r;
}

/* The error of a copy that had begun says whereto. */
static int copy_failed(const struct copy *c, int r, struct err *err)
{
	err_prefix(err, r, "to %.300s", c->in->options.words[1]);
	return report_general(c->in, "copy", err);
}

static int copy_out(struct copy *c, int proc_fd)
{
	unsigned int flags = options_flag(&c->in->options, "follow") ? PROTOCOL_COPY_FOLLOW : 0;
	_cleanup_(close_place) struct place place = { .folder_fd = -1 };
	_cleanup_close_ int stream_fd = -1;
	struct copy_wire wire = {};
	struct err err = {};
	int r, code;

	if (open_target(c->target.path, &place, &err) < 0)
		return report_general(c->in, "target", &err);
	if (name_top(c, &place, &err) < 0)
		return report_usage(c->in, &err);
	code = target_call(c->in, &c->sandbox, copy_request(c, "copy_out", c->source.path, flags),
		NULL, &stream_fd);
	if (code)
		return code;
	r = receive(c, &place, proc_fd, stream_fd, &wire, &err);
	copy_wire_finish(&wire);
	return r < 0 ? copy_failed(c, r, &err) : finish(c, &wire);
}

/* After END the guest says how it went. */
static int await_exit(struct copy_wire *wire, struct err *err)
{
	int r;

	while ((r = copy_wire_next(wire, err)) > 0)
		if (wire->head.type != STREAM_STARTED)
			return err_set(err, -EPROTO, "the guest's stream is not understood");
	return r;
}

static int copy_in(struct copy *c, int proc_fd)
{
	const struct copy_source_options source_options = { .on_left_out = note_left_out,
		.data = c };
	const char *path = c->target.path;
	unsigned int flags = path[strlen(path) - 1] == '/' ? PROTOCOL_COPY_FOLDER : 0;
	_cleanup_(close_place) struct place place = { .folder_fd = -1 };
	_cleanup_close_ int stream_fd = -1;
	struct copy_wire wire = {};
	struct err err = {};
	int r, code;

	if (open_source(c->source.path, &place, &err) < 0)
		return report_general(c->in, "source", &err);
	code = target_call(
		c->in, &c->sandbox, copy_request(c, "copy_in", path, flags), NULL, &stream_fd);
	if (code)
		return code;
	r = copy_wire_init(&wire, stream_fd, path, &err);
	if (r == 0)
		r = copy_source_send(&wire, place.folder_fd, proc_fd, place.name, place.name,
			&source_options, &err);
	if (r == 0)
		r = await_exit(&wire, &err);
	copy_wire_finish(&wire);
	return r < 0 ? copy_failed(c, r, &err) : finish(c, &wire);
}

static int parse_limit(struct copy *c, struct err *err)
{
	const char *text = options_value(&c->in->options, "limit");

	c->bytes_max = COPY_SINK_BYTES_DEFAULT;
	if (text && !parse_size(text, &c->bytes_max))
		return err_set(err, -EINVAL, "--limit %.40s: not a size (500M, 100G)", text);
	return 0;
}

static int parse_words(struct copy *c, struct err *err)
{
	const struct options *o = &c->in->options;
	int r = copy_path_parse(o->words[0], &c->source, err);

	if (r == 0)
		r = copy_path_parse(o->words[1], &c->target, err);
	if (r == 0 && c->source.in_guest == c->target.in_guest) {
		err_set(err, -EINVAL,
			"one of SRC and DST is NAME:PATH, the other a path of this host");
		err_next_step(err,
			"sandboxctl cp NAME:/workspace/out.txt . ; sandboxctl cp data NAME:/tmp/");
		r = -EINVAL;
	}
	return r;
}

static int run(struct invocation *in)
{
	_cleanup_close_ int proc_fd = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct copy c = { .in = in };
	struct err err = {};
	const char *name;
	int code;

	if (parse_words(&c, &err) < 0 || parse_limit(&c, &err) < 0)
		return report_usage(in, &err);
	if (proc_fd < 0) {
		err_set(&err, -errno, "/proc is not mounted");
		return report_general(in, "prepare", &err);
	}
	name = c.source.in_guest ? c.source.name : c.target.name;
	code = target_find(in, name[0] ? name : NULL, &c.sandbox);
	if (code)
		return code;
	return c.source.in_guest ? copy_out(&c, proc_fd) : copy_in(&c, proc_fd);
}

const struct command command_cp = {
	.name = "cp",
	.words_help = "SRC DST",
	.summary = "Copy files and folders between this host and a sandbox",
	.details =
		"One of SRC and DST is NAME:PATH (or :PATH for this folder's sandbox). A folder is copied whole, into DST where that\n"
		"is a folder. rwx and times are kept, owners and set-uid bits are not; nothing outside of DST is touched.",
	.options = options,
	.words = WORDS_OTHER,
	.words_min = 2,
	.words_max = 2,
	.run = run,
};
