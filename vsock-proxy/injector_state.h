/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What one sandbox-injector knows, for the files that it is made of: injector.c (its sockets, policy and secret), job.c (one
 * request), relay.c (one opaque connection), unmask.c (the answer's body on its way through the mask).
 */
#include "vmm/supervisor/audit/audit_sender.h"
#include "vsock-proxy/channel.h"
#include "vsock-proxy/inject.h"
#include "vsock-proxy/injector.h"
#include "vsock-proxy/policy_digest.h"
#include "vsock-proxy/redact.h"
#include "vsock-proxy/upstream.h"

/* A policy, for as long as a decision of it is in use. */
struct held_policy {
	struct policy *policy;
	unsigned int users;
	char digest[POLICY_DIGEST_LEN + 1];
};

/* Of secrets that were: answers that began with them still borrow. */
struct old_mask {
	struct redact *redact;
	struct old_mask *next;
};

struct injector {
	struct loop *loop;
	struct injector_config config;
	struct channel *channel;
	struct held_policy *policy;
	char *secret; /* locked_alloc(), config.secret.len of INJECT_SECRET_MAX bytes; NULL: `open` */
	size_t secret_len;
	struct redact *redact; /* of the secret */
	struct old_mask *old_masks;
	struct inject_output output; /* of the request that is being sent; wiped after each */
	struct upstream_pool *pool;
	struct audit_sender *audit;
	struct loop_source *control_source, *secret_source;
	int secret_fd; /* a fresh one on its way */
	size_t fresh_len;
	char *fresh;
	uint32_t event_sequence;
	bool over;
};

/* Who has a stream: its data. */
struct stream_owner {
	const struct channel_ops *ops;
};

struct held_policy *held_policy_get(struct injector *injector);
void held_policy_put(struct held_policy *held);

/* Whether an address that a decided host resolved to may be dialled: by the decision, and by the kernel's word (E6). */
bool injector_judges(struct injector *injector, const struct policy_decision *decision,
	const struct policy_host *address, enum policy_reason *ret_reason);
/* The same where a connection to it is there already: by the decision. */
bool injector_judges_again(const struct policy_decision *decision,
	const struct policy_host *address, enum policy_reason *ret_reason);
/* Denied to the proxy, and written down here as well. */
void injector_deny(struct injector *injector, struct channel_stream *stream,
	const struct held_policy *held, const struct policy_request *request,
	const struct policy_decision *decision);

/* A stream that was decided and is this injector's to carry out. The stream is answered, whatever happens. */
void job_begin(struct injector *injector, struct channel_stream *stream,
	const struct record_request *m, const struct policy_decision *decision);
void relay_begin(struct injector *injector, struct channel_stream *stream,
	const struct record_request *m, const struct policy_decision *decision);
