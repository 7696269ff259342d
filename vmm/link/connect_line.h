/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The first line on `vsock.sock` (Firecracker's wire form): "CONNECT <port>\n", answered with "OK <port>\n". Pure.
 */
#include <stddef.h>
#include <stdint.h>

#define CONNECT_LINE_MAX   32 /* bytes, the newline counted */
#define CONNECT_ANSWER_MAX 32

/*
 * data: what has come so far. The line's length, newline included, with *ret_port set; 0: not whole yet; -EPROTO: this
 * can't become one (decimal, no sign, no leading zeros, no blanks but the one, 0 to 4294967294).
 */
int connect_line_parse(const char *data, size_t len, uint32_t *ret_port);
/* "OK <n>\n", ended by NUL; its length. */
size_t connect_line_answer(uint32_t n, char out[static CONNECT_ANSWER_MAX]);
