/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A file or tree of this host, sent to a guest (H14): read below its own folder by share/tree, no link followed (links are
 * sent as links), special files left out and told. Sizes are those at the moment of sending; a file that shrinks while it is
 * sent ends the copy.
 */
#include "vmm/sandboxctl/copy_wire.h"
#include "vmm/share/tree.h"

struct copy_source_options {
	void (*on_left_out)(void *data, const char *name);
	void *data;
};

/* folder_fd: where `name` is; sent under send_name. Ends with END; the guest's EXIT is left to the caller. */
int copy_source_send(struct copy_wire *wire, int folder_fd, int proc_fd, const char *name,
	const char *send_name, const struct copy_source_options *options, struct err *err);
