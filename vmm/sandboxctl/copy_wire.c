/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/copy_wire.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/base/fdio.h"
#include "vmm/sandboxctl/session.h"

int copy_wire_init(struct copy_wire *w, int fd, const char *guest_path, struct err *err)
{
	*w = (struct copy_wire){
		.fd = fd, .payload = malloc(PROTOCOL_PAYLOAD_MAX), .guest_path = guest_path
	};
	if (!w->payload)
		return err_set(err, -ENOMEM, "no memory for a copy");
	return fdio_set_nonblocking(fd, true);
}

void copy_wire_finish(struct copy_wire *w)
{
	free(w->payload);
	w->payload = NULL;
}

static int wait_for(const struct copy_wire *w, short events, short *ret)
{
	struct pollfd p = { .fd = w->fd, .events = events };

	while (poll(&p, 1, -1) < 0)
		if (errno != EINTR)
			return -errno;
	*ret = p.revents;
	return 0;
}

static int read_exactly(struct copy_wire *w, void *data, size_t len)
{
	uint8_t *p = data;
	short revents;

	while (len) {
		ssize_t n = read(w->fd, p, len);

		if (n > 0) {
			p += n;
			len -= (size_t)n;
		} else if (n == 0) {
			return -ECONNRESET;
		} else if (errno == EAGAIN) {
			int r = wait_for(w, POLLIN, &revents);

			if (r < 0)
				return r;
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}

static int lost(int code, struct err *err)
{
	return err_set(err, code, "the connection to the guest ended before the copy did");
}

static int take_error(const struct copy_wire *w, struct err *err)
{
	struct stream_error e;

	if (!stream_error_decode(w->payload, w->head.len, &e))
		return err_set(err, -EPROTO, "the guest's error is not understood");
	session_error_text((int)e.code, e.stage, err);
	if (w->guest_path)
		err_prefix(err, -(int)e.code, "%.200s in the guest", w->guest_path);
	if (e.code == EACCES || e.code == EPERM)
		err_next_step(err, "--user root copies with the rights of the guest's root");
	return -(int)e.code;
}

int copy_wire_next(struct copy_wire *w, struct err *err)
{
	uint8_t head[PROTOCOL_HEAD_SIZE];
	int r;

	if (w->ended)
		return 0;
	r = read_exactly(w, head, sizeof(head));
	if (r < 0)
		return lost(r, err);
	if (!protocol_head_decode(head, PROTOCOL_GUEST, &w->head) ||
		w->head.len > PROTOCOL_PAYLOAD_MAX)
		return err_set(err, -EPROTO, "the guest's stream is not understood");
	r = read_exactly(w, w->payload, w->head.len);
	if (r < 0)
		return lost(r, err);
	if (w->head.type == STREAM_ERROR)
		return take_error(w, err);
	if (w->head.type != STREAM_EXIT)
		return 1;
	if (!stream_exit_decode(w->payload, w->head.len, &w->exit))
		return err_set(err, -EPROTO, "the guest's stream is not understood");
	w->ended = true;
	return 0;
}

/* While sending, anything but STARTED from the guest ends the copy. */
static int listen_while_sending(struct copy_wire *w, struct err *err)
{
	int r = copy_wire_next(w, err);

	if (r < 0 || (r > 0 && w->head.type == STREAM_STARTED))
		return r < 0 ? r : 0;
	return err_set(err, -EPROTO, "the guest ended the copy before its end");
}

static int send_some(struct copy_wire *w, const uint8_t **p, size_t *len, struct err *err)
{
	ssize_t n = send(w->fd, *p, *len, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n > 0) {
		*p += n;
		*len -= (size_t)n;
	} else if (n < 0 && errno != EAGAIN && errno != EINTR) {
		/* What the guest said last is more telling than that it hung up. */
		int code = -errno, r = copy_wire_next(w, err);

		return r < 0 ? r : lost(code, err);
	}
	return 0;
}

int copy_wire_send(struct copy_wire *w, const void *data, size_t len, struct err *err)
{
	const uint8_t *p = data;
	int r = 0;

	while (r == 0 && len) {
		short revents = 0;

		r = wait_for(w, POLLIN | POLLOUT, &revents);
		if (r == 0 && revents & (POLLIN | POLLHUP))
			r = listen_while_sending(w, err);
		if (r == 0 && revents & POLLOUT)
			r = send_some(w, &p, &len, err);
	}
	return r;
}
