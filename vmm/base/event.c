/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/base/event.h"

#include <errno.h>
#include <sys/socket.h>

#include "vmm/base/bytes.h"
#include "vmm/base/loop.h"

void event_encode(const struct event *event, uint8_t out[static EVENT_SIZE])
{
	struct bytes_writer w = bytes_writer(out, EVENT_SIZE);

	bytes_put_u16(&w, event->kind);
	bytes_put_u16(&w, 0);
	bytes_put_u32(&w, event->sequence);
	bytes_put_u64(&w, event->time_ns);
	for (int i = 0; i < EVENT_VALUES; i++)
		bytes_put_u64(&w, event->value[i]);
}

int event_decode(const void *data, uint64_t size, struct event *ret)
{
	struct bytes_reader r = bytes_reader(data, size);
	struct event event = {};

	event.kind = bytes_get_u16(&r);
	if (bytes_get_u16(&r) != 0)
		return -EPROTO;
	event.sequence = bytes_get_u32(&r);
	event.time_ns = bytes_get_u64(&r);
	for (int i = 0; i < EVENT_VALUES; i++)
		event.value[i] = bytes_get_u64(&r);
	if (!bytes_done(&r))
		return -EPROTO;
	*ret = event;
	return 0;
}

int event_send(
	int fd, uint32_t *sequence, uint16_t kind, const uint64_t *values, unsigned int count)
{
	struct event event = {
		.kind = kind, .sequence = (*sequence)++, .time_ns = clock_monotonic_ns()
	};
	uint8_t wire[EVENT_SIZE];

	for (unsigned int i = 0; i < count && i < EVENT_VALUES; i++)
		event.value[i] = values[i];
	event_encode(&event, wire);
	return send(fd, wire, sizeof(wire), MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int machine_end_exit_code(enum machine_end end)
{
	return MACHINE_END_EXIT_BASE + (int)end;
}

enum machine_end machine_end_of_exit(int code)
{
	int end = code - MACHINE_END_EXIT_BASE;

	return end > MACHINE_END_NONE && end <= MACHINE_END_DEVICE ? (enum machine_end)end
								   : MACHINE_END_NONE;
}
