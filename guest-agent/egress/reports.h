/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The host's word on what it denied inside streams that it had accepted (EGRESS_REPORTS, protocol/egress.h): one stream of the
 * agent's own, opened at the start and again whenever it ends. What the host does not say in the form of an answer ends the stream.
 * Threads: the loop's.
 */
#include <stdbool.h>

#include "guest-agent/protocol/egress.h"
#include "vmm/base/loop.h"

#define REPORTS_AGAIN_MS 2000

struct reports;

struct reports_ops {
	/* A new stream to the host's proxy, non-blocking, connected or about to be: its fd, or -errno. */
	int (*connect)(void *data);
	void (*denied)(void *data, const struct egress_answer *answer);
};

/* ops and data are borrowed. */
int reports_create(
	struct loop *loop, const struct reports_ops *ops, void *data, struct reports **ret);
/* The host tells now: what it answers on other streams is told here as well. */
bool reports_heard(const struct reports *reports);
void reports_destroy(struct reports *reports); /* NULL is allowed */
