/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random policies asked at random. The URL that a person types to `policy check` and the pieces that the data path gets
 * (an authority, a request target) give the same answer, however they are spelt (E19); and that answer is what a naive
 * second implementation says, which knows the rules as they were made up, not as they were read. And where a command is
 * offered that would let a denied request pass, the rule it stands for does so.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "policy/decide.h"
#include "policy/policy.h"
#include "policy/suggest.h"
#include "policy/url.h"
#include "vmm/base/array.h"

#define ROUNDS	 2000
#define REQUESTS 40
#define RULES	 20

static uint32_t seed = 20261123;

static unsigned int pick(unsigned int n)
{
	seed ^= seed << 13; /* Marsaglia's xorshift32 */
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed % n;
}

#define PICK(list) (list)[pick(ARRAY_SIZE(list))]

static const char *const patterns[] = { "**.example.com", "**.example.com", "**.example.com",
	"example.com", "*.example.com", "**.example.com", "a.example.com", "**.a.example.com",
	"*.a.example.com", "b.net", "8.8.8.8", "8.8.8.0/24", "10.0.0.1" };
static const char *const hosts[] = { "example.com", "example.com", "a.example.com", "a.example.com",
	"b.a.example.com", "c.b.a.example.com", "xexample.com", "b.net", "c.net", "8.8.8.8",
	"8.8.8.9", "10.0.0.1" };
static const char *const path_patterns[] = { "", "", "", "", "", "", "", "/**", "/a/**", "/a/*",
	"/*/b", "/a", "/@s/*", "/**/b", "/**", "/**" };
static const char *const paths[] = { "/", "/a", "/a/", "/a/b", "/a/b/c", "/a%2Fb", "/x/b", "/@s/x",
	"/%40s/x", "/a%2F..%2Fb" };
static const char *const methods[] = { "", "", "GET", "POST" };
static const unsigned int ports[] = { 0, 0, 0, 0, 80, 443, 8080 };

struct made_rule {
	enum policy_layer layer;
	bool deny, audit, websocket, encoded_slash, admin;
	bool second; /* of the project's two documents */
	const char *host, *method, *path; /* "": any */
	unsigned int port; /* 0: not said */
};

/* twice: the project has two documents. */
static struct made_rule make_rule(bool twice)
{
	struct made_rule r = { .layer = (enum policy_layer)pick(POLICY_LAYER_COUNT),
		.deny = pick(4) == 0,
		.host = PICK(patterns),
		.method = PICK(methods),
		.path = PICK(path_patterns),
		.port = PICK(ports) };
	bool listed = strchr("0123456789", r.host[0]) != NULL;

	if (r.deny && listed)
		r.method = r.path = "";
	if (!r.deny) {
		r.websocket = pick(2);
		r.encoded_slash = pick(2);
	}
	r.second = twice && r.layer == POLICY_LAYER_PROJECT && pick(2);
	if (r.layer != POLICY_LAYER_PROJECT) {
		r.audit = pick(4) == 0;
		r.admin = !r.deny && pick(9) == 0;
	}
	return r;
}

static size_t write_rule(const struct made_rule *r, size_t index, char *out, size_t size)
{
	int n = snprintf(out, size, "%s{\"id\":\"r%zu\",\"action\":\"%s\",\"%s\":\"%s\"",
		index ? "," : "", index, r->deny ? "deny" : "allow",
		strchr(r->host, '/') ? "cidr" : "host", r->host);
	size_t used = (size_t)n;

	if (*r->method)
		used += (size_t)snprintf(out + used, size - used, ",\"methods\":\"%s\"", r->method);
	if (*r->path)
		used += (size_t)snprintf(out + used, size - used, ",\"paths\":[\"%s\"]", r->path);
	if (r->port)
		used += (size_t)snprintf(out + used, size - used, ",\"port\":%u", r->port);
	if (!r->deny)
		used += (size_t)snprintf(out + used, size - used,
			",\"websocket\":%s,\"encoded_slash\":%s", r->websocket ? "true" : "false",
			r->encoded_slash ? "true" : "false");
	if (r->audit)
		used += (size_t)snprintf(out + used, size - used, ",\"mode\":\"audit\"");
	if (r->admin)
		used += (size_t)snprintf(out + used, size - used, ",\"tier\":\"admin\"");
	return used + (size_t)snprintf(out + used, size - used, "}");
}

/* more: a rule as it stands in a document, of the command line's layer; NULL: none. */
static struct policy *make_policy(const struct made_rule *rules, size_t count, const char *more)
{
	static char extra[POLICY_SUGGESTION_TEXT_MAX + 64];
	static char texts[POLICY_LAYER_COUNT + 1][RULES * 256];
	struct policy_source sources[POLICY_LAYER_COUNT + 2] = {};
	struct policy *policy = NULL;
	struct err err = {};

	/* The last one is a second document of the project's. */
	for (unsigned int at = 0; at <= POLICY_LAYER_COUNT; at++) {
		bool second = at == POLICY_LAYER_COUNT;
		unsigned int layer = second ? POLICY_LAYER_PROJECT : at;
		char *text = texts[at];
		size_t used = (size_t)snprintf(
			       text, sizeof(texts[0]), "{\"version\":1,\"rules\":["),
		       n = 0;

		for (size_t i = 0; i < count; i++)
			if (rules[i].layer == layer && rules[i].second == second)
				used += write_rule(
					&rules[i], n++, text + used, sizeof(texts[0]) - used);
		used += (size_t)snprintf(text + used, sizeof(texts[0]) - used, "]}");
		sources[at] =
			(struct policy_source){ (enum policy_layer)layer, "made up", text, used };
	}
	snprintf(extra, sizeof(extra), "{\"version\":1,\"rules\":[%s]}", more ? more : "");
	sources[POLICY_LAYER_COUNT + 1] =
		(struct policy_source){ POLICY_LAYER_COMMAND, "offered", extra, strlen(extra) };
	if (policy_create(sources, ARRAY_SIZE(sources), POLICY_TIER_BUILDER, &policy, &err) < 0)
		fail_msg("%s", err.text);
	return policy;
}

struct asked {
	const char *host, *path, *method;
	unsigned int port;
	bool websocket;
};

/* The naive implementation. Patterns by recursion over the text, one separator for labels and segments alike. */
static bool naive_match(const char *pattern, const char *text, char separator)
{
	size_t p = strcspn(pattern, (char[]){ separator, 0 }),
	       t = strcspn(text, (char[]){ separator, 0 });
	bool last = !pattern[p];

	if (p == 2 && memcmp(pattern, "**", 2) == 0) {
		/* Takes nothing, or one and stays. */
		if (!last && naive_match(pattern + p + 1, text, separator))
			return true;
		if (!text[t])
			return last;
		return naive_match(pattern, text + t + 1, separator);
	}
	if (p == 1 && *pattern == '*' ? t == 0 : p != t || memcmp(pattern, text, p) != 0)
		return false;
	if (last || !text[t])
		return (last && !text[t]) || (!text[t] && strcmp(pattern + p + 1, "**") == 0);
	return naive_match(pattern + p + 1, text + t + 1, separator);
}

static bool naive_host(const char *pattern, const char *host)
{
	if (strchr(pattern, '/'))
		return strncmp(host, "8.8.8.", 6) == 0;
	return naive_match(pattern, host, '.');
}

/* `%40` is `@`; an encoded slash is a slash where asked so. */
static const char *naive_decode(const char *path, bool slashes)
{
	static char out[64];
	size_t n = 0;

	for (size_t i = 0; path[i]; i++) {
		if (strncmp(path + i, "%40", 3) == 0 ||
			(slashes && strncmp(path + i, "%2F", 3) == 0)) {
			out[n++] = path[i + 2] == '0' ? '@' : '/';
			i += 2;
		} else {
			out[n++] = path[i];
		}
	}
	out[n] = '\0';
	return out;
}

static bool naive_rule(const struct made_rule *r, const struct asked *q)
{
	bool encoded = strstr(q->path, "%2F") != NULL;
	bool path = !*r->path || naive_match(r->path + 1, naive_decode(q->path, false) + 1, '/') ||
		    (r->deny && naive_match(r->path + 1, naive_decode(q->path, true) + 1, '/'));
	bool port = r->port ? q->port == r->port : r->deny || q->port == 80 || q->port == 443;

	if (!naive_host(r->host, q->host) || !port || !path ||
		(*r->method && strcmp(r->method, q->method) != 0))
		return false;
	if (r->deny)
		return true;
	return !r->admin && (!q->websocket || r->websocket) &&
	       (!encoded || (r->encoded_slash && !strstr(q->path, "..")));
}

static enum policy_verdict naive_decide(
	const struct made_rule *rules, size_t count, const struct asked *q)
{
	bool allowed = false, enforced = false, logged = false, narrows[2] = {}, narrowed[2] = {};

	for (size_t i = 0; i < count; i++) {
		const struct made_rule *r = &rules[i];
		bool matches = naive_rule(r, q), project = r->layer == POLICY_LAYER_PROJECT;

		narrows[r->second] |= project && !r->deny;
		narrowed[r->second] |= project && !r->deny && matches;
		if (matches && r->deny && !r->audit)
			return POLICY_DENY;
		logged |= matches && r->deny;
		allowed |= matches && !r->deny && !project;
		enforced |= matches && !r->deny && !project && !r->audit;
	}
	if (!allowed || (narrows[0] && !narrowed[0]) || (narrows[1] && !narrowed[1]))
		return POLICY_DENY;
	return logged || !enforced ? POLICY_AUDIT : POLICY_ALLOW;
}

/* As somebody else would spell it: capitals, a final dot, escapes of what needs none. */
static void respell_host(const char *host, char *out, size_t size)
{
	bool name = host[0] > '9';

	snprintf(out, size, "%s%s", host, name && pick(3) == 0 ? "." : "");
	for (size_t i = 0; out[i]; i++)
		if (out[i] >= 'a' && out[i] <= 'z' && pick(3) == 0)
			out[i] = (char)(out[i] - 'a' + 'A');
}

static void respell_path(const char *path, char *out, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; path[i] && used + 4 < size; i++) {
		bool escape = path[i] == '%';

		if (!escape && path[i] >= 'a' && path[i] <= 'z' && pick(4) == 0)
			used += (size_t)snprintf(out + used, size - used, "%%%02x", path[i]);
		else
			out[used++] = path[i];
		if (escape && path[i + 1] == '2' && pick(2)) {
			used += (size_t)snprintf(out + used, size - used, "2f");
			i += 2;
		}
	}
	out[used] = '\0';
}

static void ask_url(const struct policy *policy, const struct asked *q, struct policy_decision *ret)
{
	static struct policy_url storage;
	struct policy_request request;
	char url[256], host[64], path[128];
	struct err err = {};

	respell_host(q->host, host, sizeof(host));
	respell_path(q->path, path, sizeof(path));
	snprintf(url, sizeof(url), "%s://%s:%u%s", q->websocket ? "wss" : "https", host, q->port,
		path);
	if (policy_request_of_url(q->method, url, &storage, &request, &err) < 0)
		fail_msg("%s: %s", url, err.text);
	policy_decide(policy, &request, ret);
}

/* As the proxy has it: the stated destination, then a head's method and target. */
static void ask_data_path(
	const struct policy *policy, const struct asked *q, struct policy_decision *ret)
{
	struct policy_request request = { .protocol = POLICY_PROTOCOL_HTTP,
		.secure = true,
		.method = q->method,
		.websocket = q->websocket };
	static struct policy_path canonical;
	char authority[80], host[64], path[128];

	respell_host(q->host, host, sizeof(host));
	respell_path(q->path, path, sizeof(path));
	snprintf(authority, sizeof(authority), "%s:%u", host, q->port);
	assert_true(
		policy_authority_parse(authority, strlen(authority), &request.host, &request.port));
	assert_true(policy_path_parse(path, strlen(path), &canonical));
	request.path = canonical.text;
	request.has_encoded_slash = canonical.has_encoded_slash;
	policy_decide(policy, &request, ret);
}

static void assert_same(
	const struct policy_decision *a, const struct policy_decision *b, const struct asked *q)
{
	if (a->verdict != b->verdict || a->reason != b->reason || a->rule != b->rule ||
		a->binding != b->binding || a->guest_credentials != b->guest_credentials ||
		a->private_addresses != b->private_addresses ||
		a->request_bytes_max != b->request_bytes_max ||
		a->response_bytes_max != b->response_bytes_max ||
		strcmp(a->rule_id, b->rule_id) != 0)
		fail_msg("%s %s:%u%s: check says %d (%d), the data path %d (%d)", q->method,
			q->host, q->port, q->path, a->verdict, a->reason, b->verdict, b->reason);
}

/* The offered rule beside the others: the request passes, but for a project that lists what it needs. */
static bool check_offer(const struct policy *policy, const struct made_rule *rules, size_t count,
	const struct asked *q)
{
	_cleanup_policy_ struct policy *after = NULL;
	char rule[POLICY_SUGGESTION_TEXT_MAX], url[256];
	static struct policy_url storage;
	struct policy_suggestion suggestion;
	struct policy_request request;
	struct policy_decision decision;

	snprintf(url, sizeof(url), "%s://%s:%u%s", q->websocket ? "wss" : "https", q->host, q->port,
		q->path);
	assert_int_equal(policy_request_of_url(q->method, url, &storage, &request, NULL), 0);
	policy_decide(policy, &request, &decision);
	if (!policy_suggest(policy, &request, &decision, &suggestion))
		return false;
	policy_suggestion_rule(&suggestion, "offered", rule);
	after = make_policy(rules, count, rule);
	policy_decide(after, &request, &decision);
	if (decision.verdict == POLICY_DENY &&
		!(policy->narrowing_count && decision.reason == POLICY_REASON_NARROWED))
		fail_msg("%s %s: still denied (%d) with %s", q->method, url, decision.reason, rule);
	return true;
}

static void test_same_answer_and_right_answer(void **state)
{
	static const char *const asked_methods[] = { "GET", "GET", "POST", "PUT" };
	static const unsigned int asked_ports[] = { 80, 443, 443, 443, 8080, 22 };
	unsigned int seen[3] = {}, offered = 0;

	(void)state;
	for (unsigned int round = 0; round < ROUNDS; round++) {
		_cleanup_policy_ struct policy *policy = NULL;
		struct made_rule rules[RULES];
		size_t count = pick(4) ? RULES : pick(RULES);
		bool twice = pick(3) == 0;

		for (size_t i = 0; i < count; i++)
			rules[i] = make_rule(twice);
		policy = make_policy(rules, count, NULL);
		for (unsigned int i = 0; i < REQUESTS; i++) {
			struct asked q = { PICK(hosts), PICK(paths), PICK(asked_methods),
				PICK(asked_ports), pick(4) == 0 };
			enum policy_verdict naive = naive_decide(rules, count, &q);
			struct policy_decision check, data;

			ask_url(policy, &q, &check);
			ask_data_path(policy, &q, &data);
			assert_same(&check, &data, &q);
			if (check.verdict != naive)
				fail_msg("round %u: %s %s:%u%s: %d, naive %d", round, q.method,
					q.host, q.port, q.path, check.verdict, naive);
			seen[naive]++;
			offered += i % 8 == 0 && check_offer(policy, rules, count, &q);
		}
	}
	assert_true(offered > ROUNDS);
	/* The vocabulary is such that each verdict is frequent: a test of denials alone would be none. */
	for (size_t i = 0; i < ARRAY_SIZE(seen); i++)
		assert_true(seen[i] > ROUNDS * REQUESTS / 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_answer_and_right_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
