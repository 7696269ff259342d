/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/audit/forward.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "vmm/supervisor/audit/audit_line.h"

#define AUTHPRIV_INFO 86 /* RFC 3164: facility 10, severity 6 */
#define FRAME_MAX     256 /* what stands around a text */

enum forward_kind forward_kind_parse(const char *word)
{
	if (strcmp(word, "journald") == 0)
		return FORWARD_JOURNALD;
	return strcmp(word, "syslog") == 0 ? FORWARD_SYSLOG : FORWARD_NONE;
}

static int frame(const struct forward *f, const char *text, size_t len, char *out, size_t size)
{
	if (f->kind == FORWARD_SYSLOG)
		return snprintf(out, size, "<%d>sandboxctl-audit[%s]: %.*s", AUTHPRIV_INFO,
			f->sandbox, (int)len, text);
	return snprintf(out, size,
		"PRIORITY=6\nSYSLOG_IDENTIFIER=sandboxctl-audit\nSANDBOXCTL_SANDBOX=%s\nMESSAGE=%.*s\n",
		f->sandbox, (int)len, text);
}

static int send_text(const struct forward *f, const char *text, size_t len)
{
	char message[AUDIT_LINE_MAX + FRAME_MAX];
	int n = frame(f, text, len, message, sizeof(message));

	if (n < 0 || n >= (int)sizeof(message))
		return -EMSGSIZE;
	if (send(f->fd, message, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) == n)
		return 0;
	return errno ? -errno : -EIO;
}

static int say_missed(struct forward *f)
{
	char text[96];
	int r;
	int n = snprintf(
		text, sizeof(text), "%" PRIu64 " messages could not be forwarded", f->missed);

	if (!f->missed)
		return 0;
	r = send_text(f, text, (size_t)n);
	if (r == 0)
		f->missed = 0;
	return r;
}

void forward_send(struct forward *f, const char *text, size_t len)
{
	char joined[AUDIT_LINE_MAX];
	int r;

	if (f->kind == FORWARD_NONE)
		return;
	if (len && text[len - 1] == '\n')
		len--;
	if (len > sizeof(joined))
		len = sizeof(joined);
	memcpy(joined, text, len);
	for (size_t i = 0; i < len; i++)
		if (joined[i] == '\n')
			joined[i] = '|';
	r = say_missed(f);
	if (r == 0)
		r = send_text(f, joined, len);
	f->error = -r;
	f->missed += r < 0;
	f->lost += r < 0;
}
