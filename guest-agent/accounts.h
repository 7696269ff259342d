/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The system's own files in the guest's /etc: users and groups, sudo's rules, names of hosts. The texts are built by pure
 * functions; accounts_write() puts them into the root under construction.
 */
#include "guest-agent/protocol/messages.h"
#include "vmm/base/bytes.h"

#define ACCOUNTS_TEXT_MAX 8192

/* Each writes one file's text. w fails where it does not fit. */
void accounts_passwd(
	struct bytes_writer *w, const struct protocol_welcome *welcome, const char *shell);
void accounts_group(struct bytes_writer *w, const struct protocol_welcome *welcome);
void accounts_shadow(struct bytes_writer *w, const struct protocol_welcome *welcome);
void accounts_gshadow(struct bytes_writer *w, const struct protocol_welcome *welcome);
void accounts_hosts(struct bytes_writer *w, const struct protocol_welcome *welcome);
/* The agent's own resolver where egress is offered, else nobody. */
void accounts_resolv_conf(struct bytes_writer *w, const struct protocol_welcome *welcome);
void accounts_sudoers(struct bytes_writer *w, const struct protocol_welcome *welcome);

/*
 * dpkg's list of files with owners of their own (deb-statoverride: `user group mode path` a line), less those whose user or group the
 * guest has not: dpkg would refuse to do anything at all.
 */
void accounts_overrides(struct bytes_writer *w, const struct protocol_welcome *welcome,
	const char *text, size_t len);

/*
 * Writes them all below root ("" for the running system), the user's home with what /etc/skel has, and what is missing
 * of PAM, nsswitch, git, apt and dpkg. Gives degraded bits.
 */
uint32_t accounts_write(const char *root, const struct protocol_welcome *welcome);

/* /bin/bash where the image has it, else /bin/sh. */
const char *accounts_shell(const char *root);
