/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/operation.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "guest-agent/frame_io.h"
#include "vmm/base/cleanup.h"

void operation_audit(const struct operation_context *context, enum protocol_audit_kind kind,
	uint64_t a, uint64_t b, uint64_t c)
{
	struct protocol_audit audit = { .kind = kind, .value = { context->serial, a, b, c } };
	uint8_t record[64];
	struct bytes_writer w = bytes_writer(record, sizeof(record));

	if (context->audit_fd < 0)
		return;
	protocol_put_audit(&w, &audit);
	if (!w.failed)
		(void)send(context->audit_fd, record, w.offset, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void set_receive_timeout(int sock, long seconds)
{
	struct timeval timeout = { .tv_sec = seconds };

	(void)setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
}

static bool dispatch_exec(
	int sock, const uint8_t *payload, uint32_t len, const struct operation_context *context)
{
	_cleanup_free_ struct protocol_exec *request = calloc(1, sizeof(*request));

	if (!request || !protocol_get_exec(payload, len, request))
		return false;
	exec_run(sock, request, context);
	return true;
}

/* False where the request is malformed. */
static bool dispatch(int sock, const struct protocol_head *head, const uint8_t *payload,
	const struct operation_context *context)
{
	struct protocol_copy copy;
	struct protocol_forward forward;

	switch (head->type) {
	case PROTOCOL_EXEC:
		return dispatch_exec(sock, payload, head->len, context);
	case PROTOCOL_COPY_OUT:
		if (!protocol_get_copy(payload, head->len, &copy))
			return false;
		copy_out_run(sock, &copy, context);
		return true;
	case PROTOCOL_COPY_IN:
		if (!protocol_get_copy(payload, head->len, &copy))
			return false;
		copy_in_run(sock, &copy, context);
		return true;
	case PROTOCOL_FORWARD:
		if (!protocol_get_forward(payload, head->len, &forward))
			return false;
		forward_run(sock, &forward, context);
		return true;
	}
	return false;
}

void operation_run(int sock, const struct operation_context *context)
{
	_cleanup_free_ uint8_t *payload = malloc(PROTOCOL_EXEC_MAX);
	struct protocol_head head;
	int r;

	if (!payload) {
		frame_send_error(sock, -ENOMEM, PROTOCOL_STAGE_START);
		return;
	}
	set_receive_timeout(sock, OPERATION_REQUEST_TIMEOUT_S);
	r = frame_read(sock, PROTOCOL_REQUESTER, &head, payload, PROTOCOL_EXEC_MAX);
	set_receive_timeout(sock, 0);
	if (r == -EPIPE)
		return;
	if (r < 0 || !dispatch(sock, &head, payload, context)) {
		frame_send_error(sock, r < 0 ? r : -EPROTO, PROTOCOL_STAGE_REQUEST);
		operation_audit(context, PROTOCOL_AUDIT_OPERATION_REFUSED, 0, EPROTO,
			PROTOCOL_STAGE_REQUEST);
	}
}
