/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ed25519 keys by OpenSSL, written in OpenSSH's form (PROTOCOL.key of OpenSSH; RFC 4251 for the fields, RFC 8709 for the key
 * type). ssh-keygen is not asked: it costs two processes a sandbox, and refuses users that have no line in passwd.
 */
#include "vmm/supervisor/ssh_keys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"

#define KEY_SIZE 32
#define BLOB_MAX 512
#define LINE_LEN 70 /* of base64 in a private key's file */
#define TYPE	 "ssh-ed25519"

struct key_pair {
	uint8_t seed[KEY_SIZE], public_key[KEY_SIZE];
};

/* RFC 4251: big-endian lengths. */
static void put_u32(struct bytes_writer *w, uint32_t v)
{
	const uint8_t bytes[] = { (uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8),
		(uint8_t)v };

	bytes_put(w, bytes, sizeof(bytes));
}

static void put_string(struct bytes_writer *w, const void *data, size_t len)
{
	put_u32(w, (uint32_t)len);
	bytes_put(w, data, len);
}

static void put_public_key(struct bytes_writer *w, const struct key_pair *pair)
{
	put_string(w, TYPE, strlen(TYPE));
	put_string(w, pair->public_key, KEY_SIZE);
}

static void put_private_section(
	struct bytes_writer *w, const struct key_pair *pair, const char *comment)
{
	uint8_t secret[2 * KEY_SIZE], check[4];

	memcpy(secret, pair->seed, KEY_SIZE);
	memcpy(secret + KEY_SIZE, pair->public_key, KEY_SIZE);
	RAND_bytes(check, sizeof(check));
	bytes_put(w, check, sizeof(check));
	bytes_put(w, check, sizeof(check));
	put_public_key(w, pair);
	put_string(w, secret, sizeof(secret));
	put_string(w, comment, strlen(comment));
	for (uint8_t pad = 1; w->offset % 8 && !w->failed; pad++)
		bytes_put_u8(w, pad);
	OPENSSL_cleanse(secret, sizeof(secret));
}

static void put_private_key(
	struct bytes_writer *w, const struct key_pair *pair, const char *comment)
{
	uint8_t public_blob[BLOB_MAX], section[BLOB_MAX];
	struct bytes_writer p = bytes_writer(public_blob, sizeof(public_blob));
	struct bytes_writer s = bytes_writer(section, sizeof(section));

	put_public_key(&p, pair);
	put_private_section(&s, pair, comment);
	bytes_put(w, "openssh-key-v1", sizeof("openssh-key-v1")); /* with its NUL */
	put_string(w, "none", 4);
	put_string(w, "none", 4);
	put_string(w, "", 0);
	put_u32(w, 1);
	put_string(w, public_blob, p.offset);
	put_string(w, section, s.offset);
	w->failed = w->failed || p.failed || s.failed;
	OPENSSL_cleanse(section, sizeof(section));
}

static int make_pair(struct key_pair *ret)
{
	size_t seed_len = KEY_SIZE, public_len = KEY_SIZE;
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	bool ok = key && EVP_PKEY_get_raw_private_key(key, ret->seed, &seed_len) == 1 &&
		  EVP_PKEY_get_raw_public_key(key, ret->public_key, &public_len) == 1 &&
		  seed_len == KEY_SIZE && public_len == KEY_SIZE;

	EVP_PKEY_free(key);
	return ok ? 0 : -EIO;
}

static int format_private(
	const struct key_pair *pair, const char *comment, char text[static SSH_KEYS_FILE_MAX])
{
	uint8_t blob[2 * BLOB_MAX], base64[4 * BLOB_MAX];
	struct bytes_writer w = bytes_writer(blob, sizeof(blob));
	int n, at = 0;

	put_private_key(&w, pair, comment);
	if (w.failed)
		return -E2BIG;
	n = EVP_EncodeBlock(base64, blob, (int)w.offset);
	at = sprintf(text, "-----BEGIN OPENSSH PRIVATE KEY-----\n");
	for (int i = 0; i < n; i += LINE_LEN)
		at += sprintf(text + at, "%.*s\n", LINE_LEN, base64 + i);
	sprintf(text + at, "-----END OPENSSH PRIVATE KEY-----\n");
	OPENSSL_cleanse(blob, sizeof(blob));
	OPENSSL_cleanse(base64, sizeof(base64));
	return 0;
}

static int format_public(
	const struct key_pair *pair, const char *comment, char text[static SSH_KEYS_FILE_MAX])
{
	uint8_t blob[BLOB_MAX], base64[2 * BLOB_MAX];
	struct bytes_writer w = bytes_writer(blob, sizeof(blob));

	put_public_key(&w, pair);
	if (w.failed)
		return -E2BIG;
	EVP_EncodeBlock(base64, blob, (int)w.offset);
	snprintf(text, SSH_KEYS_FILE_MAX, TYPE " %s %s\n", base64, comment);
	return 0;
}

static int write_file(int folder_fd, const char *name, const char *text)
{
	return fdio_write_file_atomic(folder_fd, name, text, strlen(text), 0600);
}

/* The private key is written last: where it is, the public one is. */
static int make_files(int folder_fd, const char *file, const char *comment)
{
	char text[SSH_KEYS_FILE_MAX], public_name[64];
	struct key_pair pair;
	int r;

	if (faccessat(folder_fd, file, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	snprintf(public_name, sizeof(public_name), "%s.pub", file);
	r = make_pair(&pair);
	if (r == 0)
		r = format_public(&pair, comment, text);
	if (r == 0)
		r = write_file(folder_fd, public_name, text);
	if (r == 0)
		r = format_private(&pair, comment, text);
	if (r == 0)
		r = write_file(folder_fd, file, text);
	OPENSSL_cleanse(&pair, sizeof(pair));
	OPENSSL_cleanse(text, sizeof(text));
	return r;
}

static int write_known_hosts(int folder_fd, const char *name)
{
	_cleanup_free_ char *public_key = NULL;
	char line[SSH_KEYS_FILE_MAX + 64];
	int r;

	if (faccessat(folder_fd, "known_hosts", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	r = fdio_read_file(folder_fd, "host_ed25519.pub", SSH_KEYS_FILE_MAX, &public_key, NULL);

	if (r < 0)
		return r;
	snprintf(line, sizeof(line), "%s %s", name, public_key);
	return write_file(folder_fd, "known_hosts", line);
}

int ssh_keys_make(const char *folder, const char *name, struct err *err)
{
	_cleanup_close_ int fd = -1;
	int r = fdio_mkdir_parents(folder, 0700);

	if (r == 0) {
		fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		r = fd < 0 ? -errno : 0;
	}
	if (r == 0)
		r = make_files(fd, "id_ed25519", name);
	if (r == 0)
		r = make_files(fd, "host_ed25519", name);
	if (r == 0)
		r = write_known_hosts(fd, name);
	return r < 0 ? err_set(err, r, "ssh keys: %s: %s", folder, strerror(-r)) : 0;
}
