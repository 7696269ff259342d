/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * virtio-rng (virtio 1.2, section 5.4): the host kernel's getrandom(2), capped per request (V9). A guest that asks without
 * end slows itself: each notify serves a bounded number of bytes and lets the loop go on.
 *
 * Threads: everything on the device's loop.
 */
#include <stdint.h>

#include "vmm/virtio/device.h"

#define RNG_REQUEST_BYTES_MAX 4096 /* a longer request is answered short, as 5.4.6 allows */

struct rng {
	struct virtio_device *vdev;
	uint64_t bytes_given;
};

extern const struct virtio_device_ops rng_device_ops; /* state is a struct rng * */

void rng_init(struct rng *rng);
