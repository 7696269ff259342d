/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/egress_plan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/supervisor/jailed_child.h"
#include "vmm/supervisor/sealed.h"
#include "vsock-proxy/bundle.h"

static int parse_tier(const struct spec *spec, enum policy_tier *ret, struct err *err)
{
	*ret = POLICY_TIER_BUILDER;
	if (!spec->tier || policy_tier_parse(spec->tier, ret))
		return 0;
	err_set(err, -EINVAL, "--tier %.40s: there is no such tier", spec->tier);
	return err_next_step(err, "--tier builder, deployer, orchestrator or admin");
}

static int copy_bindings(const struct policy *policy, struct egress_policy *ret, struct err *err)
{
	ret->bindings = calloc(policy->binding_count + 1, sizeof(*ret->bindings));
	if (!ret->bindings)
		return err_set(err, -ENOMEM, "policy: no memory");
	for (size_t i = 0; i < policy->binding_count; i++) {
		const struct policy_binding *from = &policy->bindings[i];
		struct egress_binding *to = &ret->bindings[ret->binding_count];

		if (from->tier > policy->tier) /* of a tier that this sandbox does not have */
			continue;
		snprintf(to->id, sizeof(to->id), "%s", from->id);
		snprintf(to->secret, sizeof(to->secret), "%s", from->secret);
		ret->binding_count++;
	}
	return 0;
}

static int make_bundle(
	const struct policy_sources *sources, enum policy_tier tier, int *ret_fd, struct err *err)
{
	size_t size = bundle_size(sources->list, sources->count);
	_cleanup_free_ uint8_t *bundle = size ? malloc(size) : NULL;

	if (!bundle)
		return err_set(err, size ? -ENOMEM : -E2BIG,
			"policy: its documents are more than %u bytes", BUNDLE_MAX);
	bundle_encode(sources->list, sources->count, tier, bundle);
	return sealed_memfd("policy", bundle, size, ret_fd, err);
}

int egress_policy_load(const struct spec *spec, const struct paths *paths,
	const struct egress_policy *before, struct egress_policy *ret, struct err *err)
{
	struct policy_inputs inputs = { .paths = paths,
		.sandbox = spec->name,
		.workspace = spec->workspace.host,
		.command = spec->policy,
		.project = before ? &before->project : NULL };
	struct egress_policy made = { .bundle_fd = -1 };
	struct policy_sources sources = {};
	struct policy *policy = NULL;
	enum policy_tier tier;
	int r = parse_tier(spec, &tier, err);

	if (r == 0)
		r = policy_sources_load(&inputs, &sources, err);
	if (r == 0)
		r = policy_create(sources.list, sources.count, tier, &policy, err);
	if (r == 0)
		r = policy_digest(policy, made.digest, err);
	if (r == 0)
		r = copy_bindings(policy, &made, err);
	if (r == 0)
		r = make_bundle(&sources, tier, &made.bundle_fd, err);
	if (r == 0 && policy_project_copy(&sources.project, &made.project) < 0)
		r = err_set(err, -ENOMEM, "policy: no memory");
	policy_destroy(policy);
	policy_sources_finish(&sources);
	if (r < 0)
		egress_policy_finish(&made);
	else
		*ret = made;
	return r;
}

void egress_policy_finish(struct egress_policy *policy)
{
	close_keeping_errno(policy->bundle_fd);
	free(policy->bindings);
	policy_project_finish(&policy->project);
	*policy = (struct egress_policy){ .bundle_fd = -1 };
}

static int make_ca(const struct spec *spec, struct egress_plan *plan, struct err *err)
{
	char text[CA_EXPORT_MAX];
	struct ca *ca = NULL;
	size_t len;
	int r = ca_create(spec->name, time(NULL), &ca, err);

	if (r == 0)
		r = ca_certificate(ca, plan->certificate, err);
	if (r == 0)
		ca_hash_name(ca, plan->certificate_name);
	if (r == 0)
		r = ca_export(ca, text, &len, err);
	if (r == 0)
		r = sealed_memfd("ca", text, len, &plan->ca_fd, err);
	explicit_bzero(text, sizeof(text));
	ca_destroy(ca);
	return r;
}

static int open_counters(const struct spec *spec, const struct paths *paths,
	struct egress_plan *plan, struct err *err)
{
	char path[PATH_MAX];
	int r = paths_of_state(paths, spec->name, "limits", path, err);

	if (r < 0)
		return r;
	plan->counters_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	return plan->counters_fd < 0 ? err_set(err, -errno, "%s: %m", path) : 0;
}

void egress_plan_init(struct egress_plan *plan)
{
	*plan = (struct egress_plan){ .policy.bundle_fd = -1,
		.ca_fd = -1,
		.link_fd = -1,
		.streams_fd = -1,
		.counters_fd = -1 };
}

int egress_plan_prepare(const struct spec *spec, const struct paths *paths,
	struct egress_plan *plan, struct err *err)
{
	int r = egress_policy_load(spec, paths, NULL, &plan->policy, err);

	/* H5: what this start goes by is approved, where nothing was before. */
	if (r == 0)
		r = policy_project_settle(paths, spec->workspace.host, &plan->policy.project, err);
	if (r == 0)
		r = policy_project_save(paths, spec->name, &plan->policy.project, err);
	if (r == 0)
		r = make_ca(spec, plan, err);
	if (r == 0)
		r = open_counters(spec, paths, plan, err);
	return r < 0 ? r : socket_pair(SOCK_SEQPACKET, &plan->streams_fd, &plan->link_fd, err);
}

void egress_plan_finish(struct egress_plan *plan)
{
	egress_policy_finish(&plan->policy);
	close_keeping_errno(plan->ca_fd); /* its pages go with the last of its fds */
	close_keeping_errno(plan->link_fd);
	close_keeping_errno(plan->streams_fd);
	close_keeping_errno(plan->counters_fd);
	egress_plan_init(plan);
}
