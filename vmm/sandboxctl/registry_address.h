/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Where the registries of client_settings.h lead from this host: a mirror inside a company has a private address, which a
 * name's rule reaches only where it says so (E6). Asks the host's own resolver, one name after the other, and none any more
 * once it does not answer.
 */
#include "vmm/sandboxctl/client_settings.h"

/* Sets `leads` of each. */
void registry_address_find(struct client_registries *registries);
/* For people, behind the registry's name: "" where it is public. */
const char *registry_address_words(const struct client_registry *registry);
