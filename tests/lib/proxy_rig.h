/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * sandbox-proxy as a library between a guest, which is the test, and injectors that are not: they answer by the path they are
 * asked for, over real channels. Everything lives in one loop, so that a loop without events is a proxy at rest.
 * What cannot be set up aborts: tests and fuzz targets only.
 *
 *   /v1/echo   200, the request's body as it comes      /v1/hang   nothing, ever
 *   /v1/large  200, RIG_LARGE bytes as they are taken   /v1/slow   takes what credit allows, gives nothing back
 *   /v1/none   204                                      /v1/rogue  OPENED, which no HTTP request is answered with
 *   else       200 "ok"                                 a tunnel   opened, echoes
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vsock-proxy/flow.h"
#include "vsock-proxy/proxy_state.h"

#define RIG_LARGE   (8u << 20)
#define RIG_STREAMS 1024

struct rig;

struct rig_stream {
	struct rig *rig;
	struct channel_stream *stream; /* NULL: free */
	enum { RIG_OK, RIG_ECHO, RIG_HANG, RIG_PUSH, RIG_SLOW } kind;
	struct flow *echo;
	size_t left; /* of RIG_PUSH */
	bool ended, said; /* the proxy; we */
};

struct rig {
	struct loop *loop;
	struct ca *ca;
	struct proxy *proxy;
	struct channel *injectors[2]; /* `open`, and the one of binding "token" */
	int streams, audit;
	struct rig_stream served[RIG_STREAMS];
	/* What the injectors saw. */
	unsigned int asked, resets, with_token;
	char host[256], method[40], path[512];
	uint16_t port;
	bool websocket;
	uint64_t taken, pushed;
};

void rig_init(struct rig *rig, const char *document, uint32_t head_ms, uint32_t idle_ms);
void rig_finish(struct rig *rig);
void rig_add_injector(struct rig *rig, const char *binding);
void rig_kill_injector(struct rig *rig, unsigned int which);

/* Runs until nothing happens any more. */
void rig_settle(struct rig *rig);
/* And at least for so long. */
void rig_run(struct rig *rig, uint64_t ms);
/* The guest's end of a new stream, non-blocking, nothing said on it. */
int rig_stream(struct rig *rig);
/* And its head said; the answer's verdict in *ret_verdict. */
int rig_open(struct rig *rig, uint8_t kind, const char *host, uint16_t port, uint8_t *ret_verdict);
/* How many bytes the proxy took. */
size_t rig_write(struct rig *rig, int fd, const void *data, size_t len);
/* What has come, ended by NUL; *ret_end (may be NULL): nothing more will. */
size_t rig_read(struct rig *rig, int fd, char *out, size_t size, bool *ret_end);
/* Events of the audit log so far: how many are of that decision, their counts added up; the last one's status. */
unsigned int rig_events(struct rig *rig, uint8_t decision, unsigned int *ret_count);
