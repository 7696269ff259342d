/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-proxy/unmask_frames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/array.h"

#define PIECE	     4096u
#define HEAD_MAX     10 /* RFC 6455, section 5.2, without a mask */
#define CONTROL_MAX  125 /* section 5.5 */
#define WAITING_MAX  512
#define WAITING_SIZE 4096

struct unmask_frames {
	const struct redact *redact;
	struct redact_stream stream; /* the message's */
	unmask_sink_fn *sink;
	void *data;
	uint8_t head[HEAD_MAX];
	size_t head_used;
	bool in_frame, control, last;
	uint64_t left; /* of the frame's payload */
	uint8_t frame[HEAD_MAX + CONTROL_MAX]; /* a control frame, until it is whole */
	size_t frame_used;
	/* What stands between bytes of a message that are held back: passed on after so many of them. */
	struct {
		size_t behind, len;
	} waiting[WAITING_MAX];
	size_t waiting_count, bytes_used;
	uint8_t bytes[WAITING_SIZE];
	uint8_t *masked; /* PIECE and what was held */
	size_t masked_size;
};

int unmask_frames_create(
	const struct redact *redact, unmask_sink_fn *sink, void *data, struct unmask_frames **ret)
{
	struct unmask_frames *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return -ENOMEM;
	f->redact = redact;
	f->sink = sink;
	f->data = data;
	f->masked_size = PIECE + redact_held_max(redact);
	f->masked = malloc(f->masked_size);
	r = f->masked ? redact_stream_init(&f->stream, redact) : -ENOMEM;
	if (r < 0) {
		free(f->masked);
		free(f);
		return r;
	}
	*ret = f;
	return 0;
}

void unmask_frames_destroy(struct unmask_frames *f)
{
	if (!f)
		return;
	redact_stream_finish(&f->stream);
	explicit_bzero(f->masked, f->masked_size);
	free(f->masked);
	explicit_bzero(f, sizeof(*f));
	free(f);
}

static int give(struct unmask_frames *f, const uint8_t *bytes, size_t len)
{
	return len ? f->sink(f->data, bytes, len) : 0;
}

/* Bytes that belong here in the stream, past the mask already. */
static int put(struct unmask_frames *f, const uint8_t *bytes, size_t len)
{
	if (!f->stream.held_len)
		return give(f, bytes, len);
	if (f->waiting_count == WAITING_MAX || len > WAITING_SIZE - f->bytes_used)
		return -EPROTO;
	f->waiting[f->waiting_count].behind = f->stream.held_len;
	f->waiting[f->waiting_count++].len = len;
	memcpy(f->bytes + f->bytes_used, bytes, len);
	f->bytes_used += len;
	return 0;
}

/* Bytes of the message that the mask let go, with what waited between them. */
static int release(struct unmask_frames *f, const uint8_t *bytes, size_t len)
{
	size_t at = 0, used = 0, count = 0;
	int r = 0;

	for (; r == 0 && count < f->waiting_count && f->waiting[count].behind <= len; count++) {
		r = give(f, bytes + at, f->waiting[count].behind - at);
		at = f->waiting[count].behind;
		if (r == 0)
			r = give(f, f->bytes + used, f->waiting[count].len);
		used += f->waiting[count].len;
	}
	if (r == 0)
		r = give(f, bytes + at, len - at);
	f->waiting_count -= count;
	f->bytes_used -= used;
	memmove(f->waiting, f->waiting + count, f->waiting_count * sizeof(f->waiting[0]));
	memmove(f->bytes, f->bytes + used, f->bytes_used);
	for (size_t i = 0; i < f->waiting_count; i++)
		f->waiting[i].behind -= len;
	return r;
}

static int end_message(struct unmask_frames *f)
{
	return release(f, f->masked, redact_stream_end(&f->stream, f->masked));
}

/* A control frame may stand inside a message (section 5.4): it is looked through by itself. */
static int end_control(struct unmask_frames *f)
{
	size_t head = f->head_used, len = f->frame_used - head, n;
	struct redact_stream stream;
	int r = redact_stream_init(&stream, f->redact);

	if (r < 0)
		return r;
	n = redact_stream_take(&stream, f->frame + head, len, f->masked);
	n += redact_stream_end(&stream, f->masked + n);
	memcpy(f->frame + head, f->masked, MIN(n, len));
	redact_stream_finish(&stream);
	return put(f, f->frame, f->frame_used);
}

static int end_frame(struct unmask_frames *f)
{
	int r = f->control ? end_control(f) : f->last ? end_message(f) : 0;

	f->in_frame = false;
	f->head_used = 0;
	return r;
}

static size_t head_size(const uint8_t *head, size_t used)
{
	if (used < 2)
		return 2;
	return (head[1] & 127) == 127 ? 10 : (head[1] & 127) == 126 ? 4 : 2;
}

static int begin_frame(struct unmask_frames *f)
{
	unsigned int opcode = f->head[0] & 15;
	size_t size = f->head_used;

	if (f->head[0] & 0x70)
		return -EOPNOTSUPP;
	f->control = opcode >= 8;
	f->last = f->head[0] & 0x80;
	f->left = f->head[1] & 127;
	if (size > 2) {
		f->left = 0;
		for (size_t i = 2; i < size; i++)
			f->left = f->left << 8 | f->head[i];
	}
	if (f->head[1] & 0x80 || opcode > 10 || (opcode > 2 && opcode < 8) || f->left > INT64_MAX ||
		(f->control && (!f->last || f->left > CONTROL_MAX)))
		return -EPROTO;
	f->in_frame = true;
	if (!f->control)
		return put(f, f->head, size);
	memcpy(f->frame, f->head, size);
	f->frame_used = size;
	return 0;
}

static int take_payload(struct unmask_frames *f, const uint8_t *bytes, size_t len)
{
	f->left -= len;
	if (!f->control)
		return release(f, f->masked, redact_stream_take(&f->stream, bytes, len, f->masked));
	memcpy(f->frame + f->frame_used, bytes, len);
	f->frame_used += len;
	return 0;
}

int unmask_frames_take(struct unmask_frames *f, const uint8_t *bytes, size_t len)
{
	int r = 0;

	while (r == 0 && len) {
		size_t piece = 1;

		if (f->in_frame) {
			piece = MIN(len, (size_t)PIECE);
			piece = (size_t)MIN(f->left, (uint64_t)piece);
			r = take_payload(f, bytes, piece);
		} else {
			f->head[f->head_used++] = *bytes;
			if (f->head_used == head_size(f->head, f->head_used))
				r = begin_frame(f);
		}
		bytes += piece;
		len -= piece;
		if (r == 0 && f->in_frame && !f->left)
			r = end_frame(f);
	}
	return r;
}

int unmask_frames_end(struct unmask_frames *f)
{
	return end_message(f);
}
