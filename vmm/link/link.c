/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/link/link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "guest-agent/protocol/egress.h"
#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/base/fdpass.h"
#include "vmm/base/log.h"
#include "vmm/link/agent.h"
#include "vmm/link/broker.h"
#include "vmm/link/core.h"
#include "vmm/link/events.h"
#include "vmm/link/forward.h"
#include "vmm/link/listener.h"
#include "vmm/link/operation.h"
#include "vmm/link/session.h"

#define CONTROL_TURN 16 /* requests before other sources of the loop get their turn */

struct link {
	struct loop *loop;
	struct link_config config;
	struct link_events events;
	struct link_broker broker;
	struct link_core core;
	struct link_agent agent;
	struct link_session session;
	struct capped_log session_log;
	struct link_listener listener; /* vsock.sock */
	struct link_listener published[LINK_PUBLISHED_MAX];
	struct loop_source *control_source;
	bool ended;
	uint8_t request[LINK_CONTROL_HEAD + LINK_CONTROL_BODY_MAX];
};

/* What the guest asks for. */

static bool is_allowed(const struct link *link, uint32_t port)
{
	for (unsigned int i = 0; i < link->config.allow_count; i++)
		if (link->config.allow[i] == port)
			return link->config.socket_folder != NULL;
	return false;
}

static int connect_host_socket(const struct link *link, uint32_t port, int *ret_fd)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;
	int n = snprintf(address.sun_path, sizeof(address.sun_path), "%s/vsock.sock_%u",
		link->config.socket_folder, port);

	if (n < 0 || (size_t)n >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* A Unix socket connects at once or not at all (EAGAIN: the listener's queue is full). */
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	link_broker_widen(fd);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* One end of a new stream to sandbox-proxy, the other to the guest. A proxy that takes none gets no more of them. */
static int connect_proxy(const struct link *link, int *ret_fd)
{
	static const uint8_t stream = LINK_EGRESS_STREAM;
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	link_broker_widen(pair[0]);
	link_broker_widen(pair[1]);
	r = fdpass_send(link->config.egress_fd, &stream, sizeof(stream), pair[1]);
	close_keeping_errno(pair[1]);
	if (r < 0)
		close_keeping_errno(pair[0]);
	else
		*ret_fd = pair[0];
	return r;
}

static int on_guest_connect(void *data, uint32_t port, int *ret_fd)
{
	struct link *link = data;

	if (port == PROTOCOL_PORT)
		return link_agent_accept(&link->agent, ret_fd);
	if (port == PROTOCOL_EGRESS_PORT && link->config.egress_fd >= 0)
		return connect_proxy(link, ret_fd);
	if (!is_allowed(link, port)) {
		log_ratelimited(
			LOG_INFO, "the guest asked for port %u, which is not allowed", port);
		return -EACCES;
	}
	return connect_host_socket(link, port, ret_fd);
}

static void on_broker_ended(void *data)
{
	struct link *link = data;

	/* Its streams end by themselves. */
	log_info("the machine is gone");
	link->broker.fd = -1;
}

/* What the supervisor asks for. */

static void on_raw_stream(struct link *link, uint32_t port, int fd)
{
	/* The VMM gets the client's very socket. */
	if (fd >= 0 && link_broker_open(&link->broker, port, fd) < 0)
		log_ratelimited(LOG_WARN,
			"a stream to the guest's vsock port %u could not be asked for", port);
	close_keeping_errno(fd);
}

static void on_forward(struct link *link, uint32_t port, int fd)
{
	if (fd < 0 || port == 0 || port > UINT16_MAX || link->agent.state != LINK_AGENT_READY)
		close_keeping_errno(fd);
	else
		link_forward_start(&link->core, (uint16_t)port, fd);
}

static bool is_lost(const struct link *link)
{
	return link->agent.state == LINK_AGENT_SILENT || link->agent.state == LINK_AGENT_LOST;
}

/* What began a moment ago and was never answered does not wait for ever. */
static void on_silent(void *data)
{
	link_core_end_unanswered(&((struct link *)data)->core);
}

static void on_framed(struct link *link, const struct link_request *request, int fd)
{
	static const enum protocol_type types[] = {
		[LINK_OP_EXEC] = PROTOCOL_EXEC,
		[LINK_OP_COPY_OUT] = PROTOCOL_COPY_OUT,
		[LINK_OP_COPY_IN] = PROTOCOL_COPY_IN,
	};

	if (fd < 0)
		return;
	if (link->agent.state != LINK_AGENT_READY)
		link_refuse(fd, is_lost(link) ? -ENOTCONN : -EAGAIN);
	else
		link_operation_start(
			&link->core, types[request->op], request->body, request->body_len, fd);
}

static void on_session_start(struct link *link, const struct link_request *request, int fd)
{
	if (link->agent.state != LINK_AGENT_READY) {
		link_refuse(fd, -EAGAIN);
		log_error("the session can't start: the agent is not ready");
		link_events_send(
			&link->events, EVENT_SESSION_ENDED, (uint64_t[]){ LINK_SESSION_FAILED }, 1);
		return;
	}
	link_session_start(&link->session, request->body, request->body_len,
		request->flags & LINK_FLAG_HOLD, fd);
}

static void on_session_attach(struct link *link, const uint8_t *body, int fd)
{
	if (fd >= 0)
		link_session_attach(&link->session, load_le16(body), load_le16(body + 2), fd);
}

/* fd is -1 or ours to give on. Bodies of a fixed size were measured by link_control_decode(). */
static void dispatch(struct link *link, const struct link_request *request, int fd)
{
	const uint8_t *body = request->body;

	switch ((enum link_op)request->op) {
	case LINK_OP_EXEC:
	case LINK_OP_COPY_OUT:
	case LINK_OP_COPY_IN:
		on_framed(link, request, fd);
		return;
	case LINK_OP_SESSION_START:
		on_session_start(link, request, fd);
		return;
	case LINK_OP_SESSION_ATTACH:
		on_session_attach(link, body, fd);
		return;
	case LINK_OP_FORWARD:
		on_forward(link, load_le32(body), fd);
		return;
	case LINK_OP_VSOCK:
		on_raw_stream(link, load_le32(body), fd);
		return;
	case LINK_OP_SHUTDOWN:
		link_agent_shutdown(&link->agent, (enum link_shutdown)load_le32(body));
		break;
	case LINK_OP_TIME:
		link_agent_set_time(&link->agent, load_le64(body));
		break;
	case LINK_OP_HEALTH:
		link_agent_ask_health(&link->agent);
		break;
	}
	close_keeping_errno(fd);
}

static void control_ended(struct link *link)
{
	loop_remove(link->control_source);
	link->control_source = NULL;
	link->ended = true;
}

static bool take_request(struct link *link)
{
	struct link_request request;
	size_t fds = 0;
	int fd = -1;
	ssize_t n = fdio_recv_fds(
		link->config.control_fd, link->request, sizeof(link->request), &fd, 1, &fds);

	if (n == -EAGAIN)
		return false;
	if (n == 0 || (n < 0 && n != -EMSGSIZE)) {
		control_ended(link);
		return false;
	}
	if (!fds)
		fd = -1;
	if (n > 0 && link_control_decode(link->request, (size_t)n, &request)) {
		dispatch(link, &request, fd);
		return true;
	}
	log_ratelimited(LOG_WARN, "a malformed request came from the supervisor");
	link_refuse(fd, -EBADMSG);
	return true;
}

static void on_control(void *data, uint32_t events)
{
	struct link *link = data;

	(void)events;
	for (int i = 0; i < CONTROL_TURN && take_request(link); i++)
		;
}

static void on_freed(void *data)
{
	struct link *link = data;

	link_listener_resume(&link->listener);
	for (unsigned int i = 0; i < link->config.publish_count; i++)
		link_listener_resume(&link->published[i]);
}

static int listen_all(struct link *link)
{
	const struct link_config *config = &link->config;
	int r = 0;

	if (config->listen_fd >= 0)
		r = fdio_set_nonblocking(config->listen_fd, true);
	if (r == 0 && config->listen_fd >= 0)
		r = link_listener_init(
			&link->listener, &link->core, config->listen_fd, 0, config->owner_uid);
	for (unsigned int i = 0; r == 0 && i < config->publish_count; i++) {
		r = fdio_set_nonblocking(config->publish[i].fd, true);
		if (r == 0)
			r = link_listener_init(&link->published[i], &link->core,
				config->publish[i].fd, config->publish[i].guest_port,
				config->owner_uid);
	}
	return r;
}

static int set_up(struct link *link)
{
	const struct link_config *config = &link->config;
	int r = link_events_init(&link->events, link->loop, config->event_fd);

	if (r == 0)
		r = link_broker_init(&link->broker, link->loop, config->vsock_fd, on_guest_connect,
			on_broker_ended, link);
	if (r == 0)
		r = link_core_init(&link->core, link->loop, &link->broker);
	if (r == 0)
		r = link_agent_init(&link->agent, link->loop, &link->events, config->welcome,
			config->welcome_len);
	if (r == 0)
		r = capped_log_init(
			&link->session_log, config->session_log_fd, LINK_SESSION_LOG_BYTES);
	if (r == 0)
		r = link_session_init(
			&link->session, &link->core, &link->events, &link->session_log);
	if (r == 0)
		r = fdio_set_nonblocking(config->control_fd, true);
	if (r == 0)
		r = loop_add_fd(link->loop, config->control_fd, EPOLLIN, on_control, link,
			&link->control_source);
	if (config->agent_silence_ms)
		link->agent.silence_ms = config->agent_silence_ms;
	link->agent.silent = on_silent;
	link->agent.silent_data = link;
	link->core.freed = on_freed;
	link->core.freed_data = link;
	return r == 0 ? listen_all(link) : r;
}

DEFINE_CLEANUP(link, link_destroy)

int link_create(
	struct loop *loop, const struct link_config *config, struct link **ret, struct err *err)
{
	_cleanup_(cleanup_link_) struct link *link = calloc(1, sizeof(*link));
	int r;

	if (!link)
		return err_set(err, -ENOMEM, "sandbox-link: no memory");
	link->loop = loop;
	link->config = *config;
	link->agent.socket.fd = link->session.guest.fd = -1;
	r = set_up(link);
	if (r < 0)
		return err_set(err, r, "sandbox-link: cannot set up: %s", strerror(-r));
	*ret = TAKE_PTR(link);
	return 0;
}

/* Of a half-built one too: what was not reached is all zero, and its finish does nothing. */
void link_destroy(struct link *link)
{
	if (!link)
		return;
	link->core.freed = NULL;
	loop_remove(link->control_source);
	link_listener_finish(&link->listener);
	for (unsigned int i = 0; i < link->config.publish_count; i++)
		link_listener_finish(&link->published[i]);
	link_core_finish(&link->core);
	link_session_finish(&link->session);
	link_agent_finish(&link->agent);
	link_broker_finish(&link->broker);
	link_events_finish(&link->events);
	free(link);
}

bool link_run_once(struct link *link, int timeout_ms)
{
	int r = loop_run_once(link->loop, timeout_ms);

	link_core_reap(&link->core);
	return r >= 0 && !link->ended;
}
