/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The sandbox's own CA beside the roots that the image has: for programs that read the variables of environment.h, in a
 * bundle under /run/sandbox; for those that read the system's store, and for root's (sudo drops the variables), in
 * the store's own bundle, and where update-ca-certificates(8) finds it again.
 * Java's stores, where the image has Java, are made anew from the bundle (java_store.h): Debian's, and each JDK's own.
 * Chromium, where the image has it, is told by a policy file (CACertificates): it reads no bundle, and its NSS database is SQLite.
 * OpenSSL's store of single files goes by a hash that takes a certificate parser to compute: the host adds that file
 * (/etc/ssl/certs/HASH.0) to WELCOME's.
 */
#include "guest-agent/protocol/messages.h"

#define TRUST_BUNDLE_PATH "/run/sandbox/ca-bundle.pem"
#define TRUST_BUNDLE_MAX  (2u << 20)

/* WELCOME's file PROTOCOL_CA_PATH, or NULL. */
const struct protocol_file *trust_find(const struct protocol_welcome *welcome);

/* roots, then ca, each ended by a newline. The size, or 0 where it does not fit. Pure. */
size_t trust_join(
	const void *roots, size_t roots_len, const void *ca, size_t ca_len, char *out, size_t size);

/* Chromium's policy that trusts the first certificate of ca, as JSON. The size, or 0: no certificate, or no room. Pure. */
size_t trust_browser_policy(const char *ca, size_t ca_len, char *out, size_t size);

/* Below root ("" for the running system). 0 where all could be written, or where there is no CA. */
int trust_place(const char *root, const struct protocol_welcome *welcome);
