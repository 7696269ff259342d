/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/child_log.h"

#include <stdio.h>
#include <string.h>

#include "vmm/jail/jail.h"

void child_log_init(struct child_log *log, int fd)
{
	*log = (struct child_log){};
	capped_log_init(&log->file, fd, CHILD_LOG_CAP);
}

/* The last line it wrote, and the last that says what to do about it (JAIL_FIX_MARK), both printable. */
static void keep_line(struct child_log *log, const char *line, size_t len)
{
	char text[CHILD_LOG_TAIL_MAX + CHILD_LOG_FIX_MAX], *fix;
	size_t n = 0;

	for (size_t i = 0; i < len && n < sizeof(text) - 1; i++)
		text[n++] = line[i] >= 0x20 && line[i] < 0x7f ? line[i] : '?';
	text[n] = '\0';
	fix = strstr(text, JAIL_FIX_MARK);
	if (fix)
		snprintf(log->fix, sizeof(log->fix), "%.*s", CHILD_LOG_FIX_MAX - 1,
			fix + strlen(JAIL_FIX_MARK));
	else if (n)
		snprintf(log->tail, sizeof(log->tail), "%.*s", CHILD_LOG_TAIL_MAX - 1, text);
}

void child_log_take(struct child_log *log, const char *data, size_t len)
{
	capped_log_write(&log->file, data, len);
	while (len) {
		const char *end = memchr(data, '\n', len);
		size_t line = end ? (size_t)(end - data) : len;

		keep_line(log, data, line);
		line += end != NULL;
		data += line;
		len -= line;
	}
}
