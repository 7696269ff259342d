/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The link's end of the broker socket (devices/vsock_broker.h): opens streams into the guest, answers the guest's.
 *
 * Ownership: fds given to it are borrowed where a function says so, taken else. What could not be sent at once waits in a
 * bounded ring. Threads: the loop's only.
 */
#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/loop.h"
#include "vmm/devices/vsock_broker.h"

#define LINK_BROKER_WAITING_MAX 512 /* messages that the VMM has not taken */
#define LINK_BROKER_SEND_BYTES	(208u << 10) /* net.core.wmem_max's default; the kernel doubles it */
#define LINK_BROKER_PENDING_MAX 64 /* OPENs whose answer somebody waits for */

/* fd >= 0 is the caller's from then on. The guest asks for a port of the host's: 0 and *ret_fd (given away), or -errno. */
typedef int link_broker_connect_fn(void *data, uint32_t port, int *ret_fd);
typedef void link_broker_ended_fn(void *data);
/* code 0: OPENED; -ECONNREFUSED: FAILED. */
typedef void link_broker_opened_fn(void *data, int code);

struct link_broker_waiting {
	struct vsock_broker_message message;
	int fd;
};

struct link_broker_pending {
	uint32_t id; /* 0: unused */
	link_broker_opened_fn *fn; /* NULL: nobody waits any more */
	void *data;
};

struct link_broker {
	struct loop *loop;
	struct loop_source *source;
	int fd; /* borrowed */
	uint32_t next_id;
	link_broker_connect_fn *connect_fn;
	link_broker_ended_fn *ended_fn;
	void *data;
	struct link_broker_pending pending[LINK_BROKER_PENDING_MAX];
	struct link_broker_waiting waiting[LINK_BROKER_WAITING_MAX]; /* a ring */
	unsigned int waiting_first, waiting_count;
};

int link_broker_init(struct link_broker *broker, struct loop *loop, int fd,
	link_broker_connect_fn *connect_fn, link_broker_ended_fn *ended_fn, void *data);
void link_broker_finish(struct link_broker *broker);

/*
 * Gives a stream's VMM end as large a send buffer as an ordinary process may have: what does not fit there, the VMM
 * must copy once more.
 */
void link_broker_widen(int fd);
/* A stream to a vsock port of the guest whose VMM end is fd (borrowed). Where the guest refuses, fd's peer reads the end. */
int link_broker_open(struct link_broker *broker, uint32_t port, int fd);
/* The same with a pair made here: *ret_fd is our end, the caller's. */
int link_broker_open_pair(struct link_broker *broker, uint32_t port, int *ret_fd);
/* Opens without an fd and tells how it went; *ret_id is for the two below. -EBUSY over LINK_BROKER_PENDING_MAX. */
int link_broker_ask(struct link_broker *broker, uint32_t port, link_broker_opened_fn *fn,
	void *data, uint32_t *ret_id);
/* After OPENED: the stream is fd (borrowed); -1: close it. */
int link_broker_stream(struct link_broker *broker, uint32_t id, int fd);
/* Nobody waits any more: an OPENED that still comes is closed. */
void link_broker_forget(struct link_broker *broker, uint32_t id);
