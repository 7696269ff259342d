/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/control_server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/base/log.h"

#define BACKLOG	  32
#define HEAD_SIZE 4

struct control_client {
	struct control_server *server;
	int fd; /* -1: the place is free */
	struct loop_source *source;
	uint8_t head[HEAD_SIZE];
	size_t head_len;
	char *text; /* of the request being read; text_size bytes */
	size_t text_size, text_len;
	char *out; /* what waits to be written */
	size_t out_len, out_sent;
	int out_fd; /* goes with the next byte; owned */
	bool parked;
	enum control_op parked_for;
	bool broken; /* closed at the end of the callback that found it so */
	bool busy; /* its request is being handled */
};

struct control_server {
	struct loop *loop;
	int fd;
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	struct loop_source *source;
	control_request_fn *fn;
	void *data;
	struct control_client clients[CONTROL_CLIENTS_MAX];
};

static void close_client(struct control_client *c)
{
	if (c->fd < 0)
		return;
	loop_remove(c->source);
	close(c->fd);
	close_keeping_errno(c->out_fd);
	free(c->text);
	free(c->out);
	*c = (struct control_client){ .server = c->server, .fd = -1, .out_fd = -1 };
}

/* Nothing is read while a request is at work or an answer waits: one at a time. */
static void watch(struct control_client *c)
{
	uint32_t events = 0;

	if (c->out_len)
		events |= EPOLLOUT;
	else if (!c->parked && !c->busy)
		events |= EPOLLIN;
	loop_modify(c->source, events);
}

static void write_out(struct control_client *c)
{
	while (c->out_sent < c->out_len) {
		size_t fds = c->out_fd >= 0 ? 1 : 0;
		ssize_t n = fdio_send_fds(
			c->fd, c->out + c->out_sent, c->out_len - c->out_sent, &c->out_fd, fds);

		if (n == -EAGAIN)
			break;
		if (n <= 0) {
			c->broken = true;
			return;
		}
		if (fds)
			close(TAKE_FD(c->out_fd));
		c->out_sent += (size_t)n;
	}
	if (c->out_sent == c->out_len) {
		free(TAKE_PTR(c->out));
		c->out_len = c->out_sent = 0;
	}
	watch(c);
}

static void queue(struct control_client *c, const json_t *message, int fd)
{
	_cleanup_free_ char *text = json_dumps(message, JSON_COMPACT);
	size_t len = text ? strlen(text) : 0;
	char *bigger;

	if (c->broken || !text || len > CONTROL_MESSAGE_MAX ||
		c->out_len + HEAD_SIZE + len > CONTROL_OUT_MAX ||
		!(bigger = realloc(c->out, c->out_len + HEAD_SIZE + len))) {
		c->broken = true;
		return;
	}
	c->out = bigger;
	store_le32(c->out + c->out_len, (uint32_t)len);
	memcpy(c->out + c->out_len + HEAD_SIZE, text, len);
	c->out_len += HEAD_SIZE + len;
	if (fd >= 0) {
		c->out_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		c->broken = c->out_fd < 0;
	}
	if (!c->broken)
		write_out(c);
}

void control_client_answer(struct control_client *c, json_t *data, int fd)
{
	_cleanup_json_ json_t *message = json_pack("{s:b, s:o*}", "ok", 1, "data", data);

	c->parked = false;
	queue(c, message, fd);
}

void control_client_fail(struct control_client *c, const struct err *err, const char *stage)
{
	_cleanup_json_ json_t *message = control_error_json(err, stage);

	c->parked = false;
	queue(c, message, -1);
}

void control_client_park(struct control_client *c, enum control_op op)
{
	c->parked = true;
	c->parked_for = op;
	watch(c);
}

static bool is_parked_for(const struct control_client *c, enum control_op op)
{
	return c->fd >= 0 && c->parked && c->parked_for == op && !c->broken;
}

void control_server_answer_all(
	struct control_server *server, enum control_op op, const json_t *data)
{
	for (size_t i = 0; i < ARRAY_SIZE(server->clients); i++)
		if (is_parked_for(&server->clients[i], op))
			control_client_answer(&server->clients[i], json_deep_copy(data), -1);
}

void control_server_fail_all(
	struct control_server *server, enum control_op op, const struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(server->clients); i++)
		if (is_parked_for(&server->clients[i], op))
			control_client_fail(&server->clients[i], err, control_op_name(op));
}

void control_server_push(struct control_server *server, json_t *message)
{
	for (size_t i = 0; i < ARRAY_SIZE(server->clients); i++) {
		struct control_client *c = &server->clients[i];

		if (!is_parked_for(c, CONTROL_EVENTS))
			continue;
		queue(c, message, -1);
		if (c->broken && !c->busy)
			close_client(c);
	}
	json_decref(message);
}

static void handle_request(struct control_client *c)
{
	struct control_request request;
	struct err err = {};

	c->busy = true;
	if (control_request_parse(c->text, c->text_len, &request, &err) == 0) {
		c->server->fn(c->server->data, c, &request);
		control_request_finish(&request);
	} else {
		control_client_fail(c, &err, "request");
	}
	c->busy = false;
	free(TAKE_PTR(c->text));
	c->head_len = c->text_len = c->text_size = 0;
	if (!c->broken)
		watch(c);
}

/* Bytes towards one whole piece; 1 when it is there, 0 for later, negative at an end. */
static int read_piece(int fd, void *piece, size_t size, size_t *len)
{
	while (*len < size) {
		ssize_t n = recv(fd, (char *)piece + *len, size - *len, MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n <= 0)
			return -EPIPE;
		*len += (size_t)n;
	}
	return 1;
}

static int read_request(struct control_client *c)
{
	int r = read_piece(c->fd, c->head, HEAD_SIZE, &c->head_len);

	if (r <= 0)
		return r;
	if (!c->text) {
		uint32_t size = load_le32(c->head);

		if (size == 0 || size > CONTROL_MESSAGE_MAX)
			return -EMSGSIZE;
		c->text = malloc(size);
		if (!c->text)
			return -ENOMEM;
		c->text_size = size;
	}
	r = read_piece(c->fd, c->text, c->text_size, &c->text_len);
	if (r > 0)
		handle_request(c);
	return r < 0 ? r : 0;
}

static void client_ready(void *data, uint32_t events)
{
	struct control_client *c = data;

	if (events & EPOLLOUT && c->out_len)
		write_out(c);
	if (!c->broken && events & EPOLLIN && !c->parked && !c->out_len && read_request(c) < 0)
		c->broken = true;
	if (events & (EPOLLHUP | EPOLLERR) && !(events & EPOLLIN))
		c->broken = true;
	if (c->broken)
		close_client(c);
}

/* E17: the folder keeps others out already; a socket that was passed on does not. */
static bool peer_is_allowed(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	       (peer.uid == geteuid() || peer.uid == 0);
}

static struct control_client *free_place(struct control_server *server)
{
	for (size_t i = 0; i < ARRAY_SIZE(server->clients); i++)
		if (server->clients[i].fd < 0)
			return &server->clients[i];
	return NULL;
}

static void accept_client(void *data, uint32_t events)
{
	struct control_server *server = data;
	_cleanup_close_ int fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct control_client *c = free_place(server);

	(void)events;
	if (fd < 0)
		return;
	if (!peer_is_allowed(fd)) {
		log_ratelimited(LOG_WARN, "control socket: a stranger was sent away");
		return;
	}
	if (!c) {
		log_ratelimited(
			LOG_WARN, "control socket: more than %d clients", CONTROL_CLIENTS_MAX);
		return;
	}
	if (loop_add_fd(server->loop, fd, EPOLLIN, client_ready, c, &c->source) < 0)
		return;
	c->fd = TAKE_FD(fd);
}

int control_server_create(struct loop *loop, const char *socket_path, control_request_fn *fn,
	void *data, struct control_server **ret, struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct control_server *server = calloc(1, sizeof(*server));
	int r;

	if (!server)
		return err_set(err, -ENOMEM, "control socket: out of memory");
	for (size_t i = 0; i < ARRAY_SIZE(server->clients); i++)
		server->clients[i] =
			(struct control_client){ .server = server, .fd = -1, .out_fd = -1 };
	server->loop = loop;
	server->fn = fn;
	server->data = data;
	snprintf(server->path, sizeof(server->path), "%s", socket_path);
	memcpy(address.sun_path, server->path, sizeof(address.sun_path));
	unlink(socket_path);
	server->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (server->fd < 0 || bind(server->fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		chmod(socket_path, 0600) < 0 || listen(server->fd, BACKLOG) < 0) {
		r = err_set(err, -errno, "control socket %s: %s", socket_path, strerror(errno));
		control_server_destroy(server);
		return r;
	}
	r = loop_add_fd(loop, server->fd, EPOLLIN, accept_client, server, &server->source);
	if (r < 0) {
		control_server_destroy(server);
		return err_set(err, r, "control socket: %s", strerror(-r));
	}
	*ret = server;
	return 0;
}

void control_server_destroy(struct control_server *server)
{
	if (!server)
		return;
	loop_remove(server->source);
	for (size_t i = 0; i < ARRAY_SIZE(server->clients); i++)
		close_client(&server->clients[i]);
	close_keeping_errno(server->fd);
	if (*server->path)
		unlink(server->path);
	free(server);
}
