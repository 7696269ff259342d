/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * PID 1's own words go to the kernel's log (/dev/kmsg), and so to the console and the host's capped console log: stderr
 * is pointed there, base/log does the rest.
 */
void console_open(void);
