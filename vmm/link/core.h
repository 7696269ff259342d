/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What everything in the link stands on: the loop, the broker, and the list of what is at work, so that each thing at work
 * is counted, is freed only between two rounds of the loop (its sockets' callbacks may be on the stack), and may be given a
 * last deadline.
 */
#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/loop.h"
#include "vmm/link/broker.h"
#include "vmm/link/socket.h"

#define LINK_LINGER_MS 5000 /* for a client to take its last frame and close */

/* The first member of whatever is at work; allocated with malloc(), freed by link_core_reap(). */
struct link_item {
	struct link_item *next, *previous;
	void (*close)(struct link_item *item); /* closes its sockets; it may be called again */
	void (*unanswered)(struct link_item *item); /* NULL: the guest has answered, or need not */
	uint64_t expires_ms; /* monotonic; 0: never. Then it is ended. */
	bool counted; /* against LINK_OPERATIONS_MAX */
	bool dead;
};

struct link_core {
	struct loop *loop;
	struct link_broker *broker;
	struct loop_source *timer;
	bool timer_armed;
	struct link_item *items; /* at work */
	struct link_item *dead;
	unsigned int counted;
	void (*freed)(void *data); /* a counted item ended; may be NULL */
	void *freed_data;
};

int link_core_init(struct link_core *core, struct loop *loop, struct link_broker *broker);
/* Ends and frees everything. */
void link_core_finish(struct link_core *core);
/* Frees what has ended. Between two rounds of the loop. */
void link_core_reap(struct link_core *core);

bool link_core_full(const struct link_core *core); /* of counted items */
/* For what any user of this host may begin: half of the places are left to the sandbox's own. */
bool link_core_full_for_others(const struct link_core *core);
void link_core_add(struct link_core *core, struct link_item *item, bool counted,
	void (*close)(struct link_item *item));
/* Closes it now; the memory stays until the round is over. May be called twice. */
void link_core_end(struct link_core *core, struct link_item *item);
/* The guest does not speak any more: ends, with an error, what waits for its first word. */
void link_core_end_unanswered(struct link_core *core);
void link_core_expire(struct link_core *core, struct link_item *item, uint64_t after_ms);

/* One frame, whole or (false) not at all. */
bool link_put_frame(struct link_socket *socket, uint8_t type, const uint8_t *payload, uint32_t len);
/* Tells a framed client that nothing came of it, as far as its socket takes it at once, and closes fd. -1 is allowed. */
void link_refuse(int fd, int code);
