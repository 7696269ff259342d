/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/registry_address.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#include "policy/address.h"

static bool take_address(const struct sockaddr *address, struct policy_host *ret)
{
	*ret = (struct policy_host){ .kind = POLICY_HOST_IPV4 };
	if (address->sa_family == AF_INET) {
		memcpy(ret->address, &((const struct sockaddr_in *)address)->sin_addr, 4);
	} else if (address->sa_family == AF_INET6) {
		ret->kind = POLICY_HOST_IPV6;
		memcpy(ret->address, &((const struct sockaddr_in6 *)address)->sin6_addr, 16);
	} else {
		return false;
	}
	return true;
}

/* One that may be reached speaks for the name: a private one before a public one, which passes with either rule. */
static enum client_leads judge(const struct addrinfo *found)
{
	static const enum client_leads words[] = { [POLICY_ADDRESS_PUBLIC] = CLIENT_LEADS_PUBLIC,
		[POLICY_ADDRESS_PRIVATE] = CLIENT_LEADS_PRIVATE,
		[POLICY_ADDRESS_FORBIDDEN] = CLIENT_LEADS_NOWHERE };
	enum client_leads leads = CLIENT_LEADS_NOWHERE;
	struct policy_host host;

	for (; found; found = found->ai_next) {
		enum client_leads one;

		if (!take_address(found->ai_addr, &host))
			continue;
		one = words[policy_address_classify(&host)];
		if (one == CLIENT_LEADS_PRIVATE || leads == CLIENT_LEADS_NOWHERE)
			leads = one;
	}
	return leads;
}

void registry_address_find(struct client_registries *registries)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };

	for (size_t i = 0; i < registries->count; i++) {
		struct client_registry *one = &registries->items[i];
		struct addrinfo *found = NULL;
		int r;

		if (one->host.kind != POLICY_HOST_NAME) {
			one->leads = CLIENT_LEADS_PUBLIC; /* a rule that lists it needs no more */
			continue;
		}
		r = getaddrinfo(one->host.text, NULL, &hints, &found);
		if (r == 0) {
			one->leads = judge(found);
			freeaddrinfo(found);
		} else if (r == EAI_AGAIN) {
			return;
		}
	}
}

const char *registry_address_words(const struct client_registry *registry)
{
	switch (registry->leads) {
	case CLIENT_LEADS_UNKNOWN:
		return "  (its name does not resolve here now; if its address is a private one, init again when it does)";
	case CLIENT_LEADS_PUBLIC:
		return "";
	case CLIENT_LEADS_PRIVATE:
		return "  (at a private address: its rule says private_addresses)";
	case CLIENT_LEADS_NOWHERE:
		return "  (at an address that no rule makes reachable: loopback, link-local or the like)";
	}
	return "";
}
