/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/share/links.h"

#include <errno.h>
#include <stdlib.h>

#define SLOTS (LINKS_MAX * 2)

int links_init(struct links *links)
{
	*links = (struct links){ .entries = calloc(SLOTS, sizeof(struct links_entry)) };
	return links->entries ? 0 : -ENOMEM;
}

void links_finish(struct links *links)
{
	free(links->entries);
	*links = (struct links){};
}

static uint32_t slot_of(const struct tree_id *id)
{
	uint64_t h = (id->inode ^ id->device << 7) * 0x9e3779b97f4a7c15u;

	return (uint32_t)(h >> 40) & (SLOTS - 1);
}

/* The file's entry, or the free one where it would go. There is always a free one. */
static struct links_entry *find(struct links *links, const struct tree_id *id)
{
	uint32_t i = slot_of(id);

	while (links->entries[i].made && !tree_id_equal(&links->entries[i].id, id))
		i = (i + 1) & (SLOTS - 1);
	return &links->entries[i];
}

/* Takes an entry out and moves up what had to step over it. */
static void drop(struct links *links, struct links_entry *entry)
{
	uint32_t hole = (uint32_t)(entry - links->entries), i = hole;

	links->count--;
	entry->made = 0;
	for (;;) {
		uint32_t home;

		i = (i + 1) & (SLOTS - 1);
		if (!links->entries[i].made)
			return;
		home = slot_of(&links->entries[i].id);
		/* May it stand in the hole? Only if its home does not lie between the hole and it. */
		if (((i - home) & (SLOTS - 1)) < ((i - hole) & (SLOTS - 1)))
			continue;
		links->entries[hole] = links->entries[i];
		links->entries[i].made = 0;
		hole = i;
	}
}

void links_made(struct links *links, const struct tree_id *id)
{
	struct links_entry *entry = find(links, id);

	if (!entry->made) {
		if (links->count == LINKS_MAX)
			return;
		entry->id = *id;
		links->count++;
	}
	entry->made++;
}

void links_removed(struct links *links, const struct tree_id *id)
{
	struct links_entry *entry = find(links, id);

	if (entry->made && !--entry->made) {
		entry->made = 1;
		drop(links, entry);
	}
}

bool links_all_ours(struct links *links, const struct tree_id *id, uint32_t nlink)
{
	struct links_entry *entry;

	if (nlink <= 1 && links_empty(links))
		return true;
	entry = find(links, id);
	if (!entry->made)
		return nlink <= 1;
	if (nlink <= 1) {
		drop(links, entry);
		return true;
	}
	if (entry->made > nlink - 1)
		entry->made = nlink - 1;
	return entry->made == nlink - 1;
}
