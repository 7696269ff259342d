/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The inherited listeners. Published ports (TCP): each connection becomes a forward to its guest port. `vsock.sock` (Unix,
 * Firecracker's wire form): a client says "CONNECT <port>\n" within LINK_GREETING_MS, is answered "OK <n>\n" once the guest
 * has accepted, and from then on its socket is the VMM's: no byte of the stream passes through this process. Where the guest
 * refuses, the client's socket is closed.
 * Over LINK_OPERATIONS_MAX nothing is accepted, of published ports over half of it: connections wait in the kernel's queue.
 */
#include <stdbool.h>
#include <stdint.h>

#include "vmm/link/core.h"

#define LINK_GREETING_MS 10000

struct link_listener {
	struct link_core *core;
	struct loop_source *source;
	int fd; /* borrowed */
	uint16_t guest_port; /* 0: vsock.sock */
	uid_t owner_uid; /* of vsock.sock: others are turned away */
	bool paused;
};

int link_listener_init(struct link_listener *listener, struct link_core *core, int fd,
	uint16_t guest_port, uid_t owner_uid);
void link_listener_finish(struct link_listener *listener);
void link_listener_resume(struct link_listener *listener); /* an operation ended */
