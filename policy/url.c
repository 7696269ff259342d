/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/url.h"

#include <errno.h>
#include <string.h>

#include "policy/match.h"
#include "vmm/base/array.h"

struct scheme {
	const char *name;
	enum policy_protocol protocol;
	uint16_t port; /* 0: it must be said */
	bool secure, websocket;
};

static const struct scheme schemes[] = {
	{ "https://", POLICY_PROTOCOL_HTTP, 443, true, false },
	{ "http://", POLICY_PROTOCOL_HTTP, 80, false, false },
	{ "wss://", POLICY_PROTOCOL_HTTP, 443, true, true },
	{ "ws://", POLICY_PROTOCOL_HTTP, 80, false, true },
	{ "tls://", POLICY_PROTOCOL_TLS, 443, true, false },
	{ "ssh://", POLICY_PROTOCOL_SSH, 22, false, false },
	{ "tcp://", POLICY_PROTOCOL_TCP, 0, false, false },
};

static const struct scheme *find_scheme(const char *url)
{
	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++)
		if (strncmp(url, schemes[i].name, strlen(schemes[i].name)) == 0)
			return &schemes[i];
	return NULL;
}

/* Path and query, of which a URL for a stream has none. */
static int read_target(const char *target, const struct scheme *scheme, struct policy_url *storage,
	struct policy_request *request, struct err *err)
{
	size_t len = strcspn(target, "?");

	if (scheme->protocol != POLICY_PROTOCOL_HTTP)
		return *target && strcmp(target, "/") != 0
			       ? err_set(err, -EINVAL, "URL: a stream has no path")
			       : 0;
	if (!policy_path_parse(len ? target : "/", len ? len : 1, &storage->path))
		return err_set(err, -EINVAL,
			"URL: the path is refused: no `..`, `//`, `;`, backslash or broken escape passes (E12)");
	request->path = storage->path.text;
	request->has_encoded_slash = storage->path.has_encoded_slash;
	if (!target[len])
		return 0;
	target += len + 1;
	len = strlen(target);
	if (len > POLICY_QUERY_MAX || !policy_query_valid(target, len))
		return err_set(err, -EINVAL, "URL: the query is refused");
	memcpy(storage->query, target, len + 1);
	request->query = storage->query;
	return 0;
}

static int read_method(const char *method, const struct scheme *scheme, struct policy_url *storage,
	struct policy_request *request, struct err *err)
{
	if (scheme->protocol != POLICY_PROTOCOL_HTTP)
		return method ? err_set(err, -EINVAL, "URL: a stream has no method") : 0;
	method = method ? method : "GET";
	if (!policy_is_token(method) || strlen(method) >= sizeof(storage->method))
		return err_set(err, -EINVAL, "method: not one (\"GET\")");
	memcpy(storage->method, method, strlen(method) + 1);
	request->method = storage->method;
	return 0;
}

int policy_request_of_url(const char *method, const char *url, struct policy_url *storage,
	struct policy_request *ret, struct err *err)
{
	const struct scheme *scheme = find_scheme(url);
	struct policy_request request = {};
	size_t len;
	int r;

	if (!scheme)
		return err_set(err, -EINVAL,
			"URL: begins with none of https://, http://, wss://, ws://, tls://, ssh://, tcp://");
	url += strlen(scheme->name);
	len = strcspn(url, "/?#");
	if (strchr(url, '#'))
		return err_set(err, -EINVAL, "URL: a fragment (#) is never sent; leave it out");
	if (memchr(url, '@', len))
		return err_set(err, -EINVAL, "URL: has a user in it, which never passes (E13)");
	if (!policy_authority_parse(url, len, &request.host, &request.port))
		return err_set(err, -EINVAL, "URL: no host, or not one that passes (E1, E3)");
	request.protocol = scheme->protocol;
	request.secure = scheme->secure;
	request.websocket = scheme->websocket;
	request.port = request.port ? request.port : scheme->port;
	if (!request.port)
		return err_set(err, -EINVAL, "URL: tcp has no usual port; write tcp://HOST:PORT");
	r = read_method(method, scheme, storage, &request, err);
	if (r == 0)
		r = read_target(url + len, scheme, storage, &request, err);
	if (r == 0)
		*ret = request;
	return r;
}
