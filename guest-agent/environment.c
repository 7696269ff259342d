/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/environment.h"

#include <stdio.h>
#include <string.h>

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

void environment_build(struct environment *env, const struct user *user,
	const char *const *welcome_env, const struct protocol_exec *request)
{
	env->count = 0;
	if (!(request->flags & PROTOCOL_EXEC_CLEAN_ENV)) {
		put_base(env, user, request->flags & PROTOCOL_EXEC_TTY);
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
