/* SPDX-License-Identifier: Apache-2.0 */
/* What both sides of the control socket share: requests and errors as JSON. Pure. */
#include "vmm/supervisor/control.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/array.h"
#include "vmm/supervisor/spec.h"

#define USER_LEN_MAX	 32
#define REASON_LEN_MAX	 200
#define GRACE_MS_MAX	 (10 * 60 * 1000)
#define GRACE_MS_DEFAULT 10000

/* Which fields an op knows besides "op". */
enum request_field {
	FIELD_ARGV = 1 << 0, /* with env, cwd, tty */
	FIELD_SIZE = 1 << 1,
	FIELD_USER = 1 << 2,
	FIELD_PATH = 1 << 3,
	FIELD_FLAGS = 1 << 4,
	FIELD_PORT = 1 << 5,
	FIELD_GRACE = 1 << 6,
};

static const struct {
	const char *name;
	unsigned int fields;
} ops[] = {
	[CONTROL_STATUS] = { "status", 0 },
	[CONTROL_EXEC] = { "exec", FIELD_ARGV | FIELD_SIZE | FIELD_USER },
	[CONTROL_ATTACH] = { "attach", FIELD_SIZE },
	[CONTROL_COPY_OUT] = { "copy_out", FIELD_PATH | FIELD_USER | FIELD_FLAGS },
	[CONTROL_COPY_IN] = { "copy_in", FIELD_PATH | FIELD_USER | FIELD_FLAGS },
	[CONTROL_FORWARD] = { "forward", FIELD_PORT },
	[CONTROL_VSOCK] = { "vsock", FIELD_PORT },
	[CONTROL_STOP] = { "stop", FIELD_GRACE },
	[CONTROL_WAIT] = { "wait", 0 },
	[CONTROL_EVENTS] = { "events", 0 },
	[CONTROL_POLICY_RELOAD] = { "policy_reload", 0 },
	[CONTROL_SECRETS_RELOAD] = { "secrets_reload", 0 },
};
static_assert(ARRAY_SIZE(ops) == CONTROL_OPS, "an entry for each op");

const char *control_op_name(enum control_op op)
{
	return (size_t)op < ARRAY_SIZE(ops) ? ops[op].name : "unknown";
}

static void read_op(struct json_reader *r, struct control_request *request)
{
	const char *name = json_get_text(r, "op", 32);

	for (size_t i = 0; name && i < ARRAY_SIZE(ops); i++)
		if (strcmp(name, ops[i].name) == 0) {
			request->op = (enum control_op)i;
			return;
		}
	if (name)
		json_reader_fail(r, "op %s is not known", name);
}

static char *take_text(struct json_reader *r, const char *text)
{
	char *copy = text ? strdup(text) : NULL;

	if (text && !copy)
		json_reader_fail(r, "out of memory");
	return copy;
}

static bool is_printable(const char *text)
{
	for (const char *p = text; *p; p++)
		if (*p < 0x20 || *p > 0x7e)
			return false;
	return true;
}

static void read_stop(struct json_reader *r, struct control_request *request)
{
	const char *reason = json_get_text_or(r, "reason", REASON_LEN_MAX, "");

	request->grace_ms = json_get_u64_or(r, "grace_ms", 0, GRACE_MS_MAX, GRACE_MS_DEFAULT);
	if (reason && !is_printable(reason))
		json_reader_fail(r, "field reason is not printable");
	request->reason = take_text(r, reason);
}

static void read_exec(struct json_reader *r, struct control_request *request)
{
	request->argv = json_get_texts(r, "argv", SPEC_WORDS_MAX, SPEC_WORD_LEN_MAX);
	request->environment = json_get_texts(r, "env", SPEC_WORDS_MAX, SPEC_WORD_LEN_MAX);
	request->cwd = take_text(r, json_get_text_or(r, "cwd", SPEC_PATH_LEN_MAX, ""));
	request->tty = json_get_bool_or(r, "tty", false);
	request->shell = json_get_bool_or(r, "shell", false);
	request->login = json_get_bool_or(r, "login", false);
	request->clean_env = json_get_bool_or(r, "clean_env", false);
	if (!r->failed && !request->argv[0] != request->shell)
		json_reader_fail(r, "field argv is %s", request->shell ? "not empty" : "empty");
}

static void read_fields(struct json_reader *r, struct control_request *request)
{
	unsigned int fields = ops[request->op].fields;

	if (fields & FIELD_ARGV)
		read_exec(r, request);
	if (fields & FIELD_SIZE) {
		request->rows = (uint16_t)json_get_u64_or(r, "rows", 0, 65535, 0);
		request->cols = (uint16_t)json_get_u64_or(r, "cols", 0, 65535, 0);
	}
	if (fields & FIELD_USER)
		request->user = take_text(r, json_get_text_or(r, "user", USER_LEN_MAX, ""));
	if (fields & FIELD_PATH)
		request->path = take_text(r, json_get_text(r, "path", SPEC_PATH_LEN_MAX));
	if (fields & FIELD_FLAGS)
		request->flags = (uint32_t)json_get_u64_or(r, "flags", 0, UINT32_MAX, 0);
	if (fields & FIELD_PORT)
		request->port = (uint32_t)json_get_u64(r, "port", 1, UINT32_MAX - 1);
	if (fields & FIELD_GRACE)
		read_stop(r, request);
}

int control_request_parse(
	const char *text, size_t len, struct control_request *ret, struct err *err)
{
	_cleanup_json_ json_t *json = NULL;
	struct control_request request = {};
	struct json_reader r;
	int code = json_parse_object(text, len, CONTROL_MESSAGE_MAX, "request", &json, err);

	if (code < 0)
		return code;
	r = json_reader(json, "request", err);
	read_op(&r, &request);
	if (!r.failed)
		read_fields(&r, &request);
	if (json_reader_done(&r) < 0) {
		control_request_finish(&request);
		return -EINVAL;
	}
	*ret = request;
	return 0;
}

void control_request_finish(struct control_request *request)
{
	json_free_texts(request->argv);
	json_free_texts(request->environment);
	free(request->cwd);
	free(request->user);
	free(request->path);
	free(request->reason);
	*request = (struct control_request){};
}

static const struct {
	int code;
	const char *word;
} words[] = {
	{ EINVAL, "invalid" },
	{ ENOENT, "not-found" },
	{ EEXIST, "name-taken" },
	{ EBUSY, "busy" },
	{ EAGAIN, "not-ready" },
	{ EADDRINUSE, "in-use" },
	{ EACCES, "denied" },
	{ ENOKEY, "secret-missing" },
	{ EPERM, "denied" },
	{ ENODEV, "no-hypervisor" },
	{ ETIME, "timeout" },
	{ EDEADLK, "survivor" },
	{ ENOSPC, "no-space" },
	{ EMSGSIZE, "too-long" },
	{ E2BIG, "too-long" },
	{ ESHUTDOWN, "ending" },
	{ EOPNOTSUPP, "not-supported" },
};

const char *control_error_word(int code)
{
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (words[i].code == (code < 0 ? -code : code))
			return words[i].word;
	return "failed";
}

/* err's text may hold bytes of a path that are not UTF-8. */
static json_t *text_or_escaped(const char *text)
{
	json_t *json = json_string(text);
	char ascii[ERR_TEXT_MAX];
	size_t i;

	if (json)
		return json;
	for (i = 0; i < sizeof(ascii) - 1 && text[i]; i++)
		ascii[i] = (unsigned char)text[i] < 0x80 ? text[i] : '?';
	ascii[i] = '\0';
	return json_string(ascii);
}

json_t *control_error_json(const struct err *err, const char *stage)
{
	json_t *steps = json_array();

	if (err->next_step[0])
		json_array_append_new(steps, text_or_escaped(err->next_step));
	return json_pack("{s:b, s:s, s:i, s:o, s:o, s:s}", "ok", 0, "error",
		control_error_word(err->code), "errno", err->code < 0 ? -err->code : err->code,
		"detail", text_or_escaped(err->text), "next_steps", steps, "stage", stage);
}
