/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/environment.h"

#include <stdio.h>
#include <string.h>

#include "guest-agent/egress/service.h"
#include "guest-agent/trust.h"
#include "vmm/base/array.h"

#define TEXT_OF_(number)  #number
#define TEXT_OF(number)	  TEXT_OF_(number)
#define PROXY_URL	  "http://127.0.0.1:" TEXT_OF(SERVICE_PROXY_PORT)
#define PROXY_EXCEPT	  "localhost,127.0.0.1,::1"
#define CERTIFICATE_WORDS 9

static char **find(struct environment *env, const char *word)
{
	size_t name_len = strcspn(word, "=");

	for (size_t i = 0; i < env->count; i++)
		if (!strncmp(env->list[i], word, name_len + 1))
			return &env->list[i];
	return NULL;
}

/* word is K=V (the codec saw to it) and outlives env. */
static void put(struct environment *env, const char *word)
{
	char **there = find(env, word);

	if (there)
		*there = (char *)word;
	else if (env->count < ENVIRONMENT_MAX)
		env->list[env->count++] = (char *)word;
}

static void put_layer(struct environment *env, const char *const *words)
{
	for (size_t i = 0; words && words[i] && i < PROTOCOL_WORDS_MAX; i++)
		put(env, words[i]);
}

static void put_base(struct environment *env, const struct user *user, bool tty)
{
	const struct {
		const char *name, *value;
	} base[] = {
		{ "HOME", user->home },
		{ "USER", user->name },
		{ "LOGNAME", user->name },
		{ "SHELL", user->shell },
		{ "PATH", ENVIRONMENT_PATH },
		{ "LANG", "C.UTF-8" },
		{ "TERM", "xterm" },
	};
	size_t count = sizeof(base) / sizeof(base[0]) - !tty;

	_Static_assert(sizeof(base) / sizeof(base[0]) <= ENVIRONMENT_BASE_MAX, "room in text[]");
	for (size_t i = 0; i < count; i++) {
		snprintf(env->text[i], sizeof(env->text[i]), "%s=%s", base[i].name, base[i].value);
		put(env, env->text[i]);
	}
}

const char *const *environment_egress(const struct protocol_welcome *welcome)
{
	/* The certificates first, so that they can be left out. */
	static const char *const words[] = {
		"NODE_EXTRA_CA_CERTS=" PROTOCOL_CA_PATH,
		"SSL_CERT_FILE=" TRUST_BUNDLE_PATH,
		"CURL_CA_BUNDLE=" TRUST_BUNDLE_PATH,
		"GIT_SSL_CAINFO=" TRUST_BUNDLE_PATH,
		"REQUESTS_CA_BUNDLE=" TRUST_BUNDLE_PATH,
		"PIP_CERT=" TRUST_BUNDLE_PATH,
		"CARGO_HTTP_CAINFO=" TRUST_BUNDLE_PATH,
		"npm_config_cafile=" TRUST_BUNDLE_PATH,
		"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH=" TRUST_BUNDLE_PATH, /* it brings roots of its own */
		/* 9 of them; then what is set without a CA too */
		"http_proxy=" PROXY_URL,
		"https_proxy=" PROXY_URL,
		"HTTP_PROXY=" PROXY_URL,
		"HTTPS_PROXY=" PROXY_URL,
		"no_proxy=" PROXY_EXCEPT,
		"NO_PROXY=" PROXY_EXCEPT,
		NULL,
	};

	_Static_assert(ARRAY_SIZE(words) <= ENVIRONMENT_EGRESS_MAX, "room in list[]");
	if (!(welcome->flags & PROTOCOL_WELCOME_EGRESS))
		return NULL;
	return trust_find(welcome) ? words : words + CERTIFICATE_WORDS;
}

void environment_build(struct environment *env, const struct user *user, const char *const *egress,
	const char *const *welcome_env, const struct protocol_exec *request)
{
	env->count = 0;
	if (!(request->flags & PROTOCOL_EXEC_CLEAN_ENV)) {
		put_base(env, user, request->flags & PROTOCOL_EXEC_TTY);
		put_layer(env, egress);
		put_layer(env, welcome_env);
	}
	put_layer(env, request->env);
	env->list[env->count] = NULL;
}

const char *environment_get(const struct environment *env, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < env->count; i++)
		if (!strncmp(env->list[i], name, len) && env->list[i][len] == '=')
			return env->list[i] + len + 1;
	return NULL;
}
