/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The orderly end: TERM to all, a moment, KILL, sync and unmount (in a process of their own, since a share whose server is
 * gone would hold them for ever), then the machine is switched off or started anew. Does not come back.
 */
#include "guest-agent/protocol/messages.h"

#define SHUTDOWN_TERM_MS 1500
#define SHUTDOWN_KILL_MS 1000
#define SHUTDOWN_SYNC_MS 5000

void shutdown_now(enum protocol_shutdown_kind kind, const struct protocol_welcome *welcome)
	__attribute__((noreturn));
