/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/base/loop.h"
#include "vmm/supervisor/control.h"

#define STEP_LEN_MAX 4096
#define STEPS_MAX    16

static int check_peer(int fd, const char *path, struct err *err)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return err_set(err, -errno, "socket %s: who listens is unknown: %s", path,
			strerror(errno));
	if (peer.uid != geteuid() && peer.uid != 0)
		return err_set(err, -EACCES, "socket %s: uid %u listens there, not us", path,
			(unsigned int)peer.uid);
	return 0;
}

int control_connect(const struct paths *paths, const char *name, int *ret_fd, struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX];
	int r = paths_of_runtime(paths, name, "control.sock", path, err);

	if (r < 0)
		return r;
	memcpy(address.sun_path, path, strlen(path) + 1); /* measured by paths_of_runtime() */
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		r = -errno;
		return err_set(err, r, "sandbox %s: its supervisor does not answer: %s", name,
			strerror(-r));
	}
	r = check_peer(fd, path, err);
	if (r < 0)
		return r;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int send_full(int fd, const void *data, size_t len, int flags)
{
	for (size_t sent = 0; sent < len;) {
		ssize_t n = send(fd, (const char *)data + sent, len - sent, MSG_NOSIGNAL | flags);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			sent += (size_t)n;
	}
	return 0;
}

int control_send(int fd, const json_t *message, struct err *err)
{
	_cleanup_free_ char *text = json_dumps(message, JSON_COMPACT);
	size_t len = text ? strlen(text) : 0;
	uint8_t head[4];
	int r;

	if (!text)
		return err_set(err, -EINVAL, "request: cannot be written as JSON");
	if (len > CONTROL_MESSAGE_MAX)
		return err_set(
			err, -EMSGSIZE, "request: longer than %d bytes", CONTROL_MESSAGE_MAX);
	store_le32(head, (uint32_t)len);
	r = send_full(fd, head, sizeof(head), MSG_MORE);
	if (r == 0)
		r = send_full(fd, text, len, 0);
	return r < 0 ? err_set(err, r, "the supervisor takes no request: %s", strerror(-r)) : 0;
}

/* Waits for bytes until end_ms (0: for ever). */
static int wait_readable(int fd, uint64_t end_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	for (;;) {
		uint64_t now = clock_monotonic_ms();
		int r = poll(&p, 1,
			end_ms == 0    ? -1
			: now < end_ms ? (int)MIN(end_ms - now, (uint64_t)60000)
				       : 0);

		if (r > 0)
			return 0;
		if (r == 0 && end_ms && clock_monotonic_ms() >= end_ms)
			return -ETIME;
		if (r < 0 && errno != EINTR)
			return -errno;
	}
}

/* Exactly len bytes; an fd that comes along goes to *passed_fd, which is -1 or taken already. */
static int read_exact(int fd, void *data, size_t len, uint64_t end_ms, int *passed_fd)
{
	for (size_t got = 0; got < len;) {
		int fds[1];
		size_t count;
		ssize_t n;
		int r = wait_readable(fd, end_ms);

		if (r < 0)
			return r;
		n = fdio_recv_fds(
			fd, (char *)data + got, len - got, fds, *passed_fd < 0 ? 1 : 0, &count);
		if (n < 0)
			return (int)n;
		if (count)
			*passed_fd = fds[0];
		if (n == 0)
			return -EPIPE;
		got += (size_t)n;
	}
	return 0;
}

int control_receive(int fd, uint64_t timeout_ms, json_t **ret, int *ret_passed_fd, struct err *err)
{
	uint64_t end_ms = timeout_ms ? clock_monotonic_ms() + timeout_ms : 0;
	_cleanup_free_ char *text = NULL;
	_cleanup_close_ int passed = -1;
	uint8_t head[4];
	uint32_t len = 0;
	int r = read_exact(fd, head, sizeof(head), end_ms, &passed);

	if (r == 0) {
		len = load_le32(head);
		if (len > CONTROL_MESSAGE_MAX)
			return err_set(err, -EMSGSIZE, "answer: longer than %d bytes",
				CONTROL_MESSAGE_MAX);
		text = malloc(len + 1);
		r = text ? read_exact(fd, text, len, end_ms, &passed) : -ENOMEM;
	}
	if (r == -ETIME)
		return err_set(err, r, "the supervisor does not answer in time");
	if (r == -EPIPE || r == -ECONNRESET)
		return err_set(err, -EPIPE, "the supervisor has ended");
	if (r < 0)
		return err_set(err, r, "the supervisor's answer cannot be read: %s", strerror(-r));
	r = json_parse_object(text, len, CONTROL_MESSAGE_MAX, "answer", ret, err);
	if (r == 0 && ret_passed_fd)
		*ret_passed_fd = TAKE_FD(passed);
	return r;
}

int control_error_from_json(json_t *answer, struct err *err)
{
	struct json_reader r = json_reader(answer, "answer", err);
	int code = -(int)json_get_u64(&r, "errno", 1, 4095);
	const char *detail = json_get_text(&r, "detail", STEP_LEN_MAX);
	json_t *steps = json_get_array(&r, "next_steps", STEPS_MAX);
	const char *step = json_string_value(json_array_get(steps, 0));

	if (r.failed)
		return -EINVAL;
	err_set(err, code, "%s", detail);
	if (step)
		err_next_step(err, "%s", step);
	return code;
}

int control_call(int fd, const json_t *request, uint64_t timeout_ms, json_t **ret_data,
	int *ret_passed_fd, struct err *err)
{
	_cleanup_json_ json_t *answer = NULL;
	_cleanup_close_ int passed = -1;
	int r = control_send(fd, request, err);

	if (r == 0 || r == -EPIPE)
		r = control_receive(fd, timeout_ms, &answer, &passed, err);
	if (r < 0)
		return r;
	if (!json_is_true(json_object_get(answer, "ok")))
		return control_error_from_json(answer, err);
	if (ret_passed_fd && passed < 0)
		return err_set(err, -EPROTO, "the supervisor's answer came without its stream");
	if (ret_data)
		*ret_data = json_incref(json_object_get(answer, "data"));
	if (ret_passed_fd)
		*ret_passed_fd = TAKE_FD(passed);
	return 0;
}
