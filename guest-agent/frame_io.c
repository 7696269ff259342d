/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/frame_io.h"

#include <errno.h>
#include <string.h>

#include "vmm/base/fdio.h"

int frame_read(
	int fd, enum protocol_sender sender, struct protocol_head *ret, uint8_t *data, size_t size)
{
	uint8_t bytes[PROTOCOL_HEAD_SIZE];
	struct protocol_head head;
	int r = fdio_read_full(fd, bytes, sizeof(bytes));

	if (r < 0)
		return r;
	if (!protocol_head_decode(bytes, sender, &head))
		return -EPROTO;
	if (head.len > size)
		return -EMSGSIZE;
	r = fdio_read_full(fd, data, head.len);
	if (r < 0)
		return r;
	*ret = head;
	return 0;
}

int frame_out_flush(struct frame_out *out)
{
	int r = fdio_write_full(out->fd, out->data, out->len);

	out->len = 0;
	return r;
}

int frame_out_put(struct frame_out *out, const void *frame, size_t len)
{
	if (len > sizeof(out->data) - out->len) {
		int r = frame_out_flush(out);

		if (r < 0)
			return r;
	}
	memcpy(out->data + out->len, frame, len);
	out->len += len;
	return 0;
}

int frame_out_room(struct frame_out *out, uint8_t **ret_data)
{
	if (PROTOCOL_HEAD_SIZE + PROTOCOL_PAYLOAD_MAX > sizeof(out->data) - out->len) {
		int r = frame_out_flush(out);

		if (r < 0)
			return r;
	}
	*ret_data = out->data + out->len + PROTOCOL_HEAD_SIZE;
	return 0;
}

void frame_out_commit(struct frame_out *out, enum protocol_type type, size_t len)
{
	stream_bytes_head(type, (uint32_t)len, out->data + out->len);
	out->len += PROTOCOL_HEAD_SIZE + len;
}

void frame_send_error(int fd, int code, enum protocol_stage stage)
{
	struct stream_error error = { .code = (uint32_t)(code < 0 ? -code : code), .stage = stage };
	uint8_t frame[STREAM_FIXED_MAX];

	(void)fdio_write_full(fd, frame, stream_error_frame(&error, frame));
}

void frame_send_exit(int fd, enum stream_exit_kind kind, uint32_t value)
{
	struct stream_exit gone = { .kind = kind, .value = value };
	uint8_t frame[STREAM_FIXED_MAX];

	(void)fdio_write_full(fd, frame, stream_exit_frame(&gone, frame));
}
