/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Records and signed heads, as they are written, also to journald (its native protocol) or to syslog (RFC 3164), over a connected datagram
 * socket: so that whoever puts log and head back to what they were is found out elsewhere (H7). Best effort: the log itself
 * never waits for it. What the socket does not take is counted, and the count is said with the next one that it takes. A socket whose other
 * end has gone is connected again by its owner (vmm/supervisor/audit_forward.h): the writer, in its jail, could not.
 * A head's lines are joined by '|'.
 */
#include <stddef.h>
#include <stdint.h>

enum forward_kind { FORWARD_NONE, FORWARD_JOURNALD, FORWARD_SYSLOG };

#define FORWARD_JOURNALD_PATH "/run/systemd/journal/socket"
#define FORWARD_SYSLOG_PATH   "/dev/log"

struct forward {
	enum forward_kind kind;
	int fd; /* borrowed */
	const char *sandbox; /* borrowed */
	uint64_t missed; /* since the last one that was taken */
	uint64_t lost; /* in all */
	int error; /* errno of the last one; 0: it was taken */
};

/* FORWARD_NONE for a word that is neither. */
enum forward_kind forward_kind_parse(const char *word);
/* A record's line, or a head's text; a newline at the end is no part of it. */
void forward_send(struct forward *forward, const char *text, size_t len);
