/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/link/core.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest-agent/protocol/stream.h"
#include "vmm/link/control.h"

#define TICK_MS 1000

static void arm(struct link_core *core)
{
	if (core->timer_armed)
		return;
	core->timer_armed = loop_timer_set(core->timer, TICK_MS) == 0;
}

static void on_tick(void *data)
{
	struct link_core *core = data;
	uint64_t now_ms = clock_monotonic_ms();
	struct link_item *item = core->items, *next;
	bool more = false;

	core->timer_armed = false;
	for (; item; item = next) {
		next = item->next;
		if (item->expires_ms && item->expires_ms <= now_ms)
			link_core_end(core, item);
		else
			more |= item->expires_ms != 0;
	}
	if (more)
		arm(core);
}

int link_core_init(struct link_core *core, struct loop *loop, struct link_broker *broker)
{
	*core = (struct link_core){ .loop = loop, .broker = broker };
	return loop_add_timer(loop, on_tick, core, &core->timer);
}

void link_core_finish(struct link_core *core)
{
	while (core->items)
		link_core_end(core, core->items);
	link_core_reap(core);
	loop_remove(core->timer);
	core->timer = NULL;
}

void link_core_reap(struct link_core *core)
{
	while (core->dead) {
		struct link_item *item = core->dead;

		core->dead = item->next;
		free(item);
	}
}

bool link_core_full(const struct link_core *core)
{
	return core->counted >= LINK_OPERATIONS_MAX;
}

bool link_core_full_for_others(const struct link_core *core)
{
	return core->counted >= LINK_OPERATIONS_MAX / 2;
}

void link_core_add(struct link_core *core, struct link_item *item, bool counted,
	void (*close_fn)(struct link_item *item))
{
	*item = (struct link_item){ .next = core->items, .close = close_fn, .counted = counted };
	if (core->items)
		core->items->previous = item;
	core->items = item;
	core->counted += counted;
}

void link_core_end(struct link_core *core, struct link_item *item)
{
	if (item->dead)
		return;
	item->dead = true;
	item->close(item);
	if (item->previous)
		item->previous->next = item->next;
	else
		core->items = item->next;
	if (item->next)
		item->next->previous = item->previous;
	item->next = core->dead;
	core->dead = item;
	if (!item->counted)
		return;
	core->counted--;
	if (core->freed)
		core->freed(core->freed_data);
}

void link_core_end_unanswered(struct link_core *core)
{
	struct link_item *item = core->items, *next;

	for (; item; item = next) {
		next = item->next;
		if (item->unanswered)
			item->unanswered(item);
	}
}

void link_core_expire(struct link_core *core, struct link_item *item, uint64_t after_ms)
{
	item->expires_ms = clock_monotonic_ms() + after_ms;
	arm(core);
}

bool link_put_frame(struct link_socket *socket, uint8_t type, const uint8_t *payload, uint32_t len)
{
	uint8_t head[PROTOCOL_HEAD_SIZE];

	if (link_socket_space(socket) < sizeof(head) + len)
		return false;
	stream_bytes_head((enum protocol_type)type, len, head);
	link_socket_put(socket, head, sizeof(head));
	return link_socket_put(socket, payload, len);
}

void link_refuse(int fd, int code)
{
	const struct stream_error error = { .code = (uint32_t)(code < 0 ? -code : code),
		.stage = PROTOCOL_STAGE_LINK };
	uint8_t frame[STREAM_FIXED_MAX];
	size_t len = stream_error_frame(&error, frame);

	if (fd < 0)
		return;
	if (send(fd, frame, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
		/* The client is gone, or is none. */
	}
	close(fd);
}
