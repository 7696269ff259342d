/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include <linux/vm_sockets.h>

#include "guest-agent/frame_io.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/base/loop.h"

#define RETRY_FIRST_MS 2
#define RETRY_LAST_MS  200

static int try_connect(void)
{
	struct sockaddr_vm host = {
		.svm_family = AF_VSOCK,
		.svm_port = PROTOCOL_PORT,
		.svm_cid = VMADDR_CID_HOST,
	};
	_cleanup_close_ int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&host, sizeof(host)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

static void sleep_ms(unsigned int ms)
{
	struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };

	(void)nanosleep(&ts, NULL);
}

int control_connect(struct control *control, struct err *err)
{
	uint64_t until = clock_monotonic_ms() + CONTROL_PATIENCE_MS;
	unsigned int wait_ms = RETRY_FIRST_MS;
	int fd;

	/* The device appears when its driver has probed it: no event to wait for this early, so short sleeps. */
	while ((fd = try_connect()) < 0) {
		if (clock_monotonic_ms() > until)
			return err_set(err, fd, "vsock port %d of the host: %s", PROTOCOL_PORT,
				strerror(-fd));
		sleep_ms(wait_ms);
		wait_ms = wait_ms * 2 < RETRY_LAST_MS ? wait_ms * 2 : RETRY_LAST_MS;
	}
	control->fd = fd;
	return 0;
}

static int send_hello(struct control *control, const char *build)
{
	struct protocol_hello hello = { PROTOCOL_VERSION, PROTOCOL_WELCOME_MAX, build };
	uint8_t frame[256];
	struct bytes_writer w = bytes_writer(frame, sizeof(frame));
	size_t at = protocol_frame_begin(&w);

	protocol_put_hello(&w, &hello);
	protocol_frame_end(&w, at, PROTOCOL_HELLO);
	return w.failed ? -EINVAL : fdio_write_full(control->fd, frame, w.offset);
}

static void set_timeout(int fd, long seconds)
{
	struct timeval timeout = { .tv_sec = seconds };

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
}

int control_greet(struct control *control, const char *build, struct protocol_welcome *ret,
	uint8_t **ret_bytes, struct err *err)
{
	_cleanup_free_ uint8_t *bytes = malloc(PROTOCOL_WELCOME_MAX);
	struct protocol_head head;
	int r = bytes ? send_hello(control, build) : -ENOMEM;

	if (r < 0)
		return err_set(err, r, "HELLO: %s", strerror(-r));
	set_timeout(control->fd, CONTROL_WELCOME_WAIT_S);
	r = frame_read(control->fd, PROTOCOL_CONTROL_HOST, &head, bytes, PROTOCOL_WELCOME_MAX);
	set_timeout(control->fd, 0);
	if (r < 0)
		return err_set(err, r, "WELCOME: %s", strerror(-r));
	if (head.type != PROTOCOL_WELCOME || !protocol_get_welcome(bytes, head.len, ret))
		return err_set(err, -EPROTO, "WELCOME: malformed");
	*ret_bytes = TAKE_PTR(bytes);
	return 0;
}

int control_flush(struct control *control)
{
	size_t done = 0;

	while (control->fd >= 0 && done < control->out_len) {
		ssize_t n = send(control->fd, control->out + done, control->out_len - done,
			MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (n < 0)
			break;
		done += (size_t)n;
	}
	control->out_len -= done;
	memmove(control->out, control->out + done, control->out_len);
	return 0;
}

bool control_wants_out(const struct control *control)
{
	return control->out_len > 0;
}

void control_send(struct control *control, enum protocol_type type, const struct bytes_writer *body)
{
	struct bytes_writer w = bytes_writer(
		control->out + control->out_len, sizeof(control->out) - control->out_len);
	size_t at = protocol_frame_begin(&w);

	if (control->fd < 0 || body->failed)
		return;
	bytes_put(&w, body->data, body->offset);
	protocol_frame_end(&w, at, type);
	if (!w.failed)
		control->out_len += w.offset;
	/* A stream that is broken shows itself to the loop; here it does not matter. */
	(void)control_flush(control);
}

static int take_frames(struct control *control, control_fn *fn, void *data)
{
	while (control->in_len >= PROTOCOL_HEAD_SIZE) {
		struct protocol_head head;
		size_t size;

		if (!protocol_head_decode(control->in, PROTOCOL_CONTROL_HOST, &head) ||
			head.len > CONTROL_IN_MAX - PROTOCOL_HEAD_SIZE)
			return -EPROTO;
		size = PROTOCOL_HEAD_SIZE + head.len;
		if (control->in_len < size)
			return 0;
		fn(data, &head, control->in + PROTOCOL_HEAD_SIZE);
		control->in_len -= size;
		memmove(control->in, control->in + size, control->in_len);
	}
	return 0;
}

int control_read(struct control *control, control_fn *fn, void *data)
{
	ssize_t n = recv(control->fd, control->in + control->in_len,
		sizeof(control->in) - control->in_len, MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -EPIPE;
	control->in_len += (size_t)n;
	return take_frames(control, fn, data);
}
