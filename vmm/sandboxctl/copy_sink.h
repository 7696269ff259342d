/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A tree that a guest sends, written below one folder of this host (H14).
 *
 * Theory of operation. Frames are offered one by one: entries and data, in the order of stream.h, which is checked here
 * again. Everything is made below `folder` by share/tree: one validated component at a time from an fd, no link followed. A
 * file is written under a name of ours and renamed when whole, so what was there before is replaced and never written
 * through. The mode is rwx alone, the owner is the caller. Links that would lead out of the copied tree are left out (and
 * counted) unless they were asked for. Special files do not exist in the protocol. Entries, depth and bytes are bounded.
 *
 * Ownership: folder_fd is borrowed for the sink's life. Errors are final.
 */
#include <stdbool.h>
#include <stdint.h>

#include "guest-agent/protocol/stream.h"
#include "vmm/base/err.h"
#include "vmm/share/tree.h"

#define COPY_SINK_BYTES_DEFAULT	 (64ull << 30)
#define COPY_SINK_LEFT_OUT_SHOWN 20

struct copy_sink;

/*
 * top_name: what the first entry is called here; NULL: by its own name. proc_fd: /proc/self/fd, borrowed. keep_links: links
 * that lead out are made too. on_left_out (may be NULL) is told each link that is left out: its name, not yet filtered.
 */
struct copy_sink_options {
	const char *top_name;
	uint64_t bytes_max;
	bool keep_links;
	void (*on_left_out)(void *data, const char *name);
	void *data;
};

int copy_sink_create(int folder_fd, int proc_fd, const struct copy_sink_options *options,
	struct copy_sink **ret, struct err *err);
void copy_sink_destroy(struct copy_sink *sink); /* what was begun and is not whole is removed */

int copy_sink_entry(struct copy_sink *sink, const struct stream_copy_entry *entry, struct err *err);
int copy_sink_data(struct copy_sink *sink, const void *data, size_t len, struct err *err);

bool copy_sink_done(const struct copy_sink *sink); /* END was taken */
uint64_t copy_sink_left_out(const struct copy_sink *sink);
uint64_t copy_sink_entries(const struct copy_sink *sink);
