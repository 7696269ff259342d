/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a heartbeat says. The parsers are pure; health_measure() reads /proc and the root's file system. */
#include <stdbool.h>

#include "guest-agent/protocol/messages.h"

/* A field of /proc/meminfo, by its name without the colon. False where it is not there. */
bool health_meminfo(const char *text, const char *field, uint64_t *ret_kib);
/* The pid of "Killed process N" in a record of /dev/kmsg that the OOM killer wrote. */
bool health_oom_kill(const char *record, uint64_t *ret_pid);

/* Fills all but operations; adds the bits of memory and disk to degraded. */
void health_measure(struct protocol_health *ret, uint32_t degraded);
