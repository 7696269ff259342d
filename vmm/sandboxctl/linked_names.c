/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/linked_names.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/sandboxctl/host_path.h"
#include "vmm/share/share.h"
#include "vmm/supervisor/status.h"

#define OWN_FDS "/proc/self/fd"

struct search {
	struct tree tree;
	struct linked_name *names;
	size_t count, missing;
	unsigned int entries;
	char path[TREE_PATH_MAX];
};

static void note(struct search *s, const struct statx *stx)
{
	for (size_t i = 0; i < s->count; i++) {
		struct linked_name *name = &s->names[i];

		if (name->path || name->inode != stx->stx_ino ||
			name->device != share_device_of(stx))
			continue;
		name->path = strdup(s->path);
		s->missing--;
	}
}

static bool is_wanted(const struct search *s, uint64_t inode)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->names[i].inode == inode)
			return true;
	return false;
}

static void search_folder(struct search *s, int folder_fd, unsigned int depth);

static void look_at(struct search *s, int folder_fd, const struct dirent *entry, unsigned int depth)
{
	_cleanup_close_ int fd = -1;
	struct statx stx;

	/* Where the kind is unknown the file itself tells. */
	if (entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN && !is_wanted(s, entry->d_ino))
		return;
	fd = tree_open_child(&s->tree, folder_fd, entry->d_name);
	if (fd < 0 || tree_stat(fd, &stx) < 0)
		return;
	if (!S_ISDIR(stx.stx_mode))
		note(s, &stx);
	else if (depth < LINKED_NAMES_DEPTH_MAX)
		search_folder(s, fd, depth + 1);
}

/* s->path is the folder's, and is so again at the end. */
static void search_folder(struct search *s, int folder_fd, unsigned int depth)
{
	int fd = tree_reopen(&s->tree, folder_fd, O_RDONLY | O_DIRECTORY);
	_cleanup_closedir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	size_t len = strlen(s->path);
	struct dirent *entry;

	if (!dir && fd >= 0)
		close(fd);
	while (dir && s->missing && s->entries < LINKED_NAMES_ENTRIES_MAX &&
		(entry = readdir(dir))) {
		size_t size = strlen(entry->d_name) + 1;

		s->entries++;
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") ||
			len + 1 + size > sizeof(s->path))
			continue;
		if (len)
			s->path[len] = '/';
		memcpy(s->path + len + !!len, entry->d_name, size);
		look_at(s, folder_fd, entry, depth);
		s->path[len] = '\0';
	}
}

int linked_names_find(const char *folder, struct linked_name *names, size_t count)
{
	_cleanup_close_ int proc_fd = open(OWN_FDS, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct search s = { .names = names, .count = count, .missing = count };
	_cleanup_close_ int root_fd = -1;
	struct err err = {};
	int r = proc_fd < 0 ? -errno : host_path_open_folder(folder, &root_fd, &err);

	if (r >= 0)
		r = tree_init(&s.tree, root_fd, proc_fd, OWN_FDS, true, false);
	if (r < 0)
		return r;
	search_folder(&s, root_fd, 0);
	return 0;
}

static struct document *fill_files(const char *folder, const struct document *files)
{
	struct linked_name names[STATUS_REFUSED_MAX] = {};
	struct document *list = document_list();
	size_t count = MIN(document_count(files), ARRAY_SIZE(names));

	for (size_t i = 0; i < count; i++) {
		names[i].device = (uint64_t)document_int(document_at(files, i), "device", 0);
		names[i].inode = (uint64_t)document_int(document_at(files, i), "inode", 0);
	}
	linked_names_find(folder, names, count); /* what is not found stays a number */
	for (size_t i = 0; i < count; i++) {
		struct document *file = document_object();

		document_set_text(file, "path", names[i].path);
		document_set_int(file, "device", (int64_t)names[i].device);
		document_set_int(file, "inode", (int64_t)names[i].inode);
		document_append(list, file);
		free(names[i].path);
	}
	return list;
}

void linked_names_fill(struct document *status)
{
	const struct document *shares = document_child(status, "linked_outside");
	struct document *list = document_list();

	for (size_t i = 0; i < document_count(shares); i++) {
		const struct document *from = document_at(shares, i);
		struct document *share = document_object();

		document_set_text(share, "host", document_text(from, "host", ""));
		document_set_text(share, "guest", document_text(from, "guest", ""));
		document_set_int(share, "refusals", document_int(from, "refusals", 0));
		document_set_child(share, "files",
			fill_files(document_text(from, "host", ""), document_child(from, "files")));
		document_append(list, share);
	}
	document_set_child(status, "linked_outside", list);
}
