/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/target.h"

#include <errno.h>
#include <string.h>

#include "vmm/sandboxctl/project.h"
#include "vmm/supervisor/control.h"
#include "vmm/supervisor/registry.h"
#include "vmm/supervisor/status.h"

#define SHORT_CALL_MS 30000

int target_paths(const struct invocation *in, struct paths *ret)
{
	struct err err = {};
	int r = paths_load(ret, &err);

	if (r == 0)
		r = paths_prepare(ret, &err);
	return r < 0 ? report_general(in, "folders", &err) : 0;
}

int target_bad_name(const struct invocation *in, const char *word)
{
	struct err err = {};

	err_set(&err, -EINVAL,
		"'%.100s' is no name of a sandbox: small letters, digits and '-', at most %d, not '-' first",
		word, SANDBOX_NAME_MAX);
	return report_usage(in, &err);
}

int target_missing(const struct invocation *in, const struct err *err)
{
	struct err copy = *err;

	if (!copy.next_step[0])
		err_next_step(&copy, "see: sandboxctl ls");
	return report_failure(
		in, (struct failure){ EXIT_NO_SANDBOX, "no-such-sandbox", "lookup" }, &copy);
}

/* The folder's own sandbox. */
static int find_here(const struct invocation *in, struct target *t)
{
	struct project project;
	struct err err = {};

	if (project_find(&t->paths, ".", &project, &err) < 0)
		return report_general(in, "lookup", &err);
	if (!project.has_sandbox) {
		err_set(&err, -ENOENT, "there is no sandbox of this folder, %.300s",
			project.folder);
		err_next_step(&err, "make one: sandboxctl start; or name one: sandboxctl ls");
		return target_missing(in, &err);
	}
	snprintf(t->name, sizeof(t->name), "%s", project.name);
	return 0;
}

int target_find(const struct invocation *in, const char *word, struct target *ret)
{
	struct target t = {};
	struct err err = {};
	int code = target_paths(in, &t.paths);

	if (code)
		return code;
	if (word && !sandbox_name_valid(word))
		return target_bad_name(in, word);
	if (word) {
		snprintf(t.name, sizeof(t.name), "%s", word);
		if (registry_is_locked(&t.paths, word) == -ENOENT) {
			err_set(&err, -ENOENT, "there is no sandbox %s", word);
			return target_missing(in, &err);
		}
	} else {
		code = find_here(in, &t);
		if (code)
			return code;
	}
	*ret = t;
	return 0;
}

int target_find_word(const struct invocation *in, size_t index, struct target *ret)
{
	return target_find(
		in, index < in->options.word_count ? in->options.words[index] : NULL, ret);
}

static int report_not_running(const struct invocation *in, const struct target *t)
{
	struct err err = {};

	err_set(&err, -ENOTCONN, "sandbox %s is not running", t->name);
	err_next_step(&err, "sandboxctl start %s", t->name);
	return report_failure(in, (struct failure){ EXIT_GENERAL, "not-running", "lookup" }, &err);
}

int target_find_status(
	const struct invocation *in, size_t index, struct target *ret, struct document **ret_status)
{
	struct err err = {};
	json_t *json = NULL;
	int code = target_find_word(in, index, ret);

	if (code)
		return code;
	if (status_of(&ret->paths, ret->name, &json, &err) < 0)
		return report_general(in, "lookup", &err);
	*ret_status = document_of_json(json);
	return 0;
}

int target_call(const struct invocation *in, const struct target *target, struct document *request,
	struct document **ret_data, int *ret_fd)
{
	_cleanup_document_ struct document *owned = request;
	_cleanup_close_ int fd = -1;
	struct err err = {};
	json_t *data = NULL;
	int r = control_connect(&target->paths, target->name, &fd, &err);

	if (r == -ENOENT || r == -ECONNREFUSED)
		return report_not_running(in, target);
	if (r == 0)
		r = control_call(fd, document_json(owned), SHORT_CALL_MS, ret_data ? &data : NULL,
			ret_fd, &err);
	if (r < 0)
		return report_failure(in,
			(struct failure){ EXIT_GENERAL, control_error_word(r),
				document_text(owned, "op", "control") },
			&err);
	if (ret_data)
		*ret_data = document_of_json(data);
	return 0;
}
