/* SPDX-License-Identifier: Apache-2.0 */
/* EXEC and FORWARD, the guest's own code over socketpairs: it is ordinary Linux code. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/agent_worker.h"
#include "vmm/base/fdio.h"

#define SHELL(script)                                                                              \
	(const char *const[])                                                                      \
	{                                                                                          \
		"/bin/sh", "-c", script, NULL                                                      \
	}

static void run(const char *const *argv, uint32_t flags, struct agent_output *output)
{
	struct agent_worker worker;

	agent_worker_exec(&worker, argv, flags);
	agent_worker_finish(&worker, output);
}

static void test_exit_codes(void **state)
{
	static const struct {
		const char *script;
		uint32_t kind, value;
	} cases[] = {
		{ "exit 0", STREAM_EXITED, 0 },
		{ "exit 255", STREAM_EXITED, 255 },
		{ "kill -9 $$", STREAM_SIGNALLED, 9 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct agent_output output;

		run(SHELL(cases[i].script), 0, &output);
		assert_int_equal(output.exit.kind, cases[i].kind);
		assert_int_equal(output.exit.value, cases[i].value);
		assert_true(output.pid > 0);
		free(output.out);
	}
}

static void test_failures(void **state)
{
	struct agent_output output;

	(void)state;
	run((const char *const[]){ "no-such-program-here", NULL }, 0, &output);
	assert_int_equal(output.exit.kind, STREAM_FAILED);
	assert_int_equal(output.exit.value, 127);
	assert_int_equal(output.pid, 0); /* it was never STARTED */
	free(output.out);
	run((const char *const[]){ "/", NULL }, 0, &output);
	assert_int_equal(output.exit.kind, STREAM_FAILED);
	assert_int_equal(output.exit.value, 126);
	free(output.out);
}

static void test_requests_refused(void **state)
{
	static struct protocol_exec request;
	struct agent_worker worker;
	struct agent_output output;

	(void)state;
	request = (struct protocol_exec){
		.user = "no-such-user", .folder = "", .argc = 1, .argv = { "id" }
	};
	agent_worker_start(&worker);
	agent_worker_request(&worker, PROTOCOL_EXEC, &request);
	agent_worker_finish(&worker, &output);
	assert_int_equal(output.error.code, ENOENT);
	assert_int_equal(output.error.stage, PROTOCOL_STAGE_USER);
	free(output.out);
	request.user = "";
	request.folder = "/no/such/folder";
	agent_worker_start(&worker);
	agent_worker_request(&worker, PROTOCOL_EXEC, &request);
	agent_worker_finish(&worker, &output);
	assert_int_equal(output.error.stage, PROTOCOL_STAGE_FOLDER);
	free(output.out);
	agent_worker_start(&worker);
	agent_worker_send(&worker, PROTOCOL_EXEC, "junk", 4);
	agent_worker_finish(&worker, &output);
	assert_int_equal(output.error.code, EPROTO);
	assert_int_equal(output.error.stage, PROTOCOL_STAGE_REQUEST);
	free(output.out);
}

static void test_streams_apart(void **state)
{
	struct agent_output output;

	(void)state;
	run(SHELL("echo out; echo error >&2"), 0, &output);
	assert_string_equal((char *)output.out, "out\n");
	assert_int_equal(output.err_len, 6);
	free(output.out);
}

/* cat, fed by a process of our own: every byte value, far more than any buffer holds, both ways at once. */
static void test_bulk(void **state)
{
	enum { PART = 60000, PARTS = 100 };
	static uint8_t part[PART];
	struct agent_worker worker;
	struct agent_output output;
	pid_t feeder;

	(void)state;
	for (size_t i = 0; i < PART; i++)
		part[i] = (uint8_t)(i * 7 + i / 256);
	agent_worker_exec(&worker, (const char *const[]){ "cat", NULL }, 0);
	feeder = fork();
	assert_true(feeder >= 0);
	if (feeder == 0) {
		for (int i = 0; i < PARTS; i++)
			agent_worker_send(&worker, STREAM_STDIN, part, PART);
		agent_worker_send(&worker, STREAM_STDIN_EOF, "", 0);
		_exit(0);
	}
	agent_worker_finish(&worker, &output);
	assert_int_equal(output.out_len, (size_t)PART * PARTS);
	for (int i = 0; i < PARTS; i++)
		assert_memory_equal(output.out + (size_t)i * PART, part, PART);
	assert_int_equal(output.exit.kind, STREAM_EXITED);
	free(output.out);
}

/* What a process has given to write() so far. */
static uint64_t bytes_written(pid_t pid)
{
	unsigned long long bytes = 0;
	char path[64], line[128];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/io", pid);
	file = fopen(path, "r");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		(void)sscanf(line, "wchar: %llu", &bytes);
	fclose(file);
	return bytes;
}

/* A client that does not read: the writer must come to a halt, not fill memory. */
static void test_back_pressure(void **state)
{
	static uint8_t payload[PROTOCOL_PAYLOAD_MAX];
	uint64_t before = 0, now = 0;
	struct agent_worker worker;
	struct protocol_head head;
	int looks = 0;

	(void)state;
	agent_worker_exec(
		&worker, (const char *const[]){ "/bin/sh", "-c", "echo $$; exec yes", NULL }, 0);
	assert_true(agent_worker_next(&worker, &head, payload));
	assert_int_equal(head.type, STREAM_STARTED);
	/* Asleep in its write: it has written, and a while later no more than that. */
	do {
		struct timespec wait = { .tv_nsec = 300000000 };

		before = now;
		nanosleep(&wait, NULL);
		now = bytes_written((pid_t)load_le32(payload));
	} while ((now < 65536 || now != before) && ++looks < 100);
	assert_true(looks < 100);
	assert_true(now < 4 << 20);
	close(worker.sock);
}

static void test_fifty_at_once(void **state)
{
	enum { COUNT = 50 };
	static struct agent_worker worker[COUNT];
	char script[64], expected[16];

	(void)state;
	for (int i = 0; i < COUNT; i++) {
		snprintf(script, sizeof(script), "sleep 0.%d; echo %d", i % 5, i);
		agent_worker_exec(&worker[i], SHELL(script), 0);
	}
	for (int i = 0; i < COUNT; i++) {
		struct agent_output output;

		agent_worker_finish(&worker[i], &output);
		snprintf(expected, sizeof(expected), "%d\n", i);
		assert_string_equal((char *)output.out, expected);
		free(output.out);
	}
}

/* Waits until the output holds word; gives all that was seen until then. */
static const char *read_until(struct agent_worker *worker, const char *word)
{
	static uint8_t payload[PROTOCOL_PAYLOAD_MAX + 1];
	static char seen[8192];
	struct protocol_head head;
	size_t len = 0;

	seen[0] = '\0';
	while (!strstr(seen, word)) {
		assert_true(agent_worker_next(worker, &head, payload));
		assert_true(len + head.len < sizeof(seen));
		if (head.type != STREAM_STDOUT)
			continue;
		memcpy(seen + len, payload, head.len);
		len += head.len;
		seen[len] = '\0';
	}
	return seen;
}

static void test_terminal(void **state)
{
	static const uint8_t size[] = { 33, 0, 44, 0 };
	struct agent_worker worker;
	struct agent_output output;

	(void)state;
	agent_worker_exec(&worker,
		SHELL("stty size; echo ready; read x; stty size; echo $TERM; tty >/dev/null"),
		PROTOCOL_EXEC_TTY);
	/* One wait: both may come in one frame. */
	assert_non_null(strstr(read_until(&worker, "ready"), "50 132"));
	agent_worker_send(&worker, STREAM_RESIZE, size, sizeof(size));
	agent_worker_send(&worker, STREAM_STDIN, "x\n", 2);
	agent_worker_finish(&worker, &output);
	assert_non_null(strstr((char *)output.out, "33 44"));
	assert_non_null(strstr((char *)output.out, "xterm"));
	assert_int_equal(output.err_len, 0);
	assert_int_equal(output.exit.value, 0);
	free(output.out);
}

static void test_signals(void **state)
{
	static const uint8_t term[] = { SIGTERM, 0, 0, 0 };
	struct agent_worker worker;
	struct agent_output output;

	(void)state;
	agent_worker_exec(&worker, SHELL("echo ready; exec sleep 50"), 0);
	read_until(&worker, "ready");
	agent_worker_send(&worker, STREAM_SIGNAL, term, sizeof(term));
	agent_worker_finish(&worker, &output);
	assert_int_equal(output.exit.kind, STREAM_SIGNALLED);
	assert_int_equal(output.exit.value, SIGTERM);
	free(output.out);
	/* Ctrl-C reaches the foreground job, not the shell that runs it. */
	agent_worker_exec(&worker,
		SHELL("trap 'echo caught; exit 6' INT; echo ready; while :; do sleep 5; done"),
		PROTOCOL_EXEC_TTY);
	read_until(&worker, "ready");
	agent_worker_send(&worker, STREAM_STDIN, "\x03", 1);
	agent_worker_finish(&worker, &output);
	assert_non_null(strstr((char *)output.out, "caught"));
	assert_int_equal(output.exit.value, 6);
	free(output.out);
}

/* The group of a client that left is killed, though it ignores the hang-up. */
static void test_client_gone(void **state)
{
	static uint8_t payload[PROTOCOL_PAYLOAD_MAX];
	struct agent_worker worker;
	struct protocol_head head;
	pid_t group;

	(void)state;
	agent_worker_exec(&worker, SHELL("trap '' HUP; echo ready; sleep 50; sleep 50"), 0);
	assert_true(agent_worker_next(&worker, &head, payload));
	assert_int_equal(head.type, STREAM_STARTED);
	group = (pid_t)load_le32(payload);
	read_until(&worker, "ready");
	assert_int_equal(kill(-group, 0), 0);
	close(worker.sock);
	for (int i = 0; i < 600 && kill(-group, 0) == 0; i++) {
		struct timespec wait = { .tv_nsec = 50000000 };

		nanosleep(&wait, NULL);
	}
	assert_int_equal(kill(-group, 0), -1);
}

/* A process that stays behind with the pipes open does not hold the end up. */
static void test_left_behind(void **state)
{
	struct agent_output output;
	time_t began = time(NULL);

	(void)state;
	run(SHELL("sleep 50 & echo done"), 0, &output);
	assert_string_equal((char *)output.out, "done\n");
	assert_true(time(NULL) - began < 40);
	free(output.out);
}

/* Frames that are not a client's end it. */
static void test_breach(void **state)
{
	static uint8_t payload[PROTOCOL_PAYLOAD_MAX];
	struct agent_worker worker;
	struct protocol_head head;

	(void)state;
	agent_worker_exec(&worker, SHELL("echo ready; exec sleep 50"), 0);
	read_until(&worker, "ready");
	agent_worker_send(&worker, STREAM_EXIT, "\1\0\0\0\0\0\0\0", 8);
	while (agent_worker_next(&worker, &head, payload))
		assert_int_not_equal(head.type, STREAM_EXIT);
	close(worker.sock);
}

static int listen_somewhere(uint16_t *ret_port)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
	assert_int_equal(listen(fd, 4), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	*ret_port = ntohs(address.sin_port);
	return fd;
}

static void test_forward(void **state)
{
	static uint8_t payload[PROTOCOL_PAYLOAD_MAX];
	struct protocol_forward request = {};
	struct agent_worker worker;
	struct agent_output output;
	struct protocol_head head;
	int listener = listen_somewhere(&request.port), peer;
	char text[6] = "";

	(void)state;
	agent_worker_start(&worker);
	agent_worker_request(&worker, PROTOCOL_FORWARD, &request);
	assert_true(agent_worker_next(&worker, &head, payload));
	assert_int_equal(head.type, STREAM_STARTED);
	peer = accept(listener, NULL, NULL);
	assert_int_equal(fdio_write_full(worker.sock, "hello", 5), 0);
	assert_int_equal(fdio_read_full(peer, text, 5), 0);
	assert_string_equal(text, "hello");
	assert_int_equal(
		shutdown(worker.sock, SHUT_WR), 0); /* half-closed: the other way still flows */
	assert_int_equal(recv(peer, text, 5, 0), 0);
	assert_int_equal(fdio_write_full(peer, "world", 5), 0);
	close(peer);
	assert_int_equal(fdio_read_full(worker.sock, text, 5), 0);
	assert_string_equal(text, "world");
	assert_int_equal(recv(worker.sock, text, 5, 0), 0);
	close(worker.sock);
	close(listener);
	agent_worker_start(&worker);
	agent_worker_request(&worker, PROTOCOL_FORWARD, &request);
	agent_worker_finish(&worker, &output);
	assert_int_equal(output.error.code, ECONNREFUSED);
	free(output.out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exit_codes),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_requests_refused),
		cmocka_unit_test(test_streams_apart),
		cmocka_unit_test(test_bulk),
		cmocka_unit_test(test_back_pressure),
		cmocka_unit_test(test_fifty_at_once),
		cmocka_unit_test(test_terminal),
		cmocka_unit_test(test_signals),
		cmocka_unit_test(test_client_gone),
		cmocka_unit_test(test_left_behind),
		cmocka_unit_test(test_breach),
		cmocka_unit_test(test_forward),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
