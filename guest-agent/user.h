/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Users of the guest: read from the texts of passwd(5) and group(5), without libc's NSS (this binary is static), and
 * become. The parsers are pure; a line that is not well-formed is passed over.
 */
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define USER_NAME_MAX	64
#define USER_PATH_MAX	512
#define USER_GROUPS_MAX 64
#define USER_FILE_MAX	(1u << 20) /* of passwd and group */

struct user {
	char name[USER_NAME_MAX];
	char home[USER_PATH_MAX];
	char shell[USER_PATH_MAX];
	uid_t uid;
	gid_t gid;
	gid_t groups[USER_GROUPS_MAX];
	size_t group_count;
};

/*
 * By name, or by decimal uid. A uid that no line has is a user of its own: gid the same, home `/`, shell /bin/sh. False
 * where a name is unknown. Groups are only the user's own.
 */
bool user_find(const char *passwd, const char *name, struct user *ret);
/* Adds the groups that list the user as a member, as far as there is room. */
void user_add_groups(const char *group, struct user *user);

/* Both, from /etc; -ENOENT where there is no such user. */
int user_lookup(const char *name, struct user *ret);

/* Groups, gid, uid: all of them, for good. Without root's rights only oneself can be become. */
int user_become(const struct user *user);
