/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/devices/p9_ops.h"

#include <errno.h>
#include <string.h>

int p9_get_name(const struct p9_text *text, struct p9_name *ret)
{
	int r = tree_name_check((const char *)text->data, text->len);

	if (r < 0)
		return r;
	memcpy(ret->text, text->data, text->len);
	ret->text[text->len] = '\0';
	return 0;
}

int p9_find_file(struct p9_server *s, uint32_t number, struct p9_fid **ret)
{
	struct p9_fid *fid = p9_fids_find(&s->fids, number);

	if (!fid || fid->kind != P9_FID_FILE)
		return -EBADF;
	*ret = fid;
	return 0;
}

/* An fd that stands for the fid's file: its own where it is open, else the handle's. */
int p9_fid_fd(struct p9_server *s, const struct p9_fid *fid)
{
	if (fid->open_fd >= 0)
		return fid->open_fd;
	return handles_fd(&s->handles, fid->handle);
}

/* S4, for files that were linked outside when the guest found them, or are by now. */
int p9_check_own(struct p9_server *s, struct p9_fid *fid)
{
	bool found_outside =
		fid->handle != HANDLES_NONE && handles_get(&s->handles, fid->handle)->outside;
	int fd, r;

	if (!fid->outside && !found_outside)
		return 0;
	fd = p9_fid_fd(s, fid);
	r = fd < 0 ? fd : share_found_inside(&s->share, fd);
	if (r < 0)
		return r;
	fid->outside = false;
	if (fid->handle != HANDLES_NONE)
		handles_clear_outside(&s->handles, fid->handle);
	return 0;
}

/* An fd for changing the file itself. */
int p9_find_own_fd(struct p9_server *s, uint32_t number)
{
	struct p9_fid *fid;
	int r = p9_find_file(s, number, &fid);

	if (r >= 0)
		r = p9_check_own(s, fid);
	return r < 0 ? r : p9_fid_fd(s, fid);
}

int p9_find_fd(struct p9_server *s, uint32_t number)
{
	struct p9_fid *fid;
	int r = p9_find_file(s, number, &fid);

	return r < 0 ? r : p9_fid_fd(s, fid);
}

/* Like find_fd, and who asks for what is to be made there. */
int p9_find_folder(struct p9_server *s, const struct p9_request *q, struct share_user *ret_user)
{
	struct p9_fid *fid;
	int r = p9_find_file(s, q->fid, &fid);

	if (r < 0)
		return r;
	ret_user->uid = fid->uid;
	ret_user->gid = q->gid;
	return p9_fid_fd(s, fid);
}

uint32_t p9_version_of(const struct statx *stx)
{
	return ((uint32_t)stx->stx_ctime.tv_sec ^ stx->stx_ctime.tv_nsec << 2) | 1;
}

struct p9_qid p9_make_qid(struct p9_server *s, const struct statx *stx)
{
	uint8_t type = P9_QID_FILE;
	uint32_t version = 0;

	if (S_ISDIR(stx->stx_mode))
		type = P9_QID_FOLDER;
	else if (S_ISLNK(stx->stx_mode))
		type = P9_QID_SYMLINK;
	if (!s->coherent)
		version = p9_version_of(stx);
	return (struct p9_qid){
		.type = type,
		.version = version,
		.path = share_qid_path(&s->share, share_device_of(stx), stx->stx_ino),
	};
}

int p9_put_new_qid(struct p9_server *s, int r, const struct statx *stx, struct bytes_writer *w)
{
	struct p9_qid qid;

	if (r < 0)
		return r;
	qid = p9_make_qid(s, stx);
	p9_put_qid(w, &qid);
	return 0;
}
