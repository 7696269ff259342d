/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * sandbox-injector as a library: takes what a proxy asks for (channel.h), decides it again by its own copy of the policy, and
 * carries it out: resolves, dials what it checked, verifies, adds the one credential it holds, and masks that in what comes
 * back. One is `open`: it holds none. The proxy may be the guest's: it gets what policy gives the guest, and no more (E22).
 *
 * Theory of operation. Each stream of the channel is a job (job.c, relay.c). A request whose decision names another binding than
 * this process's own is denied: so a proxy cannot ask `open` for what needs a credential, nor one binding for another's host.
 *
 * Threads: the loop's. fds are borrowed but channel_fd.
 */
#include "policy/policy.h"
#include "vmm/base/err.h"
#include "vmm/base/loop.h"
#include "vsock-proxy/inject.h"

struct injector;
struct local_address;
struct resolver;
struct via_target;
struct tls_client;

struct injector_config {
	int channel_fd; /* the injector's from then on */
	int control_fd, event_fd, audit_fd; /* -1: none */
	const char *binding; /* its id; NULL: `open` */
	const char *secret_name; /* what the binding must name */
	struct policy *policy; /* the injector's from then on, also where it fails */
	struct inject_secret
		secret; /* len 0: `open`. Copied into locked memory; the caller wipes its own */
	struct resolver *resolver; /* these three are borrowed */
	struct local_address *local;
	struct tls_client *tls;
	const struct via_target *via; /* NULL: none; borrowed too */
};

int injector_create(struct loop *loop, const struct injector_config *config, struct injector **ret,
	struct err *err);
void injector_destroy(struct injector *injector); /* NULL is allowed; wipes the secret */
/* The proxy or the supervisor is gone. */
bool injector_is_over(const struct injector *injector);
