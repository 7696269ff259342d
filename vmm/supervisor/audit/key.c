/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/audit/key.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct audit_key {
	EVP_PKEY *key;
};

/* Takes key, NULL as well. */
static int wrap(EVP_PKEY *key, struct audit_key **ret)
{
	struct audit_key *k = key && EVP_PKEY_is_a(key, "ED25519") ? calloc(1, sizeof(*k)) : NULL;

	if (!k) {
		EVP_PKEY_free(key);
		return -EINVAL;
	}
	k->key = key;
	*ret = k;
	return 0;
}

void audit_key_destroy(struct audit_key *key)
{
	if (!key)
		return;
	EVP_PKEY_free(key->key);
	free(key);
}

int audit_key_generate(struct audit_key **ret)
{
	return wrap(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), ret);
}

/* Nobody is asked for a pass phrase. */
static int no_phrase(char *buf, int size, int writing, void *data)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)data;
	return -1;
}

/* What stands before the 32 bytes in PKCS #8 (RFC 8410, section 7). OpenSSL 3.0 asks all its decoders in turn: too long for each start. */
static const uint8_t pkcs8_head[] = { 0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b,
	0x65, 0x70, 0x04, 0x22, 0x04, 0x20 };

int audit_key_parse_private(const char *pem, size_t len, struct audit_key **ret)
{
	BIO *bio = len <= AUDIT_KEY_PEM_MAX ? BIO_new_mem_buf(pem, (int)len) : NULL;
	char *name = NULL, *header = NULL;
	uint8_t *data = NULL;
	EVP_PKEY *key = NULL;
	long size = 0;

	if (bio && PEM_read_bio(bio, &name, &header, &data, &size) == 1 &&
		!strcmp(name, PEM_STRING_PKCS8INF) && !*header &&
		size == (long)sizeof(pkcs8_head) + 32 &&
		!memcmp(data, pkcs8_head, sizeof(pkcs8_head)))
		key = EVP_PKEY_new_raw_private_key(
			EVP_PKEY_ED25519, NULL, data + sizeof(pkcs8_head), 32);
	OPENSSL_free(name);
	OPENSSL_free(header);
	OPENSSL_clear_free(data, (size_t)size);
	BIO_free(bio);
	return wrap(key, ret);
}

int audit_key_parse_public(const char *pem, size_t len, struct audit_key **ret)
{
	BIO *bio = len <= AUDIT_KEY_PEM_MAX ? BIO_new_mem_buf(pem, (int)len) : NULL;
	EVP_PKEY *key = bio ? PEM_read_bio_PUBKEY(bio, NULL, no_phrase, NULL) : NULL;

	BIO_free(bio);
	return wrap(key, ret);
}

int audit_key_read(int fd, struct audit_key **ret, struct err *err)
{
	char pem[AUDIT_KEY_PEM_MAX];
	ssize_t n = pread(fd, pem, sizeof(pem), 0);
	int r = n < 0 ? -errno : audit_key_parse_private(pem, (size_t)n, ret);

	OPENSSL_cleanse(pem, sizeof(pem));
	return r < 0 ? err_set(err, r, "the audit log's key: not an Ed25519 key in PEM") : 0;
}

static int take_text(BIO *bio, int written, char *out)
{
	int n = bio && written == 1 ? BIO_read(bio, out, AUDIT_KEY_PEM_MAX) : -1;

	BIO_free(bio);
	return n > 0 ? n : -EIO;
}

int audit_key_write_private(const struct audit_key *key, char out[static AUDIT_KEY_PEM_MAX])
{
	BIO *bio = BIO_new(BIO_s_secmem());

	return take_text(bio,
		bio ? PEM_write_bio_PKCS8PrivateKey(bio, key->key, NULL, NULL, 0, NULL, NULL) : 0,
		out);
}

int audit_key_write_public(const struct audit_key *key, char out[static AUDIT_KEY_PEM_MAX])
{
	BIO *bio = BIO_new(BIO_s_mem());

	return take_text(bio, bio ? PEM_write_bio_PUBKEY(bio, key->key) : 0, out);
}

int audit_key_sign(const struct audit_key *key, const void *data, size_t len,
	uint8_t out[static AUDIT_SIGNATURE_SIZE])
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	size_t size = AUDIT_SIGNATURE_SIZE;
	bool ok = context && EVP_DigestSignInit(context, NULL, NULL, NULL, key->key) == 1 &&
		  EVP_DigestSign(context, out, &size, data, len) == 1 &&
		  size == AUDIT_SIGNATURE_SIZE;

	EVP_MD_CTX_free(context);
	return ok ? 0 : -EIO;
}

int audit_key_verify(const struct audit_key *key, const void *data, size_t len,
	const uint8_t signature[static AUDIT_SIGNATURE_SIZE])
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool ok = context && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key->key) == 1 &&
		  EVP_DigestVerify(context, signature, AUDIT_SIGNATURE_SIZE, data, len) == 1;

	EVP_MD_CTX_free(context);
	return ok ? 0 : -EKEYREJECTED;
}
