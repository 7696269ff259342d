/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/outward.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "guest-agent/modules.h"
#include "guest-agent/system.h"
#include "guest-agent/trust.h"
#include "vmm/base/log.h"

uint32_t outward_set_up(
	struct outward *outward, const struct protocol_welcome *welcome, int modules_fd)
{
	uint32_t degraded = 0;
	struct err err = {};

	outward->offered = welcome->flags & PROTOCOL_WELCOME_EGRESS;
	if (!outward->offered)
		return 0;
	if (modules_fd >= 0)
		(void)modules_load(modules_fd, MODULES_EGRESS);
	if (service_set_up(&outward->service, welcome->hostname, &err) < 0) {
		log_warn("egress: %s", err.text);
		degraded |= PROTOCOL_DEGRADED_EGRESS;
	}
	if (trust_place("", welcome) < 0)
		degraded |= PROTOCOL_DEGRADED_FILES;
	return degraded;
}

static void start(struct outward *outward)
{
	pid_t pid = fork();
	sigset_t none;

	if (pid == 0) {
		sigemptyset(&none);
		(void)signal(SIGPIPE, SIG_IGN);
		(void)sigprocmask(SIG_SETMASK, &none, NULL);
		system_protect_from_oom();
		service_run(&outward->service);
	}
	outward->service.pid = pid < 0 ? 0 : pid;
	if (pid < 0)
		(void)loop_timer_set(outward->restart, SERVICE_RESTART_MS);
}

static void on_restart(void *data)
{
	start(data);
}

int outward_start(struct outward *outward, struct loop *loop)
{
	int r;

	if (!outward->offered)
		return 0;
	r = loop_add_timer(loop, on_restart, outward, &outward->restart);
	if (r == 0)
		start(outward);
	return r;
}

bool outward_note_dead(struct outward *outward, pid_t pid)
{
	if (!outward->service.pid || outward->service.pid != pid)
		return false;
	log_ratelimited(LOG_WARN, "agent-egress ended: it is started again");
	outward->service.pid = 0;
	(void)loop_timer_set(outward->restart, SERVICE_RESTART_MS);
	return true;
}
