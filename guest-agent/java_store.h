/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A Java trust store of a PEM bundle: pure. The JKS format as OpenJDK's own source describes it (sun.security.provider.
 * JavaKeyStore, "KEYSTORE FORMAT"): every Java reads it wherever it looks for `cacerts`. Trusted certificates only; the
 * password is the customary `changeit`, which protects nothing.
 */
#include <stddef.h>

#define JAVA_STORE_CERTIFICATES_MAX 1024
/* Room that is always enough for the store of a bundle of that many bytes. */
#define JAVA_STORE_ROOM(pem_len) (2 * (pem_len) + 64)

/* A part that is no certificate in PEM is passed over. The size, or 0: no certificate, too many, or no room. */
size_t java_store_make(const char *pem, size_t pem_len, void *out, size_t size);
