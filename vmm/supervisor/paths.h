/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Where things lie on the host, by the XDG rules, and the checks that make a folder fit to hold sockets and state (E17).
 *
 *   state    $XDG_STATE_HOME/sandboxctl     (~/.local/state)  sandboxes/NAME/{record.json,lock,console.log,session.log,
 *                                                             supervisor.log,vmm.log,link.log,etc/,ssh/}
 *   runtime  $XDG_RUNTIME_DIR/sandboxctl    (state/run)       NAME/{control.sock,vsock/vsock.sock}
 *   cache    $XDG_CACHE_HOME/sandboxctl     (~/.cache)        kernels/ initramfs/ tools/ vmlinux/
 *   config   $XDG_CONFIG_HOME/sandboxctl    (~/.config)
 *   data     $XDG_DATA_HOME/sandboxctl      (~/.local/share)
 *   exposed  root only: /run/sandboxctl: what a jailed process of another user must reach (sockets, /etc snapshot)
 *
 * State and runtime folders are the caller's own, 0700, no links, and below no folder that others may write to (a sticky
 * one, like /tmp, counts as writable). Where XDG_RUNTIME_DIR is unset, runtime is `run` in the state folder.
 */
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "vmm/base/err.h"

#define PATHS_SOCKET_MAX   107 /* sun_path without its NUL */
#define PATHS_PROGRAM	   "sandboxctl"
#define PATHS_EXPOSED_ROOT "/run/sandboxctl"

struct paths {
	char state[PATH_MAX];
	char runtime[PATH_MAX];
	char cache[PATH_MAX];
	char config[PATH_MAX];
	char data[PATH_MAX];
};

/* From the environment; touches nothing. -ENOENT without HOME, -EINVAL where a variable is not an absolute path. */
int paths_load(struct paths *ret, struct err *err);

/* Makes (0700) and checks state, state/sandboxes and runtime. */
int paths_prepare(const struct paths *paths, struct err *err);

/* <state>/sandboxes/NAME[/FILE]; file may be NULL. -ENAMETOOLONG. name must be valid (H13): -EINVAL else. */
int paths_of_state(const struct paths *paths, const char *name, const char *file,
	char ret_path[static PATH_MAX], struct err *err);
/* <runtime>/NAME[/FILE]; a path that ends in .sock must fit a socket address (PATHS_SOCKET_MAX). */
int paths_of_runtime(const struct paths *paths, const char *name, const char *file,
	char ret_path[static PATH_MAX], struct err *err);

/*
 * Opens path as a folder that is the caller's own, 0700, not a link, and that no other user could have replaced: every
 * ancestor is root's or ours and not writable by others. Makes the last component where it is missing.
 */
int paths_open_private(const char *path, int *ret_fd, struct err *err);

/*
 * A program of this product: beside the running one first (build tree), then in libexec beside its bin (an installation,
 * wherever it was put), then in the libexec folder it was built for. What was found must be executable.
 */
int paths_find_program(const char *program, char ret_path[static PATH_MAX], struct err *err);
/* A script of images/ (e.g. "initramfs/build"): an installation's own, else the source tree's of a build tree. */
int paths_find_image_script(const char *script, char ret_path[static PATH_MAX], struct err *err);
