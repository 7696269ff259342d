/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The supervisor's side of control.h: accepts, checks who is there, reads one request at a time from each client, and
 * writes answers without ever waiting for anybody.
 *
 * Threads: the loop's. A client is valid until its request was answered or failed; one that waits for something later
 * (stop, wait, events) is answered by control_server_answer_all() or pushed to. A client that takes nothing loses its
 * connection once CONTROL_OUT_MAX bytes wait for it.
 */
#include "vmm/base/loop.h"
#include "vmm/supervisor/control.h"

#define CONTROL_OUT_MAX (4u << 20)

struct control_server;
struct control_client;

/* The request is the callee's until it returns. It must answer, fail or park the client before. */
typedef void control_request_fn(
	void *data, struct control_client *client, const struct control_request *request);

int control_server_create(struct loop *loop, const char *socket_path, control_request_fn *fn,
	void *data, struct control_server **ret, struct err *err);
/* Writes what can still be written at once, then closes all. */
void control_server_destroy(struct control_server *server);

/* data's reference is taken over (NULL: none); fd (-1: none) is borrowed. */
void control_client_answer(struct control_client *client, json_t *data, int fd);
void control_client_fail(struct control_client *client, const struct err *err, const char *stage);
/* Answered later, by its op; until then nothing more is read from it. */
void control_client_park(struct control_client *client, enum control_op op);

/* Answers every client parked for op; data is borrowed. */
void control_server_answer_all(
	struct control_server *server, enum control_op op, const json_t *data);
void control_server_fail_all(
	struct control_server *server, enum control_op op, const struct err *err);
/* One message to every client parked for events; message's reference is taken over. */
void control_server_push(struct control_server *server, json_t *message);
