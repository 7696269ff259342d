/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * PID 1's hand on egress: where WELCOME offers it, the modules, rules and sockets before READY, and a process that serves
 * them (egress/service.h), started again when it dies. Where it does not, nothing of this is done.
 */
#include "guest-agent/egress/service.h"
#include "guest-agent/protocol/messages.h"
#include "vmm/base/loop.h"

struct outward {
	bool offered;
	struct service service;
	struct loop_source *restart; /* a timer */
};

/* modules_fd: the initramfs's modules, or -1. Gives degraded bits. Once the guest's root is in place. */
uint32_t outward_set_up(
	struct outward *outward, const struct protocol_welcome *welcome, int modules_fd);
/* Starts the process. 0 where there is none to start. */
int outward_start(struct outward *outward, struct loop *loop);
/* True where pid was that process: it is started again, a moment later. */
bool outward_note_dead(struct outward *outward, pid_t pid);
