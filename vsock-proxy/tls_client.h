/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * TLS towards an upstream: certificate and name are verified, always, against the system's store or the one a setting names
 * (RFC 5280, 9525): no policy and no build option lifts that. TLS 1.2 and 1.3, ALPN h2 and http/1.1, SNI for names.
 *
 * Sessions are resumed (RFC 8446, section 2.2) for the same host and port of this process only: one sandbox, one binding.
 */
#include "vsock-proxy/tls_session.h"

#define TLS_CLIENT_TICKETS_MAX 64 /* of hosts and ports; the oldest goes first */

struct tls_client;

/*
 * trust_file: PEM certificates; NULL: what the system trusts. Read now: a jailed process has neither later. -ENOENT, -EINVAL. The system's
 * are parsed when they are needed, or by tls_client_warm_up(): that takes longer than a process takes to start.
 */
int tls_client_create(const char *trust_file, struct tls_client **ret, struct err *err);
void tls_client_destroy(struct tls_client *client);
/* What the first connection would wait for otherwise. -EINVAL: the system's certificates are none; -ENOENT: it has none. */
int tls_client_warm_up(struct tls_client *client, struct err *err);

/* fd is connected to what was checked. */
int tls_client_connect(struct tls_client *client, int fd, const struct policy_host *host,
	uint16_t port, bool offers_h2, struct tls_session **ret, struct err *err);
