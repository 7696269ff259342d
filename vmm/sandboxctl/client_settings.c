/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/client_settings.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "policy/address.h"
#include "vmm/base/array.h"

#define KEYS_MAX 6

/* Which settings name a registry. Compared without case, `_` and `-` alike; "*x" is whatever ends with x. */
static const struct {
	const char *name, *comment;
	char separator; /* between a key and its value; ' ': the first word is the key too */
	bool continues; /* an indented line belongs to the setting above it */
	const char *keys[KEYS_MAX];
} clients[] = {
	[CLIENT_NPM] = { "npm", "#;", '=', false, { "registry", "*:registry" } },
	[CLIENT_PIP] = { "pip", "#;", '=', true, { "index-url", "extra-index-url", "find-links" } },
	[CLIENT_CARGO] = { "cargo", "#", '=', false,
		{ "index", "registry", "*.index", "*.registry" } },
	[CLIENT_GO] = { "go", "#", '=', false, { "GOPROXY", "GOSUMDB" } },
	[CLIENT_APT] = { "apt", "#", ':', true, { "URIs", "deb", "deb-src" } },
};
static_assert(ARRAY_SIZE(clients) == CLIENT_COUNT, "an entry for each client");

struct text {
	const char *at;
	size_t len;
};

const char *client_name(enum client client)
{
	return clients[client].name;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static struct text trim(struct text t)
{
	for (; t.len && is_blank(*t.at); t.len--)
		t.at++;
	while (t.len && is_blank(t.at[t.len - 1]))
		t.len--;
	return t;
}

static bool same(const char *a, const char *b, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		char x = a[i] == '_' ? '-' : a[i], y = b[i] == '_' ? '-' : b[i];

		if (strncasecmp(&x, &y, 1) != 0)
			return false;
	}
	return true;
}

static bool is_key(enum client client, struct text key)
{
	for (const char *const *k = clients[client].keys; *k; k++) {
		bool ends = **k == '*';
		size_t len = strlen(*k + ends);

		if (key.len < len || (!ends && key.len != len))
			continue;
		if (same(key.at + key.len - len, *k + ends, len))
			return true;
	}
	return false;
}

static void add(struct client_registries *registries, const struct client_registry *one)
{
	for (size_t i = 0; i < registries->count; i++)
		if (registries->items[i].client == one->client &&
			registries->items[i].port == one->port &&
			policy_host_equal(&registries->items[i].host, &one->host))
			return;
	if (registries->count == CLIENT_REGISTRIES_MAX)
		registries->skipped++;
	else
		registries->items[registries->count++] = *one;
}

/* What follows "://". Nothing of it but host and port is kept. */
static bool read_authority(struct text rest, uint16_t usual_port, struct client_registry *one)
{
	size_t len = 0, start = 0;

	while (len < rest.len && !memchr("/?#", rest.at[len], 3))
		len++;
	if (memchr(rest.at + len, '@', rest.len - len))
		return false;
	for (size_t i = 0; i < len; i++)
		if (rest.at[i] == '@')
			start = i + 1;
	if (!policy_authority_parse(rest.at + start, len - start, &one->host, &one->port))
		return false;
	if (!one->port)
		one->port = usual_port;
	return one->host.kind == POLICY_HOST_NAME ||
	       policy_address_classify(&one->host) != POLICY_ADDRESS_FORBIDDEN;
}

/* A word that has a "://" in it. */
static void read_word(enum client client, struct text word, struct client_registries *registries)
{
	struct client_registry one = { .client = client };
	const char *colon = memmem(word.at, word.len, "://", 3);
	size_t scheme, len;
	uint16_t port;

	if (!colon)
		return;
	scheme = (size_t)(colon - word.at);
	for (len = 0; len < scheme && colon[-1 - (long)len] != '+'; len++)
		;
	if (len == 5 && !strncasecmp(colon - 5, "https", 5))
		port = 443;
	else if (len == 4 && !strncasecmp(colon - 4, "http", 4))
		port = 80;
	else
		return;
	if (read_authority((struct text){ colon + 3, word.len - scheme - 3 }, port, &one))
		add(registries, &one);
	else
		registries->skipped++;
}

void client_settings_value(
	enum client client, const char *value, size_t len, struct client_registries *registries)
{
	static const char ends[] = " \t\r\n\"',|[]{}";

	for (size_t i = 0; i < len;) {
		size_t start = i;

		while (i < len && !memchr(ends, value[i], sizeof(ends) - 1))
			i++;
		read_word(client, (struct text){ value + start, i - start }, registries);
		i++;
	}
}

static size_t find_separator(enum client client, struct text line)
{
	size_t word = 0, i;

	/* npm's `@scope:registry` and cargo's `index` are one word; `deb` is followed by its value. */
	while (word < line.len && !is_blank(line.at[word]))
		word++;
	if (client == CLIENT_APT && is_key(client, (struct text){ line.at, word }))
		return word;
	for (i = 0; i < line.len && line.at[i] != clients[client].separator; i++)
		;
	return i;
}

/* Cargo's `name = { index = "..." }`: what the braces hold. */
static struct text open_table(enum client client, struct text line)
{
	const char *brace = client == CLIENT_CARGO ? memchr(line.at, '{', line.len) : NULL;

	if (!brace)
		return line;
	return trim((struct text){ brace + 1, (size_t)(line.at + line.len - brace) - 1 });
}

/* *within: whether the setting above names registries, for its further lines. */
static void read_line(
	enum client client, struct text raw, bool *within, struct client_registries *registries)
{
	struct text line = trim(raw);
	size_t at;

	if (!line.len || strchr(clients[client].comment, *line.at))
		return;
	if (clients[client].continues && is_blank(*raw.at)) {
		if (*within)
			client_settings_value(client, line.at, line.len, registries);
		return;
	}
	line = open_table(client, line);
	at = find_separator(client, line);
	*within = at < line.len && is_key(client, trim((struct text){ line.at, at }));
	if (*within)
		client_settings_value(client, line.at + at + 1, line.len - at - 1, registries);
}

void client_settings_read(
	enum client client, const char *text, size_t len, struct client_registries *registries)
{
	bool within = false;

	for (size_t i = 0; i < len;) {
		const char *end = memchr(text + i, '\n', len - i);
		size_t line = end ? (size_t)(end - text) - i : len - i;

		read_line(client, (struct text){ text + i, line }, &within, registries);
		i += line + 1;
	}
}
