/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * virtio-console, one port (virtio 1.2, section 5.3): the guest's hvc0. What the guest writes goes to `output` as it comes,
 * raw; a callback behind it caps the log and filters terminals (V10, H6). Input is optional and waits in a bounded ring.
 *
 * Threads: everything on the device's loop.
 */
#include <stddef.h>
#include <stdint.h>

#include "vmm/virtio/device.h"

#define CONSOLE_INPUT_MAX	 4096
#define CONSOLE_CHAIN_BYTES_MAX	 65536 /* of one request; the rest of it is dropped and counted */
#define CONSOLE_NOTIFY_BYTES_MAX 262144 /* before others on the loop have their turn */

struct console {
	void (*output)(void *data, const void *bytes, size_t len);
	void *output_data;
	struct virtio_device *vdev; /* NULL: not active */
	uint8_t input[CONSOLE_INPUT_MAX];
	size_t input_first, input_count;
	uint64_t dropped; /* output bytes */
};

extern const struct virtio_device_ops console_device_ops; /* state is a struct console * */

void console_init(struct console *console,
	void (*output)(void *data, const void *bytes, size_t len), void *output_data);
/* Gives how many bytes were taken. */
size_t console_input(struct console *console, const void *bytes, size_t len);
