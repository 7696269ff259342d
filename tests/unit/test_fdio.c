/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/capped_log.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/event.h"
#include "vmm/base/fdio.h"
#include "vmm/base/loop.h"

static void test_files_are_read_whole_or_not_at_all(void **state)
{
	char folder[] = "/tmp/fdio-XXXXXX";
	_cleanup_free_ char *text = NULL, *none = NULL;
	struct stat st;
	size_t len = 0;

	(void)state;
	assert_non_null(mkdtemp(folder));
	_cleanup_close_ int dir = open(folder, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	assert_int_equal(fdio_write_file_atomic(dir, "record", "0123456789", 10, 0600), 0);
	assert_int_equal(fdio_write_file_atomic(dir, "record", "abc", 3, 0600), 0);
	assert_int_equal(fdio_read_file(dir, "record", 3, &text, &len), 0);
	assert_string_equal(text, "abc");
	assert_int_equal(len, 3);
	assert_int_equal(fdio_read_file(dir, "record", 2, &none, NULL), -EFBIG);
	assert_null(none);
	assert_int_equal(fdio_read_file(dir, "absent", 2, &none, NULL), -ENOENT);
	assert_int_equal(fstatat(dir, "record", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	unlinkat(dir, "record", 0);
	assert_int_equal(rmdir(folder), 0); /* no temporary file was left */
}

static void test_fds_travel_and_none_too_many(void **state)
{
	int pair[2], got[2] = { -1, -1 };
	const int three[3] = { 0, 1, 2 };
	size_t count = 9;
	char data[8];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(fdio_send_fds(pair[0], "hello", 5, three, 2), 5);
	assert_int_equal(fdio_recv_fds(pair[1], data, sizeof(data), got, 2, &count), 5);
	assert_int_equal(count, 2);
	assert_true(fcntl(got[0], F_GETFD) & FD_CLOEXEC);
	close(got[0]);
	close(got[1]);
	assert_int_equal(fdio_send_fds(pair[0], "x", 1, three, 3), 1);
	assert_int_equal(fdio_recv_fds(pair[1], data, sizeof(data), got, 2, &count), -EMSGSIZE);
	assert_int_equal(count, 0);
	assert_int_equal(fdio_send_fds(pair[0], "longer than eight", 17, NULL, 0), 17);
	assert_int_equal(fdio_recv_fds(pair[1], data, sizeof(data), got, 2, &count), -EMSGSIZE);
	close(pair[0]);
	assert_int_equal(fdio_recv_fds(pair[1], data, sizeof(data), got, 2, &count), 0);
	close(pair[1]);
}

/* V10: a log that is written for ever stays below its cap and keeps the newest lines. */
static void test_capped_log(void **state)
{
	char path[] = "/tmp/capped-XXXXXX", line[64], tail[64] = "";
	_cleanup_close_ int fd = mkstemp(path);
	struct capped_log log;
	struct stat st;

	(void)state;
	unlink(path);
	assert_int_equal(capped_log_init(&log, fd, 100), -EINVAL);
	assert_int_equal(capped_log_init(&log, fd, CAPPED_LOG_MIN), 0);
	for (int i = 0; i < 5000; i++) {
		int n = snprintf(line, sizeof(line), "line %d\n", i);

		capped_log_write(&log, line, (size_t)n);
		assert_int_equal(fstat(fd, &st), 0);
		assert_true(st.st_size <= CAPPED_LOG_MIN);
	}
	assert_int_equal(pread(fd, tail, 10, st.st_size - 10), 10);
	assert_string_equal(tail, "line 4999\n");
	assert_int_equal(pread(fd, tail, 5, 0), 5);
	assert_memory_equal(tail, "[... ", 5);
	assert_int_equal(log.errors, 0);
}

static void test_events_round_trip_and_reject(void **state)
{
	struct event event = {
		.kind = EVENT_VMM_ENDED, .sequence = 7, .time_ns = 9, .value = { 1, 2, 3, 4, 5, 6 }
	};
	uint8_t wire[EVENT_SIZE];
	struct event back = {};

	(void)state;
	event_encode(&event, wire);
	assert_memory_equal(wire, "\x03\x00\x00\x00\x07\x00\x00\x00\x09", 9);
	assert_int_equal(event_decode(wire, sizeof(wire), &back), 0);
	assert_int_equal(back.kind, EVENT_VMM_ENDED);
	assert_int_equal(back.sequence, 7);
	assert_int_equal(back.value[5], 6);
	assert_int_equal(event_decode(wire, sizeof(wire) - 1, &back), -EPROTO);
	wire[2] = 1;
	assert_int_equal(event_decode(wire, sizeof(wire), &back), -EPROTO);
}

static void test_a_machines_end_is_in_the_exit_code(void **state)
{
	(void)state;
	for (int end = MACHINE_END_POWEROFF; end <= MACHINE_END_DEVICE; end++) {
		int code = machine_end_exit_code((enum machine_end)end);

		assert_true(code > 4 && code < 126); /* no other failure's, no shell's */
		assert_int_equal(machine_end_of_exit(code), end);
	}
	for (int code = -1; code <= MACHINE_END_EXIT_BASE; code++)
		assert_int_equal(machine_end_of_exit(code), MACHINE_END_NONE);
	assert_int_equal(machine_end_of_exit(machine_end_exit_code(MACHINE_END_DEVICE) + 1),
		MACHINE_END_NONE);
}

struct counted {
	struct loop *loop;
	struct loop_source *mine, *other;
	int calls, timer_calls;
};

static void remove_both(void *data, uint32_t events)
{
	struct counted *c = data;

	assert_true(events & EPOLLIN);
	c->calls++;
	loop_remove(c->mine);
	loop_remove(c->other); /* its event may lie in the same batch */
}

static void stop_at_timer(void *data)
{
	struct counted *c = data;

	c->timer_calls++;
	loop_stop(c->loop, 5);
}

struct soon {
	struct loop_source *source, *other;
	unsigned int calls;
	bool again, removes;
	int fd;
};

static void on_soon(void *data, uint32_t events)
{
	struct soon *s = data;

	assert_int_equal(events, 0);
	s->calls++;
	if (s->again)
		loop_call_soon(s->source);
	if (s->removes)
		loop_remove(s->other);
}

static void test_loop_calls_soon(void **state)
{
	struct soon s[3] = { { .again = true }, { .removes = true }, {} };
	struct loop *loop;
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(loop_create(&loop), 0);
	for (int i = 0; i < 3; i++) {
		s[i].fd = dup(pair[0]);

		assert_int_equal(loop_add_fd(loop, s[i].fd, 0, on_soon, &s[i], &s[i].source), 0);
		loop_call_soon(s[i].source);
		loop_call_soon(s[i].source);
	}
	s[1].other = s[2].source;
	/* Whoever asks again has another turn, in a round that waits for nothing; who was removed has none. */
	assert_int_equal(loop_run_once(loop, -1), 2);
	assert_int_equal(loop_run_once(loop, -1), 1);
	assert_int_equal(s[0].calls, 2);
	assert_int_equal(s[1].calls, 1);
	assert_int_equal(s[2].calls, 0);
	s[0].again = s[1].removes = false;
	assert_int_equal(loop_run_once(loop, -1), 1);
	assert_int_equal(loop_run_once(loop, 0), 0);
	/* One that goes while nothing is dispatched, too. */
	loop_call_soon(s[0].source);
	loop_call_soon(s[1].source);
	loop_remove(s[0].source);
	assert_int_equal(loop_run_once(loop, -1), 1);
	assert_int_equal(s[0].calls, 3);
	loop_destroy(loop);
	for (int i = 0; i < 3; i++)
		close(s[i].fd);
	close(pair[0]);
	close(pair[1]);
}

static void test_loop_looks_anew_when_it_must(void **state)
{
	(void)state;
	/* More is wanted, or another way of telling it. */
	assert_true(loop_must_look_anew(EPOLLIN, EPOLLIN | EPOLLOUT, 0, false));
	assert_true(loop_must_look_anew(EPOLLIN, EPOLLIN | EPOLLET, 0, false));
	assert_true(loop_must_look_anew(EPOLLIN | EPOLLET, EPOLLIN, 0, false));
	/* What is not wanted any more is told again and again. */
	assert_true(loop_must_look_anew(EPOLLIN | EPOLLOUT, EPOLLIN, EPOLLOUT, false));
	assert_true(loop_must_look_anew(EPOLLIN, 0, EPOLLIN, true));
	/* It is not: all that came was read, or nothing was told. */
	assert_false(loop_must_look_anew(EPOLLIN, 0, EPOLLIN, false));
	assert_false(loop_must_look_anew(EPOLLIN | EPOLLOUT, EPOLLIN, EPOLLIN, false));
	assert_false(loop_must_look_anew(EPOLLIN, EPOLLIN, EPOLLIN, true));
}

static void test_loop_sources_may_go_during_dispatch(void **state)
{
	struct loop_source *timer = NULL;
	struct counted c = {};
	int a[2], b[2];

	(void)state;
	assert_int_equal(pipe(a) | pipe(b), 0);
	assert_int_equal(loop_create(&c.loop), 0);
	assert_int_equal(loop_add_fd(c.loop, a[0], EPOLLIN, remove_both, &c, &c.mine), 0);
	assert_int_equal(loop_add_fd(c.loop, b[0], EPOLLIN, remove_both, &c, &c.other), 0);
	assert_int_equal(write(a[1], "x", 1) + write(b[1], "x", 1), 2);
	assert_int_equal(loop_run_once(c.loop, 1000), 2);
	assert_int_equal(c.calls, 1);
	assert_int_equal(loop_run_once(c.loop, 0), 0);
	assert_int_equal(loop_add_timer(c.loop, stop_at_timer, &c, &timer), 0);
	assert_int_equal(loop_timer_set(timer, 1), 0);
	assert_int_equal(loop_run(c.loop), 5);
	assert_int_equal(c.timer_calls, 1);
	loop_destroy(c.loop);
	close(a[0]);
	close(a[1]);
	close(b[0]);
	close(b[1]);
}

static void test_links_are_replaced_whole(void **state)
{
	char folder[] = "/tmp/test_fdio_XXXXXX", path[64], text[16] = "";

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/link", folder);
	assert_int_equal(fdio_symlink_atomic("one", path), 0);
	assert_int_equal(fdio_symlink_atomic("other", path), 0);
	assert_int_equal(readlink(path, text, sizeof(text)), 5);
	assert_memory_equal(text, "other", 5);
	assert_int_equal(fdio_symlink_atomic("one", "/proc/none/link"), -ENOENT);
	assert_int_equal(
		fdio_symlink_atomic("one", folder), -EISDIR); /* and nothing is left beside it */
	unlink(path);
	assert_int_equal(rmdir(folder), 0);
	snprintf(path, sizeof(path), "%s.%d", folder, (int)getpid());
	assert_int_equal(unlink(path), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files_are_read_whole_or_not_at_all),
		cmocka_unit_test(test_fds_travel_and_none_too_many),
		cmocka_unit_test(test_capped_log),
		cmocka_unit_test(test_events_round_trip_and_reject),
		cmocka_unit_test(test_a_machines_end_is_in_the_exit_code),
		cmocka_unit_test(test_links_are_replaced_whole),
		cmocka_unit_test(test_loop_calls_soon),
		cmocka_unit_test(test_loop_looks_anew_when_it_must),
		cmocka_unit_test(test_loop_sources_may_go_during_dispatch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
