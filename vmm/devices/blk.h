/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * virtio-blk over one file (virtio 1.2, section 5.2): raw images and block devices only, given as an open fd. Nothing is
 * probed, no format has a backing file, no path is seen (V6).
 *
 * Theory of operation. A request is served at once and in order on the loop, straight between the file and guest memory
 * (preadv, pwritev), so a reset finds none in flight (V4). Every request ends with a status byte: OK, IOERR for what the
 * file or the limits refuse, UNSUPP for what is not offered. Only a request without room for its header or its status is
 * a fault of the driver's. Read-only is kept here, whatever the guest negotiated (V5); the caller opens such an image
 * O_RDONLY besides.
 *
 * The size is taken once, in whole sectors. What lies behind it is never touched; a file that shrank later gives IOERR.
 *
 * Threads: everything on the device's loop. A slow disk holds up that loop, so it is this sandbox's loss only.
 */
#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/err.h"
#include "vmm/virtio/device.h"

#define BLK_SECTOR		 512u
#define BLK_ID_BYTES		 20
#define BLK_REQUEST_BYTES_MAX	 (64u << 20) /* data of one read or write; more is IOERR */
#define BLK_NOTIFY_BYTES_MAX	 (8u << 20) /* before others on the loop have their turn */
#define BLK_DISCARD_SEGMENTS_MAX 32
#define BLK_DISCARD_SECTORS_MAX	 (1u << 22) /* in one segment: 2 GiB */
#define BLK_ZEROES_SEGMENTS_MAX	 1
#define BLK_ZEROES_SECTORS_MAX	 (1u << 16) /* 32 MiB: what may have to be written by hand */

struct blk {
	int fd; /* borrowed */
	bool read_only;
	char id[BLK_ID_BYTES]; /* padded with NULs, not ended by one */
	uint64_t sectors;
	struct virtio_device *vdev;
	uint64_t bytes_in_notify;
	uint64_t reads, writes, errors;
};

extern const struct virtio_device_ops blk_device_ops; /* state is a struct blk * */

/* fd is a regular file or a block device. id is cut to BLK_ID_BYTES. */
int blk_init(struct blk *blk, int fd, bool read_only, const char *id, struct err *err);
