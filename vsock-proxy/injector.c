/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-proxy/injector.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "policy/explain.h"
#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/event.h"
#include "vmm/base/fdio.h"
#include "vmm/base/log.h"
#include "vsock-proxy/bundle.h"
#include "vsock-proxy/egress_control.h"
#include "vsock-proxy/injector_state.h"
#include "vsock-proxy/local_address.h"
#include "vsock-proxy/locked.h"

/* Policy. */

static int hold_policy(struct policy *policy, struct held_policy **ret, struct err *err)
{
	struct held_policy *held = calloc(1, sizeof(*held));
	int r;

	if (!held) {
		policy_destroy(policy);
		return err_set(err, -ENOMEM, "policy: no memory");
	}
	r = policy_digest(policy, held->digest, err);
	if (r < 0) {
		policy_destroy(policy);
		free(held);
		return r;
	}
	held->policy = policy;
	held->users = 1;
	*ret = held;
	return 0;
}

struct held_policy *held_policy_get(struct injector *injector)
{
	injector->policy->users++;
	return injector->policy;
}

void held_policy_put(struct held_policy *held)
{
	if (!held || --held->users)
		return;
	policy_destroy(held->policy);
	free(held);
}

/* Judging. */

bool injector_judges_again(const struct policy_decision *decision,
	const struct policy_host *address, enum policy_reason *ret_reason)
{
	struct policy_decision judged;

	policy_decide_address(decision, address, &judged);
	if (judged.verdict == POLICY_DENY)
		*ret_reason = judged.reason;
	return judged.verdict != POLICY_DENY;
}

bool injector_judges(struct injector *injector, const struct policy_decision *decision,
	const struct policy_host *address, enum policy_reason *ret_reason)
{
	if (!injector_judges_again(decision, address, ret_reason))
		return false;
	if (local_address_is(injector->config.local, address)) {
		*ret_reason = POLICY_REASON_FORBIDDEN;
		return false;
	}
	return true;
}

static struct audit_bytes bytes_of(const char *text, enum audit_text kind)
{
	size_t len = text ? strlen(text) : 0;

	return (struct audit_bytes){ .data = (const uint8_t *)text,
		.len = MIN(len, audit_text_max(kind)) };
}

static void record_denial(struct injector *injector, const struct held_policy *held,
	const struct policy_request *q, const struct policy_decision *d, const char *reason)
{
	struct audit_event event = { .kind = AUDIT_EGRESS,
		.tier = (uint8_t)held->policy->tier,
		.decision = AUDIT_DENIED,
		.count = 1 };
	char host[POLICY_NAME_MAX + 16];
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	event.time_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	snprintf(host, sizeof(host), q->host.kind == POLICY_HOST_IPV6 ? "[%s]:%u" : "%s:%u",
		q->host.text, q->port);
	event.text[AUDIT_RULE] = bytes_of(d->rule_id, AUDIT_RULE);
	event.text[AUDIT_POLICY] = bytes_of(held->digest, AUDIT_POLICY);
	event.text[AUDIT_METHOD] = bytes_of(q->method, AUDIT_METHOD);
	event.text[AUDIT_HOST] = bytes_of(host, AUDIT_HOST);
	event.text[AUDIT_PATH] = bytes_of(q->path, AUDIT_PATH);
	event.text[AUDIT_DETAIL] = bytes_of(reason, AUDIT_DETAIL);
	audit_sender_send(injector->audit, &event);
}

void injector_deny(struct injector *injector, struct channel_stream *stream,
	const struct held_policy *held, const struct policy_request *request,
	const struct policy_decision *decision)
{
	struct policy_explanation e;
	struct record_denied m = { .reason = (uint8_t)decision->reason };

	policy_explain(held->policy, request, decision, &e);
	record_denial(injector, held, request, decision, e.reason);
	m.rule_id = e.rule;
	m.text = e.detail;
	m.command = strlen(e.command) < RECORD_TEXT_MAX ? e.command : "";
	if (strlen(m.text) >= RECORD_TEXT_MAX)
		m.text = e.reason;
	if (channel_deny(stream, &m) < 0)
		channel_reset(stream, RECORD_INTERNAL);
}

/* Streams. */

static bool is_ours(const struct injector *injector, const struct policy_decision *d)
{
	const struct injector_config *c = &injector->config;

	if (!d->binding)
		return !c->binding;
	return c->binding && !strcmp(d->binding->id, c->binding) &&
	       !strcmp(d->binding->secret, c->secret_name);
}

static void on_request(void *owner, struct channel_stream *stream, const struct record_request *m)
{
	struct injector *injector = owner;
	struct held_policy *held = held_policy_get(injector);
	struct policy_decision decision;

	channel_set_data(stream, NULL);
	policy_decide(held->policy, &m->request, &decision);
	if (decision.verdict != POLICY_DENY && !is_ours(injector, &decision)) {
		decision.verdict = POLICY_DENY;
		decision.reason = POLICY_REASON_BINDING;
	}
	if (decision.verdict == POLICY_DENY)
		injector_deny(injector, stream, held, &m->request, &decision);
	else if (!audit_sender_ready(injector->audit))
		channel_reset(stream, RECORD_INTERNAL); /* no audit, no egress */
	else if (m->request.protocol == POLICY_PROTOCOL_HTTP)
		job_begin(injector, stream, m, &decision);
	else
		relay_begin(injector, stream, m, &decision);
	held_policy_put(held);
}

static const struct channel_ops *ops_of(struct channel_stream *stream)
{
	const struct stream_owner *owner = channel_data(stream);

	return owner ? owner->ops : NULL;
}

static void on_data(struct channel_stream *stream, const uint8_t *bytes, size_t len)
{
	if (ops_of(stream))
		ops_of(stream)->data(stream, bytes, len);
}

static void on_end(struct channel_stream *stream, const struct record_fields *trailers)
{
	if (ops_of(stream))
		ops_of(stream)->end(stream, trailers);
}

static void on_reset(struct channel_stream *stream, enum record_reason reason)
{
	if (ops_of(stream))
		ops_of(stream)->reset(stream, reason);
}

static void on_writable(struct channel_stream *stream)
{
	if (ops_of(stream))
		ops_of(stream)->writable(stream);
}

static void on_broken(void *owner, int code, const char *why)
{
	struct injector *injector = owner;

	if (code)
		log_error("the proxy broke its word: %s", why);
	injector->over = true;
}

static const struct channel_ops channel_ops = {
	.request = on_request,
	.data = on_data,
	.end = on_end,
	.reset = on_reset,
	.writable = on_writable,
	.broken = on_broken,
};

/* What the supervisor says. */

static void tell(struct injector *injector, uint16_t kind, int code)
{
	uint64_t value = (uint64_t)(code < 0 ? -code : code);

	if (injector->config.event_fd >= 0)
		event_send(injector->config.event_fd, &injector->event_sequence, kind, &value, 1);
}

static void take_policy(struct injector *injector, int fd)
{
	struct policy *policy = NULL;
	struct held_policy *held;
	struct err err = {};
	int r = bundle_read(fd, &policy, &err);

	if (r == 0)
		r = hold_policy(policy, &held, &err);
	if (r < 0) {
		log_error("the new policy is refused: %s", err.text);
	} else {
		held_policy_put(injector->policy);
		injector->policy = held;
	}
	tell(injector, EVENT_INJECTOR_POLICY, r);
}

/* What has begun goes on with the mask it began with. */
static int set_secret(struct injector *injector, const char *value, size_t len)
{
	struct redact *redact;
	int r;

	if (!len || len > INJECT_SECRET_MAX)
		return -EINVAL;
	r = redact_create((const uint8_t *)value, len, &redact);
	if (r < 0)
		return r;
	if (!injector->secret)
		injector->secret = locked_alloc(INJECT_SECRET_MAX);
	if (!injector->secret) {
		redact_destroy(redact);
		return -ENOMEM;
	}
	if (injector->redact) {
		struct old_mask *old = calloc(1, sizeof(*old));

		if (!old) {
			redact_destroy(redact);
			return -ENOMEM;
		}
		old->redact = injector->redact;
		old->next = injector->old_masks;
		injector->old_masks = old;
	}
	injector->redact = redact;
	explicit_bzero(injector->secret, INJECT_SECRET_MAX);
	memcpy(injector->secret, value, len);
	injector->secret_len = len;
	return 0;
}

static void end_fresh(struct injector *injector, int code)
{
	loop_remove(TAKE_PTR(injector->secret_source));
	close_keeping_errno(TAKE_FD(injector->secret_fd));
	locked_free(TAKE_PTR(injector->fresh), INJECT_SECRET_MAX + 1);
	tell(injector, EVENT_INJECTOR_SECRET, code);
}

static void on_fresh(void *data, uint32_t events)
{
	struct injector *injector = data;
	ssize_t n = read(injector->secret_fd, injector->fresh + injector->fresh_len,
		INJECT_SECRET_MAX + 1 - injector->fresh_len);

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0 && (injector->fresh_len += (size_t)n) <= INJECT_SECRET_MAX)
		return;
	end_fresh(injector, n < 0   ? -errno
			    : n > 0 ? -E2BIG
				    : set_secret(injector, injector->fresh, injector->fresh_len));
}

static void take_secret(struct injector *injector, int fd)
{
	if (!injector->config.binding || injector->secret_source) {
		close_keeping_errno(fd);
		tell(injector, EVENT_INJECTOR_SECRET, -EBUSY);
		return;
	}
	injector->secret_fd = fd;
	injector->fresh_len = 0;
	injector->fresh = locked_alloc(INJECT_SECRET_MAX + 1);
	if (!injector->fresh || fdio_set_nonblocking(fd, true) < 0 ||
		loop_add_fd(injector->loop, fd, EPOLLIN, on_fresh, injector,
			&injector->secret_source) < 0)
		end_fresh(injector, -ENOMEM);
}

static void on_control(void *data, uint32_t events)
{
	struct injector *injector = data;
	struct egress_control m;
	int fd, r;

	(void)events;
	r = egress_control_receive(injector->config.control_fd, &m, &fd);
	if (r == -EAGAIN || r == -EBADMSG)
		return;
	if (r <= 0) {
		loop_remove(TAKE_PTR(injector->control_source));
		injector->over = true;
		return;
	}
	switch ((enum egress_control_op)m.op) {
	case EGRESS_CONTROL_POLICY:
		take_policy(injector, fd);
		break;
	case EGRESS_CONTROL_SECRET:
		take_secret(injector, TAKE_FD(fd));
		break;
	case EGRESS_CONTROL_INJECTOR:
		break; /* none is for us */
	}
	close_keeping_errno(fd);
}

/* Its life. */

static int set_up(struct injector *injector, struct err *err)
{
	const struct injector_config *c = &injector->config;
	struct upstream_setup setup = {
		.loop = injector->loop, .resolver = c->resolver, .tls = c->tls, .via = c->via
	};
	int r = audit_sender_create(injector->loop, c->audit_fd, &injector->audit);

	if (r == 0)
		r = upstream_pool_create(&setup, &injector->pool);
	if (r == 0 && c->control_fd >= 0)
		r = loop_add_fd(injector->loop, c->control_fd, EPOLLIN, on_control, injector,
			&injector->control_source);
	if (r < 0)
		return err_set(err, r, "injector: %s", strerror(-r));
	if (c->binding && (r = set_secret(injector, c->secret.value, c->secret.len)) < 0) {
		err_set(err, r, "secret %s: %s", c->secret_name,
			r == -EINVAL
				? "it is empty, or too short or too long to be looked for in answers"
				: strerror(-r));
		return err_next_step(err, "sandboxctl secret set %s", c->secret_name);
	}
	return 0;
}

int injector_create(struct loop *loop, const struct injector_config *config, struct injector **ret,
	struct err *err)
{
	struct injector *injector = calloc(1, sizeof(*injector));
	int r;

	if (!injector) {
		policy_destroy(config->policy);
		close(config->channel_fd);
		return err_set(err, -ENOMEM, "injector: no memory");
	}
	injector->loop = loop;
	injector->config = *config;
	injector->config.secret = (struct inject_secret){};
	injector->secret_fd = -1;
	r = hold_policy(config->policy, &injector->policy, err);
	if (r == 0) {
		injector->config.secret = config->secret;
		r = set_up(injector, err);
		injector->config.secret = (struct inject_secret){};
	}
	if (r == 0)
		r = channel_create(loop, config->channel_fd, RECORD_FROM_INJECTOR, &channel_ops,
			injector, &injector->channel, err);
	else
		close(config->channel_fd);
	if (r < 0)
		injector_destroy(injector);
	else
		*ret = injector;
	return r;
}

void injector_destroy(struct injector *injector)
{
	if (!injector)
		return;
	loop_remove(injector->control_source);
	if (injector->secret_source)
		end_fresh(injector, -ECANCELED);
	channel_destroy(injector->channel);
	upstream_pool_destroy(injector->pool);
	audit_sender_destroy(injector->audit);
	redact_destroy(injector->redact);
	while (injector->old_masks) {
		struct old_mask *old = injector->old_masks;

		injector->old_masks = old->next;
		redact_destroy(old->redact);
		free(old);
	}
	locked_free(injector->secret, INJECT_SECRET_MAX);
	held_policy_put(injector->policy);
	free(injector);
}

bool injector_is_over(const struct injector *injector)
{
	return injector->over;
}
