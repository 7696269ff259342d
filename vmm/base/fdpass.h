/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Packets of an inherited SOCK_SEQPACKET with at most one fd each (SCM_RIGHTS, unix(7)). Never blocks. */
#include <stddef.h>

/* 0, -EAGAIN, or another -errno. fd -1: none; it is borrowed. */
int fdpass_send(int socket_fd, const void *data, size_t len, int fd);
/*
 * 1: a packet of *ret_len bytes, and *ret_fd (-1: none came; else the caller's, CLOEXEC); 0: the end of the socket; -EAGAIN:
 * nothing there; -EBADMSG: a packet longer than size or with several fds was dropped, and its fds closed; another -errno: the socket is broken.
 */
int fdpass_receive(int socket_fd, void *data, size_t size, size_t *ret_len, int *ret_fd);
