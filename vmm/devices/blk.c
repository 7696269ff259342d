/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/devices/blk.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/base/bytes.h"
#include "vmm/base/checked.h"

#define DEVICE_ID  2
#define QUEUE_SIZE 128

/* 5.2.3 Feature bits */
#define F_SEG_MAX      2
#define F_RO	       5
#define F_BLK_SIZE     6
#define F_FLUSH	       9
#define F_DISCARD      13
#define F_WRITE_ZEROES 14

/* 5.2.6 Device operation: struct virtio_blk_req begins with le32 type, le32 reserved, le64 sector. */
#define HEADER_SIZE	  16
#define TYPE_IN		  0
#define TYPE_OUT	  1
#define TYPE_FLUSH	  4
#define TYPE_GET_ID	  8
#define TYPE_DISCARD	  11
#define TYPE_WRITE_ZEROES 13
#define STATUS_OK	  0
#define STATUS_IOERR	  1
#define STATUS_UNSUPP	  2

/* struct virtio_blk_discard_write_zeroes: le64 sector, le32 num_sectors, le32 flags */
#define SEGMENT_SIZE	16
#define SEGMENT_F_UNMAP 1

/* 5.2.4 Device configuration layout, as far as what is offered needs it. */
#define CONFIG_SIZE		   60
#define CONFIG_SEG_MAX		   12
#define CONFIG_BLK_SIZE		   20
#define CONFIG_MAX_DISCARD_SECTORS 36
#define CONFIG_MAX_DISCARD_SEG	   40
#define CONFIG_DISCARD_ALIGNMENT   44
#define CONFIG_MAX_ZEROES_SECTORS  48
#define CONFIG_MAX_ZEROES_SEG	   52
#define CONFIG_ZEROES_MAY_UNMAP	   56

#define SLICES_AT_ONCE 64
#define ZERO_CHUNK     65536

struct request {
	uint32_t type;
	uint64_t sector;
};

int blk_init(struct blk *blk, int fd, bool read_only, const char *id, struct err *err)
{
	struct stat st;
	off_t end;

	if (fstat(fd, &st) < 0)
		return err_set(err, -errno, "disk %s: cannot look at it: %s", id, strerror(errno));
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return err_set(err, -EINVAL, "disk %s: neither a file nor a block device", id);
	end = lseek(fd, 0, SEEK_END);
	if (end < 0)
		return err_set(
			err, -errno, "disk %s: cannot tell its size: %s", id, strerror(errno));
	if (end < (off_t)BLK_SECTOR)
		return err_set(err, -EINVAL, "disk %s: smaller than one sector", id);
	*blk = (struct blk){
		.fd = fd, .read_only = read_only, .sectors = (uint64_t)end / BLK_SECTOR
	};
	memcpy(blk->id, id, strnlen(id, BLK_ID_BYTES));
	return 0;
}

static uint64_t blk_features(void *state)
{
	const struct blk *blk = state;
	uint64_t features = 1ull << F_SEG_MAX | 1ull << F_BLK_SIZE | 1ull << F_FLUSH;

	if (blk->read_only)
		return features | 1ull << F_RO;
	return features | 1ull << F_DISCARD | 1ull << F_WRITE_ZEROES;
}

static int blk_activate(void *state, struct virtio_device *vdev)
{
	struct blk *blk = state;

	blk->vdev = vdev;
	return 0;
}

static void blk_reset(void *state)
{
	struct blk *blk = state;

	blk->vdev = NULL;
}

/* Whether [sector, sector + len bytes) lies on the disk; gives its place in the file. */
static bool place_on_disk(
	const struct blk *blk, uint64_t sector, uint64_t len, uint64_t *ret_offset)
{
	if (len % BLK_SECTOR || !range_fits(sector, len / BLK_SECTOR, blk->sectors))
		return false;
	*ret_offset = sector * BLK_SECTOR;
	return true;
}

/* One preadv or pwritev of the chain's next bytes. 0 or less ends the transfer. */
static ssize_t transfer_some(
	const struct blk *blk, struct virtq_chain *chain, bool in, uint64_t offset, size_t len)
{
	struct iovec slices[SLICES_AT_ONCE];
	size_t bytes, count;
	ssize_t n;

	if (in)
		count = virtq_chain_peek_writable(chain, slices, ARRAY_SIZE(slices), len, &bytes);
	else
		count = virtq_chain_peek_readable(chain, slices, ARRAY_SIZE(slices), len, &bytes);
	do
		n = in ? preadv(blk->fd, slices, (int)count, (off_t)offset)
		       : pwritev(blk->fd, slices, (int)count, (off_t)offset);
	while (n < 0 && errno == EINTR);
	if (n > 0 && in)
		virtq_chain_skip_writable(chain, (size_t)n);
	else if (n > 0)
		virtq_chain_skip_readable(chain, (size_t)n);
	return n;
}

static uint8_t transfer(
	struct blk *blk, struct virtq_chain *chain, bool in, uint64_t sector, size_t len)
{
	uint64_t offset;
	size_t done = 0;

	if (len > BLK_REQUEST_BYTES_MAX || !place_on_disk(blk, sector, len, &offset))
		return STATUS_IOERR;
	blk->bytes_in_notify += len;
	while (done < len) {
		ssize_t n = transfer_some(blk, chain, in, offset + done, len - done);

		if (n <= 0)
			return STATUS_IOERR;
		done += (size_t)n;
	}
	return STATUS_OK;
}

static uint8_t serve_in(struct blk *blk, struct virtq_chain *chain, const struct request *request)
{
	blk->reads++;
	return transfer(blk, chain, true, request->sector, virtq_chain_writable_left(chain) - 1);
}

static uint8_t serve_out(struct blk *blk, struct virtq_chain *chain, const struct request *request)
{
	if (blk->read_only)
		return STATUS_IOERR;
	blk->writes++;
	return transfer(blk, chain, false, request->sector, virtq_chain_readable_left(chain));
}

static uint8_t serve_flush(struct blk *blk)
{
	if (blk->read_only)
		return STATUS_OK;
	return fdatasync(blk->fd) < 0 ? STATUS_IOERR : STATUS_OK;
}

static uint8_t serve_get_id(struct blk *blk, struct virtq_chain *chain)
{
	if (virtq_chain_writable_left(chain) - 1 < BLK_ID_BYTES)
		return STATUS_IOERR;
	virtq_chain_write(chain, blk->id, BLK_ID_BYTES);
	return STATUS_OK;
}

/* A hint: a file system that cannot punch holes keeps the old bytes, which 5.2.6 allows. */
static int discard_range(const struct blk *blk, uint64_t offset, uint64_t len)
{
	if (fallocate(blk->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
		    (off_t)len) == 0)
		return 0;
	return errno == EOPNOTSUPP ? 0 : -errno;
}

static int write_zeroes_by_hand(const struct blk *blk, uint64_t offset, uint64_t len)
{
	static const uint8_t zeroes[ZERO_CHUNK];

	while (len) {
		ssize_t n =
			pwrite(blk->fd, zeroes, MIN(len, (uint64_t)sizeof(zeroes)), (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -EIO;
		offset += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return 0;
}

static int zero_range(struct blk *blk, uint64_t offset, uint64_t len, bool unmap)
{
	int mode = FALLOC_FL_KEEP_SIZE | (unmap ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);

	if (fallocate(blk->fd, mode, (off_t)offset, (off_t)len) == 0)
		return 0;
	if (errno != EOPNOTSUPP)
		return -errno;
	blk->bytes_in_notify += len;
	return write_zeroes_by_hand(blk, offset, len);
}

static uint8_t serve_segment(struct blk *blk, const uint8_t wire[static SEGMENT_SIZE], bool zeroes)
{
	uint64_t sector = load_le64(wire), len = (uint64_t)load_le32(wire + 8) * BLK_SECTOR, offset;
	uint32_t flags = load_le32(wire + 12);

	/* 5.2.6.2: unknown flags, and unmap on a discard, are unsupported. */
	if (flags & ~(zeroes ? (uint32_t)SEGMENT_F_UNMAP : 0))
		return STATUS_UNSUPP;
	if (len / BLK_SECTOR > (zeroes ? BLK_ZEROES_SECTORS_MAX : BLK_DISCARD_SECTORS_MAX))
		return STATUS_IOERR;
	if (!place_on_disk(blk, sector, len, &offset))
		return STATUS_IOERR;
	if (!len)
		return STATUS_OK;
	if (zeroes)
		return zero_range(blk, offset, len, flags & SEGMENT_F_UNMAP) < 0 ? STATUS_IOERR
										 : STATUS_OK;
	return discard_range(blk, offset, len) < 0 ? STATUS_IOERR : STATUS_OK;
}

static uint8_t serve_segments(struct blk *blk, struct virtq_chain *chain, bool zeroes)
{
	size_t len = virtq_chain_readable_left(chain);
	size_t most = zeroes ? BLK_ZEROES_SEGMENTS_MAX : BLK_DISCARD_SEGMENTS_MAX;
	uint8_t wire[SEGMENT_SIZE];

	if (blk->read_only)
		return STATUS_IOERR;
	if (!virtio_device_has(blk->vdev, zeroes ? F_WRITE_ZEROES : F_DISCARD))
		return STATUS_UNSUPP;
	if (!len || len % SEGMENT_SIZE || len / SEGMENT_SIZE > most)
		return STATUS_IOERR;
	while (virtq_chain_read(chain, wire, sizeof(wire)) == sizeof(wire)) {
		uint8_t status = serve_segment(blk, wire, zeroes);

		if (status != STATUS_OK)
			return status;
	}
	return STATUS_OK;
}

static uint8_t serve(struct blk *blk, struct virtq_chain *chain, const struct request *request)
{
	switch (request->type) {
	case TYPE_IN:
		return serve_in(blk, chain, request);
	case TYPE_OUT:
		return serve_out(blk, chain, request);
	case TYPE_FLUSH:
		return serve_flush(blk);
	case TYPE_GET_ID:
		return serve_get_id(blk, chain);
	case TYPE_DISCARD:
		return serve_segments(blk, chain, false);
	case TYPE_WRITE_ZEROES:
		return serve_segments(blk, chain, true);
	default:
		return STATUS_UNSUPP;
	}
}

/* The status is the last byte the driver gave room for, wherever the data before it ended. */
static int serve_chain(struct blk *blk, struct virtq_chain *chain)
{
	uint8_t header[HEADER_SIZE], status;
	struct request request;

	if (virtq_chain_read(chain, header, sizeof(header)) != sizeof(header) ||
		!chain->writable_bytes)
		return -EPROTO;
	request = (struct request){ .type = load_le32(header), .sector = load_le64(header + 8) };
	status = serve(blk, chain, &request);
	if (status != STATUS_OK)
		blk->errors++;
	virtq_chain_skip_writable(chain, virtq_chain_writable_left(chain) - 1);
	virtq_chain_write(chain, &status, 1);
	return 0;
}

static int blk_notify(void *state, uint16_t queue)
{
	struct blk *blk = state;
	struct virtqueue *vq = &blk->vdev->queues[queue];
	struct virtq_chain chain;
	int r = 0;

	blk->bytes_in_notify = 0;
	for (unsigned int i = 0; i < vq->size && blk->bytes_in_notify < BLK_NOTIFY_BYTES_MAX; i++) {
		r = virtqueue_pop(vq, &chain);
		if (r <= 0)
			break;
		r = serve_chain(blk, &chain);
		if (r < 0)
			break;
		virtqueue_push(vq, chain.head, (uint32_t)chain.writable_bytes);
	}
	virtio_device_signal(blk->vdev, queue);
	return r < 0 ? r : 0;
}

static size_t blk_config_size(void *state)
{
	(void)state;
	return CONFIG_SIZE;
}

static void blk_config_read(void *state, size_t offset, void *data, size_t len)
{
	const struct blk *blk = state;
	uint8_t config[CONFIG_SIZE] = {};

	store_le64(config, blk->sectors);
	store_le32(config + CONFIG_SEG_MAX, QUEUE_SIZE - 2);
	store_le32(config + CONFIG_BLK_SIZE, BLK_SECTOR);
	store_le32(config + CONFIG_MAX_DISCARD_SECTORS, BLK_DISCARD_SECTORS_MAX);
	store_le32(config + CONFIG_MAX_DISCARD_SEG, BLK_DISCARD_SEGMENTS_MAX);
	store_le32(config + CONFIG_DISCARD_ALIGNMENT, 4096 / BLK_SECTOR);
	store_le32(config + CONFIG_MAX_ZEROES_SECTORS, BLK_ZEROES_SECTORS_MAX);
	store_le32(config + CONFIG_MAX_ZEROES_SEG, BLK_ZEROES_SEGMENTS_MAX);
	config[CONFIG_ZEROES_MAY_UNMAP] = 1;
	memcpy(data, config + offset, len);
}

const struct virtio_device_ops blk_device_ops = {
	.name = "blk",
	.device_id = DEVICE_ID,
	.queue_count = 1,
	.queue_size = QUEUE_SIZE,
	.features = blk_features,
	.activate = blk_activate,
	.reset = blk_reset,
	.notify = blk_notify,
	.config_size = blk_config_size,
	.config_read = blk_config_read,
};
