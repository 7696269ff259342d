/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The control socket of one sandbox: sandboxctl asks, the supervisor answers.
 *
 * Unix stream socket <runtime>/NAME/control.sock in a folder of mode 0700; the peer must be the same user or root, on both
 * sides (E17). A message is a u32 length, little endian, then that much JSON, at most CONTROL_MESSAGE_MAX. One request at a
 * time on a connection; any number of connections up to CONTROL_CLIENTS_MAX. Unknown ops and unknown keys are errors.
 *
 * Requests: {"op": OP, ...}
 *   status                                      data: status.h
 *   exec    argv[] env[]? cwd? user? tty? rows? cols? shell? login? clean_env?   answers with a stream fd
 *           (shell: argv is empty, the user's login shell)
 *   attach  rows? cols?                         stream fd of the main command; error "not-found" where there is none
 *   copy_out path user? flags?                  stream fd; flags: enum protocol_copy_flag
 *   copy_in  path user? flags?                  stream fd
 *   forward port                                fd: raw bytes to the guest's 127.0.0.1:port
 *   vsock   port                                fd: raw bytes to a vsock port of the guest
 *   stop    grace_ms? reason?                   answered when all processes but the supervisor are gone
 *   wait                                        answered when the sandbox has ended: data {state, reason, exit_code}
 *   policy_reload                               data: {policy: its digest}; the documents are read anew, running streams keep theirs
 *   secrets_reload                              answered at once; the secrets that bindings use are fetched anew
 *   events                                      answered at once; then one message {"event": NAME, "time_ns", ...} for each
 * Answers: {"ok": true, "data": {...}} or {"ok": false, "error": WORD, "errno": N, "detail": TEXT, "next_steps": [TEXT...],
 * "stage": WORD}. An fd travels with the first byte of the answer's length. Streams carry guest-agent/protocol/stream.h
 * frames but for forward and vsock.
 */
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/err.h"
#include "vmm/supervisor/json.h"
#include "vmm/supervisor/paths.h"

#define CONTROL_MESSAGE_MAX   (1024 * 1024)
#define CONTROL_CLIENTS_MAX   128
#define CONTROL_EXEC_BODY_MAX (192 * 1024) /* a request for the link, encoded */

enum control_op {
	CONTROL_STATUS,
	CONTROL_EXEC,
	CONTROL_ATTACH,
	CONTROL_COPY_OUT,
	CONTROL_COPY_IN,
	CONTROL_FORWARD,
	CONTROL_VSOCK,
	CONTROL_STOP,
	CONTROL_WAIT,
	CONTROL_EVENTS,
	CONTROL_POLICY_RELOAD,
	CONTROL_SECRETS_RELOAD,
};

#define CONTROL_OPS 12

/* A request, decoded. Vectors are its own. */
struct control_request {
	enum control_op op;
	char **argv; /* exec */
	char **environment; /* exec */
	char *cwd, *user; /* exec, copies: "" for the default */
	char *path; /* copies */
	char *reason; /* stop: one line, printable; "" */
	bool tty, shell, login, clean_env;
	uint16_t rows, cols;
	uint32_t port;
	uint32_t flags;
	uint64_t grace_ms; /* stop */
};

/* Pure. *ret untouched on failure. */
int control_request_parse(
	const char *text, size_t len, struct control_request *ret, struct err *err);
void control_request_finish(struct control_request *request);
const char *control_op_name(enum control_op op);

/* The client. Blocking; every call has a time limit of its own where timeout_ms is not 0. */

/* -ENOENT or -ECONNREFUSED: no supervisor listens. -EACCES: it is somebody else's. */
int control_connect(const struct paths *paths, const char *name, int *ret_fd, struct err *err);
int control_send(int fd, const json_t *message, struct err *err);
/* *ret_passed_fd: -1 where none came; may be NULL where none is expected. -EPIPE: the supervisor has ended. -ETIME. */
int control_receive(int fd, uint64_t timeout_ms, json_t **ret, int *ret_passed_fd, struct err *err);
/*
 * One request and its answer: *ret_data (may be NULL; never for a failed call) is the answer's data, the caller's. An
 * answer that is an error becomes err (text = detail, next_step) and its -errno. With ret_passed_fd, an answer without an fd
 * is -EPROTO.
 */
int control_call(int fd, const json_t *request, uint64_t timeout_ms, json_t **ret_data,
	int *ret_passed_fd, struct err *err);

/* For both sides of an error as JSON. */
json_t *control_error_json(const struct err *err, const char *stage);
/* What control_error_json() made, back in err; gives its -errno (-EINVAL where it is not one). */
int control_error_from_json(json_t *json, struct err *err);
/* The word for an errno that scripts may match: "in-use", "not-found", ... "failed" for all others. */
const char *control_error_word(int code);
