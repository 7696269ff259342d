/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/audit/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/supervisor/audit/head.h"
#include "vmm/supervisor/audit/segment.h"

#define FILE_MODE  0600
#define NS_PER_S   UINT64_C(1000000000)
#define MENDED_MAX 128
#define STUCK_MAX  192

struct store {
	int dir_fd, fd; /* of the folder; of the active file */
	const struct audit_key *key;
	struct audit_origin origin;
	struct store_limits limits;
	struct audit_head head; /* as it is to be signed next */
	uint64_t size; /* of the active file */
	uint64_t begun_s; /* when its first line was written */
	bool dirty; /* more is in it than a head says */
	bool stuck; /* retention has said that it cannot go on */
	store_listener_fn *listener;
	void *listener_data;
	char line[AUDIT_LINE_MAX];
};

DEFINE_CLEANUP(store, store_destroy)

static uint64_t clock_real_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

void store_listen(struct store *s, store_listener_fn *listener, void *data)
{
	s->listener = listener;
	s->listener_data = data;
}

static void tell(const struct store *s, const char *text, size_t len)
{
	if (s->listener)
		s->listener(s->listener_data, text, len);
}

static int sign_head(struct store *s)
{
	char text[AUDIT_HEAD_MAX];
	int n = audit_head_encode(&s->head, s->key, text), r;

	if (n < 0)
		return n;
	r = fdio_write_file_atomic(s->dir_fd, SEGMENT_HEAD, text, (size_t)n, FILE_MODE);
	if (r < 0)
		return r;
	s->dirty = false;
	if (fsync(s->dir_fd) < 0)
		return -errno;
	tell(s, text, (size_t)n);
	return 0;
}

static int open_active(struct store *s)
{
	s->fd = openat(s->dir_fd, SEGMENT_ACTIVE,
		O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, FILE_MODE);
	return s->fd < 0 ? -errno : 0;
}

/* A file that is never longer than what is read of one, however much comes between two syncs. */
static int seal_in_time(struct store *s)
{
	return s->size >= s->limits.segment_bytes ? store_sync(s) : 0;
}

int store_append(struct store *s, enum audit_source source, const struct audit_event *event)
{
	struct audit_origin origin = s->origin;
	uint64_t written = 0;
	int n = s->fd < 0 ? open_active(s)
			  : 0; /* what could not be opened when the last one was sealed */

	if (n == 0)
		n = seal_in_time(s);
	if (n < 0)
		return n;
	origin.source = source;
	n = audit_line_render(s->head.end.sequence, s->head.end.prev, &origin, event, s->line);
	if (n < 0)
		return n;
	while (written < (uint64_t)n) {
		ssize_t w = pwrite(
			s->fd, s->line + written, (size_t)n - written, (off_t)(s->size + written));

		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0) {
			int r = w < 0 ? -errno : -EIO;

			/* Where even this fails, the next line is written over it. */
			(void)!ftruncate(s->fd, (off_t)s->size);
			return r;
		}
		written += (uint64_t)w;
	}
	if (chain_add(&s->head.end, s->line, (size_t)n) < 0)
		return -EIO;
	if (s->size == 0)
		s->begun_s = clock_real_ns() / NS_PER_S;
	s->size += (uint64_t)n;
	s->dirty = true;
	tell(s, s->line, (size_t)n);
	return 0;
}

static int append_note(struct store *s, const char *text)
{
	struct audit_event note = { .kind = AUDIT_LOG, .count = 1, .time_ns = clock_real_ns() };

	note.text[AUDIT_DETAIL] = (struct audit_bytes){ (const uint8_t *)text, strlen(text) };
	return store_append(s, AUDIT_FROM_HOST, &note);
}

static bool is_full(const struct store *s)
{
	return s->size > 0 &&
	       (s->size >= s->limits.segment_bytes ||
		       clock_real_ns() / NS_PER_S >= s->begun_s + s->limits.segment_age_s);
}

/* The active file, all of it signed, becomes a segment. */
static int seal(struct store *s)
{
	char name[SEGMENT_NAME_MAX];

	segment_name(s->head.active.sequence, name);
	if (renameat(s->dir_fd, SEGMENT_ACTIVE, s->dir_fd, name) < 0)
		return -errno;
	close(TAKE_FD(s->fd));
	s->head.active = s->head.end;
	s->head.segments++;
	s->size = 0;
	s->dirty = true;
	return open_active(s);
}

/* Whether the oldest segment is to go; -errno. */
static int is_due(const struct store *s, const uint64_t *firsts, size_t count)
{
	uint64_t total = s->size;
	struct stat oldest = {};

	for (size_t i = 0; i < count; i++) {
		char name[SEGMENT_NAME_MAX];
		struct stat st;

		segment_name(firsts[i], name);
		if (fstatat(s->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return -errno;
		if (i == 0)
			oldest = st;
		total += (uint64_t)st.st_size;
	}
	return total > s->limits.total_bytes ||
	       (uint64_t)oldest.st_mtim.tv_sec + s->limits.keep_s < clock_real_ns() / NS_PER_S;
}

/* Follows the chain through one file; -EBADMSG where it does not fit. */
static int read_through(int dir_fd, const char *name, struct chain *chain,
	enum chain_verdict *ret_verdict, size_t *ret_whole, size_t *ret_len)
{
	_cleanup_free_ char *text = NULL;
	int r = segment_read(dir_fd, name, &text, ret_len);

	return r < 0 ? r : chain_read(chain, text, *ret_len, ret_verdict, ret_whole);
}

static int drop_oldest(struct store *s, uint64_t first)
{
	struct chain chain = s->head.first;
	enum chain_verdict verdict;
	char name[SEGMENT_NAME_MAX];
	size_t whole, len;
	int r;

	segment_name(first, name);
	/* Given up already, but for its file. */
	if (first < s->head.first.sequence)
		return unlinkat(s->dir_fd, name, 0) < 0 ? -errno : 0;
	r = read_through(s->dir_fd, name, &chain, &verdict, &whole, &len);
	if (r < 0)
		return r;
	/* Somebody changed it: that is evidence, and stays. */
	if (verdict != CHAIN_WHOLE || first != s->head.first.sequence)
		return -EBADMSG;
	s->head.first = chain;
	s->head.segments--;
	r = sign_head(s);
	if (r == 0 && unlinkat(s->dir_fd, name, 0) < 0)
		r = -errno;
	return r;
}

/* Of the oldest file itself, and no trouble of the disk's. */
static bool is_damage(int r)
{
	return r == -EBADMSG || r == -EFBIG || r == -ELOOP || r == -ENOENT || r == -EISDIR ||
	       r == -ENXIO;
}

/*
 * What somebody changed is evidence: it stays, and with it all that is behind it. That is said in the log, once by each writer,
 * and is no reason to stop.
 */
static int say_stuck(struct store *s, const char *name)
{
	char text[STUCK_MAX];

	if (s->stuck)
		return 0;
	s->stuck = true;
	snprintf(text, sizeof(text),
		"%s, or what was before it, is not what was written: it stays, and no file is given up any more (sandboxctl audit verify)",
		name);
	return append_note(s, text);
}

static int retain(struct store *s)
{
	_cleanup_free_ uint64_t *firsts = NULL;
	char name[SEGMENT_NAME_MAX];
	size_t count = 0;
	int r = segment_list(s->dir_fd, &firsts, &count);

	for (size_t i = 0; r == 0 && i < count; i++) {
		segment_name(firsts[i], name);
		r = is_due(s, firsts + i, count - i);
		if (r == 0)
			return 0;
		if (r > 0)
			r = drop_oldest(s, firsts[i]);
		if (is_damage(r))
			return say_stuck(s, name);
	}
	return r;
}

const char *store_error_words(int error)
{
	static const char too_many[] =
		"it has more files than are kept of one, for the oldest cannot be "
		"given up; see sandboxctl audit verify, then move its folder away";

	return error == E2BIG ? too_many : strerror(error);
}

int store_sync(struct store *s)
{
	int r = 0;

	if (s->fd < 0)
		r = open_active(s);
	if (r == 0 && s->dirty) {
		r = fdatasync(s->fd) < 0 ? -errno : sign_head(s);
	}
	if (r < 0 || !is_full(s))
		return r;
	r = seal(s);
	if (r == 0)
		r = sign_head(s);
	return r < 0 ? r : retain(s);
}

bool store_is_dirty(const struct store *s)
{
	return s->dirty || is_full(s);
}

static int changed(struct err *err, const char *file, const char *what)
{
	err_set(err, -EBADMSG, "the audit log's file %s: %s", file, what);
	return err_next_step(err, "look at it with `sandboxctl audit verify`, then move the "
				  "log's folder away: a new log begins");
}

/* A seal that was cut short: the head does not know of it yet. */
static int take_sealed(struct store *s, struct err *err)
{
	enum chain_verdict verdict;
	char name[SEGMENT_NAME_MAX];
	size_t whole, len;
	struct chain chain = s->head.active;
	int r;

	segment_name(s->head.active.sequence, name);
	r = read_through(s->dir_fd, name, &chain, &verdict, &whole, &len);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return err_set(err, r, "the audit log's file %s: %s", name, strerror(-r));
	if (verdict != CHAIN_WHOLE)
		return changed(err, name, chain_verdict_word(verdict));
	if (memcmp(&chain, &s->head.end, sizeof(chain)) != 0)
		return changed(err, name, "not as long as the signed head says");
	s->head.active = chain;
	s->head.segments++;
	s->dirty = true;
	return 0;
}

/* The active file from where the head says it begins; what a crash left at its end is cut off and told. */
static int take_active(struct store *s, char mended[static MENDED_MAX], struct err *err)
{
	struct chain chain = s->head.active, end = s->head.end;
	enum chain_verdict verdict;
	size_t whole, len;
	int r = read_through(s->dir_fd, SEGMENT_ACTIVE, &chain, &verdict, &whole, &len);

	if (r < 0)
		return err_set(err, r, "the audit log: %s", strerror(-r));
	if (verdict != CHAIN_WHOLE && verdict != CHAIN_TORN)
		return changed(err, SEGMENT_ACTIVE, chain_verdict_word(verdict));
	if (chain.sequence < end.sequence)
		return changed(err, SEGMENT_ACTIVE, "lines at its end are missing");
	if (chain.sequence == end.sequence && memcmp(chain.prev, end.prev, AUDIT_HASH_SIZE) != 0)
		return changed(err, SEGMENT_ACTIVE, "its last line was changed");
	if (verdict == CHAIN_TORN && ftruncate(s->fd, (off_t)whole) < 0)
		return err_set(err, -errno, "the audit log: %m");
	s->dirty = s->dirty || verdict == CHAIN_TORN || chain.sequence > end.sequence;
	if (verdict == CHAIN_TORN || chain.sequence > end.sequence)
		snprintf(mended, MENDED_MAX,
			"the writer ended early: %" PRIu64
			" records not signed yet, %zu bytes of a torn one cut off",
			chain.sequence - end.sequence, len - whole);
	s->head.end = chain;
	s->size = whole;
	s->begun_s = clock_real_ns() / NS_PER_S;
	return 0;
}

/* No head: a log that begins, unless there is something else already. */
static int begin(struct store *s, struct err *err)
{
	_cleanup_free_ uint64_t *firsts = NULL;
	size_t count = 0;
	struct stat st;
	int r = segment_list(s->dir_fd, &firsts, &count);

	if (r == 0 && (count > 0 || fstat(s->fd, &st) < 0 || st.st_size > 0))
		return changed(err, SEGMENT_HEAD, "it is missing");
	if (r == 0)
		r = sign_head(s);
	return r < 0 ? err_set(err, r, "the audit log: %s", strerror(-r)) : 0;
}

/* Segments that retention had no time to remove. */
static int sweep(struct store *s)
{
	_cleanup_free_ uint64_t *firsts = NULL;
	size_t count = 0;
	int r = segment_list(s->dir_fd, &firsts, &count);

	for (size_t i = 0; r == 0 && i < count && firsts[i] < s->head.first.sequence; i++) {
		char name[SEGMENT_NAME_MAX];

		segment_name(firsts[i], name);
		if (unlinkat(s->dir_fd, name, 0) < 0)
			r = -errno;
	}
	return r;
}

static int resume(struct store *s, const char *text, size_t len, struct err *err)
{
	char mended[MENDED_MAX] = "";
	int r = audit_head_decode(text, len, s->key, &s->head);

	if (r < 0 || strcmp(s->head.log, s->origin.sandbox) != 0)
		return changed(err, SEGMENT_HEAD,
			r == -EKEYREJECTED ? "not signed by this host's key"
					   : "not this log's head");
	r = take_sealed(s, err);
	if (r == 0)
		r = take_active(s, mended, err);
	if (r < 0)
		return r;
	r = sweep(s);
	if (r == 0 && mended[0])
		r = append_note(s, mended);
	if (r == 0)
		r = store_sync(s);
	return r < 0 ? err_set(err, r, "the audit log: %s", store_error_words(-r)) : 0;
}

int store_open(int dir_fd, const struct audit_key *key, const struct audit_origin *origin,
	const struct store_limits *limits, struct store **ret, struct err *err)
{
	_cleanup_(cleanup_store_) struct store *s = calloc(1, sizeof(*s));
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	int r;

	if (!s)
		return err_set(err, -ENOMEM, "the audit log: no memory");
	s->dir_fd = dir_fd;
	s->key = key;
	s->origin = *origin;
	s->limits = *limits;
	snprintf(s->head.log, sizeof(s->head.log), "%s", origin->sandbox);
	r = open_active(s);
	if (r < 0)
		return err_set(err, r, "the audit log's file %s: %s", SEGMENT_ACTIVE, strerror(-r));
	r = segment_read(dir_fd, SEGMENT_HEAD, &text, &len);
	if (r == -ENOENT)
		r = begin(s, err);
	else if (r < 0)
		r = err_set(err, r, "the audit log's head: %s", strerror(-r));
	else
		r = resume(s, text, len, err);
	if (r == 0)
		*ret = TAKE_PTR(s);
	return r;
}

void store_destroy(struct store *store)
{
	if (!store)
		return;
	if (store->fd >= 0)
		close(store->fd);
	free(store);
}
