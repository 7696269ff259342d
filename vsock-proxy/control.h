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
 * Wire form: u8 op, u8 0, u16 0, then the binding's id (CONTROL_INJECTOR; "" is `open`), without NUL.
 */
#include <stddef.h>
#include <stdint.h>

#include "policy/rule.h"

#define CONTROL_HEAD	 4
#define CONTROL_SIZE_MAX (CONTROL_HEAD + POLICY_ID_MAX)

enum control_op {
	CONTROL_POLICY =
		1, /* fd: a bundle (bundle.h), sealed; a bad one is refused and the old one stays */
	CONTROL_INJECTOR =
		2, /* proxy: fd: the channel to the injector of this binding, which replaces an earlier one */
	CONTROL_SECRET =
		3, /* injector: fd: a pipe or memfd with a fresh value; the old one stays until it is read whole */
};

struct control_message {
	uint8_t op; /* enum control_op */
	char binding[POLICY_ID_MAX + 1];
};

/* 0, or -errno; -EAGAIN: the peer is behind. Never blocks. fd is borrowed. */
int control_send(int socket_fd, const struct control_message *message, int fd);
/*
 * 1: *ret and *ret_fd, the caller's (CLOEXEC); 0: the supervisor is gone; -EAGAIN: nothing there; -EBADMSG: a packet
 * that is not as above was dropped with its fds, go on; another -errno: the socket is broken. Never blocks.
 */
int control_receive(int socket_fd, struct control_message *ret, int *ret_fd);
