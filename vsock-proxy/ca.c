/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-proxy/ca.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"

#define CURVE	     "P-256"
#define SERIAL_BYTES 16 /* RFC 5280 4.1.2.2: at most 20 octets, unpredictable */
#define VERSION_3    2

#define SCALAR_SIZE 32
#define POINT_SIZE  65 /* uncompressed; SEC 1, section 2.3.3 */

/*
 * A P-256 key as PKCS #8 has it (RFC 5958, 5915), but for its two numbers. Written and read here: OpenSSL 3.0 asks each of its encoders
 * and decoders in turn, which costs millions of instructions, in each of a starting sandbox's processes.
 */
static const uint8_t pkcs8_head[] = { 0x30, 0x81, 0x87, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07,
	0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03,
	0x01, 0x07, 0x04, 0x6d, 0x30, 0x6b, 0x02, 0x01, 0x01, 0x04, SCALAR_SIZE };
static const uint8_t pkcs8_middle[] = { 0xa1, 0x44, 0x03, 0x42, 0x00 };

struct pkcs8 {
	uint8_t head[sizeof(pkcs8_head)], scalar[SCALAR_SIZE], middle[sizeof(pkcs8_middle)],
		point[POINT_SIZE];
};
static_assert(sizeof(struct pkcs8) == 138, "what the lengths in head say");

struct ca {
	EVP_PKEY *key, *leaf_key; /* the latter is made with the first leaf */
	X509 *certificate;
	uint64_t uses;
	size_t leaf_count;
	struct ca_leaf leaves[CA_LEAVES_MAX];
};

DEFINE_CLEANUP(ca, ca_destroy)

static void cleanup_bio(BIO **bio)
{
	BIO_free(*bio);
}

static void cleanup_x509(X509 **x509)
{
	X509_free(*x509);
}

#define _cleanup_bio_  _cleanup_(cleanup_bio)
#define _cleanup_x509_ _cleanup_(cleanup_x509)

static int failed(struct err *err, const char *what)
{
	return err_set(err, -EIO, "certificate authority: OpenSSL cannot %s", what);
}

static bool set_serial(X509 *x509)
{
	unsigned char bytes[SERIAL_BYTES];
	BIGNUM *n = NULL;
	bool ok = RAND_bytes(bytes, sizeof(bytes)) == 1;

	bytes[0] = (bytes[0] & 0x7f) | 0x40; /* positive, and always as long */
	ok = ok && (n = BN_bin2bn(bytes, sizeof(bytes), NULL)) &&
	     BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x509));
	BN_free(n);
	return ok;
}

static bool set_times(X509 *x509, time_t now, long valid_s)
{
	return ASN1_TIME_set(X509_getm_notBefore(x509), now - CA_BACKDATE_S) &&
	       ASN1_TIME_set(X509_getm_notAfter(x509), now + valid_s);
}

static bool add_extension(X509 *x509, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *extension;
	X509V3_CTX context;
	bool ok;

	X509V3_set_ctx_nodb(&context);
	X509V3_set_ctx(&context, issuer, x509, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	ok = extension && X509_add_ext(x509, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return ok;
}

static bool set_name(X509 *x509, const char *text)
{
	X509_NAME *name = X509_get_subject_name(x509);

	return name && X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
			       (const unsigned char *)text, -1, -1, 0) == 1;
}

static bool get_point(EVP_PKEY *key, uint8_t out[static POINT_SIZE])
{
	size_t len;

	return EVP_PKEY_get_octet_string_param(
		       key, OSSL_PKEY_PARAM_PUB_KEY, out, POINT_SIZE, &len) == 1 &&
	       len == POINT_SIZE;
}

/* For a certificate that is only written down: X509_set_pubkey() has the key encoded and decoded again, for those who ask it for its key. */
static bool set_public_key(X509 *x509, EVP_PKEY *key)
{
	uint8_t *point = OPENSSL_malloc(POINT_SIZE);

	if (point && get_point(key, point) &&
		X509_PUBKEY_set0_param(X509_get_X509_PUBKEY(x509),
			OBJ_nid2obj(NID_X9_62_id_ecPublicKey), V_ASN1_OBJECT,
			OBJ_nid2obj(NID_X9_62_prime256v1), point, POINT_SIZE) == 1)
		return true;
	OPENSSL_free(point);
	return false;
}

static X509 *make_root(EVP_PKEY *key, const char *name, time_t now)
{
	_cleanup_x509_ X509 *x509 = X509_new();
	char text[64];

	snprintf(text, sizeof(text), "sandboxctl %.41s", name);
	if (!x509 || X509_set_version(x509, VERSION_3) != 1 || !set_serial(x509) ||
		!set_times(x509, now, CA_VALID_DAYS * 86400L) || !set_name(x509, text) ||
		X509_set_issuer_name(x509, X509_get_subject_name(x509)) != 1 ||
		!set_public_key(x509, key) ||
		!add_extension(x509, x509, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
		!add_extension(x509, x509, NID_key_usage, "critical,keyCertSign,cRLSign") ||
		!add_extension(x509, x509, NID_subject_key_identifier, "hash") ||
		X509_sign(x509, key, EVP_sha256()) <= 0)
		return NULL;
	return TAKE_PTR(x509);
}

static bool add_subject(X509 *x509, const struct policy_host *host)
{
	char text[POLICY_NAME_MAX + 16];

	/* A canonical name is LDH labels, and an address is what inet_ntop() wrote: nothing of the syntax of these values. */
	snprintf(text, sizeof(text), "critical,%s:%s",
		host->kind == POLICY_HOST_NAME ? "DNS" : "IP", host->text);
	return add_extension(x509, NULL, NID_subject_alt_name, text);
}

static X509 *make_leaf(const struct ca *ca, const struct policy_host *host, time_t now)
{
	_cleanup_x509_ X509 *x509 = X509_new();

	/* No subject: a common name has 64 letters, a host has more; the alternative name alone counts (RFC 9525). */
	if (!x509 || X509_set_version(x509, VERSION_3) != 1 || !set_serial(x509) ||
		!set_times(x509, now, CA_LEAF_HOURS * 3600L) ||
		X509_set_issuer_name(x509, X509_get_subject_name(ca->certificate)) != 1 ||
		X509_set_pubkey(x509, ca->leaf_key) != 1 || !add_subject(x509, host) ||
		!add_extension(x509, ca->certificate, NID_basic_constraints, "critical,CA:FALSE") ||
		!add_extension(x509, ca->certificate, NID_key_usage, "critical,digitalSignature") ||
		!add_extension(x509, ca->certificate, NID_ext_key_usage, "serverAuth") ||
		!add_extension(
			x509, ca->certificate, NID_authority_key_identifier, "keyid:always") ||
		X509_sign(x509, ca->key, EVP_sha256()) <= 0)
		return NULL;
	return TAKE_PTR(x509);
}

/* Takes key and certificate, NULL ones as well. */
static int take_parts(EVP_PKEY *key, X509 *certificate, struct ca **ret, struct err *err)
{
	_cleanup_(cleanup_ca_) struct ca *ca = calloc(1, sizeof(*ca));

	if (!ca) {
		EVP_PKEY_free(key);
		X509_free(certificate);
		return err_set(err, -ENOMEM, "certificate authority: no memory");
	}
	ca->key = key;
	ca->certificate = certificate;
	if (!key || !certificate)
		return failed(err, "make a key");
	*ret = TAKE_PTR(ca);
	return 0;
}

int ca_create(const char *name, time_t now, struct ca **ret, struct err *err)
{
	EVP_PKEY *key = EVP_EC_gen(CURVE);

	return take_parts(key, key ? make_root(key, name, now) : NULL, ret, err);
}

void ca_destroy(struct ca *ca)
{
	if (!ca)
		return;
	for (size_t i = 0; i < ca->leaf_count; i++)
		X509_free(ca->leaves[i].certificate);
	X509_free(ca->certificate);
	EVP_PKEY_free(ca->leaf_key);
	EVP_PKEY_free(ca->key); /* OpenSSL clears private numbers as it frees them */
	free(ca);
}

static int copy_out(BIO *bio, char *out, size_t size, size_t *ret_len, struct err *err)
{
	char *data;
	long len = BIO_get_mem_data(bio, &data);

	if (len <= 0 || (size_t)len >= size)
		return failed(err, "write it down");
	memcpy(out, data, (size_t)len);
	out[len] = '\0';
	*ret_len = (size_t)len;
	return 0;
}

int ca_export(const struct ca *ca, char out[static CA_EXPORT_MAX], size_t *ret_len, struct err *err)
{
	_cleanup_bio_ BIO *bio = BIO_new(BIO_s_secmem());
	BIGNUM *scalar = NULL;
	struct pkcs8 der;
	bool ok;

	memcpy(der.head, pkcs8_head, sizeof(der.head));
	memcpy(der.middle, pkcs8_middle, sizeof(der.middle));
	ok = bio && EVP_PKEY_get_bn_param(ca->key, OSSL_PKEY_PARAM_PRIV_KEY, &scalar) == 1 &&
	     BN_bn2binpad(scalar, der.scalar, SCALAR_SIZE) == SCALAR_SIZE &&
	     get_point(ca->key, der.point) &&
	     PEM_write_bio(bio, PEM_STRING_PKCS8INF, "", (const uint8_t *)&der, sizeof(der)) > 0 &&
	     PEM_write_bio_X509(bio, ca->certificate) == 1;
	BN_clear_free(scalar);
	OPENSSL_cleanse(&der, sizeof(der));
	return ok ? copy_out(bio, out, CA_EXPORT_MAX, ret_len, err) : failed(err, "write it down");
}

static EVP_PKEY *make_key(const struct pkcs8 *der)
{
	BIGNUM *scalar = BN_bin2bn(der->scalar, SCALAR_SIZE, NULL);
	OSSL_PARAM_BLD *build = scalar ? OSSL_PARAM_BLD_new() : NULL;
	EVP_PKEY_CTX *context = build ? EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL) : NULL;
	OSSL_PARAM *params = NULL;
	EVP_PKEY *key = NULL;

	BN_set_flags(scalar, BN_FLG_CONSTTIME);
	if (context &&
		OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, CURVE, 0) == 1 &&
		OSSL_PARAM_BLD_push_octet_string(
			build, OSSL_PKEY_PARAM_PUB_KEY, der->point, POINT_SIZE) == 1 &&
		OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, scalar) == 1 &&
		(params = OSSL_PARAM_BLD_to_param(build)) && EVP_PKEY_fromdata_init(context) == 1 &&
		EVP_PKEY_fromdata(context, &key, EVP_PKEY_KEYPAIR, params) != 1)
		key = NULL;
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(build);
	EVP_PKEY_CTX_free(context);
	BN_clear_free(scalar);
	return key;
}

static EVP_PKEY *read_key(BIO *bio)
{
	char *name = NULL, *header = NULL;
	uint8_t *data = NULL;
	struct pkcs8 der;
	EVP_PKEY *key = NULL;
	long len = 0;

	if (PEM_read_bio(bio, &name, &header, &data, &len) == 1 &&
		!strcmp(name, PEM_STRING_PKCS8INF) && !*header && len == sizeof(der)) {
		memcpy(&der, data, sizeof(der));
		if (!memcmp(der.head, pkcs8_head, sizeof(der.head)) &&
			!memcmp(der.middle, pkcs8_middle, sizeof(der.middle)))
			key = make_key(&der);
		OPENSSL_cleanse(&der, sizeof(der));
	}
	OPENSSL_free(name);
	OPENSSL_free(header);
	OPENSSL_clear_free(data, (size_t)len);
	return key;
}

/* Nobody is asked for a passphrase. */
static int no_passphrase(char *buffer, int size, int writing, void *data)
{
	(void)buffer;
	(void)size;
	(void)writing;
	(void)data;
	return -1;
}

static bool is_its_key(const X509 *certificate, EVP_PKEY *key)
{
	const ASN1_BIT_STRING *bits = X509_get0_pubkey_bitstr(certificate);
	uint8_t point[POINT_SIZE];

	return bits && get_point(key, point) && ASN1_STRING_length(bits) == POINT_SIZE &&
	       !memcmp(ASN1_STRING_get0_data(bits), point, POINT_SIZE);
}

int ca_import(const char *data, size_t len, struct ca **ret, struct err *err)
{
	_cleanup_bio_ BIO *bio = len < CA_EXPORT_MAX ? BIO_new_mem_buf(data, (int)len) : NULL;
	EVP_PKEY *key = bio ? read_key(bio) : NULL;
	X509 *certificate = key ? PEM_read_bio_X509(bio, NULL, no_passphrase, NULL) : NULL;

	if (!certificate || !is_its_key(certificate, key) || X509_check_ca(certificate) != 1) {
		EVP_PKEY_free(key);
		X509_free(certificate);
		return err_set(err, -EINVAL,
			"certificate authority: not a key and the certificate that belongs to it");
	}
	return take_parts(key, certificate, ret, err);
}

int ca_certificate(const struct ca *ca, char out[static CA_PEM_MAX], struct err *err)
{
	_cleanup_bio_ BIO *bio = BIO_new(BIO_s_mem());
	size_t len;

	if (!bio || PEM_write_bio_X509(bio, ca->certificate) != 1)
		return failed(err, "write its certificate");
	return copy_out(bio, out, CA_PEM_MAX, &len, err);
}

void ca_hash_name(const struct ca *ca, char out[static CA_HASH_NAME_MAX])
{
	unsigned long hash = X509_subject_name_hash(ca->certificate);

	snprintf(out, CA_HASH_NAME_MAX, "%08x.0", (unsigned int)hash);
}

static struct ca_leaf *find_leaf(struct ca *ca, const struct policy_host *host)
{
	for (size_t i = 0; i < ca->leaf_count; i++)
		if (ca->leaves[i].host.kind == host->kind &&
			strcmp(ca->leaves[i].host.text, host->text) == 0)
			return &ca->leaves[i];
	return NULL;
}

/* A free place, or that of the leaf unused for longest. */
static struct ca_leaf *make_place(struct ca *ca)
{
	struct ca_leaf *oldest = &ca->leaves[0];

	if (ca->leaf_count < CA_LEAVES_MAX)
		return &ca->leaves[ca->leaf_count++];
	for (size_t i = 1; i < ca->leaf_count; i++)
		if (ca->leaves[i].used < oldest->used)
			oldest = &ca->leaves[i];
	return oldest;
}

/* A clock that was set back makes it anew too: the guest's is set with it. */
static bool is_fresh(const struct ca_leaf *leaf, time_t now)
{
	return now >= leaf->made_at && now - leaf->made_at < CA_LEAF_HOURS * 3600L / 2;
}

int ca_leaf(struct ca *ca, const struct policy_host *host, time_t now, const struct ca_leaf **ret,
	struct err *err)
{
	struct ca_leaf *leaf = find_leaf(ca, host);

	if (!leaf || !is_fresh(leaf, now)) {
		X509 *certificate;

		if (!ca->leaf_key)
			ca->leaf_key = EVP_EC_gen(CURVE);
		certificate = ca->leaf_key ? make_leaf(ca, host, now) : NULL;
		if (!certificate)
			return failed(err, "sign a certificate");
		leaf = leaf ? leaf : make_place(ca);
		X509_free(leaf->certificate);
		*leaf = (struct ca_leaf){ .host = *host,
			.certificate = certificate,
			.key = ca->leaf_key,
			.made_at = now };
	}
	leaf->used = ++ca->uses;
	*ret = leaf;
	return 0;
}
