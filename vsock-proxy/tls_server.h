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
 * Nothing of a session's secrets outlives it but session tickets, whose key is this server's and this process's.
 */
#include <time.h>

#include "vsock-proxy/tls_session.h"

struct ca;
struct tls_server;

/* ca is borrowed. */
int tls_server_create(struct ca *ca, struct tls_server **ret, struct err *err);
void tls_server_destroy(struct tls_server *server);
/* What the first connection would wait for otherwise: it takes longer than a process takes to start. */
int tls_server_warm_up(struct tls_server *server, time_t now, struct err *err);

/* host: as the agent stated it. offers_h2: whether h2 may be agreed on. */
int tls_server_accept(struct tls_server *server, int fd, const struct policy_host *host,
	bool offers_h2, time_t now, struct tls_session **ret, struct err *err);
