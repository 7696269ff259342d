/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/policy_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "vmm/base/fdio.h"
#include "vmm/base/parse.h"
#include "vmm/supervisor/json.h"
#include "vmm/supervisor/policy_sources.h"

#define SSH_PORT  22
#define RULES_MAX 100000 /* of names for a new one */

struct document *policy_rule(const struct policy_words *words, const char *id)
{
	const char *word = words->host, *colon = strrchr(word, ':'), *bracket = strchr(word, ']');
	bool has_port = colon && colon > bracket && (bracket || strchr(word, ':') == colon);
	size_t len = has_port ? (size_t)(colon - word) : strlen(word);
	const char *protocol = words->protocol;
	uint64_t port = 0;
	json_t *rule;

	if (has_port && !parse_u64(colon + 1, 1, UINT16_MAX, &port))
		return NULL;
	if (bracket && *word == '[' && len >= 2) {
		word++;
		len -= 2;
	}
	if (!protocol && port == SSH_PORT)
		protocol = "ssh";
	rule = json_pack("{s:s, s:s, s:s%}", "id", id, "action", "allow", "host", word, len);
	if (rule && has_port)
		json_object_set_new(rule, "port", json_integer((json_int_t)port));
	if (rule && protocol && strcmp(protocol, "http") != 0)
		json_object_set_new(rule, "protocol", json_string(protocol));
	if (rule && words->method)
		json_object_set_new(rule, "methods", json_string(words->method));
	if (rule && words->path)
		json_object_set_new(rule, "paths", json_string(words->path));
	if (rule && words->websocket)
		json_object_set_new(rule, "websocket", json_true());
	if (rule && words->encoded_slash)
		json_object_set_new(rule, "encoded_slash", json_true());
	if (rule && words->private_addresses)
		json_object_set_new(rule, "private_addresses", json_true());
	return document_of_json(rule);
}

static int load(const char *path, json_t **ret, struct err *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = fdio_read_file(AT_FDCWD, path, POLICY_DOCUMENT_MAX, &text, &len);

	if (r == -ENOENT) {
		*ret = json_pack("{s:i}", "version", POLICY_VERSION);
		return *ret ? 0 : err_set(err, -ENOMEM, "%s: no memory", path);
	}
	if (r < 0)
		return err_set(err, r, "%s: %s", path, strerror(-r));
	return json_parse_object(text, len, POLICY_DOCUMENT_MAX, path, ret, err);
}

/* What the data path's reader would refuse is never written. */
static int judge(const char *path, enum policy_layer layer, const char *text, struct err *err)
{
	struct policy_source source = {
		.layer = layer, .name = path, .json = text, .len = strlen(text)
	};
	struct policy *policy = NULL;
	int r = policy_create(&source, 1, POLICY_TIER_BUILDER, &policy, err);

	policy_destroy(policy);
	return r;
}

static int store(const char *path, enum policy_layer layer, const json_t *document, struct err *err)
{
	_cleanup_free_ char *text = json_dumps(document, JSON_INDENT(2)), *lines = NULL;
	char folder[PATH_MAX];
	int r;

	if (!text || asprintf(&lines, "%s\n", text) < 0)
		return err_set(err, -ENOMEM, "%s: no memory", path);
	r = judge(path, layer, text, err);
	if (r < 0)
		return r;
	snprintf(folder, sizeof(folder), "%s", path);
	*strrchr(folder, '/') = '\0';
	r = fdio_mkdir_parents(folder, 0700);
	if (r == 0)
		r = fdio_write_file_atomic(AT_FDCWD, path, lines, strlen(lines), 0600);
	return r < 0 ? err_set(err, r, "%s: %s", path, strerror(-r)) : 0;
}

/* The member, made where it is missing; an array is what is wanted, and one value is one of one. */
static json_t *list_in(json_t *document, const char *key)
{
	json_t *member = json_object_get(document, key), *list;

	if (json_is_array(member))
		return member;
	list = json_array();
	if (member)
		json_array_append(list, member);
	return json_object_set_new(document, key, list) == 0 ? list : NULL;
}

static bool same_but_id(const json_t *a, const json_t *b)
{
	_cleanup_json_ json_t *x = json_copy((json_t *)(size_t)a),
			      *y = json_copy((json_t *)(size_t)b);

	json_object_del(x, "id");
	json_object_del(y, "id");
	return json_equal(x, y);
}

static bool id_is_taken(const json_t *rules, const char *id)
{
	for (size_t i = 0; i < json_array_size(rules); i++) {
		const char *other =
			json_string_value(json_object_get(json_array_get(rules, i), "id"));

		if (other && !strcmp(other, id))
			return true;
	}
	return false;
}

static void choose_id(const json_t *rules, const char *prefix, char out[static POLICY_ID_MAX + 1])
{
	for (unsigned int n = 1; n < RULES_MAX; n++) {
		snprintf(out, POLICY_ID_MAX + 1, "%s-%u", prefix, n);
		if (!id_is_taken(rules, out))
			return;
	}
}

int policy_file_allow(const char *path, enum policy_layer layer, const struct policy_words *words,
	char ret_id[static POLICY_ID_MAX + 1], struct err *err)
{
	_cleanup_json_ json_t *document = NULL;
	json_t *rules, *rule;
	int r = load(path, &document, err);

	if (r < 0)
		return r;
	/* The default that holds where nobody has said anything goes on holding: to allow more takes nothing away. */
	if (layer == POLICY_LAYER_USER && !json_object_get(document, "rules") &&
		!json_object_get(document, "presets"))
		json_object_set_new(document, "presets", json_pack("[s]", POLICY_DEFAULT_PRESET));
	rules = list_in(document, "rules");
	choose_id(rules, "allow", ret_id);
	rule = document_json(policy_rule(words, ret_id));
	if (!rule)
		return err_set(err, -EINVAL,
			"%.200s: not HOST[:PORT]: a name or an address alone; --path and --protocol say the rest",
			words->host);
	for (size_t i = 0; i < json_array_size(rules); i++)
		if (same_but_id(json_array_get(rules, i), rule)) {
			json_decref(rule);
			return err_set(err, -EEXIST, "%s: it has this rule already", path);
		}
	json_array_append_new(rules, rule);
	return store(path, layer, document, err);
}

int policy_file_deny(const char *path, enum policy_layer layer, const char *host, struct err *err)
{
	_cleanup_json_ json_t *document = NULL;
	json_t *hosts;
	int r = load(path, &document, err);

	if (r < 0)
		return r;
	hosts = list_in(document, "blocked_hosts");
	for (size_t i = 0; i < json_array_size(hosts); i++)
		if (!strcmp(json_string_value(json_array_get(hosts, i)) ?: "", host))
			return err_set(err, -EEXIST, "%s: %.200s is blocked already", path, host);
	json_array_append_new(hosts, json_string(host));
	return store(path, layer, document, err);
}

/* A registry is read; npm names a scope's packages as @scope%2Fname. */
static json_t *registry_rule(const struct client_registry *registry, const char *id)
{
	json_t *rule = json_pack("{s:s, s:s, s:s, s:i, s:[s,s]}", "id", id, "action", "allow",
		"host", registry->host.text, "port", (int)registry->port, "methods", "GET", "HEAD");

	if (rule && registry->client == CLIENT_NPM)
		json_object_set_new(rule, "encoded_slash", json_true());
	if (rule && registry->leads == CLIENT_LEADS_PRIVATE)
		json_object_set_new(rule, "private_addresses", json_true());
	return rule;
}

/* Adds it, unless there is one like it but for its id. */
static int add_once(json_t *rules, json_t *rule, size_t *added)
{
	if (!rule)
		return -ENOMEM;
	for (size_t i = 0; i < json_array_size(rules); i++)
		if (same_but_id(json_array_get(rules, i), rule))
			return 0;
	++*added;
	return json_array_append(rules, rule) < 0 ? -ENOMEM : 0;
}

/* The rule that an earlier init wrote for it, wherever the registry's name led then; NULL: there is none. */
static json_t *find_registry_rule(const json_t *rules, const json_t *rule)
{
	_cleanup_json_ json_t *wanted = json_copy((json_t *)(size_t)rule);

	json_object_del(wanted, "private_addresses");
	for (size_t i = 0; i < json_array_size(rules); i++) {
		json_t *one = json_array_get(rules, i);
		_cleanup_json_ json_t *bare = json_copy(one);

		json_object_del(bare, "private_addresses");
		if (same_but_id(bare, wanted))
			return one;
	}
	return NULL;
}

/* An earlier rule is widened in its place: of two that allow, the first would speak. */
static int add_registry(json_t *rules, const struct client_registry *registry, size_t *added)
{
	bool private = registry->leads == CLIENT_LEADS_PRIVATE;
	char id[POLICY_ID_MAX + 1] = "";
	_cleanup_json_ json_t *rule = NULL;
	json_t *before;

	choose_id(rules, client_name(registry->client), id);
	rule = registry_rule(registry, id);
	before = rule ? find_registry_rule(rules, rule) : NULL;
	if (!before)
		return add_once(rules, rule, added);
	if (!private || json_is_true(json_object_get(before, "private_addresses")))
		return 0;
	++*added;
	return json_object_set_new(before, "private_addresses", json_true()) < 0 ? -ENOMEM : 0;
}

int policy_file_init(const char *path, const char *preset,
	const struct client_registries *registries, size_t *ret_added, struct err *err)
{
	_cleanup_json_ json_t *document = NULL;
	size_t added = 0;
	json_t *rules;
	int r = load(path, &document, err);

	if (r < 0)
		return r;
	if (preset || !json_object_get(document, "presets"))
		json_object_set_new(document, "presets",
			json_pack("[s]", preset ? preset : POLICY_DEFAULT_PRESET));
	rules = list_in(document, "rules");
	for (size_t i = 0; i < registries->count && r == 0; i++)
		r = add_registry(rules, &registries->items[i], &added);
	if (r < 0)
		return err_set(err, r, "%s: no memory", path);
	r = store(path, POLICY_LAYER_USER, document, err);
	if (r == 0)
		*ret_added = added;
	return r;
}

/* No method was seen: no HTTP was. A method of a name of its own: every one. */
static json_t *learnt_rule(const struct learnt *l, const char *id)
{
	const char *protocol = l->method_count || l->other_methods ? "http"
			       : l->port == SSH_PORT		   ? "ssh"
								   : "tcp";
	json_t *rule = json_pack("{s:s, s:s, s:s, s:i}", "id", id, "action", "allow", "host",
		l->host, "port", (int)l->port);
	json_t *methods;

	if (rule && strcmp(protocol, "http") != 0)
		json_object_set_new(rule, "protocol", json_string(protocol));
	if (!rule || !l->method_count || l->other_methods)
		return rule;
	methods = json_array();
	for (size_t i = 0; i < l->method_count; i++)
		json_array_append_new(methods, json_string(l->methods[i]));
	json_object_set_new(rule, "methods", methods);
	return rule;
}

static bool has_preset(const json_t *document, const char *name)
{
	const json_t *presets = json_object_get(document, "presets");

	for (size_t i = 0; i < json_array_size(presets); i++)
		if (!strcmp(json_string_value(json_array_get(presets, i)) ?: "", name))
			return true;
	return !strcmp(json_string_value(presets) ?: "", name);
}

int policy_file_learn(const char *path, const char *preset, const struct learnt *learnt,
	size_t count, size_t *ret_added, struct err *err)
{
	_cleanup_json_ json_t *document = NULL;
	size_t added = 0;
	json_t *rules;
	int r = load(path, &document, err);

	if (r < 0)
		return r;
	if (preset || !json_object_get(document, "presets") || has_preset(document, "audit-all"))
		json_object_set_new(document, "presets",
			json_pack("[s]", preset ? preset : POLICY_DEFAULT_PRESET));
	rules = list_in(document, "rules");
	for (size_t i = 0; i < count && r == 0; i++) {
		char id[POLICY_ID_MAX + 1] = "";
		_cleanup_json_ json_t *rule = NULL;

		choose_id(rules, "learnt", id);
		rule = learnt_rule(&learnt[i], id);
		r = add_once(rules, rule, &added);
	}
	if (r < 0)
		return err_set(err, r, "%s: no memory", path);
	r = store(path, POLICY_LAYER_USER, document, err);
	if (r == 0)
		*ret_added = added;
	return r;
}
