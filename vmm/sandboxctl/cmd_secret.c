/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "policy/policy.h"
#include "vmm/base/array.h"
#include "vmm/sandboxctl/host_path.h"
#include "vmm/sandboxctl/loaded_policy.h"
#include "vmm/sandboxctl/reload.h"
#include "vmm/sandboxctl/secret_use.h"
#include "vmm/sandboxctl/secret_value.h"
#include "vmm/sandboxctl/subverb.h"
#include "vmm/sandboxctl/terminal_filter.h"
#include "vmm/supervisor/secrets/secret_store.h"

static const struct option_def options[] = {
	{ "file", 0, "FILE", "set: what this file holds, each time it is needed" },
	{ "env", 0, "VARIABLE", "set: this variable, of whoever starts a sandbox" },
	{ "command", 0, "COMMAND", "set: what this shell command prints" },
	{ "refresh", 0, "TIME", "set --command: ask it again after so long (55m)" },
	{ "systemd-credential", 0, "NAME", "set: a file in $CREDENTIALS_DIRECTORY" },
	{ "keyring", 0, NULL, "set: keep the value in the kernel's user keyring, not on disk" },
	OPTION_JSON,
	OPTIONS_COMMON,
};

static int usage(const struct invocation *in, const char *words)
{
	struct err err = {};

	err_set(&err, -EINVAL, "%s", words);
	return report_usage(in, &err);
}

static int missing(const struct invocation *in, const struct err *err)
{
	return report_failure(in, (struct failure){ EXIT_SECRET, "secret-missing", "secret" }, err);
}

/* set */

/* The one source that was named; SECRET_STORED where none was. False: more than one. */
static bool choose_kind(const struct options *o, enum secret_kind *ret, const char **ret_text)
{
	static const struct {
		const char *option;
		enum secret_kind kind;
	} sources[] = { { "file", SECRET_FILE }, { "env", SECRET_ENV },
		{ "command", SECRET_COMMAND }, { "systemd-credential", SECRET_SYSTEMD },
		{ "keyring", SECRET_KEYRING } };
	unsigned int count = 0;

	*ret = SECRET_STORED;
	*ret_text = "";
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
		if (!options_count(o, sources[i].option))
			continue;
		*ret = sources[i].kind;
		*ret_text = options_value(o, sources[i].option);
		count++;
	}
	return count < 2;
}

/* An absolute path without links, of a file that holds a value now: what the reference will name (H14). */
static int name_file(const char *path, struct secret_ref *ref, struct err *err)
{
	_cleanup_free_ char *text = NULL, *real = NULL;
	size_t len, trimmed;
	int r = host_path_read(path, SECRET_INPUT_MAX, &text, &len, err);

	if (r == 0) {
		r = secret_value_trim(text, len, &trimmed, err);
		explicit_bzero(text, len);
	}
	if (r < 0)
		return err_prefix(err, r, "--file %.200s", path);
	real = realpath(path, NULL);
	if (!real || strlen(real) > SECRET_TEXT_MAX)
		return err_set(err, real ? -ENAMETOOLONG : -errno, "--file %.200s: %s", path,
			strerror(real ? ENAMETOOLONG : errno));
	strcpy(ref->text, real);
	return 0;
}

static int fill_ref(const struct options *o, const char *name, const char *text,
	struct secret_ref *ref, struct err *err)
{
	const char *refresh = options_value(o, "refresh");
	uint64_t ms = 0;

	if (refresh && (!parse_duration_ms(refresh, &ms) || ms / 1000 > SECRET_REFRESH_MAX))
		return err_set(err, -EINVAL, "--refresh %.40s: not a time (55m, 12h)", refresh);
	ref->refresh_s = (uint32_t)(ms / 1000);
	if (ref->kind == SECRET_FILE)
		return name_file(text, ref, err);
	if (ref->kind == SECRET_KEYRING)
		snprintf(ref->text, sizeof(ref->text), "sandboxctl:%s", name);
	else if (strlen(text) > SECRET_TEXT_MAX)
		return err_set(err, -E2BIG, "longer than %d bytes", SECRET_TEXT_MAX);
	else
		strcpy(ref->text, text);
	return secret_ref_check(ref, err);
}

static int set_with_value(
	const struct paths *paths, const char *name, const struct secret_ref *ref, struct err *err)
{
	static char value[SECRET_INPUT_MAX];
	size_t len = 0, trimmed = 0;
	int r = secret_value_read(name, value, &len, err);

	if (r == 0)
		r = secret_value_trim(value, len, &trimmed, err);
	if (r == 0 && ref->kind == SECRET_KEYRING)
		r = secret_value_to_keyring(ref->text, value, trimmed, err);
	if (r == 0)
		r = secret_store_set(paths, name, ref, value, trimmed, err);
	explicit_bzero(value, sizeof(value));
	return r;
}

/* What --keyring kept goes with the reference to it. */
static void forget_kept(const struct paths *paths, const char *name)
{
	struct secret_ref ref;
	struct err ignored = {};

	if (secret_store_find(paths, name, &ref, &ignored) == 0 && ref.kind == SECRET_KEYRING)
		secret_value_from_keyring(ref.text);
}

static int set(struct invocation *in)
{
	const char *name = in->options.words[1], *text;
	struct secret_ref ref = {};
	struct paths paths;
	struct err err = {};
	int code = target_paths(in, &paths), r;

	if (code)
		return code;
	if (!secret_name_valid(name))
		return usage(in,
			"a secret's name has letters, digits, `.`, `_` and `-`, at most 64; the first is a letter or digit");
	if (!choose_kind(&in->options, &ref.kind, &text))
		return usage(in, "secret set: one source, or none for a value from standard input");
	r = fill_ref(&in->options, name, text, &ref, &err);
	if (r == -EINVAL)
		return report_usage(in, &err);
	if (r == 0 && (ref.kind == SECRET_STORED || ref.kind == SECRET_KEYRING))
		r = set_with_value(&paths, name, &ref, &err);
	else if (r == 0) {
		forget_kept(&paths, name);
		r = secret_store_set(&paths, name, &ref, NULL, 0, &err);
	}
	return r < 0 ? report_general(in, "secret", &err)
		     : reload_all(in, &paths, "secrets_reload");
}

/* ls */

static struct document *describe(
	const struct secret_use *use, const char *name, const struct secret_ref *ref)
{
	struct document *d = document_object(), *bindings = document_list();
	const char *last = secret_use_last(use, name);

	document_set_text(d, "name", name);
	document_set_text(d, "kind", secret_kind_word(ref->kind));
	document_set_text(d, "from", *ref->text ? ref->text : NULL);
	if (ref->refresh_s)
		document_set_int(d, "refresh_s", ref->refresh_s);
	secret_use_bindings(use, name, bindings);
	document_set_child(d, "bindings", bindings);
	document_set_text(d, "last_used", last);
	return d;
}

static int list_all(const struct invocation *in, struct document **ret)
{
	_cleanup_json_ json_t *secrets = NULL;
	struct secret_use *use = NULL;
	struct document *list;
	struct paths paths;
	struct err err = {};
	const char *name;
	json_t *object;
	int code = target_paths(in, &paths);

	if (code)
		return code;
	if (secret_store_load(&paths, &secrets, &err) < 0)
		return report_general(in, "secret", &err);
	if (secret_use_find(&paths, &use, &err) < 0)
		return report_general(in, "secret", &err);
	list = document_list();
	json_object_foreach(secrets, name, object)
	{
		struct secret_ref ref;

		if (secret_ref_parse(object, &ref, NULL) == 0)
			document_append(list, describe(use, name, &ref));
	}
	secret_use_destroy(use);
	*ret = list;
	return 0;
}

static int list(struct invocation *in)
{
	_cleanup_document_ struct document *secrets = NULL;
	int code = list_all(in, &secrets);

	if (code)
		return code;
	if (in->json)
		return report_document("SecretList", TAKE_PTR(secrets));
	printf("%-24s  %-18s  %-20s  %s\n", "NAME", "KIND", "LAST USED", "BINDINGS");
	for (size_t i = 0; i < document_count(secrets); i++) {
		const struct document *s = document_at(secrets, i);
		char bindings[512], shown[512];

		document_show(s, "bindings", bindings, sizeof(bindings));
		printf("%-24s  %-18s  %-20.20s  %s\n", document_text(s, "name", ""),
			document_text(s, "kind", ""), document_text(s, "last_used", "-"),
			terminal_filter_text(bindings, shown, sizeof(shown)));
	}
	return EXIT_OK;
}

/* rm */

static int removed(struct invocation *in)
{
	struct paths paths;
	struct err err = {};
	int code = target_paths(in, &paths), r;

	if (code)
		return code;
	forget_kept(&paths, in->options.words[1]);
	r = secret_store_remove(&paths, in->options.words[1], &err);
	if (r == -ENOKEY)
		return missing(in, &err);
	if (r < 0)
		return report_general(in, "secret", &err);
	fprintf(stderr,
		"sandboxes that run keep what they have of it until they end or their policy binds it no more\n");
	return EXIT_OK;
}

static int run(struct invocation *in)
{
	const char *verb = in->options.words[0];

	if (!strcmp(verb, "set") && in->options.word_count == 2)
		return set(in);
	if (!strcmp(verb, "ls") && in->options.word_count == 1)
		return list(in);
	if (!strcmp(verb, "rm") && in->options.word_count == 2)
		return removed(in);
	return subverb_usage(in);
}

const struct command command_secret = {
	.name = "secret",
	.words_help = "set NAME | ls | rm NAME",
	.summary = "Credentials that sandboxes use and never see",
	.details =
		"set keeps where a value comes from; with no source named it reads the value from standard input, without echo, and keeps that (0600).\n"
		"A policy's bindings, or start --secret NAME@HOST, say where it may go. A command is /bin/sh -c in /, with HOME, USER, LANG, XDG_*\n"
		"and the D-Bus address, and the system's own PATH; it has 30 seconds.",
	.options = options,
	.words = WORDS_OTHER,
	.words_min = 1,
	.words_max = 2,
	.run = run,
};
