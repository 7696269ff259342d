/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/session.h"

#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/protocol/stream.h"
#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/sandboxctl/detach_keys.h"
#include "vmm/sandboxctl/terminal.h"
#include "vmm/sandboxctl/terminal_filter.h"

#define STDIN_PIECE	  (32u << 10)
#define TO_GUEST_MAX	  (STDIN_PIECE + 4096) /* one piece of stdin and a few small frames */
#define FROM_GUEST_MAX	  (PROTOCOL_HEAD_SIZE + PROTOCOL_PAYLOAD_MAX)
#define PIPE_PIECE	  4096 /* PIPE_BUF: what poll promises of a pipe */
#define INTERRUPTS_TO_END 3

/* An output of this side. */
struct sink {
	int fd;
	bool filtered;
	size_t piece; /* most bytes of one write */
	struct terminal_filter filter;
};

struct session {
	const struct session_options *options;
	int stream_fd, signal_fd;
	bool raw_terminal;

	uint8_t to_guest[TO_GUEST_MAX];
	size_t to_guest_len;
	bool stdin_open; /* still to be read */
	struct detach_keys keys;

	uint8_t from_guest[FROM_GUEST_MAX];
	size_t from_guest_len;
	struct sink out, err_out;
	bool err_used;
	struct sink *pending_sink; /* NULL: nothing is waiting to be written */
	uint8_t pending[TERMINAL_FILTER_OUT_SIZE(PROTOCOL_PAYLOAD_MAX)];
	size_t pending_at, pending_len;

	int interrupts; /* in a row */
	bool stream_over; /* nothing comes any more; what came is still to be taken */
	bool ended;
	struct session_result result;
	struct err error; /* of SESSION_REFUSED */
};

static void end(struct session *s, enum session_end how, int value)
{
	if (s->ended)
		return;
	s->ended = true;
	s->result = (struct session_result){ .end = how, .value = value };
}

/*
 * To the guest
 */
static size_t room(const struct session *s)
{
	return sizeof(s->to_guest) - s->to_guest_len;
}

static void queue_bytes(struct session *s, const void *data, size_t len)
{
	memcpy(s->to_guest + s->to_guest_len, data, len);
	s->to_guest_len += len;
}

static void queue_stdin(struct session *s, const uint8_t *data, size_t len)
{
	uint8_t head[PROTOCOL_HEAD_SIZE];

	if (!len)
		return;
	stream_bytes_head(STREAM_STDIN, (uint32_t)len, head);
	queue_bytes(s, head, sizeof(head));
	queue_bytes(s, data, len);
}

static void queue_small_frame(struct session *s, const uint8_t *frame, size_t len)
{
	if (room(s) >= len)
		queue_bytes(s, frame, len);
}

static void queue_resize(struct session *s)
{
	struct stream_resize resize;
	uint8_t frame[STREAM_FIXED_MAX];

	if (s->options->tty && (terminal_size(STDIN_FILENO, &resize.rows, &resize.cols) ||
				       terminal_size(STDOUT_FILENO, &resize.rows, &resize.cols)))
		queue_small_frame(s, frame, stream_resize_frame(&resize, frame));
}

static void queue_signal(struct session *s, int number)
{
	uint8_t frame[STREAM_FIXED_MAX];

	queue_small_frame(s, frame, stream_signal_frame((uint32_t)number, frame));
}

static void close_stdin(struct session *s)
{
	uint8_t head[PROTOCOL_HEAD_SIZE];

	s->stdin_open = false;
	stream_bytes_head(STREAM_STDIN_EOF, 0, head);
	queue_small_frame(s, head, sizeof(head));
}

static bool stdin_wanted(const struct session *s)
{
	return s->stdin_open &&
	       s->to_guest_len + STDIN_PIECE + 2 * PROTOCOL_HEAD_SIZE + 1 <= sizeof(s->to_guest);
}

static void read_stdin(struct session *s)
{
	uint8_t typed[STDIN_PIECE], kept[STDIN_PIECE + 1];
	ssize_t n = read(STDIN_FILENO, typed, sizeof(typed));
	size_t len;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		/* The end of a terminal is a hang-up, not an end of file. */
		if (s->raw_terminal)
			end(s, s->options->detachable ? SESSION_DETACHED : SESSION_INTERRUPTED,
				128 + SIGHUP);
		else
			close_stdin(s);
		return;
	}
	s->interrupts = 0;
	if (!s->raw_terminal || !s->options->detachable) {
		queue_stdin(s, typed, (size_t)n);
		return;
	}
	if (detach_keys_run(&s->keys, typed, (size_t)n, kept, &len))
		end(s, SESSION_DETACHED, 0);
	queue_stdin(s, kept, len);
}

static void write_stream(struct session *s)
{
	ssize_t n = send(s->stream_fd, s->to_guest, s->to_guest_len, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n > 0) {
		memmove(s->to_guest, s->to_guest + n, s->to_guest_len - (size_t)n);
		s->to_guest_len -= (size_t)n;
	} else if (n < 0 && errno != EAGAIN && errno != EINTR) {
		/* The guest reads no more; what it still says is read on. */
		s->to_guest_len = 0;
		s->stdin_open = false;
	}
}

/*
 * From the guest
 */
static void start_output(struct session *s, struct sink *sink, const uint8_t *data, size_t len)
{
	if (sink->filtered) {
		s->pending_len = terminal_filter_run(&sink->filter, data, len, s->pending);
	} else {
		memcpy(s->pending, data, len);
		s->pending_len = len;
	}
	s->pending_at = 0;
	s->pending_sink = s->pending_len ? sink : NULL;
}

static void write_output(struct session *s)
{
	struct sink *sink = s->pending_sink;
	size_t left = s->pending_len - s->pending_at;
	ssize_t n = write(sink->fd, s->pending + s->pending_at, MIN(left, sink->piece));

	if (n > 0) {
		s->pending_at += (size_t)n;
	} else if (n < 0 && errno == EPIPE) {
		end(s, SESSION_INTERRUPTED, 128 + SIGPIPE);
		return;
	} else if (n < 0 && errno != EAGAIN && errno != EINTR) {
		err_set(&s->error, -errno, "writing the guest's output: %s", strerror(errno));
		end(s, SESSION_REFUSED, errno);
		return;
	}
	if (s->pending_at == s->pending_len)
		s->pending_sink = NULL;
}

static void take_exit(struct session *s, const uint8_t *payload, size_t len)
{
	struct stream_exit e;

	if (!stream_exit_decode(payload, len, &e)) {
		end(s, SESSION_LOST, 0);
		return;
	}
	end(s, SESSION_EXITED, (e.kind == STREAM_SIGNALLED ? 128 : 0) + (int)(e.value & 0xff));
	s->result.not_run = e.kind == STREAM_FAILED;
}

int session_error_text(int code, unsigned int stage, struct err *err)
{
	err_set(err, -code, "%s: %s", protocol_stage_text(stage), strerror(code));
	if (stage == PROTOCOL_STAGE_LINK)
		err_next_step(err, "see: sandboxctl status");
	return -code;
}

static void take_error(struct session *s, const uint8_t *payload, size_t len)
{
	struct stream_error e;

	if (!stream_error_decode(payload, len, &e)) {
		end(s, SESSION_LOST, 0);
		return;
	}
	session_error_text((int)e.code, e.stage, &s->error);
	end(s, SESSION_REFUSED, (int)e.code);
	s->result.stage = e.stage;
}

static void take_frame(struct session *s, const struct protocol_head *head, const uint8_t *payload)
{
	switch (head->type) {
	case STREAM_STDOUT:
		start_output(s, &s->out, payload, head->len);
		break;
	case STREAM_STDERR:
		s->err_used = true;
		start_output(s, &s->err_out, payload, head->len);
		break;
	case STREAM_STARTED:
		break;
	case STREAM_EXIT:
		take_exit(s, payload, head->len);
		break;
	case STREAM_ERROR:
		take_error(s, payload, head->len);
		break;
	default: /* not a frame of a session */
		end(s, SESSION_LOST, 0);
		break;
	}
}

/* Whether a whole frame is there; taken if so. */
static bool take_next_frame(struct session *s)
{
	struct protocol_head head;
	size_t size;

	if (s->from_guest_len < PROTOCOL_HEAD_SIZE)
		return false;
	if (!protocol_head_decode(s->from_guest, PROTOCOL_GUEST, &head)) {
		end(s, SESSION_LOST, 0);
		return false;
	}
	size = PROTOCOL_HEAD_SIZE + head.len;
	if (s->from_guest_len < size)
		return false;
	take_frame(s, &head, s->from_guest + PROTOCOL_HEAD_SIZE);
	memmove(s->from_guest, s->from_guest + size, s->from_guest_len - size);
	s->from_guest_len -= size;
	return true;
}

static void read_stream(struct session *s)
{
	ssize_t n = read(s->stream_fd, s->from_guest + s->from_guest_len,
		sizeof(s->from_guest) - s->from_guest_len);

	if (n > 0)
		s->from_guest_len += (size_t)n;
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		s->stream_over = true;
}

/* Frames go on until one waits for its output. The last of them comes before the end of the stream. */
static void take_frames(struct session *s)
{
	while (!s->ended && !s->pending_sink && take_next_frame(s))
		;
	if (s->stream_over && !s->pending_sink)
		end(s, SESSION_LOST, 0);
}

/*
 * Signals
 */
static void interrupted(struct session *s, int number)
{
	if (s->raw_terminal || s->options->detachable || ++s->interrupts >= INTERRUPTS_TO_END) {
		end(s, s->options->detachable ? SESSION_DETACHED : SESSION_INTERRUPTED,
			128 + number);
		return;
	}
	queue_signal(s, number);
}

static void suspended(struct session *s)
{
	struct err err = {};

	if (terminal_suspend(&err) < 0)
		end(s, SESSION_INTERRUPTED, 128 + SIGHUP);
	queue_resize(s);
}

static void read_signal(struct session *s)
{
	struct signalfd_siginfo info;

	if (read(s->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	switch ((int)info.ssi_signo) {
	case SIGWINCH:
		queue_resize(s);
		break;
	case SIGTSTP:
		suspended(s);
		break;
	default:
		interrupted(s, (int)info.ssi_signo);
		break;
	}
}

/*
 * The loop
 */
enum watched { WATCH_STREAM, WATCH_SIGNALS, WATCH_STDIN, WATCH_OUTPUT, WATCHED };

static bool stream_read_wanted(const struct session *s)
{
	return !s->pending_sink && !s->stream_over && s->from_guest_len < sizeof(s->from_guest);
}

static void watch(const struct session *s, struct pollfd p[static WATCHED])
{
	short events = 0;

	if (stream_read_wanted(s))
		events |= POLLIN;
	if (s->to_guest_len)
		events |= POLLOUT;
	/* Without a wish there is no fd: a hang-up that cannot be acted on yet would make this a busy loop. */
	p[WATCH_STREAM] = (struct pollfd){ .fd = events ? s->stream_fd : -1, .events = events };
	p[WATCH_SIGNALS] = (struct pollfd){ .fd = s->signal_fd, .events = POLLIN };
	p[WATCH_STDIN] =
		(struct pollfd){ .fd = stdin_wanted(s) ? STDIN_FILENO : -1, .events = POLLIN };
	p[WATCH_OUTPUT] = (struct pollfd){ .fd = s->pending_sink ? s->pending_sink->fd : -1,
		.events = POLLOUT };
}

static void dispatch(struct session *s, const struct pollfd p[static WATCHED])
{
	if (p[WATCH_SIGNALS].revents)
		read_signal(s);
	if (p[WATCH_OUTPUT].revents)
		write_output(s);
	if (p[WATCH_STREAM].revents & POLLOUT || (p[WATCH_STREAM].revents && s->to_guest_len))
		write_stream(s);
	if (p[WATCH_STREAM].revents & (POLLIN | POLLHUP | POLLERR) && stream_read_wanted(s))
		read_stream(s);
	if (p[WATCH_STDIN].revents && stdin_wanted(s))
		read_stdin(s);
	take_frames(s);
}

static int run_loop(struct session *s, struct err *err)
{
	while (!s->ended) {
		struct pollfd p[WATCHED];

		watch(s, p);
		if (poll(p, WATCHED, -1) < 0) {
			if (errno == EINTR)
				continue;
			return err_set(err, -errno, "waiting for the guest: %s", strerror(errno));
		}
		dispatch(s, p);
	}
	return 0;
}

/* Most bytes that a ready fd takes at once: a regular file anything, a pipe PIPE_BUF. */
static size_t piece_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? SIZE_MAX : PIPE_PIECE;
}

static void sink_init(struct sink *sink, int fd, const struct session_options *options)
{
	const char *codeset = nl_langinfo(CODESET);
	bool utf8 = strcmp(codeset, "UTF-8") == 0 || strcmp(codeset, "ANSI_X3.4-1968") == 0;

	sink->fd = fd;
	sink->piece = piece_of(fd);
	sink->filtered = !options->raw && isatty(fd);
	terminal_filter_init(
		&sink->filter, options->tty ? TERMINAL_FILTER_SCREEN : TERMINAL_FILTER_LOG, utf8);
}

static void reset_sink(const struct sink *sink)
{
	char reset[TERMINAL_FILTER_RESET_MAX];

	if (sink->filtered)
		(void)fdio_write_full(sink->fd, reset, terminal_filter_reset(&sink->filter, reset));
}

/* The terminal as it was before the guest had it. An honest one has nothing on the second stream. */
static void reset_screen(struct session *s)
{
	if (!s->options->tty)
		return;
	reset_sink(&s->out);
	if (s->err_used)
		reset_sink(&s->err_out);
}

static int open_signals(struct session *s, sigset_t *before, struct err *err)
{
	sigset_t set;
	int r = terminal_block_signals(before);

	if (r < 0)
		return err_set(err, r, "signals cannot be blocked");
	terminal_signals(&set);
	s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return s->signal_fd < 0 ? err_set(err, -errno, "no signalfd") : 0;
}

static int run_with_terminal(struct session *s, struct err *err)
{
	int r = 0;

	if (s->options->tty && s->options->stdin_open && isatty(STDIN_FILENO)) {
		r = terminal_enter_raw(STDIN_FILENO, err);
		s->raw_terminal = r == 0;
	}
	if (!s->raw_terminal) {
		terminal_filter_mute(&s->out.filter);
		terminal_filter_mute(&s->err_out.filter);
	}
	if (r == 0) {
		queue_resize(s);
		if (!s->options->stdin_open)
			close_stdin(s);
		r = run_loop(s, err);
	}
	reset_screen(s);
	terminal_leave();
	return r;
}

static struct session *session_create(int stream_fd, const struct session_options *options)
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->options = options;
	s->stream_fd = stream_fd;
	s->signal_fd = -1;
	s->stdin_open = options->stdin_open;
	sink_init(&s->out, STDOUT_FILENO, options);
	sink_init(&s->err_out, STDERR_FILENO, options);
	return s;
}

static void session_destroy(struct session *s)
{
	close_keeping_errno(s->signal_fd);
	free(s);
}

int session_run(int stream_fd, const struct session_options *options, struct session_result *ret,
	struct err *err)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN }, pipe_before;
	struct session *s = session_create(stream_fd, options);
	sigset_t before;
	int r;

	if (!s)
		return err_set(err, -ENOMEM, "no memory for a session");
	r = open_signals(s, &before, err);
	if (r == 0)
		r = fdio_set_nonblocking(stream_fd, true);
	if (r == 0) {
		sigaction(SIGPIPE, &ignore, &pipe_before);
		r = run_with_terminal(s, err);
		sigaction(SIGPIPE, &pipe_before, NULL);
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (r == 0) {
		*ret = s->result;
		if (s->result.end == SESSION_REFUSED && err)
			*err = s->error;
	}
	session_destroy(s);
	return r;
}
