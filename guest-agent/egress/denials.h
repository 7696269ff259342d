/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What the host denied, for whoever is in the guest to read: /run/sandbox/denials, one JSON object a line, newest last. The
 * file is bounded: where a line has no room the older half goes. What the guest says of itself is no record for the host;
 * that is the audit log's.
 */
#include <stddef.h>
#include <stdint.h>

#include "guest-agent/protocol/egress.h"

#define DENIALS_PATH	 "/run/sandbox/denials"
#define DENIALS_MAX	 (64u << 10)
#define DENIALS_LINE_MAX 2048

/* One line, with its newline. Its size; at most DENIALS_LINE_MAX. Pure. */
size_t denials_line(const struct egress_request *request, const struct egress_answer *answer,
	uint64_t time_s, char out[static DENIALS_LINE_MAX]);

struct denials {
	int fd; /* of a file of its own, for reading and writing; borrowed. -1: none */
	size_t len;
	char text[DENIALS_MAX];
};

/* Takes over what the file holds: that of an earlier process. */
void denials_init(struct denials *denials, int fd);
void denials_add(struct denials *denials, const char *line, size_t len);
