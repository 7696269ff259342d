/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Fixed-size records to the supervisor (base/event.h). What it does not take at once waits in a small ring; what the
 * guest can cause at will (HEALTH, AUDIT) has a budget, so that a guest rolls no other record out (H3).
 */
#include <stdint.h>

#include "vmm/base/event.h"
#include "vmm/base/loop.h"

#define LINK_EVENTS_WAITING_MAX 64
#define LINK_EVENTS_GUEST_MAX                                                                      \
	32 /* records of the guest's will in LINK_EVENTS_GUEST_MS; more are counted and dropped */
#define LINK_EVENTS_GUEST_MS 1000

struct link_events {
	int fd; /* borrowed; -1: everything is dropped */
	uint32_t sequence;
	struct loop_source *source;
	struct event waiting[LINK_EVENTS_WAITING_MAX]; /* kind and values */
	unsigned int first, count;
	uint64_t window_ms, dropped;
	unsigned int in_window;
};

int link_events_init(struct link_events *events, struct loop *loop, int fd);
void link_events_finish(struct link_events *events);
void link_events_send(struct link_events *events, enum event_kind kind, const uint64_t *values,
	unsigned int count);
/* The same within the guest's budget. */
void link_events_send_guest(struct link_events *events, enum event_kind kind,
	const uint64_t *values, unsigned int count);
