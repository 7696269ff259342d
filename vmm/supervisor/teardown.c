/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ending a sandbox from outside of it.
 *
 * Theory of operation. The orderly way is to ask the supervisor; all else is for the case that it is gone, stopped or hung.
 * What may be signalled then: a process group number stays taken as long as the group has a member, so if one process that
 * the record knows by pid and start time (of this boot) is alive in the group, the group is the record's and so is every
 * member. If none is, the group may be anybody's, and nothing is signalled (H2). The lock tells, at the end, that all are
 * gone: every process of a sandbox holds it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/loop.h"
#include "vmm/supervisor/cgroup.h"
#include "vmm/supervisor/control.h"
#include "vmm/supervisor/ports.h"
#include "vmm/supervisor/start.h"

#define TERM_WAIT_MS 5000
#define KILL_WAIT_MS 10000
#define LOCK_WAIT_MS 5000
#define ANSWER_SLACK_MS                                                                            \
	25000 /* what the supervisor may need beyond the grace: TERM, KILL, verify */
#define CONNECT_TRIES_MS 3000 /* a supervisor that is being born or is dying */
#define STOPPED_POLL_MS	 200
#define POLL_MS		 20

static void sleep_poll(void)
{
	struct timespec t = { .tv_nsec = POLL_MS * 1000000 };

	nanosleep(&t, NULL);
}

/* Whether the record's group is provably the record's. */
static bool group_is_ours(const struct record *record)
{
	const struct process_id *known[] = { &record->supervisor, &record->vmm, &record->link };

	if (record->pgid <= 1 || !record_is_of_this_boot(record))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		struct process_stat stat;

		if (known[i]->pid && process_stat_of(known[i]->pid, &stat) == 0 &&
			stat.id.start_ticks == known[i]->start_ticks && stat.group == record->pgid)
			return true;
	}
	return false;
}

/*
 * Living members that are provably ours: of the process group, and of the control group, whose name holds the instance's
 * digits (a restart of the host empties that tree: it is ours or not there).
 */
static int find_members(const struct record *record, struct process_stat *ret, size_t max)
{
	int count = group_is_ours(record) ? process_group_members(record->pgid, ret, max) : 0;

	return cgroup_add_members(record->cgroup, ret, count, max);
}

static int signal_members(const struct record *record, int signal)
{
	struct process_stat members[PROCESS_GROUP_MAX];
	int count = find_members(record, members, ARRAY_SIZE(members));

	for (int i = 0; i < count; i++)
		process_id_signal(&members[i].id, signal);
	return count;
}

static bool wait_members_gone(const struct record *record, uint64_t timeout_ms)
{
	struct process_stat members[PROCESS_GROUP_MAX];
	uint64_t end = clock_monotonic_ms() + timeout_ms;

	while (find_members(record, members, ARRAY_SIZE(members)) > 0) {
		if (clock_monotonic_ms() >= end)
			return false;
		sleep_poll();
	}
	return true;
}

static void append(char *text, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void append(char *text, size_t size, const char *format, ...)
{
	size_t used = strlen(text);
	va_list args;

	va_start(args, format);
	vsnprintf(text + used, size - used, format, args);
	va_end(args);
}

/* H1: what the kernel does not let go is reported by name. */
static int report_survivors(const struct record *record, struct err *err)
{
	struct process_stat members[PROCESS_GROUP_MAX];
	int count = find_members(record, members, ARRAY_SIZE(members));
	char list[256] = "";

	for (int i = 0; i < count; i++)
		append(list, sizeof(list), "%s%d %s%s", i ? ", " : "", (int)members[i].id.pid,
			members[i].command,
			process_hangs(members[i].id.pid) ? " (in uninterruptible sleep)" : "");
	err_set(err, -EDEADLK, "sandbox %s: these processes survived KILL: %s", record->spec.name,
		count ? list : "one that holds its lock and is not of its group");
	err_next_step(err,
		"look at them with `ps -o pid,stat,wchan:30,cmd -g %d`; a restart of the host ends them",
		(int)record->pgid);
	return -EDEADLK;
}

/* An answer within timeout_ms; -ETIME also as soon as the supervisor is seen stopped. */
static int await_answer(int fd, const struct record *record, uint64_t timeout_ms, struct err *err)
{
	uint64_t end = clock_monotonic_ms() + timeout_ms;
	struct pollfd p = { .fd = fd, .events = POLLIN };

	while (clock_monotonic_ms() < end) {
		if (poll(&p, 1, STOPPED_POLL_MS) > 0)
			return 0;
		if (process_id_stopped(&record->supervisor))
			return err_set(err, -ETIME,
				"sandbox %s: its supervisor is stopped (SIGSTOP)",
				record->spec.name);
	}
	return err_set(
		err, -ETIME, "sandbox %s: its supervisor does not answer", record->spec.name);
}

/* Asks the supervisor; 0 when it says that all is gone. */
static int ask(const struct paths *paths, const struct record *record, uint64_t grace_ms,
	const char *reason, struct err *err)
{
	_cleanup_json_ json_t *request = json_pack("{s:s, s:I, s:s}", "op", "stop", "grace_ms",
		(json_int_t)grace_ms, "reason", reason);
	_cleanup_json_ json_t *answer = NULL;
	_cleanup_close_ int fd = -1;
	int r;

	if (!request)
		return err_set(err, -EINVAL, "stop: the reason is not text");
	r = control_connect(paths, record->spec.name, &fd, err);
	if (r == 0)
		r = control_send(fd, request, err);
	if (r == 0)
		r = await_answer(fd, record, grace_ms + ANSWER_SLACK_MS, err);
	if (r == 0)
		r = control_receive(fd, ANSWER_SLACK_MS, &answer, NULL, err);
	if (r == 0 && !json_is_true(json_object_get(answer, "ok")))
		return control_error_from_json(answer, err);
	/* It ended while it was asked: what is left is looked at by the caller. */
	return r == -EPIPE ? 0 : r;
}

/* TERM for those that can act on it, then KILL. */
static void end_by_force(const struct record *record)
{
	if (!process_id_stopped(&record->supervisor)) {
		signal_members(record, SIGTERM);
		if (wait_members_gone(record, TERM_WAIT_MS))
			return;
	}
	cgroup_kill(record->cgroup);
	signal_members(record, SIGKILL);
	wait_members_gone(record, KILL_WAIT_MS);
}

/* What is of it outside of its record. -EDEADLK: its control group is not empty, though no member can be named. */
static int remove_rest(const struct paths *paths, const struct record *record, struct err *err)
{
	char path[PATH_MAX];
	int r = paths_of_runtime(paths, record->spec.name, NULL, path, err);

	if (r == 0)
		r = registry_remove_folder(path, err);
	if (r == 0)
		r = registry_remove_exposed(record->instance);
	if (r < 0)
		return r;
	r = cgroup_remove(record->cgroup);
	if (r == -EBUSY) /* of the lock that would mean something else */
		return err_set(err, -EDEADLK, "sandbox %s: something lives in its cgroup %s",
			record->spec.name, record->cgroup);
	return r < 0 ? err_set(err, r, "cgroup %s: %s", record->cgroup, strerror(-r)) : 0;
}

/* The caller holds the lock and nothing lives: all is removed, and the record says so from then on. */
static int clean_up(
	const struct paths *paths, struct record *record, const char *reason, struct err *err)
{
	enum lifecycle_state next;
	int r = remove_rest(paths, record, err);

	if (r < 0 || (!lifecycle_is_live(record->state) && record->state != LIFECYCLE_QUARANTINED))
		return r;
	r = lifecycle_next(record->state, LIFECYCLE_CLEANED, true, &next);
	if (r < 0)
		return err_set(err, r, "sandbox %s: no way out of state %s", record->spec.name,
			lifecycle_name(record->state));
	record->state = next;
	snprintf(record->reason, sizeof(record->reason), "%s", reason);
	record->ended_at = (uint64_t)time(NULL);
	return registry_save(paths, record, err);
}

/* Whoever holds the lock has ended, or ends within wait_ms; then clean_up(). */
static int settle(const struct paths *paths, struct record *record, const char *reason,
	uint64_t wait_ms, int *ret_lock, struct err *err)
{
	_cleanup_close_ int lock = -1;
	struct record fresh;
	int r = registry_lock(paths, record->spec.name, wait_ms, &lock, err);

	if (r < 0)
		return r;
	if (registry_load(paths, record->spec.name, &fresh, NULL) == 0) {
		record_finish(record);
		*record = fresh;
	}
	if (find_members(record, (struct process_stat[1]){}, 1) > 0) {
		end_by_force(record);
		if (find_members(record, (struct process_stat[1]){}, 1) > 0)
			return report_survivors(record, err);
	}
	r = clean_up(paths, record, reason, err);
	if (r == 0 && ret_lock)
		*ret_lock = TAKE_FD(lock);
	return r;
}

/* A supervisor may be just starting (no socket yet) or just ending: give it a moment before force. */
static int ask_patiently(
	const struct paths *paths, struct record *record, uint64_t grace_ms, const char *reason)
{
	uint64_t end = clock_monotonic_ms() + CONNECT_TRIES_MS;

	for (;;) {
		struct record fresh;
		int r = ask(paths, record, grace_ms, reason, NULL);

		if ((r != -ENOENT && r != -ECONNREFUSED) || clock_monotonic_ms() >= end ||
			registry_is_locked(paths, record->spec.name) != 1)
			return r;
		sleep_poll();
		if (registry_load(paths, record->spec.name, &fresh, NULL) == 0) {
			record_finish(record);
			*record = fresh;
		}
		if (record->supervisor.pid && lifecycle_is_live(record->state) &&
			!process_id_alive(&record->supervisor))
			return -ESRCH;
	}
}

static int stop_living(const struct paths *paths, struct record *record, uint64_t grace_ms,
	const char *reason, int *ret_lock, struct err *err)
{
	int r = ask_patiently(paths, record, grace_ms, reason);
	const char *note = "its supervisor ended without a word";

	if (r < 0) {
		if (process_id_alive(&record->supervisor))
			note = "its supervisor did not answer and was killed";
		end_by_force(record);
	}
	r = settle(paths, record, note, LOCK_WAIT_MS, ret_lock, err);
	if (r == -EBUSY)
		return report_survivors(record, err);
	return r == 0 ? ports_check_bindable(paths, &record->spec, err) : r;
}

static int stop_and_lock(const struct paths *paths, const char *name, uint64_t grace_ms,
	const char *reason, int *ret_lock, struct err *err)
{
	struct record record;
	int r = registry_load(paths, name, &record, err);

	if (r < 0)
		return r;
	r = settle(paths, &record, "its supervisor ended without a word", 0, ret_lock, err);
	if (r == -EBUSY)
		r = stop_living(paths, &record, grace_ms, reason, ret_lock, err);
	record_finish(&record);
	return r;
}

int sandbox_stop(const struct paths *paths, const char *name, uint64_t grace_ms, const char *reason,
	struct err *err)
{
	return stop_and_lock(paths, name, grace_ms, reason, NULL, err);
}

int sandbox_remove(const struct paths *paths, const char *name, uint64_t grace_ms, struct err *err)
{
	_cleanup_close_ int lock = -1;
	int r = stop_and_lock(paths, name, grace_ms, "removed", &lock, err);

	/* A record that cannot be read must not keep its name for ever: whatever lives holds the lock. */
	if (r == -EINVAL || (r == -ENOENT && registry_is_locked(paths, name) >= 0))
		r = registry_lock(paths, name, 0, &lock, err);
	return r < 0 ? r : registry_remove(paths, name, err);
}

int sandbox_clean_stale(const struct paths *paths, const char *name, struct err *err)
{
	struct record record;
	int r = registry_load(paths, name, &record, err);
	bool was_live;

	if (r < 0)
		return r;
	was_live = lifecycle_is_live(record.state);
	r = was_live ? settle(paths, &record, "its supervisor ended without a word", 0, NULL, err)
		     : 0;
	record_finish(&record);
	return r == -EBUSY ? 0 : r < 0 ? r : was_live;
}
