/* SPDX-License-Identifier: Apache-2.0 */
#include "images/digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"

#define READ_SIZE (256 * 1024)

struct digest {
	EVP_MD_CTX *context;
	bool failed;
};

DEFINE_CLEANUP(digest, digest_destroy)

int digest_create(struct digest **ret)
{
	struct digest *digest = calloc(1, sizeof(*digest));

	if (!digest)
		return -ENOMEM;
	digest->context = EVP_MD_CTX_new();
	if (!digest->context || EVP_DigestInit_ex(digest->context, EVP_sha256(), NULL) != 1) {
		digest_destroy(digest);
		return -ENOMEM;
	}
	*ret = digest;
	return 0;
}

void digest_destroy(struct digest *digest)
{
	if (!digest)
		return;
	EVP_MD_CTX_free(digest->context);
	free(digest);
}

void digest_add(struct digest *digest, const void *data, size_t len)
{
	digest->failed = digest->failed || EVP_DigestUpdate(digest->context, data, len) != 1;
}

void digest_add_stat(struct digest *digest, const char *path, const struct stat *st)
{
	const uint64_t numbers[] = {
		st->st_dev,
		st->st_ino,
		st->st_mode,
		(uint64_t)st->st_size,
		(uint64_t)st->st_mtim.tv_sec,
		(uint64_t)st->st_mtim.tv_nsec,
		(uint64_t)st->st_ctim.tv_sec,
		(uint64_t)st->st_ctim.tv_nsec,
	};

	digest_add(digest, path, strlen(path) + 1);
	digest_add(digest, numbers, sizeof(numbers));
}

int digest_final(struct digest *digest, char ret_hex[static DIGEST_HEX_LEN + 1])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char sum[DIGEST_HEX_LEN / 2];
	unsigned int len = sizeof(sum);

	if (digest->failed || EVP_DigestFinal_ex(digest->context, sum, &len) != 1 ||
		len != sizeof(sum))
		return -EIO;
	for (size_t i = 0; i < sizeof(sum); i++) {
		ret_hex[2 * i] = digits[sum[i] >> 4];
		ret_hex[2 * i + 1] = digits[sum[i] & 15];
	}
	ret_hex[DIGEST_HEX_LEN] = '\0';
	return 0;
}

int digest_of_file(int fd, char ret_hex[static DIGEST_HEX_LEN + 1], struct err *err)
{
	_cleanup_(cleanup_digest_) struct digest *digest = NULL;
	_cleanup_free_ char *buffer = malloc(READ_SIZE);
	off_t at = 0;
	ssize_t n;
	int r = buffer ? digest_create(&digest) : -ENOMEM;

	if (r < 0)
		return err_set(err, r, "digest: out of memory");
	while ((n = pread(fd, buffer, READ_SIZE, at)) > 0) {
		digest_add(digest, buffer, (size_t)n);
		at += n;
	}
	if (n < 0)
		return err_set(err, -errno, "digest: cannot read: %s", strerror(errno));
	r = digest_final(digest, ret_hex);
	return r < 0 ? err_set(err, r, "digest: OpenSSL failed") : 0;
}
