/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One egress stream of the guest's, from its head (guest-agent/protocol/egress.h) to its end. Theory of operation, by stage:
 *
 *   HEAD       where to, as the agent states it. What can only be opaque, or can only be denied on a port that no HTTP is spoken on,
 *              is answered here; the rest is accepted, for HTTP has a denial form of its own
 *   PEEK       the first bytes, only looked at: a ClientHello, whose name must be the stated one (E4), a request line, or CONNECT
 *   HANDSHAKE  TLS with a leaf of the sandbox's CA
 *   HTTP       guest_http.h, over TLS or plain
 *   TUNNEL     tunnel.h: bytes that nobody reads (E25)
 *   REPORTS    nothing comes; denials go
 *
 * Whoever says nothing in a stage is cut off in time (proxy.h).
 */
#include "vsock-proxy/exchange.h"
#include "vsock-proxy/proxy_state.h"
#include "vsock-proxy/tls_session.h"

#define SESSION_BUFFER (32u << 10)

struct guest_http;
struct tunnel;

/* Called by what stands on it. */
/* Something is to be written, or wanted again. Safe from anywhere; the session may be gone when it returns. */
void session_flush(struct session *session);
/* It ends here, whatever is under way. The session is gone when the loop comes round. */
void session_abort(struct session *session);
