/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Names to addresses, for an injector: asynchronously, by c-ares, from the servers that the host's resolv.conf names (or a setting).
 * Asked only after the decision (E5, E7); no search list, no hosts file, no aliases of the environment: the name that was
 * decided is the name that is asked for. Answers are kept as long as their TTL says, within the bounds below; one question
 * at a time for a name, however many wait for it.
 *
 * Addresses are told as they came: who dials checks each (policy_decide_address(), local_address.h) at each connect.
 *
 * Threads: the loop's. Settings are read when it is created: before the jail, where files are out of reach.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/name.h"
#include "vmm/base/err.h"
#include "vmm/base/loop.h"

#define RESOLVER_ADDRESSES_MAX 16 /* of one name; more are dropped */
#define RESOLVER_NAMES_MAX     512 /* kept, or being asked for; the one unused for longest goes first */
#define RESOLVER_WAITING_MAX   1024 /* questions that wait for an answer */
#define RESOLVER_TTL_MAX_S     300
#define RESOLVER_TTL_NONE_S    5 /* how long it is believed that there is no such name */
#define RESOLVER_TRY_MS	       2000 /* for one server; each is asked RESOLVER_TRIES times */
#define RESOLVER_TRIES	       2

struct resolver;
struct resolver_query; /* somebody's wait */

struct resolver_answer {
	int code; /* 0; -ENOENT: no such name, or no address; -EIO: no server answered */
	size_t count;
	struct policy_host addresses[RESOLVER_ADDRESSES_MAX];
};

/* answer: for the call only. The query is gone when this returns. */
typedef void resolver_done_fn(void *data, const struct resolver_answer *answer);

/* servers: "192.0.2.53,[2001:db8::53]:5353"; NULL: the host's own. -ENOENT: there are none. */
int resolver_create(struct loop *loop, const char *servers, struct resolver **ret, struct err *err);
void resolver_destroy(struct resolver *resolver); /* NULL is allowed; nobody who waits is told */

/*
 * 1: *ret_answer is known already, valid until the next call. 0: done will be told, unless the query is cancelled.
 * -EBUSY: too many wait. An address is its own answer.
 */
int resolver_resolve(struct resolver *resolver, const struct policy_host *name,
	resolver_done_fn *done, void *data, const struct resolver_answer **ret_answer,
	struct resolver_query **ret_query);
void resolver_cancel(struct resolver_query *query);
