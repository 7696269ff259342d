/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A WebSocket's messages (RFC 6455) on their way to the guest past the mask (E14). A secret is looked for in each message as a whole,
 * whatever frames it is cut into; and a message that is whole is passed on whole, for nobody says when the next one comes.
 * What a server's frames may not be (masked, of an extension that nobody asked for) ends the connection.
 */
#include "vsock-proxy/unmask.h"

struct unmask_frames;

int unmask_frames_create(
	const struct redact *redact, unmask_sink_fn *sink, void *data, struct unmask_frames **ret);
void unmask_frames_destroy(struct unmask_frames *frames); /* NULL is allowed */
/* -EPROTO: no frames; -EOPNOTSUPP: of an extension; or the sink's. */
int unmask_frames_take(struct unmask_frames *frames, const uint8_t *bytes, size_t len);
int unmask_frames_end(struct unmask_frames *frames);
