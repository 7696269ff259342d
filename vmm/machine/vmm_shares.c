/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/machine/vmm_shares.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "vmm/base/cleanup.h"
#include "vmm/share/fd_budget.h"

static enum idmap_kind idmap_of(enum vmm_share_kind kind)
{
	switch (kind) {
	case VMM_SHARE_MAPPED:
		return IDMAP_MAPPED;
	case VMM_SHARE_HOST:
		return IDMAP_HOST;
	case VMM_SHARE_INTERNAL:
		return IDMAP_INTERNAL;
	}
	return IDMAP_INTERNAL;
}

/* jail_restrict raises the soft limit to the hard one. */
static void divide_fds(const struct vmm_options *options, uint32_t ret[static VMM_SHARES_MAX])
{
	enum idmap_kind kinds[VMM_SHARES_MAX];
	struct rlimit files = {};

	for (size_t i = 0; i < options->share_count; i++)
		kinds[i] = idmap_of(options->shares[i].kind);
	getrlimit(RLIMIT_NOFILE, &files);
	fd_budget_divide(files.rlim_max, kinds, options->share_count, ret);
}

void vmm_shares_plan(const struct vmm_options *options, struct vmm_shares *shares)
{
	for (size_t i = 0; i < options->share_count; i++) {
		const struct vmm_share_option *option = &options->shares[i];

		snprintf(shares->targets[i], sizeof(shares->targets[i]), "/share/%u",
			(unsigned int)i);
		shares->binds[i] = (struct jail_bind){
			.source = option->path,
			.target = shares->targets[i],
			.readonly = option->readonly,
			.device = option->device,
			.inode = option->inode,
		};
	}
}

static int open_root(const struct vmm_options *options, size_t i, bool jailed, uint32_t fds_max,
	struct vmm_shares *shares, struct err *err)
{
	const struct vmm_share_option *option = &options->shares[i];
	const char *path = jailed ? shares->targets[i] : option->path;
	int fd = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return err_set(err, -errno, "share %s: cannot open %s: %s", option->tag,
			option->path, strerror(errno));
	shares->configs[i] = (struct share_config){
		.root_fd = fd,
		.proc_fd = shares->proc_fd,
		.proc_path = jailed ? "/fd" : "/proc/self/fd",
		.kind = idmap_of(option->kind),
		.readonly = option->readonly,
		.trust_hardlinks = option->trust_hardlinks,
		.fds_max = fds_max,
	};
	shares->shares[i] = (struct devices_share){
		.tag = option->tag,
		.config = &shares->configs[i],
		.protected_ids = options->protected_ids,
		.protected_count = option->readonly ? 0 : options->protected_count,
	};
	return 0;
}

int vmm_shares_open(
	const struct vmm_options *options, bool jailed, struct vmm_shares *shares, struct err *err)
{
	uint32_t fds[VMM_SHARES_MAX];

	shares->proc_fd = -1;
	if (!options->share_count)
		return 0;
	shares->proc_fd = open(jailed ? "/fd" : "/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (shares->proc_fd < 0)
		return err_set(
			err, -errno, "shares: cannot open /proc/self/fd: %s", strerror(errno));
	divide_fds(options, fds);
	for (size_t i = 0; i < options->share_count; i++) {
		int r = open_root(options, i, jailed, fds[i], shares, err);

		if (r < 0)
			return r;
	}
	return 0;
}
