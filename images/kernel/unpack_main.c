/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox-unpack: a kernel file on fd 0, an ELF vmlinux to fd 1, an answer to fd 3, and its end. It is closed in before the
 * first byte is read; see images/kernel_unpack.h.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "images/kernel/extract.h"
#include "images/kernel_unpack.h"
#include "vmm/base/bytes.h"
#include "vmm/base/fdio.h"
#include "vmm/jail/jail.h"
#include "vmm/jail/seccomp_table.h"

static int set_limits(struct err *err)
{
	static const struct {
		int resource;
		rlim_t value;
	} limits[] = {
		{ RLIMIT_FSIZE, KERNEL_VMLINUX_MAX },
		{ RLIMIT_DATA, KERNEL_UNPACK_HEAP_MAX },
		{ RLIMIT_CPU, KERNEL_UNPACK_CPU_S },
	};

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		struct rlimit limit = { limits[i].value, limits[i].value };

		if (setrlimit((__rlimit_resource_t)limits[i].resource, &limit) < 0)
			return err_set(err, -errno, "sandbox-unpack: limits: %s", strerror(errno));
	}
	return 0;
}

static int close_in(struct err *err)
{
	struct jail_plan plan = { .process = "sandbox-unpack", .lifeline_fd = -1 };
	uint32_t layers = 0;
	int r = jail_begin(&plan, err);

	if (r == 0)
		r = jail_build_root(&plan, err);
	if (r == 0)
		r = set_limits(err);
	if (r == 0)
		r = jail_restrict(&plan, &layers, err);
	return r < 0 ? r : jail_seal(&plan, &seccomp_unpack, &layers, err);
}

int main(void)
{
	uint8_t record[KERNEL_ANSWER_SIZE] = {};
	struct err err = {};
	int r = close_in(&err);

	if (r == 0)
		r = kernel_extract(KERNEL_UNPACK_IN, KERNEL_UNPACK_OUT, &err);
	store_le32(record, (uint32_t)-r);
	snprintf((char *)record + 4, sizeof(record) - 4, "%.200s", r < 0 ? err.text : "");
	_exit(fdio_write_full(KERNEL_UNPACK_ANSWER, record, sizeof(record)) < 0 ? 1 : 0);
}
