/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox-proxy: from its command line to its end. The order in which things are done: policy and CA are read, the host's root
 * is left for an empty one without any network, the process is sealed; then it serves until the supervisor is gone or says SIGTERM.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/base/event.h"
#include "vmm/base/fdio.h"
#include "vmm/base/log.h"
#include "vmm/jail/seccomp_table.h"
#include "vsock-proxy/bundle.h"
#include "vsock-proxy/ca.h"
#include "vsock-proxy/process.h"
#include "vsock-proxy/proxy.h"

struct options {
	const char *name;
	int lifeline_fd, event_fd, control_fd, lock_fd, streams_fd, policy_fd, ca_fd, audit_fd,
		counters_fd;
	bool unjailed;
};

static int parse_options(struct options *o, int argc, char **argv, struct err *err)
{
	const struct process_option table[] = {
		{ "--name", NULL, &o->name, true },
		{ "--lifeline-fd", &o->lifeline_fd, NULL, false },
		{ "--event-fd", &o->event_fd, NULL, false },
		{ "--control-fd", &o->control_fd, NULL, false },
		{ "--lock-fd", &o->lock_fd, NULL, false },
		{ "--streams-fd", &o->streams_fd, NULL, true },
		{ "--policy-fd", &o->policy_fd, NULL, true },
		{ "--ca-fd", &o->ca_fd, NULL, true },
		{ "--audit-fd", &o->audit_fd, NULL, false },
		{ "--counters-fd", &o->counters_fd, NULL, false },
	};

	return process_options_parse(table, ARRAY_SIZE(table), &o->unjailed, argc, argv, err);
}

static int read_ca(int fd, struct ca **ret, struct err *err)
{
	char text[CA_EXPORT_MAX];
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0 || st.st_size <= 0 || st.st_size > CA_EXPORT_MAX)
		return err_set(err, -EINVAL, "CA: not what is exported");
	r = fdio_pread_full(fd, text, (size_t)st.st_size, 0);
	if (r == 0)
		r = ca_import(text, (size_t)st.st_size, ret, err);
	else
		err_set(err, r, "CA: %s", strerror(-r));
	explicit_bzero(text, sizeof(text));
	close(fd);
	return r;
}

static void warm_up(void *data)
{
	proxy_warm_up(data);
}

static int set_up(struct process *p, const struct options *o, struct ca **ret_ca,
	struct proxy **ret, struct err *err)
{
	struct proxy_config config = { .streams_fd = o->streams_fd,
		.control_fd = o->control_fd,
		.event_fd = o->event_fd,
		.audit_fd = o->audit_fd,
		.counters_fd = o->counters_fd };
	int r = process_begin(p, err);

	if (r == 0)
		r = read_ca(o->ca_fd, ret_ca, err);
	if (r == 0)
		r = bundle_read(o->policy_fd, &config.policy, err);
	if (r == 0)
		r = process_leave_host(p, err);
	config.ca = *ret_ca;
	if (r == 0)
		r = proxy_create(p->loop, &config, ret, err);
	close(o->policy_fd);
	/* Nothing of the guest's has been read yet. */
	return r < 0 ? r : process_seal(p, &seccomp_proxy, err);
}

int main(int argc, char **argv)
{
	struct process p = { .name = "sandbox-proxy",
		.isolated_kind = EVENT_PROXY_ISOLATED,
		.failed_kind = EVENT_PROXY_FAILED };
	struct proxy *proxy = NULL;
	struct loop_source *timer = NULL;
	struct ca *ca = NULL;
	struct err err = {};
	struct options o;

	log_set_process(p.name);
	if (parse_options(&o, argc, argv, &err) < 0) {
		log_error("%s", err.text);
		return PROCESS_EXIT_USAGE;
	}
	p.event_fd = o.event_fd;
	p.unjailed = o.unjailed;
	p.plan = (struct jail_plan){ .process = p.name, .lifeline_fd = o.lifeline_fd };
	if (set_up(&p, &o, &ca, &proxy, &err) < 0)
		return process_failed(&p, &err);
	if (loop_add_timer(p.loop, warm_up, proxy, &timer) == 0)
		loop_timer_set(timer, PROCESS_WARM_UP_MS);
	while (!p.stopping && !proxy_is_over(proxy))
		if (loop_run_once(p.loop, -1) < 0)
			break;
	loop_remove(timer);
	proxy_destroy(proxy);
	ca_destroy(ca);
	loop_destroy(p.loop);
	return 0;
}
