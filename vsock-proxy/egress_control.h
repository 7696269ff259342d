/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What the supervisor tells sandbox-proxy and the injectors while they run, over an inherited SOCK_SEQPACKET
 * (`--control-fd`): one packet with one fd each. Nothing comes back on this socket; how it went is told in
 * records (vmm/base/event.h).
 *
 * At a reload new injectors are told first, then the policy goes to all injectors, then to the proxy. Where they differ for a
 * moment the stricter one wins, for both must allow.
 *
 * Wire form: u8 op, u8 0, u16 0, then the binding's id (EGRESS_CONTROL_INJECTOR; "" is `open`), without NUL.
 */
#include <stddef.h>
#include <stdint.h>

#include "policy/rule.h"

#define EGRESS_CONTROL_HEAD	4
#define EGRESS_CONTROL_SIZE_MAX (EGRESS_CONTROL_HEAD + POLICY_ID_MAX)

enum egress_control_op {
	EGRESS_CONTROL_POLICY =
		1, /* fd: a bundle (bundle.h), sealed; a bad one is refused and the old one stays */
	EGRESS_CONTROL_INJECTOR =
		2, /* proxy: fd: the channel to the injector of this binding, which replaces an earlier one */
	EGRESS_CONTROL_SECRET =
		3, /* injector: fd: a pipe or memfd with a fresh value; the old one stays until it is read whole */
};

struct egress_control {
	uint8_t op; /* enum egress_control_op */
	char binding[POLICY_ID_MAX + 1];
};

/* 0, or -errno; -EAGAIN: the peer is behind. Never blocks. fd is borrowed. */
int egress_control_send(int socket_fd, const struct egress_control *message, int fd);
/*
 * 1: *ret and *ret_fd, the caller's (CLOEXEC); 0: the supervisor is gone; -EAGAIN: nothing there; -EBADMSG: a packet
 * that is not as above was dropped with its fds, go on; another -errno: the socket is broken. Never blocks.
 */
int egress_control_receive(int socket_fd, struct egress_control *ret, int *ret_fd);
