/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/share/fd_budget.h"

#include "vmm/base/array.h"
#include "vmm/share/share.h"

static const uint32_t weights[] = {
	[IDMAP_MAPPED] = 4,
	[IDMAP_HOST] = 10,
	[IDMAP_INTERNAL] = 1,
};

void fd_budget_divide(uint64_t limit, const enum idmap_kind *kinds, size_t count, uint32_t *ret)
{
	uint64_t all = limit > FD_BUDGET_RESERVED ? limit - FD_BUDGET_RESERVED : 0, total = 0;

	all = MIN(all, (uint64_t)UINT32_MAX);
	for (size_t i = 0; i < count; i++)
		total += weights[kinds[i]];
	for (size_t i = 0; i < count; i++) {
		uint64_t part = all * weights[kinds[i]] / total;

		ret[i] = (uint32_t)MAX(
			MIN(part, (uint64_t)SHARE_FDS_DEFAULT), (uint64_t)SHARE_FDS_MIN);
	}
}
