/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/policy_flags.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/policy.h"
#include "policy/preset.h"
#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/parse.h"
#include "vmm/sandboxctl/host_path.h"
#include "vmm/sandboxctl/policy_file.h"
#include "vmm/supervisor/json.h"

/* What is wrong with it is said now, by its own reader, and not when the sandbox starts. */
static int check(const char *text, size_t len, const char *name, struct err *err)
{
	struct policy_source source = {
		.layer = POLICY_LAYER_COMMAND, .name = name, .json = text, .len = len
	};
	struct policy *policy = NULL;
	int r = policy_create(&source, 1, POLICY_TIER_BUILDER, &policy, err);

	policy_destroy(policy);
	return r;
}

static int read_file(const char *path, json_t **ret, struct err *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = host_path_read(path, POLICY_DOCUMENT_MAX, &text, &len, err);

	if (r == 0) {
		r = check(text, len, path, err);
		return r < 0 ? r
			     : json_parse_object(text, len, POLICY_DOCUMENT_MAX, path, ret, err);
	}
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

/* A list of the document, made where it is missing. */
static json_t *member_list(json_t *document, const char *key)
{
	json_t *list = json_object_get(document, key);

	if (!list) {
		list = json_array();
		json_object_set_new(document, key, list);
	}
	return list;
}

static int add_hosts(const struct options *options, json_t *document, struct err *err)
{
	size_t count = options_count(options, "allow-host");
	json_t *rules;

	if (!count)
		return 0;
	if (count > POLICY_FLAG_HOSTS_MAX)
		return err_set(err, -E2BIG, "--allow-host: more than %u", POLICY_FLAG_HOSTS_MAX);
	rules = member_list(document, "rules");
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

/* Hosts of code take a token as a password; the rest as a bearer token. */
static bool is_code_host(const char *host)
{
	static const char *const hosts[] = { "github.com", "gitlab.com", "bitbucket.org",
		"codeberg.org" };

	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++)
		if (strcmp(hosts[i], host) == 0)
			return true;
	return false;
}

/* host: HOST[:PORT], cut at its port. */
static json_t *binding_of(const char *id, const char *secret, char *host)
{
	static const char *const methods[] = { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE",
		"OPTIONS" };
	char *colon = strrchr(host, ':');
	json_t *binding, *list = json_array();
	uint64_t port = 443;

	if (colon && !parse_u64(colon + 1, 1, 65535, &port))
		port = 0;
	else if (colon)
		*colon = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
		json_array_append_new(list, json_string(methods[i]));
	binding = json_pack("{s:s, s:s, s:s, s:I, s:o, s:s, s:s}", "id", id, "secret", secret,
		"host", host, "port", (json_int_t)port, "methods", list, "paths", "/**", "scheme",
		is_code_host(host) ? "basic" : "bearer");
	if (binding && is_code_host(host))
		json_object_set_new(binding, "username", json_string("x-access-token"));
	return binding;
}

/* `--secret NAME@HOST`: a rule that lets the host be reached, and a binding for it. */
static int add_secret(json_t *document, const char *word, size_t number, struct err *err)
{
	const char *at = strchr(word, '@');
	char id[32], name[POLICY_SECRET_NAME_MAX + 1] = "", host[512] = "";
	struct policy_words words = { .host = host };
	json_t *rule, *binding;

	if (!at || at == word || (size_t)(at - word) >= sizeof(name) ||
		strlen(at + 1) >= sizeof(host))
		return err_set(err, -EINVAL, "--secret %.200s: not NAME@HOST[:PORT]", word);
	memcpy(name, word, (size_t)(at - word));
	snprintf(host, sizeof(host), "%s", at + 1);
	snprintf(id, sizeof(id), "secret-%zu", number);
	rule = document_json(policy_rule(&words, id));
	if (!rule)
		return err_set(err, -EINVAL, "--secret %.200s: not NAME@HOST[:PORT]", word);
	binding = binding_of(id, name, host);
	json_array_append_new(member_list(document, "rules"), rule);
	json_array_append_new(member_list(document, "bindings"), binding);
	return 0;
}

static int add_secrets(const struct options *options, json_t *document, struct err *err)
{
	size_t count = options_count(options, "secret");
	int r = 0;

	if (count > POLICY_FLAG_HOSTS_MAX)
		return err_set(err, -E2BIG, "--secret: more than %u", POLICY_FLAG_HOSTS_MAX);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = add_secret(document, options_nth(options, "secret", i), i + 1, err);
	return r;
}

int policy_flags_document(const struct options *options, char **ret, struct err *err)
{
	const char *word = options_value(options, "policy");
	_cleanup_json_ json_t *document = NULL;
	_cleanup_free_ char *text = NULL;
	int r;

	*ret = NULL;
	if (!word && !options_count(options, "allow-host") && !options_count(options, "secret"))
		return 0;
	r = begin_document(word, &document, err);
	if (r == 0)
		r = add_hosts(options, document, err);
	if (r == 0)
		r = add_secrets(options, document, err);
	if (r < 0)
		return r;
	text = json_dumps(document, JSON_COMPACT);
	if (!text)
		return err_set(err, -ENOMEM, "--policy: no memory");
	r = check(text, strlen(text), "the command line", err);
	if (r == 0)
		*ret = TAKE_PTR(text);
	return r;
}
