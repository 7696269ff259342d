/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The OpenSSH client's configuration for one sandbox (H15): the key pair and the host key are the sandbox's own, from its
 * state folder, so there is no prompt; the way in is this program as ProxyCommand, so there is no TCP port; no agent, X11,
 * GSSAPI, environment or local command goes along. Pure but for paths_of_state().
 */
#include "vmm/base/err.h"
#include "vmm/supervisor/paths.h"

#define SSH_CONFIG_MAX (8 * PATH_MAX)
/* Below the sandbox's state folder, made by the supervisor (its ssh_keys.h); known_hosts has the key under NAME. */
#define SSH_IDENTITY_FILE    "ssh/id_ed25519"
#define SSH_KNOWN_HOSTS_FILE "ssh/known_hosts"
/* Written by `sandboxctl ssh`. */
#define SSH_CONFIG_FILE "ssh/config"

/* program: the absolute path of sandboxctl. */
int ssh_config_format(const struct paths *paths, const char *name, const char *program, char *out,
	size_t size, struct err *err);
/* The running program's own path. */
int ssh_config_program(char ret_path[static PATH_MAX], struct err *err);
