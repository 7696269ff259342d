/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/egress.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/supervisor/children.h"
#include "vmm/supervisor/stop_phases.h"
#include "vsock-proxy/egress_control.h"

#define RESTART_FIRST_MS 100
#define RESTART_MAX_MS	 10000
#define RESTART_CALM_MS	 60000 /* without an end: the next one waits RESTART_FIRST_MS again */

/* One process, and what becomes of it. */
struct member {
	struct egress *egress;
	struct jailed_child process;
	struct child child;
	int control_fd;
	uint64_t layers; /* in force, as it said itself; 0: not yet */
	bool watched; /* child is in the supervisor's list */
};

struct injector {
	struct member m;
	struct egress_binding binding; /* id "": `open` */
	unsigned int number; /* of its log file */
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
	uint64_t wait_ms, ended_ms;
	bool ending, stalled;
};

static void member_init(struct member *m, struct egress *egress, const char *name)
{
	*m = (struct member){ .egress = egress, .control_fd = -1 };
	jailed_child_init(&m->process, name);
}

static void member_finish(struct member *m)
{
	if (m->watched)
		child_forget(&m->child);
	m->watched = false;
	jailed_child_finish(&m->process);
	close_keeping_errno(TAKE_FD(m->control_fd));
}

static bool member_alive(const struct member *m)
{
	return m->watched && child_is_alive(&m->child);
}

static struct member *member_of(struct child *c)
{
	return c->data;
}

/* Ends and replacements. */

static void restart_soon(struct egress *egress)
{
	uint64_t now = clock_monotonic_ms();

	if (now - egress->ended_ms > RESTART_CALM_MS)
		egress->wait_ms = 0;
	egress->ended_ms = now;
	egress->wait_ms = egress->wait_ms ? MIN(egress->wait_ms * 2, (uint64_t)RESTART_MAX_MS)
					  : RESTART_FIRST_MS;
	loop_timer_set(egress->timer, egress->wait_ms);
}

static void member_ended(struct child *c, int status)
{
	struct member *m = member_of(c);
	struct egress *egress = m->egress;

	if (egress->ending || c->supervisor->phase != PHASE_UP)
		return;
	if (!m->layers) {
		child_explain_end(c, status);
		stop_begin_fault(c->supervisor);
		return;
	}
	log_warn("%s ended (%s %d): it is replaced", c->process->name,
		WIFSIGNALED(status) ? "signal" : "exit code",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	restart_soon(egress);
}

static void member_event(struct child *c, const struct event *e)
{
	struct member *m = member_of(c);

	switch (e->kind) {
	case EVENT_PROXY_ISOLATED:
	case EVENT_INJECTOR_ISOLATED:
	case EVENT_AUDIT_ISOLATED:
		if (!m->layers)
			m->layers = e->value[0] & 0xffffff;
		break;
	case EVENT_PROXY_POLICY:
	case EVENT_INJECTOR_POLICY:
		if (e->value[0])
			log_error("%s: the new policy is refused: %s", c->process->name,
				strerror((int)(e->value[0] & INT16_MAX)));
		break;
	case EVENT_INJECTOR_SECRET:
		if (e->value[0])
			log_error("%s: the fresh secret is refused: %s", c->process->name,
				strerror((int)(e->value[0] & INT16_MAX)));
		break;
	default:
		break; /* what it failed with stands in its log */
	}
}

static const struct child_kind member_kind = { .event = member_event, .ended = member_ended };

/* Starting them. */

/* Begins a command with what every one of them gets. */
static int begin_command(struct member *m, struct child_command *c, struct err *err)
{
	struct supervisor *s = m->egress->supervisor;
	int theirs = -1, r;

	close_keeping_errno(TAKE_FD(m->control_fd));
	r = socket_pair(SOCK_SEQPACKET, &m->control_fd, &theirs, err);
	if (r < 0)
		return r;
	child_command_add(c, "%s", m->process.name);
	child_command_add(c, "--name");
	child_command_add(c, "%s", s->record.spec.name);
	child_command_add_fd(c, "--lifeline-fd", s->processes.lifeline_end_fd);
	child_command_add_fd(c, "--lock-fd", s->lock_fd);
	child_command_add_fd(c, "--control-fd", theirs);
	return theirs;
}

/* theirs: what begin_command() gave; closed. */
static int spawn_member(struct member *m, struct child_command *c, int theirs, const char *log_name,
	struct err *err)
{
	struct supervisor *s = m->egress->supervisor;
	struct child_place place = { s->plan.owner.uid, s->plan.owner.gid, s->plan.cgroup };
	int r = jailed_child_spawn(&m->process, c, &place, err), watched;

	close_keeping_errno(theirs);
	if (m->process.id.pid <= 0)
		return r;
	m->child = (struct child){ .data = m };
	watched =
		child_watch(s, &m->child, &m->process, &member_kind, log_name, r == 0 ? err : NULL);
	m->watched = true;
	return r < 0 ? r : watched;
}

static void clear_member(struct member *m)
{
	struct egress *egress = m->egress;
	const char *name = m->process.name;

	member_finish(m);
	member_init(m, egress, name);
}

static int spawn_proxy(struct egress *egress, struct err *err)
{
	struct member *m = &egress->proxy;
	struct child_command c = {};
	int theirs;

	clear_member(m);
	theirs = begin_command(m, &c, err);
	if (theirs < 0)
		return theirs;
	child_command_add_fd(&c, "--streams-fd", egress->plan.streams_fd);
	child_command_add_fd(&c, "--policy-fd", egress->plan.policy.bundle_fd);
	child_command_add_fd(&c, "--ca-fd", egress->plan.ca_fd);
	child_command_add_fd(&c, "--counters-fd", egress->plan.counters_fd);
	return spawn_member(m, &c, theirs, "proxy.log", err);
}

/* Its channel's other end goes to the proxy. */
static int hand_channel(struct egress *egress, const struct injector *i, int fd, struct err *err)
{
	struct egress_control message = { .op = EGRESS_CONTROL_INJECTOR };
	int r;

	memcpy(message.binding, i->binding.id, sizeof(message.binding));
	r = egress_control_send(egress->proxy.control_fd, &message, fd);
	return r < 0 ? err_set(err, r, "sandbox-proxy: it takes no channel: %s", strerror(-r)) : 0;
}

static int spawn_injector(struct egress *egress, struct injector *i, struct err *err)
{
	_cleanup_close_ int ours = -1, channel = -1;
	struct member *m = &i->m;
	struct child_command c = {};
	char log_name[32] = "injector.log";
	int theirs, r;

	if (i->number)
		snprintf(log_name, sizeof(log_name), "injector-%u.log", i->number);
	clear_member(m);
	r = socket_pair(SOCK_STREAM, &ours, &channel, err);
	if (r < 0)
		return r;
	theirs = begin_command(m, &c, err);
	if (theirs < 0)
		return theirs;
	child_command_add_fd(&c, "--channel-fd", channel);
	child_command_add_fd(&c, "--policy-fd", egress->plan.policy.bundle_fd);
	if (*i->binding.id) {
		child_command_add(&c, "--binding");
		child_command_add(&c, "%s", i->binding.id);
		child_command_add(&c, "--secret-name");
		child_command_add(&c, "%s", i->binding.secret);
	}
	r = spawn_member(m, &c, theirs, log_name, err);
	return r < 0 ? r : hand_channel(egress, i, ours, err);
}

static bool any_injector_alive(const struct egress *egress)
{
	for (const struct injector *i = egress->injectors; i; i = i->next)
		if (member_alive(&i->m))
			return true;
	return false;
}

/* Those that are not there. */
static int spawn_missing_injectors(struct egress *egress, struct err *err)
{
	int r = 0;

	for (struct injector *i = egress->injectors; r == 0 && i; i = i->next)
		if (!member_alive(&i->m) && !i->unwanted)
			r = spawn_injector(egress, i, err);
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
	member_init(&i->m, egress, "sandbox-injector");
	i->binding = *binding;
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

/* One for each binding of the plan's policy, and none that is no longer in it, or whose secret is another now. */
static int match_injectors(struct egress *egress, struct err *err)
{
	const struct egress_policy *policy = &egress->plan.policy;
	int r = 0;

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

/* There is no store of secrets yet that one could be fetched from. */
static int refuse_bindings(const struct egress_policy *policy, struct err *err)
{
	if (!policy->binding_count)
		return 0;
	err_set(err, -EOPNOTSUPP, "policy: the binding %s: credentials are not available yet",
		policy->bindings[0].id);
	return err_next_step(err, "take the bindings out of the policy");
}

int egress_check(const struct spec *spec, const struct paths *paths, struct err *err)
{
	struct egress_policy policy;
	int r = egress_policy_load(spec, paths, &policy, err);

	if (r < 0)
		return r;
	r = refuse_bindings(&policy, err);
	egress_policy_finish(&policy);
	return r;
}

int egress_reload(struct egress *egress, struct err *err)
{
	struct supervisor *s = egress->supervisor;
	struct egress_policy policy;
	int r = egress_policy_load(&s->record.spec, &s->paths, &policy, err);

	if (r < 0)
		return r;
	r = refuse_bindings(&policy, err);
	if (r < 0) {
		egress_policy_finish(&policy);
		return r;
	}
	egress_policy_finish(&egress->plan.policy);
	egress->plan.policy = policy;
	r = match_injectors(egress, err);
	for (struct injector *i = egress->injectors; r == 0 && i; i = i->next)
		if (!i->unwanted)
			r = send_policy(egress, &i->m, err);
	if (r == 0)
		r = spawn_missing_injectors(egress, err);
	return r < 0 ? r : send_policy(egress, &egress->proxy, err);
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
	member_init(&egress->proxy, egress, "sandbox-proxy");
	r = egress_plan_prepare(&s->record.spec, &s->paths, &egress->plan, err);
	if (r == 0)
		r = refuse_bindings(&egress->plan.policy, err);
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
		member_finish(&i->m);
		free(i);
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

	if (r < 0)
		return err_set(err, r, "egress: %s", strerror(-r));
	return spawn_missing(egress, err);
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
	if (egress->stalled)
		return "stalled";
	return member_alive(&egress->proxy) && any_injector_alive(egress) ? "up" : "restarting";
}

uint64_t egress_layers(const struct egress *egress)
{
	uint64_t layers = egress->proxy.layers;

	for (const struct injector *i = egress->injectors; i; i = i->next)
		if (member_alive(&i->m))
			layers &= i->m.layers;
	return layers;
}
