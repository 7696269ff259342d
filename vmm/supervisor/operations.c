/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/operations.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest-agent/protocol/messages.h"
#include "vmm/base/cleanup.h"
#include "vmm/link/control.h"

static uint16_t fill_words(const char **to, char *const *from)
{
	uint16_t n = 0;

	while (from && from[n] && n < PROTOCOL_WORDS_MAX) {
		to[n] = from[n];
		n++;
	}
	to[n] = NULL;
	return n;
}

/* A protocol request as the body of a link request. */
static int send_body(int link_fd, enum link_op op, uint8_t flags, uint32_t id,
	const struct bytes_writer *w, int fd, struct err *err)
{
	struct link_request request = {
		.op = (uint8_t)op, .flags = flags, .id = id, .body = w->data, .body_len = w->offset
	};

	if (w->failed)
		return err_set(err, -E2BIG, "request: longer than %u bytes, or more than %d words",
			LINK_CONTROL_BODY_MAX, PROTOCOL_WORDS_MAX);
	return link_control_send(link_fd, &request, fd, err);
}

static int send_exec_message(int link_fd, enum link_op op, uint8_t flags, uint32_t id,
	const struct protocol_exec *message, int fd, struct err *err)
{
	_cleanup_free_ uint8_t *body = malloc(LINK_CONTROL_BODY_MAX);
	struct bytes_writer w;

	if (!body)
		return err_set(err, -ENOMEM, "request: out of memory");
	w = bytes_writer(body, LINK_CONTROL_BODY_MAX);
	protocol_put_exec(&w, message);
	return send_body(link_fd, op, flags, id, &w, fd, err);
}

static uint32_t exec_flags(const struct control_request *request)
{
	return (request->tty ? PROTOCOL_EXEC_TTY : 0u) |
	       (request->clean_env ? PROTOCOL_EXEC_CLEAN_ENV : 0u) |
	       (request->login ? PROTOCOL_EXEC_LOGIN : 0u) |
	       (request->shell ? PROTOCOL_EXEC_SHELL : 0u);
}

static int send_exec(
	int link_fd, uint32_t id, const struct control_request *request, int fd, struct err *err)
{
	_cleanup_free_ struct protocol_exec *message = calloc(1, sizeof(*message));

	if (!message)
		return err_set(err, -ENOMEM, "request: out of memory");
	message->flags = exec_flags(request);
	message->rows = request->rows;
	message->cols = request->cols;
	message->user = request->user;
	message->folder = request->cwd;
	message->argc = fill_words(message->argv, request->argv);
	message->env_count = fill_words(message->env, request->environment);
	return send_exec_message(link_fd, LINK_OP_EXEC, 0, id, message, fd, err);
}

static int send_copy(int link_fd, enum link_op op, uint32_t id,
	const struct control_request *request, int fd, struct err *err)
{
	struct protocol_copy message = {
		.flags = request->flags, .path = request->path, .user = request->user
	};
	uint8_t body[2 * PROTOCOL_PATH_MAX];
	struct bytes_writer w = bytes_writer(body, sizeof(body));

	protocol_put_copy(&w, &message);
	return send_body(link_fd, op, 0, id, &w, fd, err);
}

static int send_request(
	int link_fd, uint32_t id, const struct control_request *request, int fd, struct err *err)
{
	switch (request->op) {
	case CONTROL_EXEC:
		return send_exec(link_fd, id, request, fd, err);
	case CONTROL_ATTACH:
		return link_control_attach(link_fd, id, request->rows, request->cols, fd, err);
	case CONTROL_COPY_OUT:
		return send_copy(link_fd, LINK_OP_COPY_OUT, id, request, fd, err);
	case CONTROL_COPY_IN:
		return send_copy(link_fd, LINK_OP_COPY_IN, id, request, fd, err);
	case CONTROL_FORWARD:
		return link_control_forward(link_fd, id, request->port, fd, err);
	case CONTROL_VSOCK:
		return link_control_vsock(link_fd, id, request->port, fd, err);
	case CONTROL_STATUS:
	case CONTROL_STOP:
	case CONTROL_WAIT:
	case CONTROL_EVENTS:
	case CONTROL_POLICY_RELOAD:
	case CONTROL_SECRETS_RELOAD:
		break;
	}
	return err_set(
		err, -EINVAL, "request %s: not one for the guest", control_op_name(request->op));
}

int operation_send(int link_fd, uint32_t id, const struct control_request *request, int *ret_fd,
	struct err *err)
{
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(err, -errno, "request %s: %s", control_op_name(request->op),
			strerror(errno));
	r = send_request(link_fd, id, request, pair[0], err);
	close(pair[0]);
	if (r < 0) {
		close(pair[1]);
		return r;
	}
	*ret_fd = pair[1];
	return 0;
}

int operation_start_session(int link_fd, const struct spec *spec, struct err *err)
{
	_cleanup_free_ struct protocol_exec *message = calloc(1, sizeof(*message));

	if (!message)
		return err_set(err, -ENOMEM, "command: out of memory");
	message->flags = spec->command_tty ? PROTOCOL_EXEC_TTY : 0;
	message->rows = spec->rows;
	message->cols = spec->cols;
	message->user = message->folder = "";
	message->argc = fill_words(message->argv, spec->command);
	return send_exec_message(link_fd, LINK_OP_SESSION_START,
		spec->await_attach ? LINK_FLAG_HOLD : 0, 0, message, -1, err);
}
