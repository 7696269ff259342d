/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Whose a file is, and with which mode, as the guest sees it.
 *
 * Theory of operation (design: Shares). Three kinds of share:
 *  IDMAP_MAPPED    the host user's own folder. His files are the guest's uid and gid IDMAP_GUEST_ID. Of a mode that the guest
 *		    sets, rwx becomes real, with owner read and write (for folders search) kept; what the real mode does not
 *		    say (set-id and sticky bits, less for the owner, other owners, devices, FIFOs, sockets) stands in
 *		    attributes user.virtfs.{uid,gid,mode,rdev}: QEMU's mapped-xattr format, little endian (S3).
 *  IDMAP_HOST      a part of the host's own system: owners and set-id bits as they are. We live in a user namespace of one
 *		    uid, so root's files come as the overflow id and are shown as root's.
 *  IDMAP_INTERNAL  files that we made ourselves for the guest: all root's.
 *
 * A later chmod on the host wins over a stored mode: the stored word also says, in its upper half, which real rwx bits were
 * set with it (bit 31 marks that; QEMU ignores that half). If the file has others by now, the stored mode's permission
 * bits are void. A word without the mark is QEMU's, whose files are 0600 and folders 0700.
 *
 * Where no attribute can be set, the change stands in a table in memory, as long as the sandbox lives; `kept_in_memory`
 * counts for `status`. At IDMAP_MEMORY_MAX files further ones are refused with -ENOSPC, and counted in `lost`.
 *
 * One thread. Heap: the table, allocated at init, and touched as it fills.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "vmm/share/tree.h"

#define IDMAP_GUEST_ID	 1000 /* `sandbox` */
#define IDMAP_NOBODY	 65534 /* the kernel's overflow id, and what the guest sees of foreign owners */
#define IDMAP_MEMORY_MAX 16384 /* a power of two */

enum idmap_kind { IDMAP_MAPPED, IDMAP_HOST, IDMAP_INTERNAL };

enum idmap_field {
	IDMAP_UID = 1 << 0,
	IDMAP_GID = 1 << 1,
	IDMAP_MODE = 1 << 2,
	IDMAP_RDEV = 1 << 3,
};

/* What is stored beside the real attributes. */
struct idmap_stored {
	unsigned int fields; /* enum idmap_field bits: which of the rest count */
	uint32_t uid, gid, mode; /* mode: type and permissions, mark and seen bits as on disk */
	uint64_t rdev; /* makedev() */
};

struct idmap_entry {
	struct tree_id id;
	struct idmap_stored stored; /* fields 0: free */
};

struct idmap {
	const struct tree *tree; /* borrowed */
	enum idmap_kind kind;
	uint32_t own_uid, own_gid; /* ours, as fstat tells them */
	struct idmap_entry *memory; /* open addressing, half full at most; NULL until needed */
	uint32_t kept_in_memory, lost;
	uint64_t
		special_epoch; /* moves whenever a file may have become set-id: who writes looks again */
};

int idmap_init(struct idmap *idmap, const struct tree *tree, enum idmap_kind kind);
void idmap_finish(struct idmap *idmap);

/*
 * Turns a file's real attributes into the guest's view, in place: stx_mode (type too), stx_uid, stx_gid, stx_rdev_*.
 * Where attributes cannot be read the real ones count.
 */
void idmap_view(const struct idmap *idmap, int fd, struct statx *stx);

/* The real mode that stands for a mode of the guest's. */
mode_t idmap_real_mode(mode_t guest_mode);

/*
 * A new file that we made with idmap_real_mode() belongs to uid and gid and has `mode` (type and permissions). rdev counts
 * for devices. Failures are not told but counted: the file is there.
 */
void idmap_set_new(struct idmap *idmap, int fd, const struct statx *real, uint32_t uid,
	uint32_t gid, mode_t mode, uint64_t rdev);
/* chmod and chown by the guest. real: as the file is. -errno where neither the file nor memory takes it. */
int idmap_set_mode(struct idmap *idmap, int fd, const struct statx *real, mode_t mode);
int idmap_set_owner(
	struct idmap *idmap, int fd, const struct statx *real, bool is_group, uint32_t id);
/* The file's last name is going. */
void idmap_forget(struct idmap *idmap, const struct tree_id *id);
