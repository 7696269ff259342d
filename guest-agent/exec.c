/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EXEC: pumps frames between the stream and one process.
 *
 * Theory of operation. One poll loop, nothing in it blocks. One frame is held in each direction; no more is read before it
 * has left, so that a slow reader on either side slows the other and memory stays as it is (back-pressure).
 *   running   until the process ends. What comes from the client is carried out in order.
 *   draining  the process has ended: what it has written is in the pipes already, and is sent on until they are empty (a
 *             terminal passes bytes on a moment later: until it is quiet). Processes that it left behind may hold the pipes
 *             open for ever, hence neither the end of file nor more than DRAIN_MAX bytes are waited for. Then EXIT.
 *   gone      the client has shut its side: SIGHUP to the groups, SIGKILL after HANGUP_GRACE_MS.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest-agent/exec_child.h"
#include "guest-agent/frame_io.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"

#define HANGUP_GRACE_MS	 2000
#define DRAIN_MAX	 (1u << 20)
#define TERMINAL_IDLE_MS 50
#define TERMINAL_EOF	 4 /* Ctrl-D */
#define FRAME_MAX	 (PROTOCOL_HEAD_SIZE + PROTOCOL_PAYLOAD_MAX)

enum slot { SLOT_SOCK, SLOT_INPUT, SLOT_OUTPUT, SLOT_ERROR, SLOT_CHILD, SLOT_COUNT };

struct exec_pump {
	int sock;
	struct exec_child child;
	bool tty;
	bool gone; /* the client's side is shut */
	bool ended; /* the process has */
	int wait_status;
	size_t drained;
	size_t in_len, in_done; /* bytes held; of a STDIN payload, bytes written */
	size_t out_len, out_done;
	uint8_t in[FRAME_MAX], out[FRAME_MAX];
};

static void close_fd(int *fd)
{
	close_keeping_errno(*fd);
	*fd = -1;
}

/* -- from the client -- */

static pid_t foreground_group(const struct exec_pump *p)
{
	pid_t group = p->tty && p->child.input >= 0 ? tcgetpgrp(p->child.input) : -1;

	return group > 0 ? group : p->child.pid;
}

/* The process is not reaped before the pump is done with it, so its group's number is still its own. */
static void send_signal(const struct exec_pump *p, uint32_t number)
{
	(void)kill(-foreground_group(p), (int)number);
}

static void set_size(const struct exec_pump *p, const struct stream_resize *resize)
{
	struct winsize size = { .ws_row = resize->rows, .ws_col = resize->cols };

	if (p->tty && p->child.input >= 0)
		(void)ioctl(p->child.input, TIOCSWINSZ, &size);
}

static void end_input(struct exec_pump *p)
{
	static const char end = TERMINAL_EOF;

	if (p->tty)
		(void)!write(p->child.input, &end, 1);
	else
		close_fd(&p->child.input);
}

/* Writes what is held. True once it has left, or nobody takes it any more. */
static bool write_input(struct exec_pump *p, const uint8_t *payload, uint32_t len)
{
	while (p->child.input >= 0 && p->in_done < len) {
		ssize_t n = write(p->child.input, payload + p->in_done, len - p->in_done);

		if (n > 0) {
			p->in_done += (size_t)n;
			continue;
		}
		if (n < 0 && errno == EAGAIN)
			return false;
		if (n < 0 && errno == EINTR)
			continue;
		/* It has closed its input, or ended: the rest falls on the floor, as from any pipe. */
		if (!p->tty)
			close_fd(&p->child.input);
		break;
	}
	p->in_done = 0;
	return true;
}

/* Carries one frame out. 1: done with it; 0: not yet; negative: the client does not keep to the protocol. */
static int take_frame(struct exec_pump *p, const struct protocol_head *head, const uint8_t *payload)
{
	struct stream_resize resize;
	uint32_t number;

	switch (head->type) {
	case STREAM_STDIN:
		return write_input(p, payload, head->len);
	case STREAM_STDIN_EOF:
		if (p->child.input >= 0)
			end_input(p);
		return 1;
	case STREAM_RESIZE:
		if (!stream_resize_decode(payload, head->len, &resize))
			return -EPROTO;
		set_size(p, &resize);
		return 1;
	case STREAM_SIGNAL:
		if (!stream_signal_decode(payload, head->len, &number))
			return -EPROTO;
		send_signal(p, number);
		return 1;
	}
	return -EPROTO;
}

static int take_frames(struct exec_pump *p)
{
	while (p->in_len >= PROTOCOL_HEAD_SIZE) {
		struct protocol_head head;
		size_t size;
		int r;

		if (!protocol_head_decode(p->in, PROTOCOL_CLIENT, &head))
			return -EPROTO;
		size = PROTOCOL_HEAD_SIZE + head.len;
		if (p->in_len < size)
			return 0;
		r = take_frame(p, &head, p->in + PROTOCOL_HEAD_SIZE);
		if (r <= 0)
			return r;
		p->in_len -= size;
		memmove(p->in, p->in + size, p->in_len);
	}
	return 0;
}

static int read_client(struct exec_pump *p)
{
	ssize_t n = recv(p->sock, p->in + p->in_len, sizeof(p->in) - p->in_len, MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0) {
		p->gone = true;
		return 0;
	}
	p->in_len += (size_t)n;
	return take_frames(p);
}

/* -- to the client -- */

static int flush_out(struct exec_pump *p)
{
	while (p->out_done < p->out_len) {
		ssize_t n = send(p->sock, p->out + p->out_done, p->out_len - p->out_done,
			MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		p->out_done += (size_t)n;
	}
	p->out_len = p->out_done = 0;
	return 0;
}

/* One frame of what the process wrote. Its end of file closes our end. */
static int read_process(struct exec_pump *p, int *fd, enum protocol_type type)
{
	ssize_t n = read(*fd, p->out + PROTOCOL_HEAD_SIZE, PROTOCOL_PAYLOAD_MAX);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) { /* a terminal that nobody holds any more says EIO */
		close_fd(fd);
		return 0;
	}
	stream_bytes_head(type, (uint32_t)n, p->out);
	p->out_len = PROTOCOL_HEAD_SIZE + (size_t)n;
	p->out_done = 0;
	if (p->ended)
		p->drained += (size_t)n;
	return flush_out(p);
}

/* -- the loop -- */

static void choose_events(const struct exec_pump *p, struct pollfd *fds)
{
	bool out_free = p->out_len == 0;
	bool stdin_held = p->in_len >= PROTOCOL_HEAD_SIZE && p->in[0] == STREAM_STDIN;
	bool frame_whole =
		stdin_held && p->in_len >= PROTOCOL_HEAD_SIZE + (size_t)load_le32(p->in + 4);

	fds[SLOT_SOCK] = (struct pollfd){ p->sock, POLLRDHUP, 0 };
	if (p->in_len < sizeof(p->in) && !frame_whole)
		fds[SLOT_SOCK].events |= POLLIN;
	if (!out_free)
		fds[SLOT_SOCK].events |= POLLOUT;
	fds[SLOT_INPUT] = (struct pollfd){ frame_whole ? p->child.input : -1, POLLOUT, 0 };
	fds[SLOT_OUTPUT] = (struct pollfd){ out_free ? p->child.output : -1, POLLIN, 0 };
	fds[SLOT_ERROR] = (struct pollfd){ out_free ? p->child.error : -1, POLLIN, 0 };
	fds[SLOT_CHILD] = (struct pollfd){ p->ended ? -1 : p->child.pidfd, POLLIN, 0 };
}

static int choose_timeout(const struct exec_pump *p)
{
	if (!p->ended || p->out_len)
		return -1;
	return p->tty ? TERMINAL_IDLE_MS : 0;
}

/* Learns how the process ended without reaping it: its number stays taken until the pump is done. */
static void note_end(struct exec_pump *p)
{
	siginfo_t info = {};

	if (waitid(P_PID, (id_t)p->child.pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
		info.si_pid)
		p->ended = true;
}

static int handle_events(struct exec_pump *p, const struct pollfd *fds)
{
	const short readable = POLLIN | POLLHUP | POLLERR;
	int r = 0;

	if (fds[SLOT_SOCK].revents & (POLLRDHUP | POLLHUP | POLLERR))
		p->gone = true;
	if (!p->gone && (fds[SLOT_SOCK].revents & POLLIN))
		r = read_client(p);
	if (r == 0 && fds[SLOT_INPUT].revents)
		r = take_frames(p);
	if (r == 0 && (fds[SLOT_SOCK].revents & POLLOUT))
		r = flush_out(p);
	if (r == 0 && (fds[SLOT_OUTPUT].revents & readable))
		r = read_process(p, &p->child.output, STREAM_STDOUT);
	if (r == 0 && p->out_len == 0 && (fds[SLOT_ERROR].revents & readable))
		r = read_process(p, &p->child.error, STREAM_STDERR);
	if (fds[SLOT_CHILD].revents)
		note_end(p);
	return r;
}

static bool drained(const struct exec_pump *p, const struct pollfd *fds)
{
	if (!p->ended || p->out_len)
		return false;
	if (p->drained > DRAIN_MAX)
		return true;
	return !fds[SLOT_OUTPUT].revents && !fds[SLOT_ERROR].revents;
}

/* Until all was sent, or the client is gone, or breaks the protocol (which is the same). */
static void pump(struct exec_pump *p)
{
	struct pollfd fds[SLOT_COUNT];

	while (!p->gone) {
		/* Only a round that listened to the process can tell that it is silent. */
		bool listened = p->ended && p->out_len == 0;

		choose_events(p, fds);
		if (poll(fds, SLOT_COUNT, choose_timeout(p)) < 0) {
			if (errno == EINTR)
				continue;
			break;
		}
		if (handle_events(p, fds) < 0)
			p->gone = true;
		if (listened && drained(p, fds))
			return;
	}
	p->gone = true;
}

/* -- the end -- */

static void hang_up(struct exec_pump *p)
{
	struct pollfd end = { p->child.pidfd, POLLIN, 0 };
	pid_t foreground = foreground_group(p);

	(void)kill(-p->child.pid, SIGHUP);
	(void)kill(-p->child.pid, SIGCONT);
	if (foreground != p->child.pid) {
		(void)kill(-foreground, SIGHUP);
		(void)kill(-foreground, SIGCONT);
	}
	/* A terminal hangs up when its master closes. */
	close_fd(&p->child.input);
	close_fd(&p->child.output);
	close_fd(&p->child.error);
	if (!p->ended)
		(void)poll(&end, 1, HANGUP_GRACE_MS);
	(void)kill(-p->child.pid, SIGKILL);
}

static void report_end(struct exec_pump *p, const struct operation_context *context)
{
	int status = p->wait_status;

	if (WIFSIGNALED(status)) {
		operation_audit(context, PROTOCOL_AUDIT_OPERATION_ENDED, PROTOCOL_EXEC,
			STREAM_SIGNALLED, (uint64_t)WTERMSIG(status));
		if (!p->gone)
			frame_send_exit(p->sock, STREAM_SIGNALLED, (uint32_t)WTERMSIG(status));
		return;
	}
	operation_audit(context, PROTOCOL_AUDIT_OPERATION_ENDED, PROTOCOL_EXEC, STREAM_EXITED,
		(uint64_t)WEXITSTATUS(status));
	if (!p->gone)
		frame_send_exit(p->sock, STREAM_EXITED, (uint32_t)WEXITSTATUS(status));
}

/* ENOENT and ENOTDIR are a shell's 127; all else is its 126. */
static void report_failure(
	int sock, const struct exec_failure *failure, const struct operation_context *context)
{
	operation_audit(context, PROTOCOL_AUDIT_OPERATION_REFUSED, PROTOCOL_EXEC,
		(uint64_t)-failure->code, failure->stage);
	if (failure->stage != PROTOCOL_STAGE_NONE)
		frame_send_error(sock, failure->code, failure->stage);
	else
		frame_send_exit(sock, STREAM_FAILED,
			failure->code == -ENOENT || failure->code == -ENOTDIR ? 127 : 126);
}

static void run_child(
	struct exec_pump *p, const struct user *user, const struct operation_context *context)
{
	uint8_t frame[STREAM_FIXED_MAX];
	int wait_status = 0;

	operation_audit(context, PROTOCOL_AUDIT_OPERATION_STARTED, PROTOCOL_EXEC, user->uid,
		(uint64_t)p->child.pid);
	if (user->uid == 0)
		operation_audit(context, PROTOCOL_AUDIT_ROOT_EXEC, 0, 0, 0);
	if (fdio_write_full(p->sock, frame, stream_started_frame((uint32_t)p->child.pid, frame)) <
		0)
		p->gone = true;
	pump(p);
	if (p->gone)
		hang_up(p);
	(void)waitpid(p->child.pid, &wait_status, 0);
	p->wait_status = wait_status;
	report_end(p, context);
}

void exec_run(
	int sock, const struct protocol_exec *request, const struct operation_context *context)
{
	_cleanup_free_ struct exec_pump *p = calloc(1, sizeof(*p));
	struct exec_failure failure = { -ENOMEM, PROTOCOL_STAGE_START };
	struct user user;
	int r;

	if (!p) {
		report_failure(sock, &failure, context);
		return;
	}
	r = user_lookup(request->user[0] ? request->user : context->user, &user);
	if (r < 0) {
		failure = (struct exec_failure){ r, PROTOCOL_STAGE_USER };
		report_failure(sock, &failure, context);
		return;
	}
	p->sock = sock;
	p->tty = request->flags & PROTOCOL_EXEC_TTY;
	if (exec_child_start(request, context, &user, &p->child, &failure) < 0) {
		report_failure(sock, &failure, context);
		return;
	}
	run_child(p, &user, context);
	close_fd(&p->child.input);
	close_fd(&p->child.output);
	close_fd(&p->child.error);
	close_fd(&p->child.pidfd);
}
