/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * From a distribution's bzImage to the ELF vmlinux inside it, so that the VMM boots ELF only and no boot pays for unpacking
 * (the caller caches by digest). Sources: Linux Documentation/arch/x86/boot.rst (the setup header, protocol 2.08 and up);
 * RFC 1952, the xz and Zstandard formats; for lz4 the "legacy frame" that the kernel's build uses.
 *
 * A kernel file is foreign bytes: finding the payload is pure, every offset is checked, and output and memory are bounded.
 */
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/err.h"

#define KERNEL_FILE_MAX	   (256ull << 20)
#define KERNEL_VMLINUX_MAX (512ull << 20)

enum kernel_packing {
	KERNEL_GZIP = 1,
	KERNEL_XZ,
	KERNEL_ZSTD,
	KERNEL_LZ4,
};

struct kernel_payload {
	enum kernel_packing packing;
	const uint8_t *data; /* borrowed; without the size at its end */
	size_t size;
	uint32_t unpacked_size; /* as the file says */
};

/* file[size]: a whole bzImage. -ENOEXEC with the reason where it is none, or packed in a way not known here. */
int kernel_find_payload(const void *file, size_t size, struct kernel_payload *ret, struct err *err);

/* Takes the next piece of the unpacked kernel; a negative errno stops the unpacking. */
typedef int kernel_sink_fn(void *data, const void *bytes, size_t len);

/*
 * -EBADMSG where the payload is damaged or does not unpack to the size the file tells, -EFBIG past max bytes. What the
 * sink took before a failure is to be thrown away.
 */
int kernel_unpack(const struct kernel_payload *payload, uint64_t max, kernel_sink_fn *sink,
	void *data, struct err *err);

/* bzImage or ELF vmlinux in (regular file, read from its start), ELF vmlinux out (from out_fd's position on). */
int kernel_extract(int in_fd, int out_fd, struct err *err);
