/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What sandbox-unpack may do once it is sealed: read one file, write another, take memory, end. It opens, makes, connects
 * and starts nothing.
 */
#include "vmm/jail/seccomp_table.h"

#include <seccomp.h>
#include <sys/mman.h>

#include "vmm/base/array.h"

static const struct seccomp_rule rules[] = {
	CALL(fstat, "the kernel file's size"),
	CALL(newfstatat, "glibc's fstat"),
	CALL(pread64, "the kernel file"),
	CALL(write, "what comes out; the answer"),
	CALL(getrandom, "glibc's malloc"),
	CALL_MASKED(mmap, 2, PROT_EXEC, 0, "heap, never executable"),
	CALL_MASKED(mprotect, 2, PROT_EXEC, 0, "heap, never executable"),
	CALL(munmap, "heap"),
	CALL(mremap, "heap"),
	CALL(brk, "heap"),
	CALL(madvise, "heap"),
	CALL(futex, "glibc"),
	CALL(exit_group, "end"),
};

const struct seccomp_table seccomp_unpack = {
	.process = "sandbox-unpack",
	.rules = rules,
	.rule_count = ARRAY_SIZE(rules),
};
