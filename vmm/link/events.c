/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/link/events.h"

#include <errno.h>
#include <string.h>

#include "vmm/base/log.h"

static void on_events(void *data, uint32_t ready)
{
	struct link_events *events = data;

	while (ready & EPOLLOUT && events->count) {
		struct event *event = &events->waiting[events->first];
		int r = event_send(
			events->fd, &events->sequence, event->kind, event->value, EVENT_VALUES);

		if (r == -EAGAIN) {
			events->sequence--; /* it was not said */
			return;
		}
		events->first = (events->first + 1) % LINK_EVENTS_WAITING_MAX;
		events->count--;
	}
	if (ready & (EPOLLHUP | EPOLLERR)) {
		/* The supervisor is dead; its lifeline says so too, and ends us. */
		loop_remove(events->source);
		events->source = NULL;
		events->fd = -1;
		return;
	}
	loop_modify(events->source, 0);
}

int link_events_init(struct link_events *events, struct loop *loop, int fd)
{
	*events = (struct link_events){ .fd = fd };
	return fd < 0 ? 0 : loop_add_fd(loop, fd, 0, on_events, events, &events->source);
}

void link_events_finish(struct link_events *events)
{
	loop_remove(events->source);
	events->source = NULL;
}

static void wait_in_line(struct link_events *events, enum event_kind kind, const uint64_t *values,
	unsigned int count)
{
	struct event *event;

	if (events->count == LINK_EVENTS_WAITING_MAX) {
		log_ratelimited(LOG_ERROR, "the supervisor takes no records: one was lost");
		return;
	}
	event = &events->waiting[(events->first + events->count++) % LINK_EVENTS_WAITING_MAX];
	*event = (struct event){ .kind = (uint16_t)kind };
	for (unsigned int i = 0; i < count && i < EVENT_VALUES; i++)
		event->value[i] = values[i];
	loop_modify(events->source, EPOLLOUT);
}

void link_events_send(struct link_events *events, enum event_kind kind, const uint64_t *values,
	unsigned int count)
{
	if (events->fd < 0)
		return;
	if (events->count) {
		wait_in_line(events, kind, values, count);
		return;
	}
	if (event_send(events->fd, &events->sequence, (uint16_t)kind, values, count) == -EAGAIN) {
		events->sequence--;
		wait_in_line(events, kind, values, count);
	}
}

void link_events_send_guest(struct link_events *events, enum event_kind kind,
	const uint64_t *values, unsigned int count)
{
	uint64_t now_ms = clock_monotonic_ms();

	if (now_ms - events->window_ms >= LINK_EVENTS_GUEST_MS) {
		events->window_ms = now_ms;
		events->in_window = 0;
	}
	/* Half of the ring stays free for what the host itself saw. */
	if (events->in_window >= LINK_EVENTS_GUEST_MAX ||
		events->count > LINK_EVENTS_WAITING_MAX / 2) {
		events->dropped++;
		log_ratelimited(LOG_WARN, "the guest reports too much: %llu records dropped",
			(unsigned long long)events->dropped);
		return;
	}
	events->in_window++;
	link_events_send(events, kind, values, count);
}
