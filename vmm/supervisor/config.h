/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Settings of this host and of its user, which no project's file can change: /etc/sandboxctl/config.json, and over it key by key
 * <config>/config.json. Neither may be writable by others.
 *
 *   {"version": 1,
 *    "audit":  {"forward": "journald"}                   or "syslog": records and heads go there too (audit/forward.h)
 *    "egress": {"dns": ["192.0.2.53", "192.0.2.54:5353"],  name servers, instead of /etc/resolv.conf's
 *               "proxy": "proxy.example:3128",              every connection goes by CONNECT through it
               "trust_file": "/etc/corp/roots.pem"}}      roots for upstreams, in PEM, instead of the system's
 */
#include "vmm/supervisor/audit/forward.h"
#include "vmm/supervisor/paths.h"

#define CONFIG_SYSTEM_FILE "/etc/sandboxctl/config.json"
#define CONFIG_FILE	   "config.json"
#define CONFIG_DNS_MAX	   512
#define CONFIG_PROXY_MAX   320

struct config {
	enum forward_kind forward;
	char dns[CONFIG_DNS_MAX]; /* joined by ','; "": the system's */
	char proxy[CONFIG_PROXY_MAX]; /* HOST:PORT; "": none */
	char trust_file[PATH_MAX]; /* "": the system's */
};

/* -EINVAL with the file and the key; -EPERM: a file that others may write. system_file NULL: CONFIG_SYSTEM_FILE. */
int config_load(
	const struct paths *paths, const char *system_file, struct config *ret, struct err *err);
