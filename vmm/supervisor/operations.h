/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Requests that go on to sandbox-link: encoded here (the supervisor decodes nothing that comes back, H10), sent with one end
 * of a new pair of sockets, whose other end is the client's.
 */
#include "vmm/supervisor/control.h"
#include "vmm/supervisor/spec.h"

/* exec, attach, copies, forward, vsock. *ret_fd: the client's end. -EAGAIN: the link is behind. */
int operation_send(int link_fd, uint32_t id, const struct control_request *request, int *ret_fd,
	struct err *err);

/* The main command. hold: keep its output for the first attachment. */
int operation_start_session(int link_fd, const struct spec *spec, struct err *err);
