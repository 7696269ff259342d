/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "policy/document.h"
#include "policy/match.h"

static const char *const binding_keys[] = { "id", "secret", "host", "port", "methods", "paths",
	"scheme", "header", "prefix", "username", "parameter", "require", "tier", "git", "note",
	NULL };
static const char *const git_keys[] = { "repositories", "push", "lfs", NULL };
static const char *const scheme_words[] = { "bearer", "basic", "header", "query", NULL };

/* What HTTP itself is made of, and what no upstream may be told (E24). */
static const char *const refused_headers[] = { "connection", "content-length", "content-encoding",
	"cookie", "expect", "forwarded", "host", "http2-settings", "keep-alive",
	"proxy-authorization", "proxy-connection", "range", "te", "trailer", "transfer-encoding",
	"upgrade", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto",
	"x-http-method-override", "x-original-url", "x-rewrite-url", NULL };

static void refuse_unless(
	struct reader *r, const struct json_t *v, bool fits, const char *key, const char *scheme)
{
	if (!fits && reader_member(v, key))
		reader_fail_at(r, key, "belongs to scheme %s", scheme);
}

/* Field names are compared in lower case, as HTTP/2 has them. */
static const char *read_header(struct reader *r, const struct json_t *v)
{
	char *name = policy_memory_take(r->memory, POLICY_ID_MAX + 1, 1);
	const char *text = reader_get_text(r, v, "header", POLICY_ID_MAX, "");

	if (!reader_member(v, "header"))
		reader_fail(r, "has no \"header\": scheme header needs its name");
	else if (!name || !policy_is_token(text))
		reader_fail_at(r, "header", "is no field name");
	if (r->result || !name)
		return "";
	for (size_t i = 0; text[i]; i++)
		name[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] - 'A' + 'a' : text[i]);
	for (size_t i = 0; refused_headers[i]; i++)
		if (strcmp(name, refused_headers[i]) == 0)
			reader_fail_at(r, "header",
				"can't carry a secret: it is HTTP's own, or never passes");
	return name;
}

static const char *read_parameter(struct reader *r, const struct json_t *v)
{
	if (!reader_member(v, "parameter"))
		reader_fail(r, "has no \"parameter\": scheme query needs its name");
	return read_id(r, v, "parameter");
}

static const char *read_printable(
	struct reader *r, const struct json_t *v, const char *key, const char * not )
{
	const char *text = reader_get_text(r, v, key, POLICY_PREFIX_MAX, "");

	for (size_t i = 0; text[i]; i++) {
		if (text[i] >= 0x20 && text[i] < 0x7f && !strchr(not, text[i]))
			continue;
		reader_fail_at(r, key, "has a character in it that is not printable ASCII%s%s",
			*not ? ", or is " : "", not );
		break;
	}
	return text;
}

static void read_scheme(struct reader *r, const struct json_t *v, struct policy_binding *b)
{
	int word = reader_get_word(r, v, "scheme", scheme_words);
	bool basic, header, query;

	if (word < 0 && !b->repositories.count)
		reader_fail(r, "has no \"scheme\" (bearer, basic, header or query)");
	b->scheme = word < 0 ? POLICY_SCHEME_BASIC : (enum policy_scheme)(word + 1);
	basic = b->scheme == POLICY_SCHEME_BASIC;
	header = b->scheme == POLICY_SCHEME_HEADER;
	query = b->scheme == POLICY_SCHEME_QUERY;
	refuse_unless(r, v, header, "header", "header");
	refuse_unless(r, v, header, "prefix", "header");
	refuse_unless(r, v, basic, "username", "basic");
	refuse_unless(r, v, query, "parameter", "query");
	b->header = header ? read_header(r, v) : query ? "" : "authorization";
	b->prefix = b->scheme == POLICY_SCHEME_BEARER ? "Bearer "
		    : basic			      ? "Basic "
						      : read_printable(r, v, "prefix", "");
	/* Most git servers take any name beside a token, and none of them an empty one. */
	b->username = read_printable(r, v, "username", ":");
	if (basic && b->repositories.count && !*b->username)
		b->username = "x-access-token";
	b->parameter = query ? read_parameter(r, v) : "";
}

/* "owner/name", "group/subgroup/name": segments of a path as it is, with no wildcard, no `.git`. */
static bool repository_valid(const char *text)
{
	size_t len = strlen(text), segments = 1, start = 0;

	for (size_t i = 0; i <= len; i++) {
		char c = text[i];

		if (c == '/' || !c) {
			if (i == start || text[start] == '.' || text[start] == '-')
				return false;
			segments += c == '/';
			start = i + 1;
		} else if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
				   (c >= '0' && c <= '9') || strchr("._~-", c))) {
			return false;
		}
	}
	return segments >= 2 && !(len >= 4 && strcmp(text + len - 4, ".git") == 0);
}

static void read_repositories(struct reader *r, const struct json_t *git, struct policy_binding *b)
{
	size_t count = reader_count(r, git, "repositories", POLICY_LIST_MAX);
	const char **items = policy_memory_take(r->memory, count ? count : 1, sizeof(*items));

	if (!reader_member(git, "repositories"))
		reader_fail(
			r, "has no \"repositories\": a git binding names each (\"owner/name\")");
	for (size_t i = 0; i < count && items && !r->result; i++) {
		items[i] =
			reader_text(r, reader_item(git, "repositories", i), POLICY_REPOSITORY_MAX);
		if (!r->result && !repository_valid(items[i]))
			reader_fail_at(r, "repositories",
				"\"%.100s\" is no repository: \"owner/name\", without `.git`, no wildcard",
				items[i]);
	}
	b->repositories = (struct policy_texts){ items, items ? count : 0 };
}

static void read_git(struct reader *r, const struct json_t *v, struct policy_binding *b)
{
	static const char *const instead[] = { "methods", "paths", NULL };
	const struct json_t *git = reader_member(v, "git");
	size_t mark = reader_enter(r, "git", 0);

	if (reader_object(r, git, git_keys)) {
		read_repositories(r, git, b);
		b->push = reader_get_bool(r, git, "push");
		b->lfs = reader_get_bool(r, git, "lfs");
	}
	reader_leave(r, mark);
	read_refuse(r, v, instead, "follows from \"git\"; leave it out");
}

/* One exact host and one port: a secret has one place to go to (E15). */
static void read_place(struct reader *r, const struct json_t *v, struct policy_binding *b)
{
	const char *text = reader_get_text(r, v, "host", POLICY_NAME_MAX + 3, "");
	struct policy_pattern pattern = {};
	const char *wrong;

	if (!reader_member(v, "host"))
		reader_fail(r, "has no \"host\"");
	b->port = (uint16_t)reader_get_number(r, v, "port", 1, 65535, 443);
	if (r->result || (policy_host_parse(text, strlen(text), &b->host) &&
				 b->host.kind != POLICY_HOST_NAME))
		return;
	wrong = strchr(text, '*') ? "has a wildcard: a secret goes to one host (E15)"
				  : policy_pattern_parse(text, r->memory, &pattern);
	wrong = wrong ? wrong : policy_pattern_too_wide(&pattern);
	if (wrong)
		reader_fail_at(r, "host", "\"%.100s\" %s", text, wrong);
}

static void read_where(struct reader *r, const struct json_t *v, struct policy_binding *b)
{
	if (reader_member(v, "git")) {
		read_git(r, v, b);
		return;
	}
	read_methods(r, v, &b->methods);
	read_paths(r, v, &b->paths);
	if (!reader_member(v, "methods") || !reader_member(v, "paths"))
		reader_fail(r,
			"names no \"%s\": a secret goes where it is told, and nowhere else (E15)",
			reader_member(v, "methods") ? "paths" : "methods");
}

void read_binding(struct reader *r, const struct json_t *v, enum policy_layer layer,
	struct policy_binding *ret)
{
	struct policy_binding b = { .layer = layer };

	if (!reader_object(r, v, binding_keys))
		return;
	b.id = read_id(r, v, "id");
	b.secret = read_id(r, v, "secret");
	reader_get_text(r, v, "note", READER_TEXT_MAX, "");
	read_place(r, v, &b);
	read_where(r, v, &b);
	read_scheme(r, v, &b);
	b.tier = read_tier(r, v);
	b.require = reader_get_bool(r, v, "require");
	*ret = b;
}
