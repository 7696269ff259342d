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
 * exchange by POST. Not git-lfs, not the dumb protocol, and no other path of the server.
 */
static bool covers_service(
	const struct policy_request *q, const char *rest, const char *service, const char *query)
{
	if (is(q->method, "GET"))
		return is(rest, "/info/refs") && is(q->query, query);
	return is(q->method, "POST") && is(rest, service) && !q->query;
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
