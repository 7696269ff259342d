/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* How ls, status, start and ports show a sandbox's status (supervisor/status.h) to a person. */
#include <stddef.h>

#include "vmm/sandboxctl/document.h"

#define STATUS_TEXT_MAX 4400

/* "3s", "12m", "4h", "2d". */
const char *status_age(int64_t seconds, char *out, size_t size);
/* "127.0.0.1:8080->80", and a browser's address where it is on loopback: "http://NAME.localhost:8080". */
const char *status_port(const struct document *port, char *out, size_t size);
const char *status_port_url(
	const struct document *status, const struct document *port, char *out, size_t size);
/* All ports, joined by commas. */
const char *status_ports(const struct document *status, char *out, size_t size);
/* "/host on /guest (ro)". */
const char *status_share(const struct document *share, char *out, size_t size);
