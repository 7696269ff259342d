/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Payloads of operation streams: the same between agent and link and between link and client (sandboxctl). All but the
 * byte carriers (STDIN, STDOUT, STDERR, COPY_DATA) are of a fixed size, so that the client parses nothing else (H10).
 * There are no acknowledgements: back-pressure is the stream's own.
 *
 * Theory of operation
 *   exec      request EXEC. guest: STARTED, STDOUT and STDERR in any number, EXIT; or, instead of STARTED, EXIT{failed}
 *             (cannot be invoked, not found) or ERROR. client: STDIN, then at most one STDIN_EOF; RESIZE and SIGNAL at any time. A client that shuts down its side of the stream has
 *             given up: the agent hangs up (SIGHUP, then SIGKILL) on the process group.
 *   copy out  request COPY_OUT. guest: STARTED, entries and data as below, EXIT{exited, number of entries left out}.
 *   copy in   request COPY_IN. guest: STARTED; then client: entries and data; after its END the guest: EXIT{exited, 0}.
 *             ERROR may come at any time and is the last frame.
 *   forward   request FORWARD. guest: STARTED, then raw bytes both ways (no frames); or ERROR.
 *
 * A copied tree is a walk: DIR goes into a folder, UP leaves it, FILE is followed by exactly `size` bytes in COPY_DATA
 * frames, SYMLINK by one COPY_DATA frame with its target of `size` bytes; END is the end of all, at the top. Names are one
 * component each. What a COPY_OUT names is the first entry, under its own last component; nothing else stands beside it.
 *
 * Every decoder takes the payload of a frame and returns false, leaving *ret alone, where it is not valid.
 */
#include "guest-agent/protocol/frame.h"

#define STREAM_RESIZE_SIZE	4
#define STREAM_SIGNAL_SIZE	4
#define STREAM_STARTED_SIZE	4
#define STREAM_EXIT_SIZE	8
#define STREAM_ERROR_SIZE	8
#define STREAM_COPY_ENTRY_SIZE	320
#define STREAM_COPY_NAME_MAX	255 /* bytes; NAME_MAX */
#define STREAM_COPY_TARGET_MAX	4095 /* of a symlink; PATH_MAX less the NUL */
#define STREAM_COPY_DEPTH_MAX	128 /* folders inside folders */
#define STREAM_COPY_ENTRIES_MAX 4000000 /* of one copy: an endless list ends here */
#define STREAM_COPY_MODE_MASK	0777 /* set-uid, set-gid and sticky do not travel */
#define STREAM_SIGNAL_MAX	64

enum stream_exit_kind {
	STREAM_EXITED = 1, /* value: exit code 0..255 (copies: entries left out) */
	STREAM_SIGNALLED = 2, /* value: signal number */
	STREAM_FAILED = 3, /* value: 126 (cannot be invoked) or 127 (not found) */
};

/* Where something failed. Numbers are for ever; the words are protocol_stage_text()'s. */
enum protocol_stage {
	PROTOCOL_STAGE_NONE = 0,
	/* setting up (REFUSED) */
	PROTOCOL_STAGE_EARLY = 1,
	PROTOCOL_STAGE_MODULES = 2,
	PROTOCOL_STAGE_WELCOME = 3,
	PROTOCOL_STAGE_ROOT = 4,
	PROTOCOL_STAGE_MOUNT = 5,
	PROTOCOL_STAGE_USERS = 6,
	PROTOCOL_STAGE_FILES = 7,
	PROTOCOL_STAGE_LISTEN = 8,
	/* operations (ERROR) */
	PROTOCOL_STAGE_REQUEST = 32, /* malformed, or not this version's */
	PROTOCOL_STAGE_LIMIT = 33, /* too many at once */
	PROTOCOL_STAGE_USER = 34, /* no such user */
	PROTOCOL_STAGE_FOLDER = 35, /* the working folder */
	PROTOCOL_STAGE_TERMINAL = 36,
	PROTOCOL_STAGE_START = 37, /* fork and the like */
	PROTOCOL_STAGE_COPY_PATH = 38, /* what was named */
	PROTOCOL_STAGE_COPY_READ = 39,
	PROTOCOL_STAGE_COPY_WRITE = 40,
	PROTOCOL_STAGE_COPY_ORDER = 41, /* entries that make no tree */
	PROTOCOL_STAGE_CONNECT = 42, /* FORWARD's port */
	/* the link's own */
	PROTOCOL_STAGE_LINK = 64, /* the agent is not ready, or gone */
};

/* Fixed words for a human; never NULL. */
const char *protocol_stage_text(uint32_t stage);

struct stream_resize {
	uint16_t rows, cols;
};

struct stream_exit {
	uint32_t kind; /* enum stream_exit_kind */
	uint32_t value;
};

struct stream_error {
	uint32_t code; /* a positive errno, 1..4095 */
	uint32_t stage; /* enum protocol_stage; unknown ones pass */
};

enum stream_copy_kind {
	STREAM_COPY_DIR = 1,
	STREAM_COPY_FILE = 2,
	STREAM_COPY_SYMLINK = 3,
	STREAM_COPY_UP = 4, /* no name, all else 0 */
	STREAM_COPY_END = 5, /* the same */
};

/*
 * Wire form: u8 kind, u8 0, u16 0, u32 mode, u64 size, u64 mtime_ns (two's complement), 40 bytes 0, name[256] filled up
 * with NUL.
 */
struct stream_copy_entry {
	uint8_t kind; /* enum stream_copy_kind */
	uint32_t mode; /* within STREAM_COPY_MODE_MASK */
	uint64_t size; /* DIR: 0 */
	int64_t mtime_ns; /* since 1970 */
	char name[STREAM_COPY_NAME_MAX + 1];
};

bool stream_resize_decode(const void *payload, size_t len, struct stream_resize *ret);
bool stream_signal_decode(const void *payload, size_t len, uint32_t *ret_signal);
bool stream_started_decode(const void *payload, size_t len, uint32_t *ret_pid);
bool stream_exit_decode(const void *payload, size_t len, struct stream_exit *ret);
bool stream_error_decode(const void *payload, size_t len, struct stream_error *ret);
bool stream_copy_entry_decode(const void *payload, size_t len, struct stream_copy_entry *ret);

/* Each writes a whole frame, head and payload, and gives its size. */
#define STREAM_FIXED_MAX (PROTOCOL_HEAD_SIZE + STREAM_COPY_ENTRY_SIZE)
size_t stream_resize_frame(
	const struct stream_resize *resize, uint8_t out[static STREAM_FIXED_MAX]);
size_t stream_signal_frame(uint32_t signal, uint8_t out[static STREAM_FIXED_MAX]);
size_t stream_started_frame(uint32_t pid, uint8_t out[static STREAM_FIXED_MAX]);
size_t stream_exit_frame(const struct stream_exit *exit, uint8_t out[static STREAM_FIXED_MAX]);
size_t stream_error_frame(const struct stream_error *error, uint8_t out[static STREAM_FIXED_MAX]);
/* 0 where the entry is not valid (its name, its mode). */
size_t stream_copy_entry_frame(
	const struct stream_copy_entry *entry, uint8_t out[static STREAM_FIXED_MAX]);
/* The head alone, for bytes that follow it. */
static inline void stream_bytes_head(
	enum protocol_type type, uint32_t len, uint8_t out[static PROTOCOL_HEAD_SIZE])
{
	protocol_head_encode(&(struct protocol_head){ .type = (uint8_t)type, .len = len }, out);
}

/* One component: not empty, not `.` or `..`, no `/`, at most STREAM_COPY_NAME_MAX bytes (S1, H14). */
bool stream_name_valid(const char *name);

/*
 * The order of a copy, checked by every receiver of one (link, client, agent): H14. Start from all 0; each frame is
 * offered to it first, and refused (false) where it makes no tree or passes a limit. *done once END was taken.
 */
struct stream_copy_order {
	uint32_t depth;
	uint32_t entries;
	uint64_t bytes_left; /* of the file or link whose data comes now */
	bool link; /* the data is a link's target: one frame */
	bool done;
};
bool stream_copy_order_entry(
	struct stream_copy_order *order, const struct stream_copy_entry *entry);
bool stream_copy_order_data(struct stream_copy_order *order, size_t len);
