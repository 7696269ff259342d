/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The package registries that a person's clients use, read from those clients' own settings: npm's .npmrc, pip.conf,
 * cargo's config.toml, go's env file, apt's sources. Hosts and ports alone come out: what stands before an `@` in a URL is
 * a credential and is left behind, and a URL with an `@` behind its first slash is skipped, since its host may be a piece
 * of one. Settings that name proxies are none of these. Pure.
 */
#include <stddef.h>
#include <stdint.h>

#include "policy/name.h"

#define CLIENT_REGISTRIES_MAX 64

enum client { CLIENT_NPM, CLIENT_PIP, CLIENT_CARGO, CLIENT_GO, CLIENT_APT };
#define CLIENT_COUNT 5

/* Where its name leads from here: registry_address.h. */
enum client_leads {
	CLIENT_LEADS_UNKNOWN,
	CLIENT_LEADS_PUBLIC,
	CLIENT_LEADS_PRIVATE,
	CLIENT_LEADS_NOWHERE, /* to addresses alone that are never reachable (E6) */
};

struct client_registry {
	enum client client;
	struct policy_host host;
	uint16_t port;
	enum client_leads leads; /* unknown, as read */
};

/* Each once. What does not fit any more is skipped. */
struct client_registries {
	struct client_registry items[CLIENT_REGISTRIES_MAX];
	size_t count;
	size_t skipped; /* URLs of http or https that were no host that can be allowed */
};

/* "npm" ... "apt". */
const char *client_name(enum client client);
/* Adds what a settings file says. */
void client_settings_read(
	enum client client, const char *text, size_t len, struct client_registries *registries);
/* The same of one value (an environment variable's): every URL in it. */
void client_settings_value(
	enum client client, const char *value, size_t len, struct client_registries *registries);
