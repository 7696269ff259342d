/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest-agent/frame_io.h"
#include "guest-agent/operation.h"
#include "tests/lib/agent_worker.h"
#include "vmm/base/fdio.h"

void agent_worker_start(struct agent_worker *worker)
{
	static char user[16];
	int ends[2];

	snprintf(user, sizeof(user), "%u", geteuid());
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	worker->pid = fork();
	assert_true(worker->pid >= 0);
	if (worker->pid == 0) {
		struct operation_context context = { .user = user, .folder = "/", .audit_fd = -1 };

		(void)dup2(ends[1], 3);
		(void)syscall(SYS_close_range, 4u, ~0u, 0u);
		(void)signal(SIGPIPE, SIG_IGN);
		alarm(60);
		operation_run(3, &context);
		_exit(0);
	}
	close(ends[1]);
	worker->sock = ends[0];
}

void agent_worker_send(
	struct agent_worker *worker, enum protocol_type type, const void *data, size_t len)
{
	uint8_t head[PROTOCOL_HEAD_SIZE];

	stream_bytes_head(type, (uint32_t)len, head);
	assert_int_equal(fdio_write_full(worker->sock, head, sizeof(head)), 0);
	assert_int_equal(fdio_write_full(worker->sock, data, len), 0);
}

void agent_worker_request(struct agent_worker *worker, enum protocol_type type, const void *message)
{
	static uint8_t body[PROTOCOL_EXEC_MAX];
	struct bytes_writer w = bytes_writer(body, sizeof(body));

	if (type == PROTOCOL_EXEC)
		protocol_put_exec(&w, message);
	else if (type == PROTOCOL_FORWARD)
		protocol_put_forward(&w, message);
	else
		protocol_put_copy(&w, message);
	assert_false(w.failed);
	agent_worker_send(worker, type, body, w.offset);
}

void agent_worker_exec(struct agent_worker *worker, const char *const *argv, uint32_t flags)
{
	static struct protocol_exec request;

	request = (struct protocol_exec){
		.flags = flags, .rows = 50, .cols = 132, .user = "", .folder = ""
	};
	for (; argv[request.argc]; request.argc++)
		request.argv[request.argc] = argv[request.argc];
	agent_worker_start(worker);
	agent_worker_request(worker, PROTOCOL_EXEC, &request);
}

bool agent_worker_next(struct agent_worker *worker, struct protocol_head *ret, uint8_t *payload)
{
	int r = frame_read(worker->sock, PROTOCOL_GUEST, ret, payload, PROTOCOL_PAYLOAD_MAX);

	if (r == -EPIPE || r == -ECONNRESET)
		return false;
	assert_int_equal(r, 0);
	return true;
}

static void note(
	struct agent_output *output, const struct protocol_head *head, const uint8_t *payload)
{
	if (head->type == STREAM_STDOUT) {
		output->out = realloc(output->out, output->out_len + head->len + 1);
		assert_non_null(output->out);
		memcpy(output->out + output->out_len, payload, head->len);
		output->out_len += head->len;
		output->out[output->out_len] = '\0';
	} else if (head->type == STREAM_STDERR) {
		output->err_len += head->len;
	} else if (head->type == STREAM_STARTED) {
		assert_true(stream_started_decode(payload, head->len, &output->pid));
	} else if (head->type == STREAM_EXIT) {
		assert_true(stream_exit_decode(payload, head->len, &output->exit));
	} else if (head->type == STREAM_ERROR) {
		assert_true(stream_error_decode(payload, head->len, &output->error));
	}
}

void agent_worker_finish(struct agent_worker *worker, struct agent_output *output)
{
	uint8_t *payload = malloc(PROTOCOL_PAYLOAD_MAX);
	struct protocol_head head;
	int status = 0;

	assert_non_null(payload);
	*output = (struct agent_output){ .out = calloc(1, 1) };
	while (!output->exit.kind && !output->error.code &&
		agent_worker_next(worker, &head, payload))
		note(output, &head, payload);
	free(payload);
	close(worker->sock);
	assert_int_equal(waitpid(worker->pid, &status, 0), worker->pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
