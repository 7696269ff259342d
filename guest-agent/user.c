/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/user.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/base/parse.h"

#define FIELDS_MAX 7
#define LINE_MAX_  4096

struct fields {
	char line[LINE_MAX_];
	char *field[FIELDS_MAX];
	size_t count;
};

/* The next line, cut at its colons. False at the end; a line that is too long has no fields. */
static bool next_line(const char **cursor, struct fields *f)
{
	const char *start = *cursor;
	size_t len = strcspn(start, "\n");
	char *at = f->line;

	f->count = 0;
	if (!*start)
		return false;
	*cursor = start + len + (start[len] == '\n');
	if (len >= sizeof(f->line))
		return true;
	memcpy(f->line, start, len);
	f->line[len] = '\0';
	while (at && f->count < FIELDS_MAX) {
		f->field[f->count++] = strsep(&at, ":");
	}
	return true;
}

static bool copy_field(char *out, size_t size, const char *field)
{
	size_t len = strlen(field);

	if (len >= size)
		return false;
	memcpy(out, field, len + 1);
	return true;
}

static bool parse_id(const char *text, uint32_t *ret)
{
	uint64_t value;

	if (!parse_u64(text, 0, UINT32_MAX - 1, &value))
		return false;
	*ret = (uint32_t)value;
	return true;
}

static bool fill_user(struct fields *f, struct user *ret)
{
	struct user user = {};

	if (f->count != 7 || !parse_id(f->field[2], &user.uid) || !parse_id(f->field[3], &user.gid))
		return false;
	if (!copy_field(user.name, sizeof(user.name), f->field[0]) ||
		!copy_field(user.home, sizeof(user.home), f->field[5]) ||
		!copy_field(
			user.shell, sizeof(user.shell), f->field[6][0] ? f->field[6] : "/bin/sh"))
		return false;
	user.groups[user.group_count++] = user.gid;
	*ret = user;
	return true;
}

static void fill_stranger(uint32_t uid, struct user *ret)
{
	*ret = (struct user){ .home = "/", .shell = "/bin/sh", .uid = uid, .gid = uid };
	snprintf(ret->name, sizeof(ret->name), "%u", uid);
	ret->groups[ret->group_count++] = uid;
}

bool user_find(const char *passwd, const char *name, struct user *ret)
{
	uint32_t uid = 0;
	bool by_uid = parse_id(name, &uid);
	struct fields f = {};
	struct user user;

	while (next_line(&passwd, &f)) {
		if (!fill_user(&f, &user))
			continue;
		if (by_uid ? user.uid == uid : !strcmp(user.name, name)) {
			*ret = user;
			return true;
		}
	}
	if (by_uid)
		fill_stranger(uid, ret);
	return by_uid;
}

static bool lists_member(char *members, const char *name)
{
	char *member;

	while ((member = strsep(&members, ",")) != NULL)
		if (!strcmp(member, name))
			return true;
	return false;
}

void user_add_groups(const char *group, struct user *user)
{
	struct fields f = {};
	gid_t gid;

	while (user->group_count < USER_GROUPS_MAX && next_line(&group, &f)) {
		if (f.count != 4 || !parse_id(f.field[2], &gid) || gid == user->gid)
			continue;
		if (lists_member(f.field[3], user->name))
			user->groups[user->group_count++] = gid;
	}
}

int user_lookup(const char *name, struct user *ret)
{
	_cleanup_free_ char *passwd = NULL;
	_cleanup_free_ char *group = NULL;
	size_t len;
	struct user user;

	(void)fdio_read_file(AT_FDCWD, "/etc/passwd", USER_FILE_MAX, &passwd, &len);
	(void)fdio_read_file(AT_FDCWD, "/etc/group", USER_FILE_MAX, &group, &len);
	if (!user_find(passwd ? passwd : "root:x:0:0:root:/root:/bin/sh\n", name, &user))
		return -ENOENT;
	if (group)
		user_add_groups(group, &user);
	*ret = user;
	return 0;
}

int user_become(const struct user *user)
{
	if (geteuid() != 0)
		return geteuid() == user->uid ? 0 : -EPERM;
	if (setgroups(user->group_count, user->groups) < 0)
		return -errno;
	if (setresgid(user->gid, user->gid, user->gid) < 0)
		return -errno;
	if (setresuid(user->uid, user->uid, user->uid) < 0)
		return -errno;
	return 0;
}
