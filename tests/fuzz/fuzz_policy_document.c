/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A policy document from anywhere, as the user's and as a project's: a policy or an error with its place, never a crash;
 * what loads has a digest input that does not change, decides every request, explains it, and a project's alone lets
 * nothing pass (H5).
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "policy/explain.h"
#include "policy/policy.h"
#include "policy/url.h"
#include "vmm/base/array.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const urls[] = { "https://example.com/", "https://api.example.com/v1/x?a=b",
	"http://10.0.0.1/a%2Fb", "wss://a.b.example.com/", "ssh://example.com", "tcp://8.8.8.8:53",
	"https://[2606:4700::1]/" };

static void ask(const struct policy *policy, enum policy_layer layer, const char *url)
{
	static const uint8_t address[4] = { 10, 0, 0, 1 };
	struct policy_host resolved = { .kind = POLICY_HOST_IPV4, .text = "10.0.0.1" };
	static char json[POLICY_DENIAL_JSON_MAX];
	static struct policy_counters counters;
	struct policy_limit_denial denial;
	struct policy_explanation explanation;
	static struct policy_url storage;
	struct policy_decision decision;
	struct policy_request request;
	struct policy_stream stream;

	if (policy_request_of_url(NULL, url, &storage, &request, NULL) < 0)
		abort();
	policy_decide(policy, &request, &decision);
	if (layer == POLICY_LAYER_PROJECT && decision.verdict != POLICY_DENY)
		abort();
	if (decision.verdict == POLICY_DENY && decision.binding)
		abort();
	policy_explain(policy, &request, &decision, &explanation);
	if (policy_explanation_json(&explanation, json) >= sizeof(json) - 1)
		abort();
	if (policy_stream_begin(policy, &request, &decision, &counters, 1000, &stream, &denial)) {
		policy_stream_count(policy, &stream, &counters, 1000, 1000, 1001, &denial);
		policy_stream_end(&stream, &counters);
	}
	memcpy(resolved.address, address, sizeof(address));
	policy_decide_address(&decision, &resolved, &decision);
}

static void load(enum policy_layer layer, const uint8_t *data, size_t size)
{
	const struct policy_source source = { layer, "document", (const char *)data, size };
	struct policy *policy = NULL, *again = NULL;
	struct err err = {};
	size_t a, b;

	if (policy_create(&source, 1, POLICY_TIER_ADMIN, &policy, &err) < 0) {
		if (policy || err.code == 0 || !*err.text)
			abort();
		return;
	}
	if (policy_create(&source, 1, POLICY_TIER_ADMIN, &again, &err) < 0 ||
		strcmp(policy_digest_input(policy, &a), policy_digest_input(again, &b)) != 0 ||
		a != b)
		abort();
	for (size_t i = 0; i < ARRAY_SIZE(urls); i++)
		ask(policy, layer, urls[i]);
	policy_destroy(policy);
	policy_destroy(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	load(POLICY_LAYER_USER, data, size);
	load(POLICY_LAYER_PROJECT, data, size);
	return 0;
}
