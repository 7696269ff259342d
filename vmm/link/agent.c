/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/link/agent.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/base/log.h"

/* WELCOME and a number of small messages. */
#define OUT_BUFFER	(PROTOCOL_WELCOME_MAX + 4096)
#define OUR_MESSAGE_MAX 64

static void leave(struct link_agent *agent, enum link_agent_state state)
{
	agent->state = state;
	loop_timer_set(agent->timer, 0);
	link_socket_close(&agent->socket);
}

static void lose(struct link_agent *agent, const char *why)
{
	if (agent->state == LINK_AGENT_REFUSED || agent->state == LINK_AGENT_LOST)
		return;
	log_warn("the agent is lost: %s", why);
	leave(agent, LINK_AGENT_LOST);
	link_events_send(agent->events, EVENT_AGENT_LOST, NULL, 0);
}

/* A frame of ours: message is NULL for an empty one. */
static void say(struct link_agent *agent, enum protocol_type type,
	void (*put)(struct bytes_writer *w, uint64_t value), uint64_t value)
{
	uint8_t frame[OUR_MESSAGE_MAX];
	struct bytes_writer w = bytes_writer(frame, sizeof(frame));
	size_t at = protocol_frame_begin(&w);

	if (put)
		put(&w, value);
	protocol_frame_end(&w, at, type);
	if (w.failed || agent->socket.fd < 0)
		return;
	/* An agent that reads nothing for so long is not served. */
	if (!link_socket_put(&agent->socket, frame, w.offset))
		lose(agent, "it does not read");
}

static void put_time(struct bytes_writer *w, uint64_t value)
{
	protocol_put_time_set(w, value);
}

static void put_shutdown(struct bytes_writer *w, uint64_t value)
{
	protocol_put_shutdown(w, (enum protocol_shutdown_kind)value);
}

void link_agent_set_time(struct link_agent *agent, uint64_t realtime_ns)
{
	if (agent->state == LINK_AGENT_READY)
		say(agent, PROTOCOL_TIME_SET, put_time, realtime_ns);
}

void link_agent_ask_health(struct link_agent *agent)
{
	if (agent->state == LINK_AGENT_READY)
		say(agent, PROTOCOL_HEALTH_REQUEST, NULL, 0);
}

void link_agent_shutdown(struct link_agent *agent, enum link_shutdown kind)
{
	if (agent->state < LINK_AGENT_SETTING_UP || agent->state > LINK_AGENT_SILENT)
		return;
	say(agent, PROTOCOL_SHUTDOWN, put_shutdown,
		kind == LINK_SHUTDOWN_REBOOT ? PROTOCOL_SHUTDOWN_REBOOT
					     : PROTOCOL_SHUTDOWN_POWEROFF);
}

static bool on_hello(struct link_agent *agent)
{
	struct protocol_hello hello;
	uint8_t head[PROTOCOL_HEAD_SIZE];

	if (agent->state != LINK_AGENT_HELLO ||
		!protocol_get_hello(agent->stash, agent->have, &hello))
		return false;
	link_events_send(agent->events, EVENT_AGENT_HELLO, (uint64_t[]){ hello.version }, 1);
	if (hello.version != PROTOCOL_VERSION) {
		log_error("the agent speaks protocol version %u, not %u", hello.version,
			PROTOCOL_VERSION);
		return false;
	}
	agent->state = LINK_AGENT_SETTING_UP;
	stream_bytes_head(PROTOCOL_WELCOME, (uint32_t)agent->welcome_len, head);
	return link_socket_put(&agent->socket, head, sizeof(head)) &&
	       link_socket_put(&agent->socket, agent->welcome, agent->welcome_len);
}

static bool on_ready(struct link_agent *agent)
{
	struct protocol_ready ready;
	struct timespec now;

	if (agent->state != LINK_AGENT_SETTING_UP ||
		!protocol_get_ready(agent->stash, agent->have, &ready))
		return false;
	agent->state = LINK_AGENT_READY;
	loop_timer_set(agent->timer, agent->silence_ms);
	link_events_send(agent->events, EVENT_AGENT_READY,
		(uint64_t[]){ ready.elapsed_ns, ready.degraded }, 2);
	/* WELCOME's time was encoded before the machine started. */
	clock_gettime(CLOCK_REALTIME, &now);
	link_agent_set_time(agent, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
	return true;
}

static bool on_refused(struct link_agent *agent)
{
	struct protocol_refused refused;

	if (agent->state != LINK_AGENT_SETTING_UP ||
		!protocol_get_refused(agent->stash, agent->have, &refused))
		return false;
	link_events_send(
		agent->events, EVENT_AGENT_REFUSED, (uint64_t[]){ refused.code, refused.stage }, 2);
	leave(agent, LINK_AGENT_REFUSED);
	return true;
}

static bool on_health(struct link_agent *agent)
{
	struct protocol_health health;

	if (agent->state < LINK_AGENT_SETTING_UP ||
		!protocol_get_health(agent->stash, agent->have, &health))
		return false;
	link_events_send_guest(agent->events, EVENT_AGENT_HEALTH,
		(uint64_t[]){ health.load1_x100, health.memory_total_kib,
			health.memory_available_kib, health.disk_free_kib, health.degraded,
			health.processes },
		6);
	return true;
}

static bool on_audit(struct link_agent *agent)
{
	struct protocol_audit audit;
	uint64_t values[EVENT_VALUES];

	if (agent->state < LINK_AGENT_SETTING_UP ||
		!protocol_get_audit(agent->stash, agent->have, &audit))
		return false;
	values[0] = audit.kind;
	memcpy(values + 1, audit.value, sizeof(audit.value));
	link_events_send_guest(agent->events, EVENT_AGENT_AUDIT, values, EVENT_VALUES);
	return true;
}

static bool on_message(struct link_agent *agent)
{
	switch (agent->head.type) {
	case PROTOCOL_HELLO:
		return on_hello(agent);
	case PROTOCOL_READY:
		return on_ready(agent);
	case PROTOCOL_REFUSED:
		return on_refused(agent);
	case PROTOCOL_HEALTH:
		return on_health(agent);
	case PROTOCOL_AUDIT:
		return on_audit(agent);
	default:
		return false;
	}
}

static bool take_part(struct link_agent *agent, const uint8_t *bytes, size_t len, size_t *ret_taken)
{
	size_t want = agent->in_payload ? agent->head.len : PROTOCOL_HEAD_SIZE;
	size_t part = MIN(len, want - agent->have);
	bool good;

	memcpy(agent->stash + agent->have, bytes, part);
	agent->have += part;
	*ret_taken = part;
	if (agent->have < want)
		return true;
	if (agent->in_payload)
		good = on_message(agent);
	else
		good = protocol_head_decode(agent->stash, PROTOCOL_CONTROL_GUEST, &agent->head) &&
		       agent->head.len <= sizeof(agent->stash);
	agent->in_payload = !agent->in_payload;
	agent->have = 0;
	return good;
}

static void agent_data(void *owner, const uint8_t *bytes, size_t len)
{
	struct link_agent *agent = owner;

	while (len && agent->socket.fd >= 0) {
		size_t taken = 0;

		if (!take_part(agent, bytes, len, &taken)) {
			lose(agent, "it broke the protocol");
			return;
		}
		bytes += taken;
		len -= taken;
	}
	if (agent->state == LINK_AGENT_SILENT) {
		log_info("the agent is heard again");
		agent->state = LINK_AGENT_READY;
	}
	if (agent->state == LINK_AGENT_READY)
		loop_timer_set(agent->timer, agent->silence_ms);
}

static size_t agent_room(void *owner)
{
	(void)owner;
	return LINK_AGENT_MESSAGE_MAX;
}

static void agent_ended(void *owner, int code)
{
	(void)code;
	lose(owner, "its stream ended");
}

static void agent_drained(void *owner)
{
	(void)owner;
}

static const struct link_socket_ops agent_ops = {
	.room = agent_room, .data = agent_data, .ended = agent_ended, .drained = agent_drained
};

static void on_silence(void *data)
{
	struct link_agent *agent = data;

	if (agent->state != LINK_AGENT_READY)
		return;
	log_warn("the agent is silent");
	agent->state = LINK_AGENT_SILENT;
	link_events_send(agent->events, EVENT_AGENT_LOST, NULL, 0);
	if (agent->silent)
		agent->silent(agent->silent_data);
}

int link_agent_init(struct link_agent *agent, struct loop *loop, struct link_events *events,
	const void *welcome, size_t welcome_len)
{
	if (welcome_len == 0 || welcome_len > PROTOCOL_WELCOME_MAX)
		return -EINVAL;
	*agent = (struct link_agent){ .loop = loop,
		.events = events,
		.silence_ms = LINK_AGENT_SILENCE_MS,
		.welcome = welcome,
		.welcome_len = welcome_len,
		.socket.fd = -1 };
	return loop_add_timer(loop, on_silence, agent, &agent->timer);
}

void link_agent_finish(struct link_agent *agent)
{
	link_socket_close(&agent->socket);
	loop_remove(agent->timer);
	agent->timer = NULL;
}

int link_agent_accept(struct link_agent *agent, int *ret_fd)
{
	int pair[2], r;

	/* Once: whoever comes later is not the agent that we welcomed. */
	if (agent->state != LINK_AGENT_ABSENT)
		return -EADDRINUSE;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	r = link_socket_init(&agent->socket, agent->loop, pair[0], OUT_BUFFER, &agent_ops, agent);
	if (r < 0) {
		close(pair[1]);
		return r;
	}
	agent->state = LINK_AGENT_HELLO;
	link_socket_poll(&agent->socket);
	*ret_fd = pair[1];
	return 0;
}
