/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/requests.h"

#include <errno.h>

#include "vmm/base/cleanup.h"
#include "vmm/supervisor/audit_log.h"
#include "vmm/supervisor/main_command.h"
#include "vmm/supervisor/operations.h"
#include "vmm/supervisor/stop_phases.h"

static void request_stop(
	struct supervisor *s, struct control_client *client, const struct control_request *request)
{
	control_client_park(client, CONTROL_STOP);
	if (s->phase == PHASE_UP)
		supervisor_set_reason(s, "%s", *request->reason ? request->reason : "stopped");
	stop_begin(s, LIFECYCLE_ASKED_TO_STOP, request->grace_ms);
}

static int guest_is_lost(const char *name, struct err *err)
{
	err_set(err, -ENOTCONN,
		"sandbox %s: its guest does not answer (health: lost), though its machine runs",
		name);
	err_next_step(err,
		"sandboxctl console %s shows what its kernel said; sandboxctl restart %s", name,
		name);
	return -ENOTCONN;
}

/* Whether the guest may be asked this now; else why not. */
static int check_guest(
	const struct supervisor *s, const struct control_request *request, struct err *err)
{
	const char *name = s->record.spec.name;

	if (s->phase != PHASE_UP)
		return err_set(
			err, -ESHUTDOWN, "sandbox %s: it is ending: %s", name, s->record.reason);
	if (!s->ready)
		return err_set(err, -EAGAIN, "sandbox %s: its guest is not ready yet", name);
	if (s->live.agent_lost)
		return guest_is_lost(name, err);
	if (request->op == CONTROL_ATTACH && !s->record.spec.command[0])
		return err_set(
			err, -ENOENT, "sandbox %s: it has no main command to attach to", name);
	return 0;
}

/* Which program as whom; never its arguments, for they may hold what nobody else is to read. */
static void audit_operation(struct supervisor *s, const struct control_request *request)
{
	const char *user = request->user && *request->user ? request->user : "the default user";
	const char *what = request->argv && request->argv[0] ? request->argv[0] : request->path;
	const char *op = control_op_name(request->op);

	if (request->port)
		audit_log_host(s->audit, AUDIT_EXEC, AUDIT_ALLOWED, op, "port %u", request->port);
	else
		audit_log_host(s->audit, AUDIT_EXEC, AUDIT_ALLOWED, op, "%s, as %s",
			what && *what ? what : "a shell", user);
}

static void request_guest(
	struct supervisor *s, struct control_client *client, const struct control_request *request)
{
	_cleanup_close_ int fd = -1;
	struct err err = {};
	int r = check_guest(s, request, &err);

	if (r == 0)
		r = operation_send(s->processes.control_fd, ++s->next_id, request, &fd, &err);
	if (r < 0) {
		control_client_fail(client, &err, control_op_name(request->op));
		return;
	}
	audit_operation(s, request);
	if (request->op == CONTROL_ATTACH)
		main_command_attached(s);
	control_client_answer(client, NULL, fd);
}

static void request_reload(struct supervisor *s, struct control_client *client)
{
	struct err err = {};
	int r = s->egress && s->phase == PHASE_UP
			? egress_reload(s->egress, &err)
			: err_set(&err, -ESHUTDOWN, "sandbox %s: it has no egress, or is ending",
				  s->record.spec.name);

	audit_log_host(s->audit, AUDIT_LIFECYCLE, r < 0 ? AUDIT_DENIED : AUDIT_ALLOWED,
		"policy-reload", "%s", r < 0 ? err.text : egress_plan_of(s->egress)->policy.digest);
	if (r < 0)
		control_client_fail(client, &err, "policy");
	else
		control_client_answer(client,
			json_pack("{s:s}", "policy", egress_plan_of(s->egress)->policy.digest), -1);
}

void request_take(void *data, struct control_client *client, const struct control_request *request)
{
	struct supervisor *s = data;

	switch (request->op) {
	case CONTROL_STATUS:
		control_client_answer(client, supervisor_status(s), -1);
		break;
	case CONTROL_EXEC:
	case CONTROL_ATTACH:
	case CONTROL_COPY_OUT:
	case CONTROL_COPY_IN:
	case CONTROL_FORWARD:
	case CONTROL_VSOCK:
		request_guest(s, client, request);
		break;
	case CONTROL_STOP:
		request_stop(s, client, request);
		break;
	case CONTROL_WAIT:
		control_client_park(client, CONTROL_WAIT);
		break;
	case CONTROL_POLICY_RELOAD:
		request_reload(s, client);
		break;
	case CONTROL_SECRETS_RELOAD:
		if (s->egress && s->phase == PHASE_UP)
			egress_refresh_secrets(s->egress);
		control_client_answer(client, NULL, -1);
		break;
	case CONTROL_EVENTS:
		control_client_answer(client, NULL, -1);
		control_client_park(client, CONTROL_EVENTS);
		break;
	}
}
