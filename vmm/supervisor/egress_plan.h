/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What a sandbox's way out needs before any process of it is started: its policy as the bundle that proxy and injectors get,
 * which credentials it binds, the sandbox's own certificate authority (E16), and the socket over which the link hands on streams.
 *
 * The CA's key is in memory here so that a proxy that takes a killed one's place is believed as the first was.
 */
#include "policy/policy.h"
#include "vmm/supervisor/policy_sources.h"
#include "vmm/supervisor/spec.h"
#include "vsock-proxy/ca.h"
#include "vsock-proxy/policy_digest.h"

struct egress_binding {
	char id[POLICY_ID_MAX + 1];
	char secret[POLICY_SECRET_NAME_MAX + 1];
};

/* A policy as the supervisor knows it: replaced as a whole at a reload. */
struct egress_policy {
	int bundle_fd; /* sealed memfd: vsock-proxy/bundle.h */
	char digest[POLICY_DIGEST_LEN + 1];
	struct egress_binding *bindings;
	size_t binding_count;
	struct policy_project project; /* kept over reloads */
};

struct egress_plan {
	struct egress_policy policy;
	int ca_fd; /* sealed memfd: ca_export() */
	char certificate[CA_PEM_MAX]; /* what the guest is to trust */
	char certificate_name[CA_HASH_NAME_MAX]; /* in a folder of such */
	int link_fd; /* the link's end of the socket to the proxy */
	int streams_fd; /* the proxy's: kept, so that streams wait for one that takes its place */
	int counters_fd; /* limits that outlive the sandbox's runs */
};

/*
 * -EINVAL with file and place for what a document may not say; the tier's word likewise. Of its own, for `start --check`. before:
 * the one that is in force, of a sandbox that runs; NULL.
 */
int egress_policy_load(const struct spec *spec, const struct paths *paths,
	const struct egress_policy *before, struct egress_policy *ret, struct err *err);
void egress_policy_finish(struct egress_policy *policy);

void egress_plan_init(struct egress_plan *plan);
int egress_plan_prepare(const struct spec *spec, const struct paths *paths,
	struct egress_plan *plan, struct err *err);
/* Wipes the CA's key. */
void egress_plan_finish(struct egress_plan *plan);
