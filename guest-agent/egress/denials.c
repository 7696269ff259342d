/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/egress/denials.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/bytes.h"

/* The texts are printable ASCII: the codec saw to it. */
static void put_text(struct bytes_writer *w, const char *name, const char *text)
{
	bytes_put(w, ",\"", 2);
	bytes_put(w, name, strlen(name));
	bytes_put(w, "\":\"", 3);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			bytes_put(w, "\\", 1);
		bytes_put(w, text, 1);
	}
	bytes_put(w, "\"", 1);
}

static void put_number(struct bytes_writer *w, const char *name, uint64_t number)
{
	char text[64];
	int len = snprintf(text, sizeof(text), ",\"%s\":%" PRIu64, name, number);

	bytes_put(w, text, (size_t)len);
}

size_t denials_line(const struct egress_request *request, const struct egress_answer *answer,
	uint64_t time_s, char out[static DENIALS_LINE_MAX])
{
	struct bytes_writer w = bytes_writer(out, DENIALS_LINE_MAX);

	bytes_put(&w, "{\"schema_version\":1", 19);
	put_number(&w, "time_s", time_s);
	put_text(&w, "verdict", egress_verdict_word(answer->verdict));
	if (request->port) { /* else the reason says what it was */
		put_text(&w, "host", request->host);
		put_number(&w, "port", request->port);
	}
	put_text(&w, "rule", answer->rule);
	put_text(&w, "reason", answer->reason);
	put_text(&w, "command", answer->command);
	if (answer->lifts_at_s)
		put_number(&w, "lifts_at_s", answer->lifts_at_s);
	bytes_put(&w, "}\n", 2);
	return w.failed ? 0 : w.offset;
}

void denials_init(struct denials *denials, int fd)
{
	ssize_t n = fd >= 0 ? pread(fd, denials->text, sizeof(denials->text), 0) : 0;

	denials->fd = fd;
	denials->len = n > 0 ? (size_t)n : 0;
}

/* Keeps whole lines of at most half of the room. */
static void drop_older(struct denials *denials)
{
	size_t from = denials->len > DENIALS_MAX / 2 ? denials->len - DENIALS_MAX / 2 : 0;
	const char *newline = memchr(denials->text + from, '\n', denials->len - from);

	from = newline ? (size_t)(newline - denials->text) + 1 : denials->len;
	denials->len -= from;
	memmove(denials->text, denials->text + from, denials->len);
}

void denials_add(struct denials *denials, const char *line, size_t len)
{
	size_t from = denials->len;

	if (!len || len > DENIALS_LINE_MAX)
		return;
	if (len > DENIALS_MAX - denials->len) {
		drop_older(denials);
		from = 0;
	}
	memcpy(denials->text + denials->len, line, len);
	denials->len += len;
	if (denials->fd < 0)
		return;
	(void)!pwrite(denials->fd, denials->text + from, denials->len - from, (off_t)from);
	(void)!ftruncate(denials->fd, (off_t)denials->len);
}
