/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The certificate authority of one sandbox (E16): a P-256 key and its self-signed certificate, made when the sandbox starts,
 * and short-lived leaves for the hosts that its guest asks for; RFC 5280, 6125, 9525.
 *
 * The key is in two places only: with the supervisor in memory, so that a proxy that takes the place of a killed one is
 * believed by the guest as the first was, and in that proxy. The guest gets the certificate. Each sandbox has its own, so a
 * key that leaks is of no use against another.
 *
 * Ownership: a leaf belongs to the CA and is valid until the next ca_leaf(). Threads: one.
 */
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "policy/name.h"
#include "vmm/base/err.h"

#define CA_EXPORT_MAX	 4096 /* bytes of ca_export()'s */
#define CA_PEM_MAX	 4096
#define CA_LEAVES_MAX	 256 /* kept; the one unused for longest goes first */
#define CA_HASH_NAME_MAX 16
#define CA_VALID_DAYS	 730
#define CA_LEAF_HOURS	 48 /* and is made anew when half of it has passed */
#define CA_BACKDATE_S	 86400 /* for a guest whose clock is behind */

struct ca;

/* What a TLS server presents; OpenSSL's types, so that only two files of this folder need its headers. */
struct ca_leaf {
	struct policy_host host;
	struct x509_st *certificate;
	struct evp_pkey_st *key; /* of all leaves of this process */
	time_t made_at;
	uint64_t used;
};

/* name: the sandbox's, for people who look at the certificate. -EIO where OpenSSL fails. */
int ca_create(const char *name, time_t now, struct ca **ret, struct err *err);
/* Wipes the key. NULL is allowed. */
void ca_destroy(struct ca *ca);

/* Key and certificate, for a pipe or a sealed memfd to the proxy: PKCS #8 and certificate, PEM. The caller wipes out. */
int ca_export(
	const struct ca *ca, char out[static CA_EXPORT_MAX], size_t *ret_len, struct err *err);
/* -EINVAL: not what ca_export() wrote, or a key that is not the certificate's. */
int ca_import(const char *data, size_t len, struct ca **ret, struct err *err);

/* The certificate alone, ended by NUL: what the guest is to trust. */
int ca_certificate(const struct ca *ca, char out[static CA_PEM_MAX], struct err *err);

/* The name by which OpenSSL looks for it in a folder of certificates: HASH.0 (openssl-rehash(1)). */
void ca_hash_name(const struct ca *ca, char out[static CA_HASH_NAME_MAX]);

/* From the cache, or made now. */
int ca_leaf(struct ca *ca, const struct policy_host *host, time_t now, const struct ca_leaf **ret,
	struct err *err);
