/* SPDX-License-Identifier: Apache-2.0 */
/* COPY_OUT into COPY_IN: a tree comes back as it was; what H14 forbids is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/agent_worker.h"
#include "vmm/base/fdio.h"

static char base[] = "/tmp/test_agent_copy.XXXXXX";

static const char *at(const char *name)
{
	static char path[4][256];
	static int turn;
	char *out = path[turn++ % 4];

	snprintf(out, sizeof(path[0]), "%s/%s", base, name);
	return out;
}

static void make_file(const char *name, const void *content, size_t len, mode_t mode)
{
	int fd = open(at(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fdio_write_full(fd, content, len), 0);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void start(
	struct agent_worker *worker, enum protocol_type type, const char *path, uint32_t flags)
{
	struct protocol_copy request = { .flags = flags, .path = path, .user = "" };

	agent_worker_start(worker);
	agent_worker_request(worker, type, &request);
}

static void wait_started(struct agent_worker *worker)
{
	uint8_t payload[PROTOCOL_PAYLOAD_MAX];
	struct protocol_head head;

	assert_true(agent_worker_next(worker, &head, payload));
	assert_int_equal(head.type, STREAM_STARTED);
}

static void send_entry(
	struct agent_worker *worker, uint8_t kind, const char *name, uint32_t mode, uint64_t size)
{
	struct stream_copy_entry entry = { .kind = kind, .mode = mode, .size = size };
	uint8_t frame[STREAM_FIXED_MAX];
	size_t len;

	snprintf(entry.name, sizeof(entry.name), "%s", name);
	len = stream_copy_entry_frame(&entry, frame);
	assert_true(len);
	(void)fdio_write_full(worker->sock, frame, len); /* it may have given up already */
}

/* Each frame of one worker goes to the other, as the link passes them on. */
static void relay(struct agent_worker *from, struct agent_worker *to, uint32_t *ret_left_out)
{
	static uint8_t payload[PROTOCOL_PAYLOAD_MAX];
	struct protocol_head head;
	struct stream_exit gone;

	for (;;) {
		assert_true(agent_worker_next(from, &head, payload));
		if (head.type == STREAM_EXIT)
			break;
		assert_true(head.type == STREAM_COPY_ENTRY || head.type == STREAM_COPY_DATA);
		agent_worker_send(to, head.type, payload, head.len);
	}
	assert_true(stream_exit_decode(payload, head.len, &gone));
	*ret_left_out = gone.value;
}

static void make_tree(void)
{
	static uint8_t big[200000];
	struct timespec times[2] = { { .tv_sec = 7 }, { .tv_sec = 1234567, .tv_nsec = 89 } };

	memset(big, 'b', sizeof(big));
	assert_int_equal(mkdir(at("from"), 0755), 0);
	assert_int_equal(mkdir(at("from/deep"), 0750), 0);
	make_file("from/big", big, sizeof(big), 0644);
	make_file("from/deep/run", "#!/bin/sh\n", 10, 0755);
	make_file("from/deep/empty", "", 0, 0600);
	assert_int_equal(symlink("../big", at("from/deep/link")), 0);
	assert_int_equal(symlink("/etc", at("from/away")), 0);
	assert_int_equal(mkfifo(at("from/pipe"), 0600), 0);
	assert_int_equal(utimensat(AT_FDCWD, at("from/big"), times, 0), 0);
}

static void test_round_trip(void **state)
{
	struct agent_worker out, in;
	struct agent_output output;
	uint32_t left_out = 0;
	char target[64] = "";
	struct stat st;

	(void)state;
	make_tree();
	start(&out, PROTOCOL_COPY_OUT, at("from"), 0);
	start(&in, PROTOCOL_COPY_IN, at("to"), 0);
	wait_started(&out);
	wait_started(&in);
	relay(&out, &in, &left_out);
	close(out.sock);
	agent_worker_finish(&in, &output);
	free(output.out);
	assert_int_equal(output.exit.kind, STREAM_EXITED);
	assert_int_equal(left_out, 1); /* the FIFO */
	assert_int_equal(stat(at("to/big"), &st), 0);
	assert_int_equal(st.st_size, 200000);
	assert_int_equal(st.st_mtim.tv_sec, 1234567);
	assert_int_equal(st.st_mtim.tv_nsec, 89);
	assert_int_equal(stat(at("to/deep/run"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(stat(at("to/deep"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0750);
	assert_true(readlink(at("to/deep/link"), target, sizeof(target) - 1) > 0);
	assert_string_equal(target, "../big");
	assert_int_equal(lstat(at("to/away"), &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(lstat(at("to/pipe"), &st), -1);
}

static void expect_error(struct agent_worker *worker, uint32_t code, uint32_t stage)
{
	struct agent_output output;

	agent_worker_finish(worker, &output);
	free(output.out);
	assert_int_equal(output.error.code, code);
	assert_int_equal(output.error.stage, stage);
}

/* A link sent first must not lead what comes after it out of the target. */
static void test_link_then_child(void **state)
{
	struct agent_worker worker;

	(void)state;
	assert_int_equal(mkdir(at("outside"), 0755), 0);
	assert_int_equal(mkdir(at("inside"), 0755), 0);
	start(&worker, PROTOCOL_COPY_IN, at("inside"), PROTOCOL_COPY_FOLDER);
	wait_started(&worker);
	send_entry(&worker, STREAM_COPY_SYMLINK, "l", 0777, 10);
	agent_worker_send(&worker, STREAM_COPY_DATA, "../outside", 10);
	send_entry(&worker, STREAM_COPY_DIR, "l", 0755, 0);
	send_entry(&worker, STREAM_COPY_FILE, "owned", 0644, 0);
	expect_error(&worker, ENOTDIR, PROTOCOL_STAGE_COPY_WRITE);
	assert_int_equal(access(at("outside/owned"), F_OK), -1);
}

/* A file is made anew: neither what a link of its name leads to, nor another name's contents, are written. */
static void test_replaces(void **state)
{
	struct agent_worker worker;
	struct agent_output output;
	struct stat st;

	(void)state;
	make_file("victim", "victim", 6, 0644);
	assert_int_equal(symlink("../victim", at("inside/soft")), 0);
	assert_int_equal(link(at("victim"), at("inside/hard")), 0);
	start(&worker, PROTOCOL_COPY_IN, at("inside"), 0);
	wait_started(&worker);
	send_entry(&worker, STREAM_COPY_FILE, "soft", 0644, 1);
	agent_worker_send(&worker, STREAM_COPY_DATA, "x", 1);
	send_entry(&worker, STREAM_COPY_FILE, "hard", 0644, 1);
	agent_worker_send(&worker, STREAM_COPY_DATA, "x", 1);
	send_entry(&worker, STREAM_COPY_END, "", 0, 0);
	agent_worker_finish(&worker, &output);
	free(output.out);
	assert_int_equal(output.exit.kind, STREAM_EXITED);
	assert_int_equal(stat(at("victim"), &st), 0);
	assert_int_equal(st.st_size, 6);
	assert_int_equal(lstat(at("inside/soft"), &st), 0);
	assert_true(S_ISREG(st.st_mode));
}

static void test_names_and_order(void **state)
{
	static uint8_t raw[STREAM_COPY_ENTRY_SIZE] = { STREAM_COPY_FILE };
	struct agent_worker worker;

	(void)state;
	memcpy(raw + 64, "../evil", 7);
	start(&worker, PROTOCOL_COPY_IN, at("inside"), 0);
	wait_started(&worker);
	agent_worker_send(&worker, STREAM_COPY_ENTRY, raw, sizeof(raw));
	expect_error(&worker, EPROTO, PROTOCOL_STAGE_COPY_ORDER);
	assert_int_equal(access(at("evil"), F_OK), -1);
	start(&worker, PROTOCOL_COPY_IN, at("inside"), 0);
	wait_started(&worker);
	send_entry(&worker, STREAM_COPY_UP, "", 0, 0);
	expect_error(&worker, EPROTO, PROTOCOL_STAGE_COPY_ORDER);
	/* One name was asked for, two came. */
	start(&worker, PROTOCOL_COPY_IN, at("single"), 0);
	wait_started(&worker);
	send_entry(&worker, STREAM_COPY_FILE, "a", 0644, 0);
	send_entry(&worker, STREAM_COPY_FILE, "b", 0644, 0);
	expect_error(&worker, EPROTO, PROTOCOL_STAGE_COPY_ORDER);
	assert_int_equal(access(at("single"), F_OK), 0);
}

static void test_paths(void **state)
{
	struct agent_worker worker;

	(void)state;
	start(&worker, PROTOCOL_COPY_OUT, at("nothing"), 0);
	expect_error(&worker, ENOENT, PROTOCOL_STAGE_COPY_PATH);
	start(&worker, PROTOCOL_COPY_OUT, at("from/pipe"), 0);
	wait_started(&worker);
	expect_error(&worker, EPERM, PROTOCOL_STAGE_COPY_READ);
	start(&worker, PROTOCOL_COPY_IN, at("no/parent"), 0);
	expect_error(&worker, ENOENT, PROTOCOL_STAGE_COPY_PATH);
	start(&worker, PROTOCOL_COPY_IN, at("new"), PROTOCOL_COPY_FOLDER);
	expect_error(&worker, ENOENT, PROTOCOL_STAGE_COPY_PATH);
}

static int set_up(void **state)
{
	(void)state;
	umask(022);
	return mkdtemp(base) ? 0 : -1;
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", base);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_link_then_child),
		cmocka_unit_test(test_replaces),
		cmocka_unit_test(test_names_and_order),
		cmocka_unit_test(test_paths),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
