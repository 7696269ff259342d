/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The host's key that signs the heads of its audit logs (H7): Ed25519 (RFC 8032), in PEM, by OpenSSL. The private half is read
 * by sandbox-audit from an inherited fd; whoever verifies needs the public half alone.
 */
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/err.h"

#define AUDIT_KEY_PEM_MAX    512
#define AUDIT_SIGNATURE_SIZE 64

struct audit_key;

int audit_key_generate(struct audit_key **ret);
/* -EINVAL: no Ed25519 key in PEM. */
int audit_key_parse_private(const char *pem, size_t len, struct audit_key **ret);
int audit_key_parse_public(const char *pem, size_t len, struct audit_key **ret);
/* The file from its beginning; a private key. */
int audit_key_read(int fd, struct audit_key **ret, struct err *err);
void audit_key_destroy(struct audit_key *key);
DEFINE_CLEANUP(audit_key, audit_key_destroy)

/* The length, no NUL, or -EIO. */
int audit_key_write_private(const struct audit_key *key, char out[static AUDIT_KEY_PEM_MAX]);
int audit_key_write_public(const struct audit_key *key, char out[static AUDIT_KEY_PEM_MAX]);

int audit_key_sign(const struct audit_key *key, const void *data, size_t len,
	uint8_t out[static AUDIT_SIGNATURE_SIZE]);
/* 0, or -EKEYREJECTED. */
int audit_key_verify(const struct audit_key *key, const void *data, size_t len,
	const uint8_t signature[static AUDIT_SIGNATURE_SIZE]);
