/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/binding.h"

#include <string.h>

#include "policy/match.h"

/* "/owner/name" or "/owner/name.git" at the head of path: what follows, or NULL. */
static const char *behind_repository(const char *path, const char *repository)
{
	size_t len = strlen(repository);

	if (path[0] != '/' || strncmp(path + 1, repository, len) != 0)
		return NULL;
	path += 1 + len;
	return strncmp(path, ".git/", 5) == 0 ? path + 4 : path;
}

static bool is(const char *text, const char *word)
{
	return text && strcmp(text, word) == 0;
}

/*
 * Git's smart protocol over HTTP, all of it (gitprotocol-http): an advertisement by GET with one parameter, and an
 * exchange by POST. Not the dumb protocol, and no other path of the server.
 */
static bool covers_service(
	const struct policy_request *q, const char *rest, const char *service, const char *query)
{
	if (is(q->method, "GET"))
		return is(rest, "/info/refs") && is(q->query, query);
	return is(q->method, "POST") && is(rest, service) && !q->query;
}

/* Behind `prefix`, or NULL. */
static const char *behind(const char *text, const char *prefix)
{
	size_t len = strlen(prefix);

	return strncmp(text, prefix, len) == 0 ? text + len : NULL;
}

/* A SHA-256 in lower case, and what follows; NULL: it is none. */
static const char *behind_object(const char *text)
{
	return strspn(text, "0123456789abcdef") == 64 ? text + 64 : NULL;
}

/* "/SIZE", as some servers have it behind an object that is to come, or nothing. */
static bool is_size(const char *text)
{
	return !*text || (text[0] == '/' && text[1] && !text[1 + strspn(text + 1, "0123456789")]);
}

/*
 * git-lfs' API beside the repository (git-lfs docs/api: batch, basic transfers, locking), and where servers keep the objects on the same
 * host: below info/lfs/objects (Gitea, Forgejo), and gitlab-lfs/objects (GitLab). What writes comes with push alone. That batch is a POST for
 * downloads too, and says so in its body, costs nothing: what it hands out for an upload cannot be used without PUT.
 */
static bool covers_lfs(
	const struct policy_binding *b, const struct policy_request *q, const char *rest)
{
	const char *at = behind(rest, "/info/lfs/"), *object;
	bool get = is(q->method, "GET"), post = is(q->method, "POST");

	if (at && is(at, "locks") && get)
		return true;
	if (q->query)
		return false;
	if (at && is(at, "objects/batch"))
		return post;
	if (at && b->push && post &&
		(is(at, "verify") || is(at, "locks") || is(at, "locks/verify")))
		return true;
	if (at && b->push && post && (object = behind(at, "locks/")))
		return is(object + strspn(object,
					   "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"),
			       "/unlock") &&
		       object[0] != '/';
	object = at ? behind(at, "objects/") : behind(rest, "/gitlab-lfs/objects/");
	object = object ? behind_object(object) : NULL;
	if (!object)
		return false;
	return (get && !*object) || (b->push && is(q->method, "PUT") && is_size(object));
}

static bool covers_git(const struct policy_binding *b, const struct policy_request *q)
{
	for (size_t i = 0; i < b->repositories.count; i++) {
		const char *rest = behind_repository(q->path, b->repositories.items[i]);

		if (!rest)
			continue;
		if (covers_service(q, rest, "/git-upload-pack", "service=git-upload-pack"))
			return true;
		if (b->push &&
			covers_service(q, rest, "/git-receive-pack", "service=git-receive-pack"))
			return true;
		if (b->lfs && covers_lfs(b, q, rest))
			return true;
	}
	return false;
}

bool policy_binding_covers(const struct policy_binding *b, const struct policy_request *q)
{
	if (q->protocol != POLICY_PROTOCOL_HTTP || !q->secure || q->port != b->port || !q->method ||
		!q->path || q->path[0] != '/' || !policy_host_equal(&b->host, &q->host))
		return false;
	if (b->repositories.count)
		return covers_git(b, q);
	if (!policy_texts_hold(&b->methods, q->method) || !policy_path_clean_when_split(q->path))
		return false;
	for (size_t i = 0; i < b->paths.count; i++)
		if (policy_path_matches(b->paths.items[i], q->path, false))
			return true;
	return false;
}
