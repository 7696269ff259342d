/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * TLS towards the guest: we are the server of whatever host it wanted, with a leaf of the sandbox's own CA (ca.h).
 * TLS 1.2 and 1.3, ALPN h2 and http/1.1 (RFC 7301), no client certificates, no renegotiation, no early data: a replayed
 * request would be decided twice. ECH extensions are ignored (E4): the outer name decides.
 *
 * Theory of operation. The name was stated by the agent and compared with the ClientHello that was peeked (client_hello.h);
 * the handshake compares again, with the name as OpenSSL reads it, so that both readers agree or nothing is served.
 *
 * Ownership: fds are borrowed, non-blocking. Threads: one. Nothing of a session's secrets outlives it but session
 * tickets, whose key is this server's and this process's.
 */
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <time.h>

#include "policy/name.h"
#include "vmm/base/err.h"

struct ca;
struct tls_server;
struct tls_session;

enum tls_protocol { TLS_PROTOCOL_HTTP1 = 1, TLS_PROTOCOL_HTTP2 = 2 };

/* What a call that cannot go on waits for. */
#define TLS_WANT_READ  (-0x10001)
#define TLS_WANT_WRITE (-0x10002)

/* ca is borrowed. */
int tls_server_create(struct ca *ca, struct tls_server **ret, struct err *err);
void tls_server_destroy(struct tls_server *server);

/* host: as the agent stated it. offers_h2: whether h2 may be agreed on. */
int tls_session_create(struct tls_server *server, int fd, const struct policy_host *host,
	bool offers_h2, time_t now, struct tls_session **ret, struct err *err);
void tls_session_destroy(struct tls_session *session);

/* 0: done; TLS_WANT_*; -EPROTO: it failed, and an alert is on its way; -EPIPE: the guest left. */
int tls_session_handshake(struct tls_session *session, struct err *err);
enum tls_protocol tls_session_protocol(const struct tls_session *session);
/* Bytes; 0: the guest has said that no more come; TLS_WANT_*; -EPROTO; -EPIPE: it ended without saying so. */
ssize_t tls_session_read(struct tls_session *session, void *data, size_t size);
/* Bytes, perhaps fewer than size; TLS_WANT_*: call again with the same bytes, or more of them; -EPROTO, -EPIPE. */
ssize_t tls_session_write(struct tls_session *session, const void *data, size_t size);
/* Bytes that a read would give although the fd is not readable. */
bool tls_session_pending(const struct tls_session *session);
/* Says that no more will be written. 0, or TLS_WANT_WRITE. */
int tls_session_close(struct tls_session *session);
