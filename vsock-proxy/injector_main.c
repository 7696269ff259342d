/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox-injector: from its command line to its end. The order in which things are done: policy, secret, trust store and name
 * servers are read, sockets that ask the kernel are made, the host's root is left for an empty one, the process is sealed; then
 * it serves until its proxy or the supervisor is gone. The host's network is all that it keeps of the host.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/base/event.h"
#include "vmm/base/log.h"
#include "vmm/jail/seccomp_table.h"
#include "vsock-proxy/bundle.h"
#include "vsock-proxy/injector.h"
#include "vsock-proxy/local_address.h"
#include "vsock-proxy/locked.h"
#include "vsock-proxy/process.h"
#include "vsock-proxy/resolver.h"
#include "vsock-proxy/tls_client.h"
#include "vsock-proxy/via.h"

struct options {
	const char *name, *binding, *secret_name, *trust_file, *dns, *proxy;
	int lifeline_fd, event_fd, control_fd, lock_fd, channel_fd, policy_fd, audit_fd, secret_fd;
	bool unjailed;
};

struct own {
	struct process process;
	struct options options;
	struct resolver *resolver;
	struct local_address local;
	struct tls_client *tls;
	char *secret; /* INJECT_SECRET_MAX + 1, locked; until the injector has its own */
	size_t secret_len;
	struct via_target via;
	struct injector *injector;
};

static int parse_options(struct options *o, int argc, char **argv, struct err *err)
{
	const struct process_option table[] = {
		{ "--name", NULL, &o->name, true },
		{ "--lifeline-fd", &o->lifeline_fd, NULL, false },
		{ "--event-fd", &o->event_fd, NULL, false },
		{ "--control-fd", &o->control_fd, NULL, false },
		{ "--lock-fd", &o->lock_fd, NULL, false },
		{ "--channel-fd", &o->channel_fd, NULL, true },
		{ "--policy-fd", &o->policy_fd, NULL, true },
		{ "--audit-fd", &o->audit_fd, NULL, false },
		{ "--binding", NULL, &o->binding, false },
		{ "--secret-name", NULL, &o->secret_name, false },
		{ "--secret-fd", &o->secret_fd, NULL, false },
		{ "--trust-file", NULL, &o->trust_file, false },
		{ "--dns", NULL, &o->dns, false },
		{ "--proxy", NULL, &o->proxy, false },
	};
	int r = process_options_parse(table, ARRAY_SIZE(table), &o->unjailed, argc, argv, err);

	if (r == 0 && (!!o->binding != !!o->secret_name || !!o->binding != (o->secret_fd >= 0)))
		r = err_set(err, -EINVAL, "--binding, --secret-name and --secret-fd go together");
	return r;
}

/* To its end: whoever fetches it has closed it by then. */
static int read_secret(struct own *own, struct err *err)
{
	const struct options *o = &own->options;
	ssize_t n = 1;

	own->secret = locked_alloc(INJECT_SECRET_MAX + 1);
	if (!own->secret)
		return err_set(err, -ENOMEM, "secret %s: no memory", o->secret_name);
	while (n > 0 && own->secret_len <= INJECT_SECRET_MAX) {
		n = read(o->secret_fd, own->secret + own->secret_len,
			INJECT_SECRET_MAX + 1 - own->secret_len);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n > 0)
			own->secret_len += (size_t)n;
	}
	close(o->secret_fd);
	if (n < 0)
		return err_set(err, -errno, "secret %s: %m", o->secret_name);
	if (!own->secret_len || own->secret_len > INJECT_SECRET_MAX)
		return err_set(err, own->secret_len ? -E2BIG : -ENOKEY,
			own->secret_len ? "secret %s: longer than a credential may be"
					: "secret %s: it could not be fetched",
			o->secret_name);
	return 0;
}

static void forget_secret(struct own *own)
{
	locked_free(own->secret, INJECT_SECRET_MAX + 1);
	own->secret = NULL;
}

static int open_host(struct own *own, struct err *err)
{
	const char *proxy = own->options.proxy;
	int r = resolver_create(own->process.loop, own->options.dns, &own->resolver, err);

	if (r == 0 && proxy && !via_parse(proxy, &own->via))
		r = err_set(err, -EINVAL, "--proxy %.300s: not HOST:PORT", proxy);
	if (r == 0)
		r = local_address_init(&own->local, err);
	return r < 0 ? r : tls_client_create(own->options.trust_file, &own->tls, err);
}

static int set_up(struct own *own, struct err *err)
{
	const struct options *o = &own->options;
	struct injector_config config = { .channel_fd = o->channel_fd,
		.control_fd = o->control_fd,
		.event_fd = o->event_fd,
		.audit_fd = o->audit_fd,
		.binding = o->binding,
		.secret_name = o->secret_name };
	int r = process_begin(&own->process, err);

	if (r == 0)
		r = bundle_read(o->policy_fd, &config.policy, err);
	close(o->policy_fd);
	if (r == 0)
		r = open_host(own, err);
	if (r == 0)
		r = process_leave_host(&own->process, err);
	if (r == 0 && o->binding)
		r = read_secret(own, err);
	config.resolver = own->resolver;
	config.local = &own->local;
	config.tls = own->tls;
	config.via = o->proxy ? &own->via : NULL;
	config.secret = (struct inject_secret){ own->secret, own->secret_len };
	if (r == 0)
		r = injector_create(own->process.loop, &config, &own->injector, err);
	forget_secret(own);
	return r < 0 ? r : process_seal(&own->process, &seccomp_injector, err);
}

static void warm_up(void *data)
{
	struct err err = {};

	/* A host without certificates says so once somebody asks for one. */
	tls_client_warm_up(data, &err);
}

int main(int argc, char **argv)
{
	static struct own own = { .process = { .name = "sandbox-injector",
					  .isolated_kind = EVENT_INJECTOR_ISOLATED,
					  .failed_kind = EVENT_INJECTOR_FAILED } };
	struct process *p = &own.process;
	struct loop_source *timer = NULL;
	struct err err = {};

	log_set_process(p->name);
	if (parse_options(&own.options, argc, argv, &err) < 0) {
		log_error("%s", err.text);
		return PROCESS_EXIT_USAGE;
	}
	p->event_fd = own.options.event_fd;
	p->unjailed = own.options.unjailed;
	p->plan = (struct jail_plan){
		.process = p->name, .lifeline_fd = own.options.lifeline_fd, .keep_network = true
	};
	if (set_up(&own, &err) < 0)
		return process_failed(p, &err);
	if (loop_add_timer(p->loop, warm_up, own.tls, &timer) == 0)
		loop_timer_set(timer, PROCESS_WARM_UP_MS);
	while (!p->stopping && !injector_is_over(own.injector))
		if (loop_run_once(p->loop, -1) < 0)
			break;
	loop_remove(timer);
	injector_destroy(own.injector);
	tls_client_destroy(own.tls);
	local_address_finish(&own.local);
	resolver_destroy(own.resolver);
	loop_destroy(p->loop);
	return 0;
}
