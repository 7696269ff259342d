/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/egress.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/supervisor/audit_log.h"
#include "vmm/supervisor/children.h"
#include "vmm/supervisor/member.h"
#include "vmm/supervisor/secrets/secret_fetch.h"
#include "vmm/supervisor/secrets/secret_store.h"
#include "vsock-proxy/egress_control.h"

#define SECRET_RETRY_MS 60000

struct injector {
	struct member m;
	struct egress_binding binding; /* id "": `open` */
	unsigned int number; /* of its log file */
	int secret_fd; /* its secret on its way, before it is spawned; -1 */
	struct loop_source *refresh; /* NULL: `open`, or not started yet */
	bool unwanted; /* its binding is gone: it is not replaced */
	struct injector *next;
};

struct egress {
	struct supervisor *supervisor;
	struct egress_plan plan;
	struct member proxy;
	struct injector *injectors;
	unsigned int made; /* injectors */
	struct loop_source *timer;
	struct backoff backoff;
	bool ending;
};

/* Ends and replacements. */

static void restart_soon(struct egress *egress)
{
	loop_timer_set(egress->timer, backoff_next(&egress->backoff));
}

static void ended(struct child *c, int status)
{
	struct member *m = member_of(c);
	struct egress *egress = m->owner;

	if (!egress->ending && member_ended(m, status))
		restart_soon(egress);
}

/* Its secret could not be had: asked for again soon, for the one that it has may not live long. */
static void secret_refused(struct member *m, int error)
{
	struct egress *egress = m->owner;

	log_error("%s: the fresh secret is refused: %s", m->process.name, strerror(error));
	for (struct injector *i = egress->injectors; i; i = i->next)
		if (&i->m == m && i->refresh)
			loop_timer_set(i->refresh, SECRET_RETRY_MS);
}

static void take_event(struct child *c, const struct event *e)
{
	switch (e->kind) {
	case EVENT_PROXY_ISOLATED:
	case EVENT_INJECTOR_ISOLATED:
		member_note_isolation(member_of(c), e);
		break;
	case EVENT_PROXY_POLICY:
	case EVENT_INJECTOR_POLICY:
		if (e->value[0])
			log_error("%s: the new policy is refused: %s", c->process->name,
				strerror((int)(e->value[0] & INT16_MAX)));
		break;
	case EVENT_INJECTOR_SECRET:
		if (e->value[0])
			secret_refused(member_of(c), (int)(e->value[0] & INT16_MAX));
		break;
	default:
		break; /* what it failed with stands in its log */
	}
}

static const struct child_kind member_kind = { .event = take_event, .ended = ended };

/* Starting them. */

static struct child_place place_of(const struct egress *egress)
{
	const struct boot_plan *plan = &egress->supervisor->plan;

	return (struct child_place){ plan->owner.uid, plan->owner.gid, plan->cgroup };
}

static int spawn_proxy(struct egress *egress, struct err *err)
{
	struct child_place place = place_of(egress);
	struct child_command c = {};
	int theirs = member_begin(&egress->proxy, &c, err);

	if (theirs < 0)
		return theirs;
	child_command_add_fd(&c, "--streams-fd", egress->plan.streams_fd);
	child_command_add_fd(&c, "--policy-fd", egress->plan.policy.bundle_fd);
	child_command_add_fd(&c, "--ca-fd", egress->plan.ca_fd);
	child_command_add_fd(&c, "--counters-fd", egress->plan.counters_fd);
	child_command_add_fd(
		&c, "--audit-fd", audit_log_fd(egress->supervisor->audit, AUDIT_LOG_PROXY));
	return member_spawn(&egress->proxy, &c, theirs, &place, &member_kind, "proxy.log", err);
}

/* Its channel's other end goes to the proxy. */
static int hand_channel(struct egress *egress, const struct injector *i, int fd, struct err *err)
{
	struct egress_control message = { .op = EGRESS_CONTROL_INJECTOR };
	int r;

	memcpy(message.binding, i->binding.id, sizeof(message.binding));
	r = egress_control_send(egress->proxy.control_fd, &message, fd);
	/* A proxy that has ended already is heard of as a child, with its own words. */
	if (r == -EPIPE || r == -ECONNRESET)
		return 0;
	return r < 0 ? err_set(err, r, "sandbox-proxy: it takes no channel: %s", strerror(-r)) : 0;
}

/* Secrets. */

static struct secret_request secret_request(const struct egress *egress, bool wait)
{
	const struct supervisor *s = egress->supervisor;

	return (struct secret_request){ .paths = &s->paths,
		.spec = &s->record.spec,
		.cgroup = s->plan.cgroup,
		.environment_fd = s->environment_fd,
		.wait = wait };
}

/* Fetching one that nobody waits for: who reads it sees by its end how that went. */
static int begin_fetch(struct egress *egress, struct injector *i, int *ret_fd, struct err *err)
{
	struct secret_request request = secret_request(egress, false);
	struct secret_fetch fetch;
	int r = secret_fetch_start(&request, i->binding.secret, &fetch, err);

	if (r < 0)
		return r;
	loop_timer_set(i->refresh, (uint64_t)fetch.refresh_s * 1000);
	*ret_fd = TAKE_FD(fetch.value_fd);
	secret_fetch_finish(&fetch);
	return 0;
}

/* What was fetched beforehand, or is fetched now. */
static int take_secret(struct egress *egress, struct injector *i, int *ret_fd, struct err *err)
{
	if (i->secret_fd < 0)
		return begin_fetch(egress, i, ret_fd, err);
	*ret_fd = TAKE_FD(i->secret_fd);
	return 0;
}

static void refresh_secret(void *data)
{
	struct egress_control message = { .op = EGRESS_CONTROL_SECRET };
	struct injector *i = data;
	struct egress *egress = i->m.owner;
	_cleanup_close_ int fd = -1;
	struct err err = {};
	int r;

	if (egress->ending || i->unwanted || !member_alive(&i->m))
		return; /* one that takes its place fetches its own */
	r = begin_fetch(egress, i, &fd, &err);
	if (r == 0)
		r = egress_control_send(i->m.control_fd, &message, fd);
	if (r == 0)
		return;
	log_error("%s: the old one stays: %s", i->binding.id, *err.text ? err.text : strerror(-r));
	loop_timer_set(i->refresh, SECRET_RETRY_MS);
}

void egress_refresh_secrets(struct egress *egress)
{
	for (struct injector *i = egress->injectors; i; i = i->next)
		if (*i->binding.id)
			refresh_secret(i);
}

/* At a start: all at once, and none is missing, before anything of the sandbox runs. */
static int fetch_all(struct egress *egress, struct err *err)
{
	struct secret_request request = secret_request(egress, true);
	struct secret_fetch fetches[POLICY_BINDINGS_MAX];
	const char *names[POLICY_BINDINGS_MAX];
	size_t count = 0;
	int r;

	for (struct injector *i = egress->injectors; i && count < ARRAY_SIZE(names); i = i->next)
		if (*i->binding.id)
			names[count++] = i->binding.secret;
	r = secret_fetch_all(&request, names, count, fetches, err);
	if (r < 0)
		return r;
	count = 0;
	for (struct injector *i = egress->injectors; i && count < ARRAY_SIZE(names); i = i->next) {
		if (!*i->binding.id)
			continue;
		loop_timer_set(i->refresh, (uint64_t)fetches[count].refresh_s * 1000);
		i->secret_fd = TAKE_FD(fetches[count].value_fd);
		secret_fetch_finish(&fetches[count++]);
	}
	return 0;
}

static void add_settings(const struct config *config, struct child_command *c)
{
	if (*config->dns) {
		child_command_add(c, "--dns");
		child_command_add(c, "%s", config->dns);
	}
	if (*config->proxy) {
		child_command_add(c, "--proxy");
		child_command_add(c, "%s", config->proxy);
	}
	if (*config->trust_file) {
		child_command_add(c, "--trust-file");
		child_command_add(c, "%s", config->trust_file);
	}
}

static int spawn_injector(struct egress *egress, struct injector *i, struct err *err)
{
	_cleanup_close_ int ours = -1, channel = -1, secret = -1;
	struct child_place place = place_of(egress);
	struct child_command c = {};
	char log_name[32] = "injector.log";
	int theirs, r;

	if (i->number)
		snprintf(log_name, sizeof(log_name), "injector-%u.log", i->number);
	r = *i->binding.id ? take_secret(egress, i, &secret, err) : 0;
	if (r == 0)
		r = socket_pair(SOCK_STREAM, &ours, &channel, err);
	if (r < 0)
		return r;
	theirs = member_begin(&i->m, &c, err);
	if (theirs < 0)
		return theirs;
	child_command_add_fd(&c, "--channel-fd", channel);
	child_command_add_fd(&c, "--policy-fd", egress->plan.policy.bundle_fd);
	child_command_add_fd(
		&c, "--audit-fd", audit_log_fd(egress->supervisor->audit, AUDIT_LOG_INJECTORS));
	add_settings(&egress->supervisor->config, &c);
	if (*i->binding.id) {
		child_command_add(&c, "--binding");
		child_command_add(&c, "%s", i->binding.id);
		child_command_add(&c, "--secret-name");
		child_command_add(&c, "%s", i->binding.secret);
		child_command_add_fd(&c, "--secret-fd", secret);
	}
	r = member_spawn(&i->m, &c, theirs, &place, &member_kind, log_name, err);
	return r < 0 ? r : hand_channel(egress, i, ours, err);
}

static bool any_injector_alive(const struct egress *egress)
{
	for (const struct injector *i = egress->injectors; i; i = i->next)
		if (member_alive(&i->m))
			return true;
	return false;
}

/* Those that are not there. One that cannot be started stands in no other's way; the first failure is told. */
static int spawn_missing_injectors(struct egress *egress, struct err *err)
{
	int r = 0;

	for (struct injector *i = egress->injectors; i; i = i->next) {
		struct err later = {};
		int one;

		if (member_alive(&i->m) || i->unwanted)
			continue;
		one = spawn_injector(egress, i, r == 0 ? err : &later);
		if (one < 0 && r < 0)
			log_error("egress: %s", later.text);
		r = r < 0 ? r : one;
	}
	return r;
}

static int spawn_missing(struct egress *egress, struct err *err)
{
	int r = 0;

	if (!member_alive(&egress->proxy)) {
		/* They belonged to the proxy that is gone, and end as their channels have. */
		if (any_injector_alive(egress)) {
			for (struct injector *i = egress->injectors; i; i = i->next)
				child_signal(&i->m.child, SIGKILL);
			restart_soon(egress);
			return 0;
		}
		r = spawn_proxy(egress, err);
	}
	return r < 0 ? r : spawn_missing_injectors(egress, err);
}

static void restart(void *data)
{
	struct egress *egress = data;
	struct err err = {};

	if (egress->ending || egress->supervisor->phase != PHASE_UP)
		return;
	if (spawn_missing(egress, &err) < 0) {
		log_error("egress: %s", err.text);
		restart_soon(egress);
	}
}

/* Bindings, each with an injector of its own. */

static struct injector *find_injector(const struct egress *egress, const char *id)
{
	for (struct injector *i = egress->injectors; i; i = i->next)
		if (!i->unwanted && !strcmp(i->binding.id, id))
			return i;
	return NULL;
}

static int add_injector(
	struct egress *egress, const struct egress_binding *binding, struct err *err)
{
	struct injector *i = calloc(1, sizeof(*i));

	if (!i)
		return err_set(err, -ENOMEM, "egress: no memory");
	member_init(&i->m, egress->supervisor, egress, "sandbox-injector");
	i->binding = *binding;
	i->secret_fd = -1;
	i->number = egress->made++;
	i->next = egress->injectors;
	egress->injectors = i;
	return 0;
}

static const struct egress_binding *find_binding(const struct egress_policy *policy, const char *id)
{
	for (size_t i = 0; i < policy->binding_count; i++)
		if (!strcmp(policy->bindings[i].id, id))
			return &policy->bindings[i];
	return NULL;
}

static void destroy_injector(struct injector *i)
{
	close_keeping_errno(i->secret_fd);
	loop_remove(i->refresh);
	member_finish(&i->m);
	free(i);
}

/* Those of earlier reloads, which have ended since. */
static void free_unwanted(struct egress *egress)
{
	struct injector **at = &egress->injectors;

	while (*at) {
		struct injector *i = *at;

		if (i->unwanted && !member_alive(&i->m)) {
			*at = i->next;
			destroy_injector(i);
		} else {
			at = &i->next;
		}
	}
}

/* One for each binding of the plan's policy, and none that is no longer in it, or whose secret is another now. */
static int match_injectors(struct egress *egress, struct err *err)
{
	const struct egress_policy *policy = &egress->plan.policy;
	int r = 0;

	free_unwanted(egress);

	for (struct injector *i = egress->injectors; i; i = i->next) {
		const struct egress_binding *binding = find_binding(policy, i->binding.id);

		if (!*i->binding.id || (binding && !strcmp(binding->secret, i->binding.secret)))
			continue;
		i->unwanted = true;
		child_signal(&i->m.child, SIGTERM);
	}
	for (size_t n = 0; r == 0 && n < policy->binding_count; n++)
		if (!find_injector(egress, policy->bindings[n].id))
			r = add_injector(egress, &policy->bindings[n], err);
	return r;
}

static int send_policy(struct egress *egress, struct member *m, struct err *err)
{
	struct egress_control message = { .op = EGRESS_CONTROL_POLICY };
	int r;

	if (!member_alive(m)) /* it gets the new one when it is replaced */
		return 0;
	r = egress_control_send(m->control_fd, &message, egress->plan.policy.bundle_fd);
	return r < 0 ? err_set(err, r, "%s: it takes no policy: %s", m->process.name, strerror(-r))
		     : 0;
}

/* For every secret that a policy binds: that there is one of its name. */
static int find_secrets(
	const struct egress_policy *policy, const struct secret_request *request, struct err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < policy->binding_count; i++) {
		struct secret_ref ref;

		r = secret_fetch_find(request, policy->bindings[i].secret, &ref, err);
		if (r < 0)
			err_prefix(err, r, "the binding %s", policy->bindings[i].id);
	}
	return r;
}

/* And that each is to be had: fetched, for nobody. */
static int try_secrets(
	const struct egress_policy *policy, const struct secret_request *request, struct err *err)
{
	struct secret_fetch fetches[POLICY_BINDINGS_MAX];
	const char *names[POLICY_BINDINGS_MAX];
	size_t count = 0;
	int r = find_secrets(policy, request, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < policy->binding_count && count < ARRAY_SIZE(names); i++)
		names[count++] = policy->bindings[i].secret;
	r = secret_fetch_all(request, names, count, fetches, err);
	for (size_t i = 0; r == 0 && i < count; i++)
		secret_fetch_finish(&fetches[i]);
	return r;
}

int egress_check(
	const struct spec *spec, const struct paths *paths, int environment_fd, struct err *err)
{
	const struct secret_request request = {
		.paths = paths, .spec = spec, .environment_fd = environment_fd, .wait = true
	};
	struct egress_policy policy;
	int r = egress_policy_load(spec, paths, NULL, &policy, err);

	if (r < 0)
		return r;
	r = try_secrets(&policy, &request, err);
	egress_policy_finish(&policy);
	return r;
}

static int add_refresh_timers(struct egress *egress)
{
	int r = 0;

	for (struct injector *i = egress->injectors; r == 0 && i; i = i->next)
		if (*i->binding.id && !i->refresh)
			r = loop_add_timer(
				egress->supervisor->loop, refresh_secret, i, &i->refresh);
	return r;
}

/* All that run get it, whatever becomes of one of them: injectors first. What is narrower holds at once. */
static int tell_policy(struct egress *egress, struct err *err)
{
	struct err later = {};
	int r = 0, one;

	for (struct injector *i = egress->injectors; i; i = i->next) {
		one = i->unwanted ? 0 : send_policy(egress, &i->m, r == 0 ? err : &later);
		r = r < 0 ? r : one;
	}
	one = send_policy(egress, &egress->proxy, r == 0 ? err : &later);
	return r < 0 ? r : one;
}

int egress_reload(struct egress *egress, struct err *err)
{
	struct supervisor *s = egress->supervisor;
	const struct secret_request request = secret_request(egress, false);
	struct egress_policy policy;
	struct err later = {};
	int told, r = egress_policy_load(
			  &s->record.spec, &s->paths, &egress->plan.policy, &policy, err);

	if (r < 0)
		return r;
	r = find_secrets(&policy, &request, err);
	if (r < 0) {
		egress_policy_finish(&policy);
		return r;
	}
	egress_policy_finish(&egress->plan.policy);
	egress->plan.policy = policy;
	r = match_injectors(egress, err);
	if (r == 0)
		r = add_refresh_timers(egress);
	told = tell_policy(egress, err);
	r = r < 0 ? r : told;
	told = spawn_missing_injectors(egress, r == 0 ? err : &later);
	if (told < 0)
		restart_soon(egress);
	return r < 0 ? r : told;
}

/* Its life. */

int egress_create(struct supervisor *s, struct egress **ret, struct err *err)
{
	static const struct egress_binding open_to_all = {};
	struct egress *egress = calloc(1, sizeof(*egress));
	int r;

	if (!egress)
		return err_set(err, -ENOMEM, "egress: no memory");
	*ret = egress;
	egress->supervisor = s;
	egress_plan_init(&egress->plan);
	member_init(&egress->proxy, s, egress, "sandbox-proxy");
	r = egress_plan_prepare(&s->record.spec, &s->paths, &egress->plan, err);
	if (r == 0)
		r = add_injector(egress, &open_to_all, err);
	return r < 0 ? r : match_injectors(egress, err);
}

void egress_destroy(struct egress *egress)
{
	if (!egress)
		return;
	loop_remove(egress->timer);
	member_finish(&egress->proxy);
	while (egress->injectors) {
		struct injector *i = egress->injectors;

		egress->injectors = i->next;
		destroy_injector(i);
	}
	egress_plan_finish(&egress->plan);
	free(egress);
}

const struct egress_plan *egress_plan_of(const struct egress *egress)
{
	return &egress->plan;
}

int egress_start(struct egress *egress, struct err *err)
{
	int r = loop_add_timer(egress->supervisor->loop, restart, egress, &egress->timer);

	if (r == 0)
		r = add_refresh_timers(egress);
	if (r < 0)
		return err_set(err, r, "egress: %s", strerror(-r));
	r = fetch_all(egress, err);
	return r < 0 ? r : spawn_missing(egress, err);
}

void egress_end(struct egress *egress)
{
	if (!egress)
		return;
	egress->ending = true;
	child_signal(&egress->proxy.child, SIGTERM);
	for (struct injector *i = egress->injectors; i; i = i->next)
		child_signal(&i->m.child, SIGTERM);
}

const char *egress_state_word(const struct egress *egress)
{
	if (audit_log_error(egress->supervisor->audit))
		return "stalled";
	return member_alive(&egress->proxy) && any_injector_alive(egress) ? "up" : "restarting";
}

uint64_t egress_layers(const struct egress *egress)
{
	uint64_t layers = egress->proxy.layers & audit_log_layers(egress->supervisor->audit);

	for (const struct injector *i = egress->injectors; i; i = i->next)
		if (member_alive(&i->m))
			layers &= i->m.layers;
	return layers;
}
