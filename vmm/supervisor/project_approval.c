/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/project_approval.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "policy/policy.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/supervisor/json.h"

#define FOLDER	      "projects"
#define VERSION	      1
#define PATH_HASH_LEN 32
#define NAME_SIZE     (PATH_HASH_LEN + 48)
#define FILE_MAX      (POLICY_DOCUMENT_MAX + 4 * PATH_MAX)

/* What a folder is known by. */
struct key {
	char path_hash[PROJECT_DIGEST_LEN + 1];
	uint64_t inode, device;
};

/* How well a kept file's name fits a folder. */
enum fit { FIT_NONE, FIT_MOVED, FIT_PATH, FIT_EXACT };

static int make_digest(const char *text, char out[static PROJECT_DIGEST_LEN + 1])
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	unsigned int len = 0;

	if (EVP_Digest(text, strlen(text), hash, &len, EVP_sha256(), NULL) != 1 ||
		len * 2 != PROJECT_DIGEST_LEN)
		return -EIO;
	for (unsigned int i = 0; i < len; i++)
		snprintf(out + 2 * i, 3, "%02x", hash[i]);
	return 0;
}

int project_policy_set(struct project_policy *ret, char *name, char *json)
{
	struct project_policy policy = { .name = name, .json = json, .digest = PROJECT_NONE };
	int r = json ? make_digest(json, policy.digest) : 0;

	if (r < 0)
		project_policy_finish(&policy);
	else
		*ret = policy;
	return r;
}

int project_policy_copy(const struct project_policy *from, struct project_policy *ret)
{
	char *name = from->name ? strdup(from->name) : NULL;
	char *json = from->json ? strdup(from->json) : NULL;

	if (!name != !from->name || !json != !from->json) {
		free(name);
		free(json);
		return -ENOMEM;
	}
	return project_policy_set(ret, name, json);
}

void project_policy_finish(struct project_policy *policy)
{
	free(policy->name);
	free(policy->json);
	*policy = (struct project_policy){};
}

static int make_key(const char *folder, struct key *ret, struct err *err)
{
	struct key key;
	struct stat st;
	int r;

	if (stat(folder, &st) < 0)
		return err_set(err, -errno, "%s: %m", folder);
	r = make_digest(folder, key.path_hash);
	if (r < 0)
		return err_set(err, r, "%s: no digest can be made", folder);
	key.path_hash[PATH_HASH_LEN] = '\0';
	key.inode = st.st_ino;
	key.device = st.st_dev;
	*ret = key;
	return 0;
}

static void name_of(const struct key *key, char out[static NAME_SIZE])
{
	snprintf(out, NAME_SIZE, "%s-%" PRIx64 "-%" PRIx64 ".json", key->path_hash, key->inode,
		key->device);
}

static enum fit fit_of(const struct key *key, const char *name)
{
	bool path = strncmp(name, key->path_hash, PATH_HASH_LEN) == 0;
	uint64_t inode, device;
	int end = 0;

	if (strlen(name) < PATH_HASH_LEN ||
		sscanf(name + PATH_HASH_LEN, "-%" SCNx64 "-%" SCNx64 ".json%n", &inode, &device,
			&end) != 2 ||
		!end || name[PATH_HASH_LEN + end] || inode != key->inode)
		return FIT_NONE;
	if (device == key->device)
		return path ? FIT_EXACT : FIT_MOVED;
	return path ? FIT_PATH : FIT_NONE;
}

/* The best of the kept files. */
static enum fit look(DIR *dir, const struct key *key, char ret_name[static NAME_SIZE])
{
	enum fit best = FIT_NONE;
	const struct dirent *entry;

	rewinddir(dir);
	while ((entry = readdir(dir)) != NULL) {
		enum fit fit = fit_of(key, entry->d_name);

		if (fit <= best || strlen(entry->d_name) >= NAME_SIZE)
			continue;
		best = fit;
		strcpy(ret_name, entry->d_name);
	}
	return best;
}

static int open_folder(const struct paths *paths, bool make, DIR **ret, struct err *err)
{
	char path[PATH_MAX];
	int fd = -1, r;

	if (snprintf(path, sizeof(path), "%s/" FOLDER, paths->state) >= (int)sizeof(path))
		return err_set(err, -ENAMETOOLONG, "%s: too long a path", paths->state);
	if (!make && access(path, F_OK) < 0 && (errno == ENOENT || errno == ENOTDIR))
		return -ENOENT;
	r = make ? fdio_mkdir_parents(paths->state, 0700) : 0;
	if (r < 0)
		return err_set(err, r, "folder %s: %s", paths->state, strerror(-r));
	r = paths_open_private(path, &fd, err);
	if (r < 0)
		return r;
	close(fd);
	*ret = opendir(path);
	return *ret ? 0 : err_set(err, -errno, "folder %s: %m", path);
}

json_t *project_policy_encode(const struct project_policy *policy)
{
	json_t *object = json_pack("{s:s}", "digest", policy->digest);

	if (object && policy->json &&
		(json_object_set_new(object, "file", json_string(policy->name)) < 0 ||
			json_object_set_new(object, "policy", json_loads(policy->json, 0, NULL)) <
				0)) {
		json_decref(object);
		return NULL;
	}
	return object;
}

int project_policy_decode(json_t *object, struct project_policy *ret, struct err *err)
{
	struct json_reader reader = json_reader(object, "project", err);
	const char *digest = json_get_text(&reader, "digest", PROJECT_DIGEST_LEN);
	const char *file = json_get_text_or(&reader, "file", PATH_MAX + 64, "?");
	json_t *document = json_get_object_or_null(&reader, "policy");
	struct project_policy policy = {};
	char *json, *name;
	int r = json_reader_done(&reader);

	if (r < 0)
		return r;
	json = document ? json_dumps(document, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
	name = document ? strdup(file) : NULL;
	if (!json != !document || !name != !document) {
		free(json);
		free(name);
		return err_set(err, -ENOMEM, "project: no memory");
	}
	r = project_policy_set(&policy, name, json);
	if (r == 0 && strcmp(policy.digest, digest) != 0)
		r = err_set(err, -EINVAL, "project: its digest is another policy's");
	if (r < 0)
		project_policy_finish(&policy);
	else
		*ret = policy;
	return r;
}

/* What write_text() below wrote. */
static int parse(const char *text, size_t len, struct project_policy *ret, struct err *err)
{
	_cleanup_json_ json_t *object = NULL;
	struct json_reader reader;
	json_t *policy;
	int r = json_parse_object(text, len, FILE_MAX, "approval", &object, err);

	if (r < 0)
		return r;
	reader = json_reader(object, "approval", err);
	json_get_u64(&reader, "version", VERSION, VERSION);
	json_get_text(&reader, "folder", PATH_MAX);
	json_get_u64(&reader, "approved_at", 0, INT64_MAX);
	policy = json_get_object(&reader, "approved");
	r = json_reader_done(&reader);
	return r < 0 ? r : project_policy_decode(policy, ret, err);
}

int project_approval_load(const struct paths *paths, const char *folder, struct project_policy *ret,
	bool *ret_exact, struct err *err)
{
	_cleanup_closedir_ DIR *dir = NULL;
	_cleanup_free_ char *text = NULL;
	char name[NAME_SIZE];
	struct key key;
	enum fit fit;
	size_t len;
	int r = make_key(folder, &key, err);

	if (r == 0)
		r = open_folder(paths, false, &dir, err);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	fit = look(dir, &key, name);
	if (fit == FIT_NONE)
		return 0;
	r = fdio_read_file(dirfd(dir), name, FILE_MAX, &text, &len);
	if (r < 0)
		return err_set(err, r, "%s/" FOLDER "/%s: %s", paths->state, name, strerror(-r));
	r = parse(text, len, ret, err);
	if (r < 0) {
		err_prefix(err, r, "%s/" FOLDER "/%s", paths->state, name);
		err_next_step(err, "sandboxctl policy approve writes it anew");
		return r;
	}
	*ret_exact = fit == FIT_EXACT;
	return 1;
}

static char *write_text(const char *folder, const struct project_policy *policy)
{
	json_t *encoded = project_policy_encode(policy);
	_cleanup_json_ json_t *object =
		encoded ? json_pack("{s:i, s:s, s:I, s:o}", "version", VERSION, "folder", folder,
				  "approved_at", (json_int_t)time(NULL), "approved", encoded)
			: NULL;

	return object ? json_dumps(object, JSON_COMPACT) : NULL;
}

/* Older keys of the same folder. */
static void remove_others(DIR *dir, const struct key *key)
{
	char own[NAME_SIZE];
	const struct dirent *entry;

	name_of(key, own);
	rewinddir(dir);
	while ((entry = readdir(dir)) != NULL) {
		if (fit_of(key, entry->d_name) != FIT_NONE && strcmp(entry->d_name, own) != 0)
			(void)unlinkat(dirfd(dir), entry->d_name, 0);
	}
}

int project_approval_store(const struct paths *paths, const char *folder,
	const struct project_policy *policy, struct err *err)
{
	_cleanup_free_ char *text = write_text(folder, policy);
	_cleanup_closedir_ DIR *dir = NULL;
	char name[NAME_SIZE];
	struct key key;
	int r;

	if (!text)
		return err_set(err, -EINVAL, "%s: its approval cannot be written as JSON", folder);
	r = make_key(folder, &key, err);
	if (r == 0)
		r = open_folder(paths, true, &dir, err);
	if (r < 0)
		return r;
	name_of(&key, name);
	r = fdio_write_file_atomic(dirfd(dir), name, text, strlen(text), 0600);
	if (r < 0)
		return err_set(err, r, "%s/" FOLDER "/%s: %s", paths->state, name, strerror(-r));
	remove_others(dir, &key);
	return 0;
}
