/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A 9P2000.L server over one share: requests out of virtqueue chains, replies into them. It translates; rules live in
 * vmm/share/share.h.
 *
 * Theory of operation. A request is run to its end before the next one begins, in the order of the queue, on the share's
 * loop: so there is nothing to flush, no two requests meet on a fid (S2), and many in flight cost nothing but places in the
 * queue. Headers and names are copied once and parsed (p9_wire); the data of Tread and Twrite go between file and guest
 * memory directly. A fid stands for a file by a handle (share/handles.h), shared by its clones, and has an fd of its own once
 * it is opened or created.
 *
 * A bad frame gets Rlerror(EPROTO); one to which no reply can be written is -EPROTO, a device fault (V7).
 *
 * Limits (S8, V9): fids, fds, attribute buffers as below; -ENFILE, -EMFILE and -ENOSPC are what a guest sees of them.
 */
#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/err.h"
#include "vmm/share/share.h"
#include "vmm/virtio/virtqueue.h"

#define P9_FIDS_MAX 65536
/*
 * The aname by which a guest says that its kernel writes late, in its own order, whatever flags a file was opened with (Linux
 * from 6.4 on, with its `mmap` cache): it finds the end of a file itself, and no O_APPEND reaches the host. Any other aname
 * says nothing.
 */
#define P9_ANAME_LATE_WRITES "late-writes"

#define P9_XATTRS_MAX 32 /* attribute values being read or written: 64 KiB each at most */

struct p9_server;

struct p9_server_counters {
	uint64_t requests, errors, refused; /* refused: by a limit of ours */
	uint64_t linked_outside; /* S4 */
	uint64_t kept_in_memory, lost; /* owners and modes that no attribute holds (idmap.h) */
	uint32_t fids, handles, handle_fds, open_fds;
	uint64_t evictions;
};

/*
 * config->root_fd is taken over, also where it fails. Files of IDMAP_MAPPED shares have qid version 0, so that the
 * guest sees the host's edits at once; opened ones may have another (p9_ops_file.c, may_cache). Of the other kinds they follow the files' times.
 */
int p9_server_create(const struct share_config *config, struct p9_server **ret, struct err *err);
void p9_server_destroy(struct p9_server *server);

/* Forgets every fid, as Tversion does. */
void p9_server_reset(struct p9_server *server);
/* Serves one chain; gives the number of bytes written to it, or -EPROTO. */
int64_t p9_server_handle(struct p9_server *server, struct virtq_chain *chain);

struct share *p9_server_share(struct p9_server *server);
void p9_server_read_counters(const struct p9_server *server, struct p9_server_counters *ret);
