/* SPDX-License-Identifier: Apache-2.0 */
/* The whole link between a fake supervisor, a fake VMM, a fake agent and fake clients, over socketpairs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "guest-agent/protocol/egress.h"
#include "guest-agent/protocol/messages.h"
#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/event.h"
#include "vmm/base/fdpass.h"
#include "vmm/base/log.h"
#include "vmm/devices/vsock_broker.h"
#include "vmm/link/link.h"

static const char welcome[] = "welcome body";

struct rig {
	struct loop *loop;
	struct link *link;
	struct link_config config;
	int events, vmm, control, proxy; /* our ends */
	int listener, published, log_fd;
	int agent; /* the guest's end of the control stream */
	char folder[64];
};

static void rounds(struct rig *rig)
{
	for (int i = 0; i < 30; i++)
		link_run_once(rig->link, 0);
}

static int unix_listener(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_return_code(bind(fd, (struct sockaddr *)&address, sizeof(address)), errno);
	assert_return_code(listen(fd, 64), errno);
	return fd;
}

static int unix_connect(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_return_code(connect(fd, (struct sockaddr *)&address, sizeof(address)), errno);
	return fd;
}

static const char *path_of(struct rig *rig, const char *name)
{
	static char path[100];

	snprintf(path, sizeof(path), "%s/%s", rig->folder, name);
	return path;
}

static int seqpacket(int *ret_theirs)
{
	int pair[2];

	assert_return_code(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), errno);
	*ret_theirs = pair[1];
	return pair[0];
}

static int set_up_with(void **state, uint64_t silence_ms, uid_t owner_uid)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	struct err err = {};

	assert_non_null(rig);
	log_set_level(LOG_ERROR);
	strcpy(rig->folder, "/tmp/test_link_XXXXXX");
	assert_non_null(mkdtemp(rig->folder));
	assert_int_equal(loop_create(&rig->loop), 0);
	rig->events = seqpacket(&rig->config.event_fd);
	rig->vmm = seqpacket(&rig->config.vsock_fd);
	rig->control = seqpacket(&rig->config.control_fd);
	rig->proxy = seqpacket(&rig->config.egress_fd);
	rig->listener = unix_listener(path_of(rig, "vsock.sock"));
	rig->published = unix_listener(path_of(rig, "published"));
	rig->log_fd = memfd_create("session.log", MFD_CLOEXEC);
	rig->config.listen_fd = rig->listener;
	rig->config.session_log_fd = rig->log_fd;
	rig->config.owner_uid = owner_uid;
	rig->config.agent_silence_ms = silence_ms;
	rig->config.welcome = welcome;
	rig->config.welcome_len = sizeof(welcome);
	rig->config.socket_folder = rig->folder;
	rig->config.allow[rig->config.allow_count++] = 3128;
	rig->config.publish[rig->config.publish_count++] =
		(struct link_publish){ .fd = rig->published, .guest_port = 8080 };
	assert_int_equal(link_create(rig->loop, &rig->config, &rig->link, &err), 0);
	rig->agent = -1;
	*state = rig;
	return 0;
}

static int set_up(void **state)
{
	return set_up_with(state, 0, geteuid());
}

static int set_up_of_another_user(void **state)
{
	return set_up_with(state, 0, geteuid() + 1);
}

/* Limit for an agent, whose heartbeats here come four times as often: a busy machine may be late with some. */
#define SILENCE_MS 4000

static int set_up_impatient(void **state)
{
	return set_up_with(state, SILENCE_MS, geteuid());
}

static int tear_down(void **state)
{
	struct rig *rig = *state;
	const char *names[] = { "vsock.sock", "published", "vsock.sock_3128" };

	link_destroy(rig->link);
	loop_destroy(rig->loop);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		unlink(path_of(rig, names[i]));
	rmdir(rig->folder);
	close(rig->events);
	close(rig->vmm);
	close(rig->control);
	close(rig->config.event_fd);
	close(rig->config.vsock_fd);
	close(rig->config.control_fd);
	close(rig->config.egress_fd);
	close_keeping_errno(rig->proxy);
	close(rig->listener);
	close(rig->published);
	close(rig->log_fd);
	if (rig->agent >= 0)
		close(rig->agent);
	free(rig);
	return 0;
}

/* The VMM. */

static struct vsock_broker_message broker_hear(
	struct rig *rig, enum vsock_broker_op op, int *ret_fd)
{
	struct vsock_broker_message message = {};

	rounds(rig);
	*ret_fd = -1;
	assert_int_equal(vsock_broker_receive(rig->vmm, &message, ret_fd), 1);
	assert_int_equal(message.op, op);
	return message;
}

static void broker_say(struct rig *rig, enum vsock_broker_op op, uint32_t id, uint32_t port)
{
	struct vsock_broker_message message = { .op = (uint8_t)op, .id = id, .port = port };

	assert_int_equal(vsock_broker_send(rig->vmm, &message, -1), 0);
	rounds(rig);
}

/* The guest's end of an operation stream that the link has opened. */
static int agent_stream(struct rig *rig)
{
	int fd;
	struct vsock_broker_message message = broker_hear(rig, VSOCK_BROKER_OPEN, &fd);

	assert_int_equal(message.port, PROTOCOL_PORT);
	assert_true(fd >= 0);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

static struct event hear_event(struct rig *rig, enum event_kind kind)
{
	uint8_t wire[EVENT_SIZE + 1];
	struct event event = {};
	ssize_t n;

	rounds(rig);
	n = recv(rig->events, wire, sizeof(wire), MSG_DONTWAIT);
	assert_int_equal(n, EVENT_SIZE);
	assert_int_equal(event_decode(wire, (uint64_t)n, &event), 0);
	assert_int_equal(event.kind, kind);
	return event;
}

static void no_event(struct rig *rig)
{
	uint8_t wire[EVENT_SIZE];

	rounds(rig);
	assert_int_equal(recv(rig->events, wire, sizeof(wire), MSG_DONTWAIT), -1);
}

/* Frames. */

static void write_all(int fd, const void *data, size_t len)
{
	assert_int_equal(send(fd, data, len, MSG_NOSIGNAL), len);
}

static void send_frame(int fd, enum protocol_type type, const void *payload, uint32_t len)
{
	uint8_t frame[PROTOCOL_HEAD_SIZE + 65536];

	stream_bytes_head(type, len, frame);
	memcpy(frame + PROTOCOL_HEAD_SIZE, payload, len);
	write_all(fd, frame, PROTOCOL_HEAD_SIZE + len);
}

/* One frame, after some rounds; its payload. -1: there is none (yet). */
static int take_frame(struct rig *rig, int fd, uint8_t *payload, uint32_t *ret_len)
{
	uint8_t head[PROTOCOL_HEAD_SIZE];
	uint32_t len;

	rounds(rig);
	if (recv(fd, head, sizeof(head), MSG_DONTWAIT | MSG_PEEK) != sizeof(head))
		return -1;
	assert_int_equal(recv(fd, head, sizeof(head), MSG_DONTWAIT), sizeof(head));
	len = load_le32(head + 4);
	for (uint32_t got = 0; got < len;) {
		ssize_t n = recv(fd, payload + got, len - got, MSG_DONTWAIT);

		if (n < 0)
			rounds(rig);
		else
			got += (uint32_t)n;
	}
	*ret_len = len;
	return head[0];
}

static void expect_frame(
	struct rig *rig, int fd, enum protocol_type type, const void *payload, size_t len)
{
	static uint8_t data[262144];
	uint32_t got = 0;

	assert_int_equal(take_frame(rig, fd, data, &got), type);
	assert_int_equal(got, len);
	assert_memory_equal(data, payload, len);
}

static void expect_end(struct rig *rig, int fd)
{
	char c;

	rounds(rig);
	assert_int_equal(recv(fd, &c, 1, MSG_DONTWAIT), 0);
}

static void expect_error(struct rig *rig, int fd, int code)
{
	uint8_t payload[64];
	uint32_t len;
	struct stream_error error;

	assert_int_equal(take_frame(rig, fd, payload, &len), STREAM_ERROR);
	assert_true(stream_error_decode(payload, len, &error));
	assert_int_equal(error.code, code);
	assert_int_equal(error.stage, PROTOCOL_STAGE_LINK);
	expect_end(rig, fd);
	close(fd);
}

static void say_started(int fd)
{
	uint8_t frame[STREAM_FIXED_MAX];

	write_all(fd, frame, stream_started_frame(7, frame));
}

static void say_exit(int fd, uint32_t code)
{
	uint8_t frame[STREAM_FIXED_MAX];

	write_all(fd, frame,
		stream_exit_frame(
			&(struct stream_exit){ .kind = STREAM_EXITED, .value = code }, frame));
}

static void expect_exit(struct rig *rig, int fd, uint32_t code)
{
	uint8_t payload[64];
	uint32_t len;
	struct stream_exit end;

	assert_int_equal(take_frame(rig, fd, payload, &len), STREAM_EXIT);
	assert_true(stream_exit_decode(payload, len, &end));
	assert_int_equal(end.value, code);
	expect_end(rig, fd);
}

/* The agent. */

static void say_message(int fd, enum protocol_type type, const struct bytes_writer *w)
{
	send_frame(fd, type, w->data, (uint32_t)w->offset);
}

static void agent_connects(struct rig *rig)
{
	struct vsock_broker_message message;
	struct protocol_hello hello = {
		.version = PROTOCOL_VERSION, .payload_max = 65536, .build = "test"
	};
	uint8_t wire[256];
	struct bytes_writer w = bytes_writer(wire, sizeof(wire));

	broker_say(rig, VSOCK_BROKER_CONNECT, 1, PROTOCOL_PORT);
	message = broker_hear(rig, VSOCK_BROKER_ACCEPTED, &rig->agent);
	assert_int_equal(message.id, 1);
	protocol_put_hello(&w, &hello);
	say_message(rig->agent, PROTOCOL_HELLO, &w);
	assert_int_equal(hear_event(rig, EVENT_AGENT_HELLO).value[0], PROTOCOL_VERSION);
	expect_frame(rig, rig->agent, PROTOCOL_WELCOME, welcome, sizeof(welcome));
}

static void agent_ready(struct rig *rig)
{
	struct protocol_ready ready = { .elapsed_ns = 5, .degraded = 2 };
	uint8_t wire[256];
	struct bytes_writer w = bytes_writer(wire, sizeof(wire));
	struct event event;
	uint32_t len;

	agent_connects(rig);
	protocol_put_ready(&w, &ready);
	say_message(rig->agent, PROTOCOL_READY, &w);
	event = hear_event(rig, EVENT_AGENT_READY);
	assert_int_equal(event.value[0], 5);
	assert_int_equal(event.value[1], 2);
	assert_int_equal(take_frame(rig, rig->agent, wire, &len), PROTOCOL_TIME_SET);
}

/* The supervisor: asks for op, gives the client's end. */
static int ask(struct rig *rig, enum link_op op, uint8_t flags, const void *body, size_t len)
{
	struct link_request request = {
		.op = (uint8_t)op, .flags = flags, .id = 9, .body = body, .body_len = len
	};
	struct err err = {};
	int pair[2];

	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), errno);
	assert_int_equal(link_control_send(rig->control, &request, pair[1], &err), 0);
	close(pair[1]);
	rounds(rig);
	return pair[0];
}

/* A client's exec that has reached the agent; gives the client's end. */
static int begin_exec(struct rig *rig, int *ret_guest)
{
	int client = ask(rig, LINK_OP_EXEC, 0, "request", 7);

	*ret_guest = agent_stream(rig);
	expect_frame(rig, *ret_guest, PROTOCOL_EXEC, "request", 7);
	return client;
}

static void test_agent_comes_up_once(void **state)
{
	struct rig *rig = *state;
	struct protocol_health health = {
		.load1_x100 = 150, .memory_total_kib = 9, .processes = 4
	};
	uint8_t wire[256];
	struct bytes_writer w = bytes_writer(wire, sizeof(wire));
	struct event event;
	int fd;

	expect_error(rig, ask(rig, LINK_OP_EXEC, 0, "x", 1), EAGAIN); /* not there yet */
	agent_ready(rig);
	protocol_put_health(&w, &health);
	say_message(rig->agent, PROTOCOL_HEALTH, &w);
	event = hear_event(rig, EVENT_AGENT_HEALTH);
	assert_int_equal(event.value[0], 150);
	assert_int_equal(event.value[1], 9);
	assert_int_equal(event.value[5], 4);
	/* Somebody else in the guest plays the agent. */
	broker_say(rig, VSOCK_BROKER_CONNECT, 2, PROTOCOL_PORT);
	broker_hear(rig, VSOCK_BROKER_REFUSED, &fd);
	no_event(rig);
	close(rig->agent);
	rig->agent = -1;
	hear_event(rig, EVENT_AGENT_LOST);
	expect_error(rig, ask(rig, LINK_OP_EXEC, 0, "x", 1), ENOTCONN);
}

static void test_agent_that_breaks_the_protocol_is_lost(void **state)
{
	struct rig *rig = *state;

	agent_connects(rig);
	send_frame(rig->agent, STREAM_STDOUT, "x", 1);
	hear_event(rig, EVENT_AGENT_LOST);
	expect_end(rig, rig->agent);
	no_event(rig);
}

static void test_agent_of_another_version_is_lost(void **state)
{
	struct rig *rig = *state;
	struct protocol_hello hello = { .version = 99, .payload_max = 65536, .build = "test" };
	uint8_t wire[256];
	struct bytes_writer w = bytes_writer(wire, sizeof(wire));

	broker_say(rig, VSOCK_BROKER_CONNECT, 1, PROTOCOL_PORT);
	broker_hear(rig, VSOCK_BROKER_ACCEPTED, &rig->agent);
	protocol_put_hello(&w, &hello);
	say_message(rig->agent, PROTOCOL_HELLO, &w);
	assert_int_equal(hear_event(rig, EVENT_AGENT_HELLO).value[0], 99);
	hear_event(rig, EVENT_AGENT_LOST);
}

/* H3: liveness is judged here. */
static void test_silent_agent_is_lost(void **state)
{
	struct rig *rig = *state;
	struct protocol_health health = {};
	uint8_t wire[256];
	struct bytes_writer w = bytes_writer(wire, sizeof(wire));

	agent_ready(rig);
	protocol_put_health(&w, &health);
	for (int i = 0; i < 5; i++) {
		usleep(SILENCE_MS / 4 * 1000);
		say_message(rig->agent, PROTOCOL_HEALTH, &w);
		hear_event(rig, EVENT_AGENT_HEALTH);
	}
	int begun = ask(rig, LINK_OP_EXEC, 0, "x", 1), guest = agent_stream(rig);
	int answered = ask(rig, LINK_OP_EXEC, 0, "x", 1), other = agent_stream(rig);
	uint8_t payload[64];
	uint32_t len;

	say_started(other);
	assert_int_equal(take_frame(rig, answered, payload, &len), STREAM_STARTED);
	usleep((SILENCE_MS + 200) * 1000);
	hear_event(rig, EVENT_AGENT_LOST);
	/* What waits for an answer ends, what was answered goes on, and nothing new begins. */
	expect_error(rig, begun, ENOTCONN);
	expect_error(rig, ask(rig, LINK_OP_EXEC, 0, "x", 1), ENOTCONN);
	close(guest);
	/* It was only held up. */
	say_message(rig->agent, PROTOCOL_HEALTH, &w);
	hear_event(rig, EVENT_AGENT_HEALTH);
	close(other);
	expect_error(rig, answered, ECONNRESET);
	begun = ask(rig, LINK_OP_EXEC, 0, "x", 1);
	close(agent_stream(rig));
	expect_error(rig, begun, ECONNRESET);
}

static void test_agent_refuses(void **state)
{
	struct rig *rig = *state;
	struct protocol_refused refused = { .code = ENODEV, .stage = PROTOCOL_STAGE_MOUNT };
	uint8_t wire[256];
	struct bytes_writer w = bytes_writer(wire, sizeof(wire));
	struct event event;

	agent_connects(rig);
	protocol_put_refused(&w, &refused);
	say_message(rig->agent, PROTOCOL_REFUSED, &w);
	event = hear_event(rig, EVENT_AGENT_REFUSED);
	assert_int_equal(event.value[0], ENODEV);
	assert_int_equal(event.value[1], PROTOCOL_STAGE_MOUNT);
	no_event(rig);
}

/* H3: records of the guest's will have a budget. */
static void test_guest_cannot_flood_events(void **state)
{
	struct rig *rig = *state;
	struct protocol_audit audit = { .kind = 1 };
	uint8_t wire[256];
	struct bytes_writer w = bytes_writer(wire, sizeof(wire));
	unsigned int heard = 0;

	agent_ready(rig);
	protocol_put_audit(&w, &audit);
	for (int i = 0; i < 2000; i++) {
		say_message(rig->agent, PROTOCOL_AUDIT, &w);
		rounds(rig);
	}
	while (recv(rig->events, wire, sizeof(wire), MSG_DONTWAIT) == EVENT_SIZE)
		heard++;
	assert_in_range(heard, 1, 200);
}

static void test_requests_reach_the_agent(void **state)
{
	struct rig *rig = *state;
	struct err err = {};
	uint8_t payload[64];
	uint32_t len;
	uint64_t ns = 0;
	enum protocol_shutdown_kind kind;

	agent_ready(rig);
	assert_int_equal(link_control_time(rig->control, 12345, &err), 0);
	assert_int_equal(take_frame(rig, rig->agent, payload, &len), PROTOCOL_TIME_SET);
	assert_true(protocol_get_time_set(payload, len, &ns));
	assert_int_equal(ns, 12345);
	assert_int_equal(link_control_shutdown(rig->control, LINK_SHUTDOWN_REBOOT, &err), 0);
	assert_int_equal(take_frame(rig, rig->agent, payload, &len), PROTOCOL_SHUTDOWN);
	assert_true(protocol_get_shutdown(payload, len, &kind));
	assert_int_equal(kind, PROTOCOL_SHUTDOWN_REBOOT);
}

static void test_exec_there_and_back(void **state)
{
	struct rig *rig = *state;
	int client, guest;

	agent_ready(rig);
	client = begin_exec(rig, &guest);
	send_frame(client, STREAM_STDIN, "in\0put", 6);
	expect_frame(rig, guest, STREAM_STDIN, "in\0put", 6);
	send_frame(client, STREAM_STDIN_EOF, "", 0);
	expect_frame(rig, guest, STREAM_STDIN_EOF, "", 0);
	say_started(guest);
	expect_frame(rig, client, STREAM_STARTED, "\7\0\0\0", 4);
	send_frame(guest, STREAM_STDOUT, "out\xff", 4);
	expect_frame(rig, client, STREAM_STDOUT, "out\xff", 4);
	send_frame(guest, STREAM_STDERR, "err", 3);
	expect_frame(rig, client, STREAM_STDERR, "err", 3);
	say_exit(guest, 3);
	expect_exit(rig, client, 3);
	expect_end(rig, guest);
	close(client);
	close(guest);
}

static void test_client_that_leaves_ends_its_exec(void **state)
{
	struct rig *rig = *state;
	int client, guest;

	agent_ready(rig);
	client = begin_exec(rig, &guest);
	close(client);
	expect_end(rig, guest);
	close(guest);
}

static void test_lying_guest_becomes_an_error(void **state)
{
	struct rig *rig = *state;
	int client, guest;

	agent_ready(rig);
	client = ask(rig, LINK_OP_EXEC, 0, "request", 7);
	guest = agent_stream(rig);
	send_frame(guest, STREAM_STDOUT, "before STARTED", 14);
	expect_error(rig, client, EPROTO);
	close(guest);
	client = ask(rig, LINK_OP_COPY_OUT, 0, "request", 7);
	guest = agent_stream(rig);
	close(guest);
	expect_error(rig, client, ECONNRESET);
	client = ask(rig, LINK_OP_EXEC, 0, "request", 7);
	guest = agent_stream(rig);
	send_frame(client, STREAM_STDOUT, "not mine", 8);
	expect_error(rig, client, EPROTO);
	close(guest);
}

/* H14: a name of two components never reaches the client. */
static void test_copy_out_checks_names(void **state)
{
	struct rig *rig = *state;
	struct stream_copy_entry entry = { .kind = STREAM_COPY_DIR, .mode = 0755, .name = "ok" };
	uint8_t frame[STREAM_FIXED_MAX], payload[1024];
	uint32_t len;
	int client, guest;

	agent_ready(rig);
	client = ask(rig, LINK_OP_COPY_OUT, 0, "request", 7);
	guest = agent_stream(rig);
	say_started(guest);
	assert_int_equal(take_frame(rig, client, payload, &len), STREAM_STARTED);
	write_all(guest, frame, stream_copy_entry_frame(&entry, frame));
	assert_int_equal(take_frame(rig, client, payload, &len), STREAM_COPY_ENTRY);
	stream_copy_entry_frame(&entry, frame);
	memcpy(frame + sizeof(frame) - 256, "../x", 4);
	write_all(guest, frame, sizeof(frame));
	expect_error(rig, client, EPROTO);
	close(guest);
}

/* Neither side reads: what waits is bounded; then all of it arrives. */
static void test_exec_back_pressure(void **state)
{
	struct rig *rig = *state;
	static uint8_t block[32768], got[PROTOCOL_PAYLOAD_MAX];
	size_t sent = 0, received = 0;
	uint32_t len;
	int client, guest;

	agent_ready(rig);
	client = ask(rig, LINK_OP_EXEC, 0, "request", 7);
	guest = agent_stream(rig);
	say_started(guest);
	expect_frame(rig, client, STREAM_STARTED, "\7\0\0\0", 4);
	for (int idle = 0; idle < 3;) {
		uint8_t frame[PROTOCOL_HEAD_SIZE + sizeof(block)];
		size_t at = 0;

		for (size_t i = 0; i < sizeof(block); i++)
			block[i] = (uint8_t)((sent + i) * 13 >> 4);
		stream_bytes_head(STREAM_STDOUT, sizeof(block), frame);
		memcpy(frame + PROTOCOL_HEAD_SIZE, block, sizeof(block));
		for (idle = 0; at < sizeof(frame) && idle < 3; idle++) {
			ssize_t n = send(guest, frame + at, sizeof(frame) - at, MSG_DONTWAIT);

			if (n > 0) {
				at += (size_t)n;
				idle = -1;
			}
			rounds(rig);
		}
		sent += at > PROTOCOL_HEAD_SIZE ? at - PROTOCOL_HEAD_SIZE : 0;
		assert_true(sent < 2 << 20);
	}
	/* The client reads: every byte that was taken comes, in order. */
	while (received + PROTOCOL_PAYLOAD_MAX < sent) {
		assert_int_equal(take_frame(rig, client, got, &len), STREAM_STDOUT);
		for (uint32_t i = 0; i < len; i++)
			assert_int_equal(got[i], (uint8_t)((received + i) * 13 >> 4));
		received += len;
	}
	close(client);
	close(guest);
}

static void test_many_execs_at_once(void **state)
{
	struct rig *rig = *state;
	int client[LINK_OPERATIONS_MAX], guest[LINK_OPERATIONS_MAX];
	char text[16];

	agent_ready(rig);
	for (int i = 0; i < LINK_OPERATIONS_MAX; i++)
		client[i] = begin_exec(rig, &guest[i]);
	expect_error(rig, ask(rig, LINK_OP_EXEC, 0, "request", 7), EBUSY);
	for (int i = LINK_OPERATIONS_MAX - 1; i >= 0; i--) {
		snprintf(text, sizeof(text), "%d", i);
		say_started(guest[i]);
		send_frame(guest[i], STREAM_STDOUT, text, (uint32_t)strlen(text));
		say_exit(guest[i], (uint32_t)i & 255);
	}
	for (int i = 0; i < LINK_OPERATIONS_MAX; i++) {
		snprintf(text, sizeof(text), "%d", i);
		expect_frame(rig, client[i], STREAM_STARTED, "\7\0\0\0", 4);
		expect_frame(rig, client[i], STREAM_STDOUT, text, strlen(text));
		expect_exit(rig, client[i], (uint32_t)i & 255);
		close(client[i]);
		close(guest[i]);
	}
	rounds(rig);
	client[0] = ask(rig, LINK_OP_EXEC, 0, "request", 7);
	guest[0] = agent_stream(rig);
	close(client[0]);
	close(guest[0]);
}

/* The request itself may be larger than any socket's buffer. */
static void test_largest_request(void **state)
{
	struct rig *rig = *state;
	static uint8_t body[LINK_CONTROL_BODY_MAX];
	int client, guest;

	agent_ready(rig);
	memset(body, 'b', sizeof(body));
	client = ask(rig, LINK_OP_EXEC, 0, body, sizeof(body));
	guest = agent_stream(rig);
	expect_frame(rig, guest, PROTOCOL_EXEC, body, sizeof(body));
	close(client);
	close(guest);
}

/* The session. */

static size_t exec_body(uint8_t *out, size_t size, uint32_t flags)
{
	static struct protocol_exec exec;
	struct bytes_writer w = bytes_writer(out, size);

	memset(&exec, 0, sizeof(exec));
	exec.flags = flags;
	exec.rows = 24;
	exec.cols = 80;
	exec.user = exec.folder = "";
	exec.argc = 1;
	exec.argv[0] = "cmd";
	protocol_put_exec(&w, &exec);
	assert_false(w.failed);
	return w.offset;
}

static int start_session(struct rig *rig, uint32_t exec_flags, uint8_t flags)
{
	uint8_t body[256];
	size_t len = exec_body(body, sizeof(body), exec_flags);
	struct link_request request = {
		.op = LINK_OP_SESSION_START, .flags = flags, .body = body, .body_len = len
	};
	struct err err = {};
	int guest;

	agent_ready(rig);
	assert_int_equal(link_control_send(rig->control, &request, -1, &err), 0);
	guest = agent_stream(rig);
	expect_frame(rig, guest, PROTOCOL_EXEC, body, len);
	say_started(guest);
	rounds(rig);
	return guest;
}

static int attach(struct rig *rig, uint16_t rows, uint16_t cols)
{
	uint8_t body[4];

	store_le16(body, rows);
	store_le16(body + 2, cols);
	return ask(rig, LINK_OP_SESSION_ATTACH, 0, body, sizeof(body));
}

static void test_session_attach_detach(void **state)
{
	struct rig *rig = *state;
	int guest, a, b;
	char log[64] = {};

	expect_error(rig, attach(rig, 24, 80), ENOENT);
	guest = start_session(rig, PROTOCOL_EXEC_TTY, 0);
	send_frame(guest, STREAM_STDOUT, "one\ntwo\n", 8);
	a = attach(rig, 24, 80);
	expect_frame(rig, a, STREAM_STARTED, "\7\0\0\0", 4);
	expect_frame(rig, a, STREAM_STDOUT, "one\ntwo\n", 8);
	expect_frame(rig, guest, STREAM_RESIZE, "\x18\0\x50\0", 4);
	send_frame(a, STREAM_STDIN, "x", 1);
	expect_frame(rig, guest, STREAM_STDIN, "x", 1);
	send_frame(a, STREAM_STDIN_EOF, "", 0); /* means nothing to a terminal */
	close(a);
	rounds(rig);
	send_frame(guest, STREAM_STDOUT, "three\n", 6);
	rounds(rig);
	/* Again, by two: the last screenful of two lines; the same size is shaken so that programs redraw. */
	a = attach(rig, 2, 80);
	expect_frame(rig, guest, STREAM_RESIZE, "\x02\0\x50\0", 4);
	expect_frame(rig, a, STREAM_STARTED, "\7\0\0\0", 4);
	expect_frame(rig, a, STREAM_STDOUT, "two\n", 4);
	expect_frame(rig, a, STREAM_STDOUT, "three\n", 6);
	b = attach(rig, 2, 80);
	expect_frame(rig, guest, STREAM_RESIZE, "\x01\0\x50\0", 4);
	expect_frame(rig, guest, STREAM_RESIZE, "\x02\0\x50\0", 4);
	expect_frame(rig, b, STREAM_STARTED, "\7\0\0\0", 4);
	expect_frame(rig, b, STREAM_STDOUT, "two\n", 4);
	expect_frame(rig, b, STREAM_STDOUT, "three\n", 6);
	send_frame(guest, STREAM_STDOUT, "both", 4);
	expect_frame(rig, a, STREAM_STDOUT, "both", 4);
	expect_frame(rig, b, STREAM_STDOUT, "both", 4);
	say_exit(guest, 4);
	assert_int_equal(hear_event(rig, EVENT_SESSION_ENDED).value[0], 4);
	expect_exit(rig, a, 4);
	expect_exit(rig, b, 4);
	close(a);
	close(b);
	close(guest);
	assert_int_equal(pread(rig->log_fd, log, sizeof(log) - 1, 0), 18);
	assert_string_equal(log, "one\ntwo\nthree\nboth");
	/* After its end: what is left, and the exit code. */
	a = attach(rig, 1, 80);
	expect_frame(rig, a, STREAM_STARTED, "\7\0\0\0", 4);
	expect_frame(rig, a, STREAM_STDOUT, "three\n", 6);
	expect_frame(rig, a, STREAM_STDOUT, "both", 4);
	expect_exit(rig, a, 4);
	close(a);
}

static void test_session_with_pipes(void **state)
{
	struct rig *rig = *state;
	int guest = start_session(rig, 0, LINK_FLAG_HOLD), a, b;

	a = attach(rig, 0, 0);
	b = attach(rig, 0, 0);
	expect_frame(rig, a, STREAM_STARTED, "\7\0\0\0", 4);
	send_frame(a, STREAM_STDIN, "in", 2);
	expect_frame(rig, guest, STREAM_STDIN, "in", 2);
	send_frame(a, STREAM_STDIN_EOF, "", 0);
	expect_frame(rig, guest, STREAM_STDIN_EOF, "", 0);
	send_frame(b, STREAM_STDIN, "late", 4); /* the input has ended for everybody */
	send_frame(guest, STREAM_STDERR, "e", 1);
	expect_frame(rig, a, STREAM_STDERR, "e", 1);
	close(guest);
	assert_int_equal(hear_event(rig, EVENT_SESSION_ENDED).value[0], LINK_SESSION_FAILED);
	expect_error(rig, a, ECONNRESET);
	close(b);
}

/* Nobody is attached: the newest stays. Under HOLD, and for a client that does not read, nothing is lost. */
static void test_session_keeps_output(void **state)
{
	struct rig *rig = *state;
	int guest = start_session(rig, 0, LINK_FLAG_HOLD), a;
	static uint8_t block[8192], got[PROTOCOL_PAYLOAD_MAX];
	size_t sent = 0, received = 0, total = 3 << 20;
	uint8_t frame[PROTOCOL_HEAD_SIZE + sizeof(block)];
	size_t at = sizeof(frame);
	uint32_t len;

	a = -1;
	while (received < total) {
		for (int tries = 0; tries < 50 && sent < total; tries++) {
			ssize_t n;

			if (at == sizeof(frame)) {
				for (size_t i = 0; i < sizeof(block); i++)
					block[i] = (uint8_t)((sent + i) * 11 >> 5);
				stream_bytes_head(STREAM_STDOUT, sizeof(block), frame);
				memcpy(frame + PROTOCOL_HEAD_SIZE, block, sizeof(block));
				at = 0;
			}
			n = send(guest, frame + at, sizeof(frame) - at, MSG_DONTWAIT);
			if (n > 0)
				at += (size_t)n;
			if (at == sizeof(frame))
				sent += sizeof(block);
			link_run_once(rig->link, 0);
		}
		if (a < 0) {
			assert_true(sent < 1 << 20);
			a = attach(rig, 0, 0);
			expect_frame(rig, a, STREAM_STARTED, "\7\0\0\0", 4);
		}
		while (take_frame(rig, a, got, &len) == STREAM_STDOUT) {
			for (uint32_t i = 0; i < len; i++)
				assert_int_equal(got[i], (uint8_t)((received + i) * 11 >> 5));
			received += len;
		}
	}
	assert_int_equal(received, total);
	close(a);
	/* Detached: the guest is never held up. */
	rounds(rig);
	for (int i = 0; i < 200; i++) {
		send_frame(guest, STREAM_STDOUT, block, sizeof(block));
		rounds(rig);
	}
	close(guest);
}

/* Ports. */

static void test_published_port(void **state)
{
	struct rig *rig = *state;
	uint8_t payload[64], refusal[STREAM_FIXED_MAX];
	struct protocol_forward forward;
	uint32_t len;
	char text[32] = {};
	int client, guest;

	agent_ready(rig);
	client = unix_connect(path_of(rig, "published"));
	write_all(client, "GET", 3); /* waits for the guest */
	guest = agent_stream(rig);
	assert_int_equal(take_frame(rig, guest, payload, &len), PROTOCOL_FORWARD);
	assert_true(protocol_get_forward(payload, len, &forward));
	assert_int_equal(forward.port, 8080);
	rounds(rig);
	assert_int_equal(recv(guest, text, sizeof(text), MSG_DONTWAIT), -1);
	say_started(guest);
	write_all(guest, "hello", 5);
	rounds(rig);
	assert_int_equal(recv(guest, text, sizeof(text), MSG_DONTWAIT), 3);
	assert_int_equal(recv(client, text, sizeof(text), MSG_DONTWAIT), 5);
	assert_memory_equal(text, "hello", 5);
	/* half-close there, then the answer, then the end */
	shutdown(client, SHUT_WR);
	expect_end(rig, guest);
	write_all(guest, "answer", 6);
	close(guest);
	rounds(rig);
	assert_int_equal(recv(client, text, sizeof(text), MSG_DONTWAIT), 6);
	expect_end(rig, client);
	close(client);

	/* The guest refuses. */
	client = unix_connect(path_of(rig, "published"));
	guest = agent_stream(rig);
	len = (uint32_t)stream_error_frame(
		&(struct stream_error){ .code = ECONNREFUSED, .stage = PROTOCOL_STAGE_CONNECT },
		refusal);
	write_all(guest, refusal, len);
	rounds(rig);
	close(guest);
	expect_end(rig, client);
	close(client);
}

/* Connections that others make and leave open do not keep the user from his own sandbox. */
static void test_connections_leave_room_for_execs(void **state)
{
	struct rig *rig = *state;
	int client[LINK_OPERATIONS_MAX / 2], guest[LINK_OPERATIONS_MAX / 2], waiting, exec, stream;
	uint8_t payload[64];
	uint32_t len;

	agent_ready(rig);
	for (int i = 0; i < LINK_OPERATIONS_MAX / 2; i++) {
		client[i] = unix_connect(path_of(rig, "published"));
		guest[i] = agent_stream(rig);
		assert_int_equal(take_frame(rig, guest[i], payload, &len), PROTOCOL_FORWARD);
	}
	waiting = unix_connect(path_of(rig, "published"));
	rounds(rig);
	exec = begin_exec(rig, &stream);
	/* One that ends makes room for the one that waits. */
	close(guest[0]);
	close(guest[1]);
	close(stream);
	stream = agent_stream(rig);
	assert_int_equal(take_frame(rig, stream, payload, &len), PROTOCOL_FORWARD);
	for (int i = 2; i < LINK_OPERATIONS_MAX / 2; i++)
		close(guest[i]);
	for (int i = 0; i < LINK_OPERATIONS_MAX / 2; i++)
		close(client[i]);
	close(waiting);
	close(exec);
	close(stream);
}

static void test_forward_bulk_survives_close(void **state)
{
	struct rig *rig = *state;
	static uint8_t block[65536];
	uint8_t port[4] = { 80 };
	size_t sent = 0, received = 0;
	int client, guest;

	agent_ready(rig);
	client = ask(rig, LINK_OP_FORWARD, 0, port, sizeof(port));
	guest = agent_stream(rig);
	say_started(guest);
	while (sent < 4 << 20) {
		ssize_t n = send(guest, block, sizeof(block), MSG_DONTWAIT);

		sent += n > 0 ? (size_t)n : 0;
		if (sent >= 4 << 20)
			break;
		rounds(rig);
		if (n < 0) {
			n = recv(client, block, sizeof(block), MSG_DONTWAIT);
			received += n > 0 ? (size_t)n : 0;
		}
	}
	close(guest); /* what is on its way still arrives */
	for (;;) {
		ssize_t n = recv(client, block, sizeof(block), MSG_DONTWAIT);

		rounds(rig);
		if (n == 0)
			break;
		received += n > 0 ? (size_t)n : 0;
	}
	assert_int_equal(received, sent);
	close(client);
}

/* E17: whoever else reaches the socket gets nothing through it. */
static void test_another_users_connection_is_turned_away(void **state)
{
	struct rig *rig = *state;
	struct vsock_broker_message message;
	int client = unix_connect(path_of(rig, "vsock.sock")), fd = -1;
	ssize_t n;

	write_all(client, "CONNECT 22\n", 11);
	rounds(rig);
	assert_int_equal(vsock_broker_receive(rig->vmm, &message, &fd), -EAGAIN);
	n = recv(client, &message, 1, MSG_DONTWAIT);
	assert_true(n == 0 || (n < 0 && errno == ECONNRESET)); /* by what it said unread */
	close(client);
}

static void test_firecracker_form(void **state)
{
	struct rig *rig = *state;
	struct vsock_broker_message message;
	int client, fd, flags;
	char text[64] = {}, want[32];

	client = unix_connect(path_of(rig, "vsock.sock"));
	write_all(client, "CONN", 4);
	rounds(rig);
	write_all(client, "ECT 22\nSSH-2.0", 14); /* bytes of the stream right behind the line */
	message = broker_hear(rig, VSOCK_BROKER_OPEN, &fd);
	assert_int_equal(message.port, 22);
	assert_int_equal(fd, -1);
	assert_int_equal(recv(client, text, sizeof(text), MSG_DONTWAIT), -1);
	broker_say(rig, VSOCK_BROKER_OPENED, message.id, 0);
	snprintf(want, sizeof(want), "OK %u\n", message.id);
	assert_int_equal(recv(client, text, sizeof(text), MSG_DONTWAIT), strlen(want));
	assert_string_equal(text, want);
	message = broker_hear(rig, VSOCK_BROKER_STREAM, &fd);
	assert_true(fd >= 0);
	/* The VMM holds the client's very socket, whose next byte is the stream's. */
	assert_int_equal(recv(fd, text, sizeof(text), MSG_DONTWAIT), 7);
	assert_memory_equal(text, "SSH-2.0", 7);
	flags = fcntl(fd, F_GETFL);
	assert_true(flags >= 0);
	close(fd);
	expect_end(rig, client);
	close(client);

	/* The guest refuses; a line that is none; a client that goes first. */
	client = unix_connect(path_of(rig, "vsock.sock"));
	write_all(client, "CONNECT 23\n", 11);
	message = broker_hear(rig, VSOCK_BROKER_OPEN, &fd);
	broker_say(rig, VSOCK_BROKER_FAILED, message.id, 0);
	expect_end(rig, client);
	close(client);
	client = unix_connect(path_of(rig, "vsock.sock"));
	write_all(client, "HELO 23\n", 8);
	rounds(rig);
	assert_true(recv(client, text, sizeof(text), MSG_DONTWAIT) <= 0);
	close(client);
	client = unix_connect(path_of(rig, "vsock.sock"));
	write_all(client, "CONNECT 24\n", 11);
	message = broker_hear(rig, VSOCK_BROKER_OPEN, &fd);
	close(client);
	rounds(rig);
	broker_say(rig, VSOCK_BROKER_OPENED, message.id, 0);
	broker_hear(rig, VSOCK_BROKER_STREAM, &fd);
	assert_int_equal(fd, -1);
}

static void test_guest_to_host_ports(void **state)
{
	struct rig *rig = *state;
	int server, fd, end;

	broker_say(rig, VSOCK_BROKER_CONNECT, 5, 22); /* not in the list */
	broker_hear(rig, VSOCK_BROKER_REFUSED, &fd);
	broker_say(rig, VSOCK_BROKER_CONNECT, 6, 3128); /* nobody there */
	broker_hear(rig, VSOCK_BROKER_REFUSED, &fd);
	server = unix_listener(path_of(rig, "vsock.sock_3128"));
	broker_say(rig, VSOCK_BROKER_CONNECT, 7, 3128);
	assert_int_equal(broker_hear(rig, VSOCK_BROKER_ACCEPTED, &fd).id, 7);
	assert_true(fd >= 0);
	end = accept(server, NULL, NULL);
	assert_return_code(end, errno);
	write_all(fd, "x", 1);
	assert_int_equal(recv(end, (char[4]){ 0 }, 4, MSG_DONTWAIT), 1);
	close(end);
	close(fd);
	close(server);
}

static void test_egress_streams_go_to_the_proxy(void **state)
{
	struct rig *rig = *state;
	uint8_t word[2];
	size_t len;
	int fd, end;

	broker_say(rig, VSOCK_BROKER_CONNECT, 8, PROTOCOL_EGRESS_PORT);
	assert_int_equal(broker_hear(rig, VSOCK_BROKER_ACCEPTED, &fd).id, 8);
	assert_true(fd >= 0);
	assert_int_equal(fdpass_receive(rig->proxy, word, sizeof(word), &len, &end), 1);
	assert_int_equal(len, 1);
	assert_int_equal(word[0], LINK_EGRESS_STREAM);
	assert_true(end >= 0);
	write_all(fd, "x", 1);
	assert_int_equal(recv(end, (char[4]){ 0 }, 4, MSG_DONTWAIT), 1);
	close(end);
	expect_end(rig, fd);
	close(fd);
}

/* One that takes no more of them costs the guest its connection and the link nothing. */
static void test_egress_without_a_proxy_that_takes_it(void **state)
{
	struct rig *rig = *state;
	struct vsock_broker_message answer = {};
	uint32_t id = 0;
	int fd, count = 0;

	do {
		broker_say(rig, VSOCK_BROKER_CONNECT, ++id, PROTOCOL_EGRESS_PORT);
		assert_int_equal(vsock_broker_receive(rig->vmm, &answer, &fd), 1);
		close_keeping_errno(fd);
		count += answer.op == VSOCK_BROKER_ACCEPTED;
	} while (answer.op == VSOCK_BROKER_ACCEPTED && id < 4096);
	assert_int_equal(answer.op, VSOCK_BROKER_REFUSED);
	assert_true(count > 0);
	close(rig->proxy);
	rig->proxy = -1;
	broker_say(rig, VSOCK_BROKER_CONNECT, ++id, PROTOCOL_EGRESS_PORT);
	broker_hear(rig, VSOCK_BROKER_REFUSED, &fd);
}

static void test_raw_vsock_gives_the_socket_away(void **state)
{
	struct rig *rig = *state;
	uint8_t port[4] = { 99 };
	int client = ask(rig, LINK_OP_VSOCK, 0, port, sizeof(port)), fd;

	assert_int_equal(broker_hear(rig, VSOCK_BROKER_OPEN, &fd).port, 99);
	assert_true(fd >= 0);
	write_all(client, "raw", 3);
	assert_int_equal(recv(fd, (char[8]){ 0 }, 8, MSG_DONTWAIT), 3);
	close(fd);
	expect_end(rig, client);
	close(client);
}

static void test_supervisor_goes(void **state)
{
	struct rig *rig = *state;

	assert_true(link_run_once(rig->link, 0));
	close(rig->control);
	rig->control = dup(0);
	rounds(rig);
	assert_false(link_run_once(rig->link, 0));
}

static void test_vmm_goes(void **state)
{
	struct rig *rig = *state;
	int client, guest;

	agent_ready(rig);
	client = ask(rig, LINK_OP_EXEC, 0, "request", 7);
	guest = agent_stream(rig);
	close(guest);
	close(rig->agent);
	rig->agent = -1;
	close(rig->vmm);
	rig->vmm = dup(0);
	expect_error(rig, client, ECONNRESET);
	hear_event(rig, EVENT_AGENT_LOST);
	assert_true(link_run_once(rig->link, 0));
}

#define LINK_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LINK_TEST(test_agent_comes_up_once),
		LINK_TEST(test_agent_that_breaks_the_protocol_is_lost),
		LINK_TEST(test_agent_of_another_version_is_lost),
		cmocka_unit_test_setup_teardown(
			test_silent_agent_is_lost, set_up_impatient, tear_down),
		LINK_TEST(test_agent_refuses),
		LINK_TEST(test_guest_cannot_flood_events),
		LINK_TEST(test_requests_reach_the_agent),
		LINK_TEST(test_exec_there_and_back),
		LINK_TEST(test_client_that_leaves_ends_its_exec),
		LINK_TEST(test_lying_guest_becomes_an_error),
		LINK_TEST(test_copy_out_checks_names),
		LINK_TEST(test_exec_back_pressure),
		LINK_TEST(test_many_execs_at_once),
		LINK_TEST(test_largest_request),
		LINK_TEST(test_session_attach_detach),
		LINK_TEST(test_session_with_pipes),
		LINK_TEST(test_session_keeps_output),
		LINK_TEST(test_published_port),
		LINK_TEST(test_connections_leave_room_for_execs),
		LINK_TEST(test_forward_bulk_survives_close),
		LINK_TEST(test_firecracker_form),
		cmocka_unit_test_setup_teardown(test_another_users_connection_is_turned_away,
			set_up_of_another_user, tear_down),
		LINK_TEST(test_guest_to_host_ports),
		LINK_TEST(test_egress_streams_go_to_the_proxy),
		LINK_TEST(test_egress_without_a_proxy_that_takes_it),
		LINK_TEST(test_raw_vsock_gives_the_socket_away),
		LINK_TEST(test_supervisor_goes),
		LINK_TEST(test_vmm_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
