/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/devices/p9.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"

#define VIRTIO_ID_9P	    9
#define VIRTIO_9P_MOUNT_TAG 0
#define QUEUE_SIZE	    VIRTQUEUE_SIZE_MAX
#define TAG_CHARACTERS	    "abcdefghijklmnopqrstuvwxyz0123456789_-"

struct p9 {
	struct p9_server *server;
	struct virtio_device *vdev; /* while active */
	char tag[P9_TAG_MAX + 1];
	struct virtq_chain chain; /* the one that is being served */
};

static uint64_t p9_features(void *state)
{
	(void)state;
	return 1ull << VIRTIO_9P_MOUNT_TAG;
}

static int p9_activate(void *state, struct virtio_device *vdev)
{
	struct p9 *p9 = state;

	p9->vdev = vdev;
	return 0;
}

static void p9_reset(void *state)
{
	struct p9 *p9 = state;

	p9_server_reset(p9->server);
	p9->vdev = NULL;
}

static int p9_notify(void *state, uint16_t queue)
{
	struct p9 *p9 = state;
	struct virtqueue *vq = &p9->vdev->queues[queue];

	for (unsigned int i = 0; i < VIRTIO_NOTIFY_CHAINS; i++) {
		int r = virtqueue_pop(vq, &p9->chain);
		int64_t written;

		if (r <= 0)
			return r;
		written = p9_server_handle(p9->server, &p9->chain);
		if (written < 0)
			return (int)written;
		virtqueue_push(vq, p9->chain.head, (uint32_t)written);
		virtio_device_signal(p9->vdev, queue);
	}
	return 0;
}

static size_t p9_config_size(void *state)
{
	const struct p9 *p9 = state;

	return 2 + strlen(p9->tag);
}

static void p9_config_read(void *state, size_t offset, void *data, size_t len)
{
	const struct p9 *p9 = state;
	uint8_t config[2 + P9_TAG_MAX];

	store_le16(config, (uint16_t)strlen(p9->tag));
	memcpy(config + 2, p9->tag, strlen(p9->tag));
	memcpy(data, config + offset, len);
}

const struct virtio_device_ops p9_device_ops = {
	.name = "p9",
	.device_id = VIRTIO_ID_9P,
	.queue_count = 1,
	.queue_size = QUEUE_SIZE,
	.features = p9_features,
	.activate = p9_activate,
	.reset = p9_reset,
	.notify = p9_notify,
	.config_size = p9_config_size,
	.config_read = p9_config_read,
};

int p9_create(const struct share_config *config, const char *tag, struct p9 **ret, struct err *err)
{
	_cleanup_close_ int root_fd = config->root_fd;
	struct p9 *p9;
	int r;

	if (!*tag || strlen(tag) > P9_TAG_MAX || strspn(tag, TAG_CHARACTERS) != strlen(tag))
		return err_set(err, -EINVAL, "share %s: not a mount tag", tag);
	p9 = calloc(1, sizeof(*p9));
	if (!p9)
		return err_set(err, -ENOMEM, "share %s: no memory", tag);
	strcpy(p9->tag, tag);
	TAKE_FD(root_fd);
	r = p9_server_create(config, &p9->server, err);
	if (r < 0) {
		free(p9);
		return r;
	}
	*ret = p9;
	return 0;
}

void p9_destroy(struct p9 *p9)
{
	if (!p9)
		return;
	p9_server_destroy(p9->server);
	free(p9);
}

void p9_read_counters(const struct p9 *p9, struct p9_server_counters *ret)
{
	p9_server_read_counters(p9->server, ret);
}

struct share *p9_share(struct p9 *p9)
{
	return p9_server_share(p9->server);
}
