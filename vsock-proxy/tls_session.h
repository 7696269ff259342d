/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One TLS connection over a non-blocking socket, whichever end of it we are: made by tls_server.h (towards the guest) and
 * tls_client.h (towards an upstream).
 *
 * Ownership: fds are borrowed. Threads: one.
 */
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "policy/name.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/err.h"

enum tls_protocol { TLS_PROTOCOL_HTTP1 = 1, TLS_PROTOCOL_HTTP2 = 2 };

struct ssl_st; /* OpenSSL's */
struct ssl_ctx_st;

/* ALPN (RFC 7301), in the form that OpenSSL takes. */
struct tls_protocols {
	const unsigned char *list;
	unsigned int len;
};

/* What a call that cannot go on waits for. */
#define TLS_WANT_READ  (-0x10001)
#define TLS_WANT_WRITE (-0x10002)

/* What is read of a socket at a time, at most: two records (RFC 8446, section 5.2) */
#define TLS_READ_AHEAD (33u << 10)

struct tls_session {
	struct ssl_st *ssl;
	struct policy_host host; /* whom the guest wanted */
	bool offers_h2;
	const char *peer; /* for messages: "the guest", "the upstream" */
};

/* For the two that make sessions: -EIO, -ENOMEM. *ret is SSL_get_app_data() of its ssl. */
int tls_session_create(struct ssl_ctx_st *context, int fd, const struct policy_host *host,
	bool offers_h2, const char *peer, struct tls_session **ret, struct err *err);
struct tls_protocols tls_session_protocols(const struct tls_session *session);

void tls_session_destroy(struct tls_session *session); /* NULL is allowed */
DEFINE_CLEANUP(tls_session, tls_session_destroy)
#define _cleanup_tls_session_ _cleanup_(cleanup_tls_session_)

/*
 * 0: done; TLS_WANT_*; -EPROTO: it failed, and an alert is on its way; -EKEYREJECTED: the peer's certificate does not verify;
 * -EPIPE: the peer left.
 */
int tls_session_handshake(struct tls_session *session, struct err *err);
enum tls_protocol tls_session_protocol(const struct tls_session *session);
/* Bytes; 0: the peer has said that no more come; TLS_WANT_*; -EPROTO; -EPIPE: it ended without saying so. */
ssize_t tls_session_read(struct tls_session *session, void *data, size_t size);
/* Bytes, perhaps fewer than size; TLS_WANT_*: call again with the same bytes, or more of them; -EPROTO, -EPIPE. */
ssize_t tls_session_write(struct tls_session *session, const void *data, size_t size);
/* Bytes that a read would give although the fd is not readable. */
bool tls_session_pending(const struct tls_session *session);
/* Says that no more will be written. 0, or TLS_WANT_WRITE. */
int tls_session_close(struct tls_session *session);
