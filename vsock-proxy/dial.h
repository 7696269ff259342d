/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * From a decided host and port to a connected socket: the name is resolved once, each address is judged, and what was judged is
 * what is dialled (E5, E6). Addresses are tried as RFC 8305 has it: families in turn, the next one when the last has not
 * answered within DIAL_STAGGER_MS, the first to connect wins.
 *
 * With a proxy of the host's own (via.h) that is what is dialled, and asked for the host; the judge is asked for the host itself then, where
 * it is an address.
 *
 * The judge is asked for each address right before it is dialled. Nothing here knows an address that may be had without it.
 *
 * Threads: the loop's. Ownership: the socket is the caller's once it is told.
 */
#include <stdbool.h>
#include <stdint.h>

#include "policy/name.h"
#include "vmm/base/err.h"
#include "vmm/base/loop.h"
#include "vsock-proxy/resolver.h"
#include "vsock-proxy/via.h"

#define DIAL_STAGGER_MS	  250
#define DIAL_TIMEOUT_MS	  15000 /* of one dial, the name included */
#define DIAL_ATTEMPTS_MAX 4 /* at once */

struct dial;

/* False: this address is not to be dialled. Called from inside dial_start() too. */
typedef bool dial_judge_fn(void *data, const struct policy_host *address);
/*
 * fd >= 0: connected, non-blocking, CLOEXEC, without delay (TCP_NODELAY). Else -errno, with words in why: -ENOENT: no such
 * name; -EIO: no name server answered; -EACCES: the judge let none of its addresses pass; -EPERM: the host's proxy refuses it; -ETIMEDOUT, -ECONNREFUSED and what
 * else the last one failed with. The dial is gone when this returns.
 */
typedef void dial_done_fn(void *data, int fd, const char *why);

struct dial_setup {
	struct loop *loop;
	struct resolver *resolver;
	dial_judge_fn *judge;
	dial_done_fn *done;
	void *data; /* of both */
	const struct via_target *via; /* NULL: none; borrowed */
};

/* done is told from the loop, never from inside this. -EBUSY, -ENOMEM, -errno. */
int dial_start(const struct dial_setup *setup, const struct policy_host *host, uint16_t port,
	struct dial **ret);
/* NULL is allowed. Nobody is told. */
void dial_cancel(struct dial *dial);
