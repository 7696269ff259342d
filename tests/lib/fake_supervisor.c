/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_supervisor NAME WORKSPACE [CMD ...]: a sandbox without a machine, for tests of sandboxctl. It holds the lock, keeps a
 * record, listens on the control socket, and runs what exec and attach ask for as processes of this host, speaking
 * the frames of guest-agent/protocol/stream.h. With FAKE_TTY set the main command has a terminal. copy_out sends the
 * prepared tree that its path names (see trees[]); copy_in prints what it was sent to the file FAKE_COPY_LOG. Prints "ready" and ends
 * with its stdin.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest-agent/protocol/stream.h"
#include "vmm/base/array.h"
#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/supervisor/control.h"
#include "vmm/supervisor/registry.h"
#include "vmm/supervisor/status.h"

static struct record record;

static void die(const char *what)
{
	fprintf(stderr, "fake_supervisor: %s: %s\n", what, strerror(errno));
	exit(1);
}

/*
 * Frames
 */
static void send_frame(int fd, const void *frame, size_t len)
{
	if (fdio_write_full(fd, frame, len) < 0)
		_exit(0);
}

static void send_bytes(int fd, enum protocol_type type, const void *data, size_t len)
{
	uint8_t head[PROTOCOL_HEAD_SIZE];

	stream_bytes_head(type, (uint32_t)len, head);
	send_frame(fd, head, sizeof(head));
	send_frame(fd, data, len);
}

static void send_started(int fd)
{
	uint8_t frame[STREAM_FIXED_MAX];

	send_frame(fd, frame, stream_started_frame(1, frame));
}

static void send_exit(int fd, uint32_t kind, uint32_t value)
{
	struct stream_exit e = { .kind = kind, .value = value };
	uint8_t frame[STREAM_FIXED_MAX];

	send_frame(fd, frame, stream_exit_frame(&e, frame));
}

static bool read_frame(
	int fd, enum protocol_sender sender, struct protocol_head *head, uint8_t *payload)
{
	uint8_t bytes[PROTOCOL_HEAD_SIZE];

	return fdio_read_full(fd, bytes, sizeof(bytes)) == 0 &&
	       protocol_head_decode(bytes, sender, head) &&
	       fdio_read_full(fd, payload, head->len) == 0;
}

/*
 * exec
 */
struct run {
	int fd; /* client */
	pid_t pid;
	int in, out, err; /* the process's; in == out for a terminal */
	bool tty, out_open, err_open;
	uint8_t held[2 * PROTOCOL_PAYLOAD_MAX]; /* stdin that the process has not taken */
	size_t held_len;
	bool in_eof;
};

/* How exec_child says what a guest's agent says by STREAM_FAILED. */
enum { NOT_INVOKED = 248, NOT_FOUND = 249 };

static void exec_child(const struct control_request *q)
{
	signal(SIGPIPE, SIG_DFL);
	for (char **e = q->environment; e && *e; e++)
		putenv(*e);
	execvp(q->argv[0], q->argv);
	_exit(errno == ENOENT ? NOT_FOUND : NOT_INVOKED);
}

static void start_tty(struct run *r, const struct control_request *q)
{
	struct winsize size = { .ws_row = q->rows, .ws_col = q->cols };
	int master;

	r->pid = forkpty(&master, NULL, NULL, &size);
	if (r->pid == 0)
		exec_child(q);
	r->in = r->out = master;
	r->err = -1;
	r->out_open = true;
}

static void start_pipes(struct run *r, const struct control_request *q)
{
	int in[2], out[2], err[2];

	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0)
		die("pipe");
	r->pid = fork();
	if (r->pid == 0) {
		setpgid(0, 0);
		dup2(in[0], 0);
		dup2(out[1], 1);
		dup2(err[1], 2);
		exec_child(q);
	}
	close(in[0]);
	close(out[1]);
	close(err[1]);
	r->in = in[1];
	r->out = out[0];
	r->err = err[0];
	r->out_open = r->err_open = true;
	fdio_set_nonblocking(r->in, true);
}

static void flush_held(struct run *r)
{
	while (r->held_len) {
		ssize_t n = write(r->in, r->held, r->held_len);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			r->held_len = 0;
			break;
		}
		memmove(r->held, r->held + n, r->held_len - (size_t)n);
		r->held_len -= (size_t)n;
	}
	if (r->in_eof && r->in >= 0 && !r->tty) {
		close(r->in);
		r->in = -1;
	}
}

static void take_client(struct run *r)
{
	static uint8_t payload[PROTOCOL_PAYLOAD_MAX];
	struct protocol_head head;
	struct stream_resize resize;
	uint32_t number;

	if (!read_frame(r->fd, PROTOCOL_CLIENT, &head, payload)) {
		kill(r->tty ? r->pid : -r->pid, SIGHUP);
		_exit(0);
	}
	if (head.type == STREAM_STDIN) {
		memcpy(r->held + r->held_len, payload, head.len);
		r->held_len += head.len;
	} else if (head.type == STREAM_STDIN_EOF) {
		r->in_eof = true;
	} else if (head.type == STREAM_RESIZE && stream_resize_decode(payload, head.len, &resize)) {
		struct winsize size = { .ws_row = resize.rows, .ws_col = resize.cols };

		ioctl(r->in, TIOCSWINSZ, &size);
	} else if (head.type == STREAM_SIGNAL && stream_signal_decode(payload, head.len, &number)) {
		kill(r->tty ? r->pid : -r->pid, (int)number);
	}
	flush_held(r);
}

static void take_output(struct run *r, int fd, enum protocol_type type, bool *open)
{
	static uint8_t data[32768];
	ssize_t n = read(fd, data, sizeof(data));

	if (n > 0)
		send_bytes(r->fd, type, data, (size_t)n);
	else if (n == 0 || errno != EAGAIN)
		*open = false;
}

static void refuse(int fd, uint32_t code, uint32_t stage)
{
	struct stream_error e = { .code = code, .stage = stage };
	uint8_t frame[STREAM_FIXED_MAX];

	send_frame(fd, frame, stream_error_frame(&e, frame));
}

/* The guest has no user `stranger` and no folder `/nowhere`. */
static bool refused(int fd, const struct control_request *q)
{
	if (q->user && strcmp(q->user, "stranger") == 0)
		refuse(fd, ENOENT, PROTOCOL_STAGE_USER);
	else if (q->cwd && strcmp(q->cwd, "/nowhere") == 0)
		refuse(fd, ENOENT, PROTOCOL_STAGE_FOLDER);
	else
		return false;
	return true;
}

/* A liar: on a terminal there is but one stream, and it sends on the other. */
static void run_both_streams(int fd)
{
	static const char text[] = "\033[?1003h";

	send_started(fd);
	send_bytes(fd, STREAM_STDERR, text, strlen(text));
	send_exit(fd, STREAM_EXITED, 0);
}

static void run_exec(int fd, const struct control_request *q)
{
	static struct run r;
	int status;

	if (refused(fd, q))
		return;
	signal(SIGPIPE, SIG_IGN);
	if (strcmp(q->argv[0], "both-streams") == 0) {
		run_both_streams(fd);
		return;
	}
	r = (struct run){ .fd = fd, .tty = q->tty };
	if (q->tty)
		start_tty(&r, q);
	else
		start_pipes(&r, q);
	send_started(fd);
	while (r.out_open || r.err_open) {
		bool room = r.held_len + PROTOCOL_PAYLOAD_MAX <= sizeof(r.held);
		struct pollfd p[] = {
			{ .fd = room ? fd : -1, .events = POLLIN },
			{ .fd = r.out_open ? r.out : -1, .events = POLLIN },
			{ .fd = r.err_open ? r.err : -1, .events = POLLIN },
			{ .fd = r.held_len ? r.in : -1, .events = POLLOUT },
		};

		if (poll(p, ARRAY_SIZE(p), -1) < 0)
			break;
		if (p[3].revents)
			flush_held(&r);
		if (p[1].revents)
			take_output(&r, r.out, STREAM_STDOUT, &r.out_open);
		if (p[2].revents)
			take_output(&r, r.err, STREAM_STDERR, &r.err_open);
		if (p[0].revents)
			take_client(&r);
	}
	while (waitpid(r.pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status))
		send_exit(fd, STREAM_SIGNALLED, (uint32_t)WTERMSIG(status));
	else if (WEXITSTATUS(status) == NOT_INVOKED || WEXITSTATUS(status) == NOT_FOUND)
		send_exit(fd, STREAM_FAILED, WEXITSTATUS(status) == NOT_FOUND ? 127 : 126);
	else
		send_exit(fd, STREAM_EXITED, (uint32_t)WEXITSTATUS(status));
}

/*
 * Copies
 */
static void send_entry(int fd, uint8_t kind, const char *name, uint32_t mode, uint64_t size)
{
	struct stream_copy_entry e = {
		.kind = kind, .mode = mode, .size = size, .mtime_ns = 1000000000000000000
	};
	uint8_t frame[STREAM_FIXED_MAX];

	if (kind == STREAM_COPY_UP || kind == STREAM_COPY_END)
		e = (struct stream_copy_entry){ .kind = kind };
	snprintf(e.name, sizeof(e.name), "%s", name);
	send_frame(fd, frame, stream_copy_entry_frame(&e, frame));
}

static void send_file(int fd, const char *name, const char *text)
{
	send_entry(fd, STREAM_COPY_FILE, name, 0755, strlen(text));
	if (*text)
		send_bytes(fd, STREAM_COPY_DATA, text, strlen(text));
}

static void send_link(int fd, const char *name, const char *target)
{
	send_entry(fd, STREAM_COPY_SYMLINK, name, 0777, strlen(target));
	send_bytes(fd, STREAM_COPY_DATA, target, strlen(target));
}

static void tree_good(int fd)
{
	send_entry(fd, STREAM_COPY_DIR, "tree", 0755, 0);
	send_file(fd, "a", "alpha\n");
	send_file(fd, "empty", "");
	send_entry(fd, STREAM_COPY_DIR, "sub", 0700, 0);
	send_link(fd, "up", "../a");
	send_entry(fd, STREAM_COPY_UP, "", 0, 0);
	send_entry(fd, STREAM_COPY_UP, "", 0, 0);
	send_entry(fd, STREAM_COPY_END, "", 0, 0);
	send_exit(fd, STREAM_EXITED, 0);
}

/* A link, then a folder of the same name with a child: the child must not go through the link. */
static void tree_link_then_child(int fd)
{
	send_entry(fd, STREAM_COPY_DIR, "tree", 0755, 0);
	send_link(fd, "out", "..");
	send_link(fd, "in", "sub");
	send_entry(fd, STREAM_COPY_DIR, "in", 0755, 0);
	send_file(fd, "child", "escaped\n");
	send_entry(fd, STREAM_COPY_UP, "", 0, 0);
	send_entry(fd, STREAM_COPY_UP, "", 0, 0);
	send_entry(fd, STREAM_COPY_END, "", 0, 0);
	send_exit(fd, STREAM_EXITED, 0);
}

static void tree_links_out(int fd)
{
	send_entry(fd, STREAM_COPY_DIR, "tree", 0755, 0);
	send_link(fd, "absolute", "/etc/passwd");
	send_link(fd, "climbing", "../../x");
	send_link(fd, "fine", "./a");
	send_file(fd, "a", "a");
	send_entry(fd, STREAM_COPY_UP, "", 0, 0);
	send_entry(fd, STREAM_COPY_END, "", 0, 0);
	send_exit(fd, STREAM_EXITED, 0);
}

static void tree_too_deep(int fd)
{
	for (int i = 0; i < STREAM_COPY_DEPTH_MAX + 2; i++)
		send_entry(fd, STREAM_COPY_DIR, "d", 0755, 0);
}

static void tree_too_much(int fd)
{
	static char data[1000];

	send_entry(fd, STREAM_COPY_FILE, "f", 0644, 10);
	send_bytes(fd, STREAM_COPY_DATA, data, sizeof(data));
}

static void tree_endless(int fd)
{
	send_entry(fd, STREAM_COPY_DIR, "tree", 0755, 0);
	for (;;)
		send_entry(fd, STREAM_COPY_FILE, "f", 0644, 1u << 20),
			send_exit(fd, STREAM_EXITED, 0);
}

static void tree_two_tops(int fd)
{
	send_file(fd, "one", "1");
	send_file(fd, "two", "2");
}

/* A frame whose name is no single component, made by hand: the codec would not write it. */
static void tree_dotdot(int fd)
{
	uint8_t frame[STREAM_FIXED_MAX];
	struct stream_copy_entry e = { .kind = STREAM_COPY_FILE, .mode = 0644, .name = "AAAAAAA" };
	size_t len = stream_copy_entry_frame(&e, frame);

	for (size_t i = 0; i + 7 < len; i++)
		if (memcmp(frame + i, "AAAAAAA", 7) == 0)
			memcpy(frame + i, "../evil", 7);
	send_frame(fd, frame, len);
}

/* A file was asked for; a link to something beside it comes. */
static void tree_top_link(int fd)
{
	send_link(fd, "top-link", "precious");
	send_entry(fd, STREAM_COPY_END, "", 0, 0);
	send_exit(fd, STREAM_EXITED, 0);
}

/* Where the path says no name, the guest does. */
static void tree_own_name(int fd)
{
	send_file(fd, "precious", "replaced\n");
	send_entry(fd, STREAM_COPY_END, "", 0, 0);
	send_exit(fd, STREAM_EXITED, 0);
}

static void tree_refused(int fd)
{
	refuse(fd, ENOENT, PROTOCOL_STAGE_COPY_PATH);
}

static const struct {
	const char *path;
	void (*send)(int fd);
} trees[] = {
	{ "tree", tree_good },
	{ "link-then-child", tree_link_then_child },
	{ "links-out", tree_links_out },
	{ "too-deep", tree_too_deep },
	{ "too-much", tree_too_much },
	{ "endless", tree_endless },
	{ "two-tops", tree_two_tops },
	{ "dotdot", tree_dotdot },
	{ "top-link", tree_top_link },
	{ ".", tree_own_name },
	{ "/", tree_own_name },
	{ "a/..", tree_own_name },
	{ "refused", tree_refused },
};

static void run_copy_out(int fd, const struct control_request *q)
{
	for (size_t i = 0; i < ARRAY_SIZE(trees); i++) {
		if (strcmp(trees[i].path, q->path) != 0)
			continue;
		if (trees[i].send != tree_refused)
			send_started(fd);
		trees[i].send(fd);
		break;
	}
}

static void run_copy_in(int fd)
{
	static uint8_t payload[PROTOCOL_PAYLOAD_MAX];
	_cleanup_fclose_ FILE *log = fopen(getenv("FAKE_COPY_LOG"), "w");
	struct stream_copy_entry e = {};
	struct protocol_head head;

	send_started(fd);
	while (log && e.kind != STREAM_COPY_END &&
		read_frame(fd, PROTOCOL_CLIENT, &head, payload)) {
		if (head.type == STREAM_COPY_DATA)
			fprintf(log, "data %.*s\n", (int)head.len, payload);
		else if (stream_copy_entry_decode(payload, head.len, &e))
			fprintf(log, "%d %s %o %llu\n", e.kind, e.name, e.mode,
				(unsigned long long)e.size);
	}
	if (log)
		fflush(log);
	send_exit(fd, STREAM_EXITED, 0);
}

/*
 * The control socket
 */
static void answer(int fd, json_t *message, int passed_fd)
{
	_cleanup_free_ char *text = json_dumps(message, JSON_COMPACT);
	uint8_t head[4];

	store_le32(head, (uint32_t)strlen(text));
	if (fdio_send_fds(fd, head, sizeof(head), &passed_fd, passed_fd >= 0 ? 1 : 0) < 0 ||
		fdio_write_full(fd, text, strlen(text)) < 0)
		_exit(1);
	json_decref(message);
}

static void act(int fd, struct control_request *q)
{
	struct status_live live = { .agent_ready = true };
	int pair[2];

	if (q->op == CONTROL_STATUS || q->op == CONTROL_STOP) {
		answer(fd,
			json_pack("{s:b, s:o}", "ok", 1, "data", status_data(&record, &live, true)),
			-1);
		if (q->op == CONTROL_STOP)
			kill(getppid(), SIGTERM);
		return;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		die("socketpair");
	answer(fd, json_pack("{s:b, s:{}}", "ok", 1, "data"), pair[1]);
	close(pair[1]);
	if (q->op == CONTROL_ATTACH) {
		q->argv = record.spec.command;
		q->tty = record.spec.command_tty;
	}
	if (q->op == CONTROL_EXEC || q->op == CONTROL_ATTACH)
		run_exec(pair[0], q);
	else if (q->op == CONTROL_COPY_OUT)
		run_copy_out(pair[0], q);
	else if (q->op == CONTROL_COPY_IN)
		run_copy_in(pair[0]);
}

static void serve(int fd)
{
	struct control_request q;
	struct err err = {};
	uint8_t head[4];
	char *text;
	uint32_t len;

	if (fdio_read_full(fd, head, sizeof(head)) < 0)
		_exit(1);
	len = load_le32(head);
	text = malloc(len + 1);
	if (!text || fdio_read_full(fd, text, len) < 0)
		_exit(1);
	if (control_request_parse(text, len, &q, &err) < 0)
		answer(fd, control_error_json(&err, "request"), -1);
	else
		act(fd, &q);
	_exit(0);
}

static int listen_on(const struct paths *paths)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char folder[PATH_MAX], path[PATH_MAX];
	struct err err = {};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (paths_of_runtime(paths, record.spec.name, NULL, folder, &err) < 0 ||
		paths_of_runtime(paths, record.spec.name, "control.sock", path, &err) < 0)
		die(err.text);
	mkdir(folder, 0700);
	unlink(path);
	memcpy(address.sun_path, path, strlen(path) + 1);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		listen(fd, 64) < 0)
		die(path);
	return fd;
}

static void make_record(const struct paths *paths, int argc, char **argv)
{
	struct err err = {};

	record_init(&record);
	if (argc < 3 || spec_init(&record.spec) < 0)
		die("usage: fake_supervisor NAME WORKSPACE [CMD ...]");
	snprintf(record.spec.name, sizeof(record.spec.name), "%s", argv[1]);
	if (spec_set_workspace(&record.spec, argv[2], &err) < 0 ||
		spec_resolve(&record.spec, &err) < 0)
		die(err.text);
	if (argc > 3 && spec_set_command(&record.spec, argv + 3, &err) < 0)
		die(err.text);
	record.spec.command_tty = getenv("FAKE_TTY") != NULL;
	record.state = LIFECYCLE_RUNNING;
	record.started_at = 1;
	strcpy(record.instance, "00000000000000000000000000000000");
	host_boot_id(record.boot_id);
	process_id_of(getpid(), &record.supervisor);
	record.pgid = getpgrp();
	if (registry_save(paths, &record, &err) < 0)
		die(err.text);
}

int main(int argc, char **argv)
{
	struct paths paths;
	struct err err = {};
	int lock_fd, fd;

	signal(SIGCHLD, SIG_IGN);
	if (argc < 3 || paths_load(&paths, &err) < 0 || paths_prepare(&paths, &err) < 0 ||
		registry_lock(&paths, argv[1], 10000, &lock_fd, &err) < 0)
		die(err.text);
	make_record(&paths, argc, argv);
	fd = listen_on(&paths);
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		struct pollfd p[] = { { .fd = fd, .events = POLLIN },
			{ .fd = STDIN_FILENO, .events = POLLIN } };
		int client;

		if (poll(p, ARRAY_SIZE(p), -1) < 0 && errno != EINTR)
			break;
		if (p[1].revents)
			break;
		if (!p[0].revents || (client = accept4(fd, NULL, NULL, SOCK_CLOEXEC)) < 0)
			continue;
		if (fork() == 0) {
			signal(SIGCHLD, SIG_DFL);
			serve(client);
		}
		close(client);
	}
	return 0;
}
