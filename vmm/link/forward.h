/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A raw stream to a TCP port in the guest: after the agent's STARTED, bytes flow both ways, half-closes too, until both
 * directions have ended or one side is gone.
 */
#include <stdint.h>

#include "vmm/link/core.h"

/* Takes client_fd, a stream socket of any family; closed without a byte where the guest refuses. */
void link_forward_start(struct link_core *core, uint16_t port, int client_fd);
