/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The keys of `sandboxctl ssh`, made once per sandbox in its state folder, so that no connection ever asks:
 *   ssh/id_ed25519, .pub     the user's side
 *   ssh/host_ed25519, .pub   the guest's, told to it in WELCOME
 *   ssh/known_hosts          the host key under the sandbox's name (ssh's HostKeyAlias)
 * In the guest: /run/sandbox/ssh/{authorized_keys,sshd_config,host_ed25519} and /home/sandbox/.ssh/authorized_keys (dropbear
 * reads no other).
 */
#include "vmm/base/err.h"

#define SSH_KEYS_FILE_MAX 16384

/* folder: the sandbox's ssh folder, made 0700. What is there already stays. */
int ssh_keys_make(const char *folder, const char *name, struct err *err);
