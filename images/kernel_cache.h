/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Which kernel a sandbox boots, as an ELF file: found by name or path (kernel_find.c), unpacked once and kept by digest
 * (kernel_cache.c).
 *
 * The cache ($XDG_CACHE_HOME/sandboxctl) holds kernels/NAME/{vmlinux or vmlinuz, modules/, version, config, package}, made by
 * images/kernel/fetch and images/kernel/build, and vmlinux/SHA256, what kernel_cache_open() unpacked; vmlinux/by-stat/ maps
 * a file's place, size and times to its digest, so that a boot reads no kernel twice.
 */
#include <limits.h>

#include "images/kernel_unpack.h"
#include "vmm/base/err.h"

struct kernel_choice {
	char name[256]; /* for people: debian-6.1-generic, or a path */
	char image[PATH_MAX]; /* the file: ELF or bzImage */
	char folder[PATH_MAX]; /* with modules/ in it; empty where there is none */
};

/*
 * wanted: NULL for the default (the distribution's generic kernel), `generic`, `cloud`, `minimal`, `6.1`, `6.12`,
 * `6.12-cloud`, a folder's name below kernels/, or a path (with a `/`) to such a folder or to a kernel file. -ENOENT: the
 * error says how to get it. -EPERM: modules/ beside a kernel outside of the cache.
 */
int kernel_cache_find(
	const char *cache, const char *wanted, struct kernel_choice *ret, struct err *err);

/*
 * *ret_fd: the choice as ELF, read-only, CLOEXEC. Unpacks at most once, whoever asks at the same time, and in a jailed
 * process: of the file itself only its first four bytes are looked at here (H10).
 */
int kernel_cache_open(const char *cache, const struct kernel_choice *choice,
	const struct kernel_unpacker *unpacker, int *ret_fd, struct err *err);
