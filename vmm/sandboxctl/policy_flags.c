/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/policy_flags.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/policy.h"
#include "policy/preset.h"
#include "vmm/base/cleanup.h"
#include "vmm/sandboxctl/host_path.h"
#include "vmm/sandboxctl/policy_file.h"
#include "vmm/supervisor/json.h"

static int read_file(const char *path, json_t **ret, struct err *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = host_path_read(path, POLICY_DOCUMENT_MAX, &text, &len, err);

	if (r == 0)
		return json_parse_object(text, len, POLICY_DOCUMENT_MAX, path, ret, err);
	err_prefix(err, r, "--policy");
	if (r == -ENOENT)
		err_next_step(err, "--policy builder, offline or audit-all, or a file's path");
	return r;
}

static int begin_document(const char *word, json_t **ret, struct err *err)
{
	if (!word)
		*ret = json_pack("{s:i}", "version", POLICY_VERSION);
	else if (policy_preset_find(word))
		*ret = json_pack("{s:i, s:[s]}", "version", POLICY_VERSION, "presets", word);
	else
		return read_file(word, ret, err);
	return *ret ? 0 : err_set(err, -ENOMEM, "--policy: no memory");
}

static int add_hosts(const struct options *options, json_t *document, struct err *err)
{
	size_t count = options_count(options, "allow-host");
	json_t *rules = json_object_get(document, "rules");

	if (!count)
		return 0;
	if (count > POLICY_FLAG_HOSTS_MAX)
		return err_set(err, -E2BIG, "--allow-host: more than %u", POLICY_FLAG_HOSTS_MAX);
	if (!rules) {
		rules = json_array();
		json_object_set_new(document, "rules", rules);
	}
	for (size_t i = 0; i < count; i++) {
		const char *word = options_nth(options, "allow-host", i);
		struct policy_words words = { .host = word };
		char id[32];
		json_t *rule;

		snprintf(id, sizeof(id), "allow-host-%zu", i + 1);
		rule = document_json(policy_rule(&words, id));
		if (!rule || json_array_append_new(rules, rule) < 0)
			return err_set(err, -EINVAL, "--allow-host %.200s: not HOST[:PORT]", word);
	}
	return 0;
}

/* What is wrong with it is said now, by its own reader, and not when the sandbox starts. */
static int check(const char *text, struct err *err)
{
	struct policy_source source = { .layer = POLICY_LAYER_COMMAND,
		.name = "the command line",
		.json = text,
		.len = strlen(text) };
	struct policy *policy = NULL;
	int r = policy_create(&source, 1, POLICY_TIER_BUILDER, &policy, err);

	policy_destroy(policy);
	return r;
}

int policy_flags_document(const struct options *options, char **ret, struct err *err)
{
	const char *word = options_value(options, "policy");
	_cleanup_json_ json_t *document = NULL;
	_cleanup_free_ char *text = NULL;
	int r;

	*ret = NULL;
	if (!word && !options_count(options, "allow-host"))
		return 0;
	r = begin_document(word, &document, err);
	if (r == 0)
		r = add_hosts(options, document, err);
	if (r < 0)
		return r;
	text = json_dumps(document, JSON_COMPACT);
	if (!text)
		return err_set(err, -ENOMEM, "--policy: no memory");
	r = check(text, err);
	if (r == 0)
		*ret = TAKE_PTR(text);
	return r;
}
