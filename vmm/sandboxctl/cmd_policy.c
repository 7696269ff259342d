/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "policy/explain.h"
#include "policy/match.h"
#include "policy/policy.h"
#include "policy/url.h"
#include "vmm/base/array.h"
#include "vmm/sandboxctl/audit_view.h"
#include "vmm/sandboxctl/client_files.h"
#include "vmm/sandboxctl/loaded_policy.h"
#include "vmm/sandboxctl/policy_approve.h"
#include "vmm/sandboxctl/policy_file.h"
#include "vmm/sandboxctl/registry_address.h"
#include "vmm/sandboxctl/reload.h"
#include "vmm/sandboxctl/subverb.h"
#include "vmm/sandboxctl/target.h"
#include "vmm/supervisor/status.h"

static const struct option_def options[] = {
	{ "sandbox", 's', "NAME", "allow, deny: for this sandbox alone, at once where it runs" },
	{ "protocol", 0, "PROTOCOL", "allow: http (default), or tls, tcp, ssh, which pass unread" },
	{ "method", 0, "METHOD", "allow: this method alone" },
	{ "path", 0, "PATTERN", "allow: these paths alone (/v1/**)" },
	{ "websocket", 0, NULL, "allow: connections may become WebSockets" },
	{ "encoded-slash", 0, NULL, "allow: %2F may stand in a path" },
	{ "private", 0, NULL, "allow: its names may resolve to private addresses" },
	{ "preset", 0, "NAME", "init: builder (default), offline, or audit-all" },
	{ "from-audit", 0, "NAME", "init: rules for what a sandbox was seen to reach, by its log" },
	{ "project", 0, "FOLDER", "approve: of this folder (default: here)" },
	{ "yes", 'y', NULL, "approve: do not ask" },
	OPTIONS_AUDIT_VIEW,
	OPTION_JSON,
	OPTIONS_COMMON,
};

/* check */

static const char *verdict_word(enum policy_verdict verdict)
{
	static const char *const words[] = { "denied", "allowed", "audited" };

	return words[verdict];
}

static void print_check(const struct policy_explanation *e, const char *binding)
{
	printf("%s  %s\n", verdict_word(e->verdict), e->what);
	if (*e->rule)
		printf("rule     %s\n", e->rule);
	if (*e->detail)
		printf("because  %s\n", e->detail);
	if (binding)
		printf("with     the credential of binding %s\n", binding);
	if (*e->change)
		printf("change   %s\n", e->change);
	if (*e->command)
		printf("command  %s\n", e->command);
}

static struct document *check_document(const struct policy_explanation *e, const char *binding)
{
	struct document *d = document_object();

	document_set_text(d, "decision", verdict_word(e->verdict));
	document_set_text(d, "what", e->what);
	document_set_text(d, "reason", e->reason);
	document_set_text(d, "rule", *e->rule ? e->rule : NULL);
	document_set_text(d, "detail", e->detail);
	document_set_text(d, "binding", binding);
	document_set_text(d, "change", *e->change ? e->change : NULL);
	document_set_text(d, "command", *e->command ? e->command : NULL);
	return d;
}

/* E19: the data path's own function, on the documents that it would get. */
static int check(const struct invocation *in)
{
	const struct options *o = &in->options;
	const char *name = NULL, *method = NULL;
	struct policy_explanation e;
	struct policy_decision decision;
	struct policy_request request;
	struct policy_url storage;
	struct loaded_policy l;
	struct err err = {};
	const char *binding = NULL;
	int code;

	if (o->word_count < 2)
		return subverb_usage(in);
	/* Names are in small letters, methods in capitals. */
	for (size_t i = 1; i + 1 < o->word_count; i++)
		*(sandbox_name_valid(o->words[i]) ? &name : &method) = o->words[i];
	if (policy_request_of_url(method, o->words[o->word_count - 1], &storage, &request, &err) <
		0)
		return report_usage(in, &err);
	code = loaded_policy_find(in, name, &l);
	if (!code) {
		policy_decide(l.policy, &request, &decision);
		policy_explain(l.policy, &request, &decision, &e);
		if (decision.verdict != POLICY_DENY && decision.binding)
			binding = decision.binding->id;
		if (in->json)
			report_document("PolicyCheck", check_document(&e, binding));
		else
			print_check(&e, binding);
		code = decision.verdict == POLICY_DENY ? EXIT_GENERAL : EXIT_OK;
	}
	loaded_policy_finish(&l);
	return code;
}

/* ls */

static struct document *texts_document(const struct policy_texts *texts)
{
	struct document *list = document_list();

	for (size_t i = 0; i < texts->count; i++)
		document_append_text(list, texts->items[i]);
	return list;
}

static struct document *hosts_document(const struct policy_hosts *hosts)
{
	struct document *list = document_list();

	for (size_t i = 0; i < hosts->pattern_count; i++)
		document_append_text(list, hosts->patterns[i].text);
	return list;
}

static struct document *rule_document(const struct policy_rule *rule)
{
	struct document *d = document_object();

	document_set_text(d, "id", rule->id);
	document_set_text(d, "layer", policy_layer_name(rule->layer));
	document_set_text(d, "action", rule->action == POLICY_ACTION_ALLOW ? "allow" : "deny");
	document_set_bool(d, "audit", rule->audit);
	document_set_text(d, "tier", policy_tier_name(rule->tier));
	document_set_child(d, "hosts", hosts_document(&rule->hosts));
	document_set_int(d, "addresses", (int64_t)rule->hosts.listed_count);
	document_set_child(d, "methods", texts_document(&rule->methods));
	document_set_child(d, "paths", texts_document(&rule->paths));
	return d;
}

static void print_texts(const char *head, const struct document *list, size_t most)
{
	if (!document_count(list))
		return;
	printf("  %s", head);
	for (size_t i = 0; i < document_count(list) && i < most; i++)
		printf(" %s", document_text(document_at(list, i), NULL, ""));
	if (document_count(list) > most)
		printf(" ... (%zu)", document_count(list));
	printf("\n");
}

static void print_rule(const struct document *rule)
{
	printf("%-5s %-28s %s\n", document_text(rule, "action", ""), document_text(rule, "id", ""),
		document_text(rule, "layer", ""));
	print_texts("hosts  ", document_child(rule, "hosts"), 6);
	if (document_int(rule, "addresses", 0))
		printf("  addresses and ranges: %lld\n",
			(long long)document_int(rule, "addresses", 0));
	print_texts("methods", document_child(rule, "methods"), 8);
	print_texts("paths  ", document_child(rule, "paths"), 6);
}

static int list(const struct invocation *in)
{
	_cleanup_document_ struct document *rules = document_list();
	struct loaded_policy l;
	int code;

	if (in->options.word_count > 2)
		return subverb_usage(in);
	code = loaded_policy_find(
		in, in->options.word_count == 2 ? in->options.words[1] : NULL, &l);
	for (int layer = 0; !code && layer < POLICY_LAYER_COUNT; layer++)
		for (size_t i = 0; i < l.policy->rule_count[layer]; i++)
			document_append(rules, rule_document(&l.policy->rules[layer][i]));
	loaded_policy_finish(&l);
	if (code)
		return code;
	if (in->json)
		return report_document("PolicyRuleList", TAKE_PTR(rules));
	for (size_t i = 0; i < document_count(rules); i++)
		print_rule(document_at(rules, i));
	return EXIT_OK;
}

/* allow, deny */

/* The user's file, or the sandbox's own. */
static int file_path(const struct invocation *in, const struct paths *paths, const char *sandbox,
	char out[static PATH_MAX])
{
	struct err err = {};
	struct target target;
	int code;

	if (!sandbox) {
		if (snprintf(out, PATH_MAX, "%s/%s", paths->config, POLICY_FILE) < PATH_MAX)
			return 0;
		err_set(&err, -ENAMETOOLONG, "%s: too long a path", paths->config);
		return report_general(in, "policy", &err);
	}
	code = target_find(in, sandbox, &target);
	if (code)
		return code;
	return paths_of_state(paths, sandbox, POLICY_FILE, out, &err) < 0
		       ? report_general(in, "policy", &err)
		       : 0;
}

static int change(const struct invocation *in, bool allow)
{
	const struct options *o = &in->options;
	const char *sandbox = options_value(o, "sandbox");
	enum policy_layer layer = sandbox ? POLICY_LAYER_COMMAND : POLICY_LAYER_USER;
	struct policy_words words = { .protocol = options_value(o, "protocol"),
		.method = options_value(o, "method"),
		.path = options_value(o, "path"),
		.websocket = options_flag(o, "websocket"),
		.encoded_slash = options_flag(o, "encoded-slash"),
		.private_addresses = options_flag(o, "private") };
	char path[PATH_MAX], id[POLICY_ID_MAX + 1] = "";
	struct paths paths;
	struct err err = {};
	int code, r;

	if (o->word_count != 2)
		return subverb_usage(in);
	words.host = o->words[1];
	code = target_paths(in, &paths);
	if (!code)
		code = file_path(in, &paths, sandbox, path);
	if (code)
		return code;
	r = allow ? policy_file_allow(path, layer, &words, id, &err)
		  : policy_file_deny(path, layer, words.host, &err);
	if (r < 0 && r != -EEXIST)
		return report_general(in, "policy", &err);
	if (r == -EEXIST)
		fprintf(stderr, "%s\n", err.text);
	else if (allow)
		fprintf(stderr, "%s: rule %s allows %s\n", path, id, words.host);
	else
		fprintf(stderr, "%s: %s is blocked\n", path, words.host);
	return sandbox ? reload_one(in, &paths, sandbox, "policy_reload")
		       : reload_all(in, &paths, "policy_reload");
}

/* explain */

static bool speaks_of(const struct policy_rule *rule, const struct policy_host *host)
{
	bool private;

	return rule->action == POLICY_ACTION_DENY
		       ? policy_hosts_reached(&rule->hosts, host) ||
				 policy_hosts_match(&rule->hosts, host, &private)
		       : policy_hosts_match(&rule->hosts, host, &private);
}

/* In the order in which they are asked: denials of any layer, then what allows. */
static struct document *rules_of(const struct policy *policy, const struct policy_host *host)
{
	static const enum policy_action order[] = { POLICY_ACTION_DENY, POLICY_ACTION_ALLOW };
	struct document *rules = document_list();

	for (size_t a = 0; a < ARRAY_SIZE(order); a++)
		for (int layer = 0; layer < POLICY_LAYER_COUNT; layer++)
			for (size_t i = 0; i < policy->rule_count[layer]; i++) {
				const struct policy_rule *rule = &policy->rules[layer][i];

				if (rule->action == order[a] && speaks_of(rule, host))
					document_append(rules, rule_document(rule));
			}
	return rules;
}

static struct document *bindings_of(const struct policy *policy, const struct policy_host *host)
{
	struct document *bindings = document_list(), *d;

	for (size_t i = 0; i < policy->binding_count; i++) {
		if (!policy_host_equal(&policy->bindings[i].host, host))
			continue;
		d = document_object();
		document_set_text(d, "id", policy->bindings[i].id);
		document_set_text(d, "secret", policy->bindings[i].secret);
		document_set_int(d, "port", policy->bindings[i].port);
		document_append(bindings, d);
	}
	return bindings;
}

static void print_explained(const char *host, const struct document *d)
{
	const struct document *rules = document_child(d, "rules"),
			      *bindings = document_child(d, "bindings");
	char words[APPROVAL_TEXT_MAX];

	for (size_t i = 0; i < document_count(rules); i++)
		print_rule(document_at(rules, i));
	if (!document_count(rules))
		printf("no rule speaks of %s: it is denied\n", host);
	for (size_t i = 0; i < document_count(bindings); i++)
		printf("binding %s: secret %s, port %lld\n",
			document_text(document_at(bindings, i), "id", ""),
			document_text(document_at(bindings, i), "secret", ""),
			(long long)document_int(document_at(bindings, i), "port", 0));
	if (document_bool(d, "narrowed", false))
		printf("the project's .sandbox.json narrows: one of its rules must allow it too\n");
	if (*approval_words(document_child(d, "project"), words))
		printf("%s\n", words);
}

static int explain(const struct invocation *in)
{
	_cleanup_document_ struct document *d = document_object();
	const struct options *o = &in->options;
	struct policy_host host;
	struct loaded_policy l;
	const char *word;
	int code;

	if (o->word_count < 2 || o->word_count > 3)
		return subverb_usage(in);
	word = o->words[o->word_count - 1];
	if (!policy_host_parse(word, strlen(word), &host)) {
		struct err err = {};

		err_set(&err, -EINVAL, "%.200s: not a host: a name or an address, alone", word);
		return report_usage(in, &err);
	}
	code = loaded_policy_find(in, o->word_count == 3 ? o->words[1] : NULL, &l);
	if (!code) {
		document_set_text(d, "host", host.text);
		document_set_child(d, "rules", rules_of(l.policy, &host));
		document_set_child(d, "bindings", bindings_of(l.policy, &host));
		document_set_bool(d, "narrowed", l.policy->narrowing_count > 0);
		document_set_child(
			d, "project", document_of_json(status_project(&l.sources.project)));
	}
	loaded_policy_finish(&l);
	if (code)
		return code;
	if (in->json)
		return report_document("PolicyExplanation", TAKE_PTR(d));
	print_explained(host.text, d);
	return EXIT_OK;
}

/* init */

/* How a person learns which registry a client has built in; NULL: it has no such question. */
static const char *const built_in[CLIENT_COUNT] = {
	[CLIENT_NPM] = "npm config get registry",
	[CLIENT_GO] = "go env GOPROXY GOSUMDB",
};

static void tell_none(enum client client)
{
	const char *ask = built_in[client];

	fprintf(stderr,
		"%-6s its settings name no registry; allow the one that it has built in%s%s%s: sandboxctl policy allow HOST --method GET%s\n",
		client_name(client), ask ? " (`" : "", ask ? ask : "", ask ? "` says which)" : "",
		client == CLIENT_NPM ? " --encoded-slash" : "");
}

static void tell_registries(const struct client_registries *registries)
{
	for (enum client client = CLIENT_NPM; client < CLIENT_COUNT; client++) {
		size_t found = 0;

		for (size_t i = 0; i < registries->count; i++) {
			const struct client_registry *one = &registries->items[i];

			if (one->client != client)
				continue;
			found++;
			fprintf(stderr, "%-6s %s:%u%s\n", client_name(client), one->host.text,
				one->port, registry_address_words(one));
		}
		if (!found)
			tell_none(client);
	}
	if (registries->skipped)
		fprintf(stderr,
			"%zu URLs of the settings were left out: no host that a rule may name\n",
			registries->skipped);
}

static int init_from_audit(const struct invocation *in, const char *name)
{
	static struct learnt learnt[POLICY_LEARN_MAX];
	struct audit_target target;
	size_t count = 0, added = 0;
	char path[PATH_MAX];
	struct err err = {};
	int code = audit_target_find(in, name, &target), r;

	if (!code)
		code = file_path(in, &target.paths, NULL, path);
	if (!code) {
		r = policy_learn(target.dir_fd, learnt, &count, &err);
		if (r == 0)
			r = policy_file_learn(path, options_value(&in->options, "preset"), learnt,
				count, &added, &err);
		code = r < 0 ? report_general(in, "policy", &err) : 0;
	}
	audit_target_finish(&target);
	if (code)
		return code;
	fprintf(stderr, "%s: %zu rules added, of %zu destinations that %s reached\n", path, added,
		count, target.name);
	return reload_all(in, &target.paths, "policy_reload");
}

static int init(const struct invocation *in)
{
	struct client_registries registries = {};
	char path[PATH_MAX];
	struct paths paths;
	struct err err = {};
	size_t added;
	int code, r;

	if (in->options.word_count != 1)
		return subverb_usage(in);
	if (options_value(&in->options, "from-audit"))
		return init_from_audit(in, options_value(&in->options, "from-audit"));
	code = target_paths(in, &paths);
	if (!code)
		code = file_path(in, &paths, NULL, path);
	if (code)
		return code;
	client_files_read(&registries);
	registry_address_find(&registries);
	r = policy_file_init(
		path, options_value(&in->options, "preset"), &registries, &added, &err);
	if (r < 0)
		return report_general(in, "policy", &err);
	tell_registries(&registries);
	fprintf(stderr, "%s: %zu rules added or changed\n", path, added);
	return reload_all(in, &paths, "policy_reload");
}

/* log */

static int show_log(struct invocation *in)
{
	const char *word = in->options.word_count > 1 ? in->options.words[1] : NULL;
	struct audit_target target;
	struct audit_view view;
	int code = audit_target_find(in, word, &target);

	if (!code)
		code = audit_view_options(in, 0, &view);
	view.egress_only = true;
	if (!code)
		code = audit_view_show(in, &target, &view);
	audit_target_finish(&target);
	return code;
}

static int run(struct invocation *in)
{
	const char *verb = in->options.words[0];

	if (!strcmp(verb, "log"))
		return show_log(in);
	if (!strcmp(verb, "check"))
		return check(in);
	if (!strcmp(verb, "ls"))
		return list(in);
	if (!strcmp(verb, "allow"))
		return change(in, true);
	if (!strcmp(verb, "deny"))
		return change(in, false);
	if (!strcmp(verb, "explain"))
		return explain(in);
	if (!strcmp(verb, "init"))
		return init(in);
	if (!strcmp(verb, "approve") && in->options.word_count == 1)
		return policy_approve(in);
	return subverb_usage(in);
}

const struct command command_policy = {
	.name = "policy",
	.words_help =
		"allow HOST[:PORT] | deny HOST | ls [NAME] | check [NAME] [METHOD] URL | explain [NAME] HOST | log [NAME] | init | approve",
	.summary = "What a sandbox may reach: show it, try it, change it",
	.details =
		"check asks the function that the proxy asks, and ends with 1 where it denies. allow and deny change your own policy, or with\n"
		"--sandbox that sandbox's alone; sandboxes that run get it at once. explain lists the rules and bindings that speak of a host.\n"
		"init adds the registries that npm, pip, cargo, go and apt are set to use here; no credential of their URLs is copied.\n"
		"approve takes this project's .sandbox.json, as it is now, for what its sandboxes are to be narrowed by.",
	.options = options,
	.words = WORDS_OTHER,
	.words_min = 1,
	.words_max = 4,
	.run = run,
};
