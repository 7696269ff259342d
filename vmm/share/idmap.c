/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/share/idmap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/base/bytes.h"
#include "vmm/share/guard.h"

#define SLOTS	       (IDMAP_MEMORY_MAX * 2)
#define XATTR_LIST_MAX 4096 /* names of one file; more are read one by one */

#define MODE_MARK	0x80000000u /* the word is ours: bits 16 to 24 are the real rwx bits */
#define MODE_SEEN_SHIFT 16
#define MODE_WORD	0xffffu
#define SET_ID		(S_ISUID | S_ISGID)

static const struct {
	enum idmap_field field;
	const char *name;
} attributes[] = {
	{ IDMAP_UID, GUARD_VIRTFS_PREFIX "uid" },
	{ IDMAP_GID, GUARD_VIRTFS_PREFIX "gid" },
	{ IDMAP_MODE, GUARD_VIRTFS_PREFIX "mode" },
	{ IDMAP_RDEV, GUARD_VIRTFS_PREFIX "rdev" },
};

int idmap_init(struct idmap *idmap, const struct tree *tree, enum idmap_kind kind)
{
	*idmap = (struct idmap){
		.tree = tree,
		.kind = kind,
		.own_uid = (uint32_t)geteuid(),
		.own_gid = (uint32_t)getegid(),
		.special_epoch = 1,
	};
	if (kind == IDMAP_MAPPED && !tree->readonly) {
		idmap->memory = calloc(SLOTS, sizeof(struct idmap_entry));
		if (!idmap->memory)
			return -ENOMEM;
	}
	return 0;
}

void idmap_finish(struct idmap *idmap)
{
	free(idmap->memory);
	*idmap = (struct idmap){};
}

/* The table in memory. */

static uint32_t slot_of(const struct tree_id *id)
{
	uint64_t h = (id->inode ^ id->device << 7) * 0x9e3779b97f4a7c15u;

	return (uint32_t)(h >> 40) & (SLOTS - 1);
}

static struct idmap_entry *find(const struct idmap *idmap, const struct tree_id *id)
{
	uint32_t i = slot_of(id);

	while (idmap->memory[i].stored.fields && !tree_id_equal(&idmap->memory[i].id, id))
		i = (i + 1) & (SLOTS - 1);
	return &idmap->memory[i];
}

static void drop(struct idmap *idmap, struct idmap_entry *entry)
{
	uint32_t hole = (uint32_t)(entry - idmap->memory), i = hole;

	idmap->kept_in_memory--;
	entry->stored.fields = 0;
	for (;;) {
		uint32_t home;

		i = (i + 1) & (SLOTS - 1);
		if (!idmap->memory[i].stored.fields)
			return;
		home = slot_of(&idmap->memory[i].id);
		if (((i - home) & (SLOTS - 1)) < ((i - hole) & (SLOTS - 1)))
			continue;
		idmap->memory[hole] = idmap->memory[i];
		idmap->memory[i].stored.fields = 0;
		hole = i;
	}
}

void idmap_forget(struct idmap *idmap, const struct tree_id *id)
{
	struct idmap_entry *entry;

	if (!idmap->kept_in_memory)
		return;
	entry = find(idmap, id);
	if (entry->stored.fields)
		drop(idmap, entry);
}

static void copy_field(
	struct idmap_stored *to, const struct idmap_stored *from, enum idmap_field field)
{
	to->fields |= field;
	switch (field) {
	case IDMAP_UID:
		to->uid = from->uid;
		break;
	case IDMAP_GID:
		to->gid = from->gid;
		break;
	case IDMAP_MODE:
		to->mode = from->mode;
		break;
	case IDMAP_RDEV:
		to->rdev = from->rdev;
		break;
	}
}

static int remember(struct idmap *idmap, const struct tree_id *id,
	const struct idmap_stored *change, enum idmap_field field)
{
	struct idmap_entry *entry = find(idmap, id);

	if (!entry->stored.fields) {
		if (idmap->kept_in_memory == IDMAP_MEMORY_MAX) {
			idmap->lost++;
			return -ENOSPC;
		}
		entry->id = *id;
		idmap->kept_in_memory++;
	}
	copy_field(&entry->stored, change, field);
	return 0;
}

static void unremember(struct idmap *idmap, const struct tree_id *id, enum idmap_field field)
{
	struct idmap_entry *entry;

	if (!idmap->kept_in_memory)
		return;
	entry = find(idmap, id);
	if (!(entry->stored.fields & field))
		return;
	if (entry->stored.fields == (unsigned int)field)
		drop(idmap, entry);
	else
		entry->stored.fields &= ~(unsigned int)field;
}

/* The attributes on disk. */

static bool can_carry_attributes(const struct statx *real)
{
	return S_ISREG(real->stx_mode) || S_ISDIR(real->stx_mode);
}

/* Which of ours a file has. Most have none: one call tells. */
static unsigned int list_fields(const struct idmap *idmap, int fd)
{
	char names[XATTR_LIST_MAX];
	ssize_t len = tree_listxattr(idmap->tree, fd, names, sizeof(names));
	unsigned int fields = 0;

	if (len == -ERANGE)
		return IDMAP_UID | IDMAP_GID | IDMAP_MODE | IDMAP_RDEV;
	for (const char *p = names; len > 0;) {
		size_t size = strnlen(p, (size_t)len) + 1;

		for (unsigned int i = 0; i < ARRAY_SIZE(attributes); i++)
			if (!strcmp(p, attributes[i].name))
				fields |= attributes[i].field;
		p += size;
		len -= (ssize_t)size;
	}
	return fields;
}

static void read_field(const struct idmap *idmap, int fd, unsigned int i, struct idmap_stored *ret)
{
	uint8_t value[8] = {};
	ssize_t want = attributes[i].field == IDMAP_RDEV ? 8 : 4;

	if (tree_getxattr(idmap->tree, fd, attributes[i].name, value, sizeof(value)) != want)
		return;
	copy_field(ret,
		&(struct idmap_stored){
			.uid = load_le32(value),
			.gid = load_le32(value),
			.mode = load_le32(value),
			.rdev = load_le64(value),
		},
		attributes[i].field);
}

static void read_stored(
	const struct idmap *idmap, int fd, const struct statx *real, struct idmap_stored *ret)
{
	unsigned int fields = can_carry_attributes(real) ? list_fields(idmap, fd) : 0;

	*ret = (struct idmap_stored){};
	for (unsigned int i = 0; fields && i < ARRAY_SIZE(attributes); i++)
		if (fields & attributes[i].field)
			read_field(idmap, fd, i, ret);
	if (idmap->kept_in_memory) {
		struct tree_id id = tree_id(real);
		const struct idmap_entry *entry = find(idmap, &id);

		for (unsigned int i = 0; i < ARRAY_SIZE(attributes); i++)
			if (entry->stored.fields & attributes[i].field)
				copy_field(ret, &entry->stored, attributes[i].field);
	}
}

static int write_field(struct idmap *idmap, int fd, const struct statx *real,
	const struct idmap_stored *change, enum idmap_field field)
{
	struct tree_id id = tree_id(real);
	uint8_t value[8];
	unsigned int i = 0;
	int r = -EPERM;

	while (attributes[i].field != field)
		i++;
	store_le64(value, change->rdev);
	if (field != IDMAP_RDEV)
		store_le32(value, field == IDMAP_UID   ? change->uid
				  : field == IDMAP_GID ? change->gid
						       : change->mode);
	if (can_carry_attributes(real))
		r = tree_setxattr(
			idmap->tree, fd, attributes[i].name, value, field == IDMAP_RDEV ? 8 : 4, 0);
	if (r == -EROFS)
		return r;
	if (r < 0)
		return remember(idmap, &id, change, field);
	unremember(idmap, &id, field);
	return 0;
}

/* Where it cannot be taken off the file, what it says is overruled in memory. */
static int remove_field(struct idmap *idmap, int fd, const struct statx *real,
	const struct idmap_stored *plain, enum idmap_field field)
{
	struct tree_id id = tree_id(real);
	unsigned int i = 0;
	int r = 0;

	while (attributes[i].field != field)
		i++;
	if (can_carry_attributes(real) && (list_fields(idmap, fd) & field))
		r = tree_removexattr(idmap->tree, fd, attributes[i].name);
	if (r < 0 && r != -ENODATA)
		return remember(idmap, &id, plain, field);
	unremember(idmap, &id, field);
	return 0;
}

/* The view. */

mode_t idmap_real_mode(mode_t guest_mode)
{
	return (guest_mode & 0777) | (S_ISDIR(guest_mode) ? 0700 : 0600);
}

static bool host_changed_mode(const struct statx *real, uint32_t word)
{
	mode_t now = real->stx_mode & 0777;

	if (word & MODE_MARK)
		return now != (word >> MODE_SEEN_SHIFT & 0777);
	return now != (S_ISDIR(real->stx_mode) ? 0700 : 0600) && now != idmap_real_mode(word);
}

static uint16_t view_mode(const struct statx *real, uint32_t word)
{
	uint32_t type = word & S_IFMT;

	/* A folder is a folder; only plain files stand for something else. */
	if (!S_ISREG(real->stx_mode))
		type = real->stx_mode & S_IFMT;
	if (S_ISREG(real->stx_mode) && (!type || S_ISDIR(word)))
		type = S_IFREG;
	if (host_changed_mode(real, word))
		return (uint16_t)(type | (real->stx_mode & 07777));
	return (uint16_t)(type | (word & 07777));
}

static void view_mapped(const struct idmap *idmap, int fd, struct statx *stx)
{
	struct idmap_stored stored;
	bool ours = stx->stx_uid == idmap->own_uid;

	read_stored(idmap, fd, stx, &stored);
	if (stored.fields & IDMAP_MODE)
		stx->stx_mode = view_mode(stx, stored.mode);
	stx->stx_gid = ours || stx->stx_gid == idmap->own_gid ? IDMAP_GUEST_ID : IDMAP_NOBODY;
	stx->stx_uid = ours ? IDMAP_GUEST_ID : IDMAP_NOBODY;
	if (stored.fields & IDMAP_UID)
		stx->stx_uid = stored.uid;
	if (stored.fields & IDMAP_GID)
		stx->stx_gid = stored.gid;
	if (stored.fields & IDMAP_RDEV) {
		stx->stx_rdev_major = major(stored.rdev);
		stx->stx_rdev_minor = minor(stored.rdev);
	}
}

void idmap_view(const struct idmap *idmap, int fd, struct statx *stx)
{
	switch (idmap->kind) {
	case IDMAP_MAPPED:
		view_mapped(idmap, fd, stx);
		break;
	case IDMAP_HOST:
		if (stx->stx_uid == IDMAP_NOBODY)
			stx->stx_uid = 0;
		if (stx->stx_gid == IDMAP_NOBODY)
			stx->stx_gid = 0;
		break;
	case IDMAP_INTERNAL:
		stx->stx_uid = stx->stx_gid = 0;
		stx->stx_mode &= (uint16_t)~SET_ID;
		break;
	}
}

/* Changes. */

static struct idmap_stored mode_word(const struct statx *real, mode_t mode)
{
	uint32_t seen = (uint32_t)(real->stx_mode & 0777) << MODE_SEEN_SHIFT;

	return (struct idmap_stored){ .mode = (mode & MODE_WORD) | seen | MODE_MARK };
}

static bool mode_says_itself(const struct statx *real, mode_t mode)
{
	return (real->stx_mode & S_IFMT) == (mode & S_IFMT) &&
	       (real->stx_mode & 07777) == (mode & 07777);
}

void idmap_set_new(struct idmap *idmap, int fd, const struct statx *real, uint32_t uid,
	uint32_t gid, mode_t mode, uint64_t rdev)
{
	struct idmap_stored change = mode_word(real, mode);

	if (idmap->kind != IDMAP_MAPPED)
		return;
	change.uid = uid;
	change.gid = gid;
	change.rdev = rdev;
	if (mode & SET_ID)
		idmap->special_epoch++;
	if (!S_ISLNK(real->stx_mode) && !mode_says_itself(real, mode))
		write_field(idmap, fd, real, &change, IDMAP_MODE);
	if (uid != IDMAP_GUEST_ID)
		write_field(idmap, fd, real, &change, IDMAP_UID);
	if (gid != IDMAP_GUEST_ID)
		write_field(idmap, fd, real, &change, IDMAP_GID);
	if (S_ISCHR(mode) || S_ISBLK(mode))
		write_field(idmap, fd, real, &change, IDMAP_RDEV);
}

static mode_t virtual_type(const struct idmap *idmap, int fd, const struct statx *real)
{
	struct statx view = *real;

	idmap_view(idmap, fd, &view);
	return view.stx_mode & S_IFMT;
}

int idmap_set_mode(struct idmap *idmap, int fd, const struct statx *real, mode_t mode)
{
	mode_t type = virtual_type(idmap, fd, real);
	mode_t wanted = idmap_real_mode(type | (mode & 07777));
	struct statx after = *real;
	struct idmap_stored change;

	if (idmap->kind != IDMAP_MAPPED)
		return -EPERM;
	if (S_ISLNK(type))
		return 0;
	mode = type | (mode & 07777);
	if (mode & SET_ID)
		idmap->special_epoch++;
	if (can_carry_attributes(real) && (real->stx_mode & 07777) != wanted) {
		int r = tree_chmod(idmap->tree, fd, wanted);

		if (r < 0)
			return r;
		after.stx_mode = (uint16_t)((real->stx_mode & S_IFMT) | wanted);
	}
	change = mode_word(&after, mode);
	if (mode_says_itself(&after, mode))
		return remove_field(idmap, fd, &after, &change, IDMAP_MODE);
	return write_field(idmap, fd, &after, &change, IDMAP_MODE);
}

int idmap_set_owner(
	struct idmap *idmap, int fd, const struct statx *real, bool is_group, uint32_t id)
{
	enum idmap_field field = is_group ? IDMAP_GID : IDMAP_UID;
	struct idmap_stored change = { .uid = id, .gid = id };

	if (idmap->kind != IDMAP_MAPPED)
		return -EPERM;
	if (id == IDMAP_GUEST_ID && real->stx_uid == idmap->own_uid)
		return remove_field(idmap, fd, real, &change, field);
	return write_field(idmap, fd, real, &change, field);
}
