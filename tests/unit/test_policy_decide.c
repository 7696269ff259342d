/* SPDX-License-Identifier: Apache-2.0 */
/* Decisions: rules, layers, tiers, addresses, bindings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lib/policy_case.h"
#include "vmm/base/array.h"

struct expected {
	const char *words;
	enum policy_verdict verdict;
	enum policy_reason reason;
	const char *rule_id;
};

static void expect(const struct policy *policy, const struct expected *cases, size_t count)
{
	struct policy_asked asked;

	for (size_t i = 0; i < count; i++) {
		policy_ask(policy, cases[i].words, &asked);
		if (asked.decision.verdict != cases[i].verdict ||
			asked.decision.reason != cases[i].reason ||
			strcmp(asked.decision.rule_id, cases[i].rule_id) != 0)
			fail_msg("%s: verdict %d, reason %d, rule %s", cases[i].words,
				asked.decision.verdict, asked.decision.reason,
				asked.decision.rule_id);
	}
}

#define EXPECT(policy, ...)                                                                        \
	expect(policy, (const struct expected[]){ __VA_ARGS__ },                                   \
		ARRAY_SIZE(((const struct expected[]){ __VA_ARGS__ })))

#define ALLOWED(words, id)                                                                         \
	{                                                                                          \
		words, POLICY_ALLOW, POLICY_REASON_RULE, id                                        \
	}
#define AUDITED(words, id)                                                                         \
	{                                                                                          \
		words, POLICY_AUDIT, POLICY_REASON_RULE, id                                        \
	}
#define DENIED(words, why, id)                                                                     \
	{                                                                                          \
		words, POLICY_DENY, POLICY_REASON_##why, id                                        \
	}

static void test_nothing_is_denied(void **state)
{
	_cleanup_policy_ struct policy *policy = policy_case_make(&(struct policy_case){});

	(void)state;
	EXPECT(policy, DENIED("GET https://example.com/", NO_RULE, ""),
		DENIED("ssh://example.com", NO_RULE, ""),
		DENIED("GET https://8.8.8.8/", LITERAL, ""),
		DENIED("GET https://127.0.0.1/", FORBIDDEN, ""));
}

static void test_rules(void **state)
{
	_cleanup_policy_ struct policy *policy = POLICY_OF_USER(
		"'rules': ["
		"{'id':'read','action':'allow','host':'docs.example.com','methods':['GET','HEAD']},"
		"{'id':'api','action':'allow','host':'api.example.com','port':443,'paths':['/v1/**']},"
		"{'id':'ws','action':'allow','host':'ws.example.com','websocket':true},"
		"{'id':'npm','action':'allow','host':'npm.example.com','encoded_slash':true},"
		"{'id':'db','action':'allow','host':'db.example.com','protocol':'tcp','port':'5432-5433'},"
		"{'id':'git','action':'allow','host':'git.example.com','protocol':'ssh'},"
		"{'id':'seen','action':'allow','host':'new.example.com','mode':'audit'},"
		"{'id':'both','action':'allow','host':'new.example.com','paths':'/known'},"
		"{'id':'none','action':'deny','host':'**.example.com','paths':'/admin/**'},"
		"{'id':'try','action':'deny','mode':'audit','host':'docs.example.com','paths':'/old/**'}]");

	(void)state;
	EXPECT(policy, ALLOWED("GET https://docs.example.com/x", "read"),
		ALLOWED("GET http://docs.example.com/", "read"),
		DENIED("POST https://docs.example.com/x", METHOD, "read"),
		DENIED("get https://docs.example.com/x", METHOD, "read"),
		DENIED("GET https://docs.example.com:8443/", PORT, "read"),
		DENIED("ssh://docs.example.com", PORT, "read"),
		DENIED("tls://docs.example.com", PROTOCOL, "read"),
		DENIED("GET https://x.docs.example.com/", NO_RULE, ""),
		ALLOWED("DELETE https://api.example.com/v1/x", "api"),
		DENIED("GET https://api.example.com/v2", PATH, "api"),
		DENIED("GET http://api.example.com/v1", PORT, "api"),
		DENIED("GET https://api.example.com/admin/x", RULE, "none"),
		ALLOWED("GET wss://ws.example.com/", "ws"),
		DENIED("GET wss://docs.example.com/", WEBSOCKET, "read"),
		ALLOWED("GET https://npm.example.com/@a%2Fb", "npm"),
		DENIED("GET https://docs.example.com/@a%2Fb", PATH, "read"),
		DENIED("GET https://npm.example.com/admin%2Fx", RULE, "none"),
		DENIED("GET https://npm.example.com/x/..%2Fadmin", PATH, "npm"),
		DENIED("GET https://npm.example.com/%61dmin/x", RULE, "none"),
		ALLOWED("tcp://db.example.com:5433", "db"),
		DENIED("tcp://db.example.com:5434", PORT, "db"),
		ALLOWED("ssh://git.example.com", "git"),
		DENIED("GET https://git.example.com:22/", PROTOCOL, "git"),
		AUDITED("GET https://new.example.com/x", "seen"),
		ALLOWED("GET https://new.example.com/known", "both"),
		AUDITED("GET https://docs.example.com/old/1", "try"),
		DENIED("CONNECT https://docs.example.com/", METHOD, ""),
		DENIED("POST https://docs.example.com/old/1", METHOD, "read"));
}

static void test_blocked_hosts(void **state)
{
	_cleanup_policy_ struct policy *policy = POLICY_OF_USER(
		"'blocked_hosts': ['**.prod.example.com'],"
		"'rules': [{'id':'all','action':'allow','host':'**.example.com'},"
		"{'id':'ssh','action':'allow','host':'**.example.com','protocol':'ssh'}]");

	(void)state;
	EXPECT(policy, ALLOWED("GET https://dev.example.com/", "all"),
		DENIED("GET https://prod.example.com/", RULE, "blocked_hosts"),
		DENIED("GET https://db.prod.example.com/", RULE, "blocked_hosts"),
		DENIED("ssh://db.prod.example.com", RULE, "blocked_hosts"));
}

static void test_layers(void **state)
{
	_cleanup_policy_ struct policy *policy = policy_case_make(&(struct policy_case){
		.layers = {
			[POLICY_LAYER_SYSTEM] =
				"{'version':1,'rules':[{'id':'s','action':'allow','host':['s.example.com','x.example.com']},{'id':'sd','action':'deny','host':'bad.example.com'}]}",
			[POLICY_LAYER_USER] =
				"{'version':1,'rules':[{'id':'u','action':'allow','host':['u.example.com','bad.example.com','x.example.com'],'request_bytes_max':100}]}",
			[POLICY_LAYER_COMMAND] =
				"{'version':1,'rules':[{'id':'c','action':'allow','host':['c.example.com','bad.example.com','worse.example.com']}]}",
			[POLICY_LAYER_PROJECT] =
				"{'version':1,'rules':[{'id':'p','action':'allow','host':['u.example.com','s.example.com','new.example.com','worse.example.com'],'methods':'GET','request_bytes_max':50},{'id':'pd','action':'deny','host':'worse.example.com'}]}",
		} });
	struct policy_asked asked;

	(void)state;
	EXPECT(policy, ALLOWED("GET https://u.example.com/", "u"),
		ALLOWED("GET https://s.example.com/", "s"),
		DENIED("GET https://c.example.com/", NARROWED, "c"),
		DENIED("POST https://u.example.com/", NARROWED, "u"),
		DENIED("GET https://new.example.com/", NO_RULE, ""),
		DENIED("GET https://bad.example.com/", RULE, "sd"),
		DENIED("GET https://worse.example.com/", RULE, "pd"),
		DENIED("GET https://x.example.com/", NARROWED, "u"));
	policy_ask(policy, "GET https://u.example.com/", &asked);
	assert_int_equal(asked.decision.request_bytes_max, 50);
	assert_true(asked.decision.response_bytes_max == UINT64_MAX);
}

/* H5: of several documents of the project's each narrows: what is asked for must be in all that list anything. */
static void test_project_twice(void **state)
{
#define TEXT(layer, text)                                                                          \
	{                                                                                          \
		layer, "document", text, sizeof(text) - 1                                          \
	}
	static const struct policy_source sources[] = {
		TEXT(POLICY_LAYER_USER,
			"{\"version\":1,\"rules\":[{\"id\":\"u\",\"action\":\"allow\",\"host\":\"**.example.com\"}]}"),
		TEXT(POLICY_LAYER_PROJECT,
			"{\"version\":1,\"rules\":[{\"id\":\"p\",\"action\":\"allow\",\"host\":[\"a.example.com\",\"b.example.com\"],\"request_bytes_max\":70}],"
			"\"limits\":[{\"id\":\"l\",\"requests_per_hour\":9}]}"),
		TEXT(POLICY_LAYER_PROJECT,
			"{\"version\":1,\"rules\":[{\"id\":\"d\",\"action\":\"deny\",\"host\":\"a.example.com\",\"paths\":\"/x\"}]}"),
		TEXT(POLICY_LAYER_PROJECT,
			"{\"version\":1,\"rules\":[{\"id\":\"p\",\"action\":\"allow\",\"host\":[\"a.example.com\",\"c.example.com\"],\"response_bytes_max\":50}],"
			"\"limits\":[{\"id\":\"l\",\"requests_per_hour\":1}]}"),
	};
#undef TEXT
	_cleanup_policy_ struct policy *policy = NULL;
	struct policy_asked asked;
	struct err err = {};

	(void)state;
	assert_int_equal(
		policy_create(sources, ARRAY_SIZE(sources), POLICY_TIER_BUILDER, &policy, &err), 0);
	EXPECT(policy, ALLOWED("GET https://a.example.com/", "u"),
		DENIED("GET https://a.example.com/x", RULE, "d"),
		DENIED("GET https://b.example.com/", NARROWED, "u"),
		DENIED("GET https://c.example.com/", NARROWED, "u"),
		DENIED("GET https://d.example.com/", NARROWED, "u"));
	policy_ask(policy, "GET https://a.example.com/", &asked);
	assert_int_equal(asked.decision.request_bytes_max, 70);
	assert_int_equal(asked.decision.response_bytes_max, 50);
	/* One id, two limits, one counter: the lower one holds. */
	assert_int_equal(policy->limit_count, 2);
}

static void test_tiers(void **state)
{
	static const char text[] =
		"{'version':1,'rules':[{'id':'b','action':'allow','host':'b.example.com'},"
		"{'id':'d','action':'allow','host':'d.example.com','tier':'deployer'}]}";
	_cleanup_policy_ struct policy *builder =
		policy_case_make(&(struct policy_case){ .layers[POLICY_LAYER_USER] = text });
	_cleanup_policy_ struct policy *admin = policy_case_make(&(struct policy_case){
		.layers[POLICY_LAYER_USER] = text, .tier = POLICY_TIER_ADMIN });
	size_t a, b;

	(void)state;
	EXPECT(builder, ALLOWED("GET https://b.example.com/", "b"),
		DENIED("GET https://d.example.com/", TIER, "d"));
	EXPECT(admin, ALLOWED("GET https://b.example.com/", "b"),
		ALLOWED("GET https://d.example.com/", "d"));
	assert_string_not_equal(policy_digest_input(builder, &a), policy_digest_input(admin, &b));
	assert_int_equal(a, strlen(policy_digest_input(builder, &a)));
}

static void resolve(const struct policy *policy, const char *words, const char *address,
	struct policy_decision *ret)
{
	struct policy_asked asked;
	struct policy_host host;

	policy_ask(policy, words, &asked);
	assert_true(policy_host_parse(address, strlen(address), &host));
	policy_decide_address(&asked.decision, &host, ret);
}

static void test_addresses(void **state)
{
	_cleanup_policy_ struct policy *policy = POLICY_OF_USER(
		"'rules': ["
		"{'id':'out','action':'allow','host':'out.example.com'},"
		"{'id':'lan','action':'allow','host':'lan.example.com','private_addresses':true},"
		"{'id':'box','action':'allow','host':'10.1.2.3'},"
		"{'id':'net','action':'allow','cidr':'192.168.0.0/16'},"
		"{'id':'wide','action':'allow','cidr':'0.0.0.0/0','port':8080},"
		"{'id':'no','action':'deny','cidr':'10.9.0.0/16'},"
		"{'id':'hm','action':'deny','mode':'audit','cidr':'9.0.0.0/8'}]");
	static const struct {
		const char *words, *address;
		enum policy_verdict verdict;
		enum policy_reason reason;
		const char *rule_id;
	} cases[] = {
		{ "https://out.example.com/", "8.8.8.8", POLICY_ALLOW, POLICY_REASON_RULE, "out" },
		{ "https://out.example.com/", "10.0.0.1", POLICY_DENY, POLICY_REASON_PRIVATE,
			"out" },
		{ "https://out.example.com/", "127.0.0.1", POLICY_DENY, POLICY_REASON_FORBIDDEN,
			"out" },
		{ "https://out.example.com/", "::ffff:10.0.0.1", POLICY_DENY, POLICY_REASON_PRIVATE,
			"out" },
		{ "https://out.example.com/", "9.9.9.9", POLICY_AUDIT, POLICY_REASON_RULE, "hm" },
		{ "https://lan.example.com/", "10.0.0.1", POLICY_ALLOW, POLICY_REASON_RULE, "lan" },
		{ "https://lan.example.com/", "10.9.0.1", POLICY_DENY, POLICY_REASON_RULE, "no" },
		{ "https://lan.example.com/", "64:ff9b::a09:1", POLICY_DENY, POLICY_REASON_RULE,
			"no" },
		{ "https://lan.example.com/", "64:ff9b::a08:1", POLICY_ALLOW, POLICY_REASON_RULE,
			"lan" },
		{ "https://lan.example.com/", "169.254.169.254", POLICY_DENY,
			POLICY_REASON_FORBIDDEN, "lan" },
		{ "https://10.1.2.3/", "10.1.2.3", POLICY_ALLOW, POLICY_REASON_RULE, "box" },
		{ "https://other.example.com/", "8.8.8.8", POLICY_DENY, POLICY_REASON_NO_RULE, "" },
	};
	struct policy_decision decision;

	(void)state;
	EXPECT(policy, ALLOWED("GET https://10.1.2.3/", "box"),
		ALLOWED("GET https://192.168.5.6/", "net"),
		DENIED("GET https://10.1.2.4/", PORT, "wide"),
		DENIED("GET https://[2606:4700::1]/", LITERAL, ""),
		ALLOWED("GET http://8.8.8.8:8080/", "wide"),
		DENIED("GET http://8.8.8.8:8081/", PORT, "wide"),
		DENIED("GET http://10.1.1.1:8080/", PRIVATE, "wide"),
		DENIED("GET http://10.9.1.1:8080/", RULE, "no"),
		DENIED("GET http://[2002:a09:101::]:8080/", RULE, "no"),
		DENIED("GET http://[::1]:8080/", FORBIDDEN, ""),
		DENIED("GET http://169.254.169.254:8080/", FORBIDDEN, ""));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		resolve(policy, cases[i].words, cases[i].address, &decision);
		if (decision.verdict != cases[i].verdict || decision.reason != cases[i].reason ||
			strcmp(decision.rule_id, cases[i].rule_id) != 0)
			fail_msg("%s at %s: %d %d %s", cases[i].words, cases[i].address,
				decision.verdict, decision.reason, decision.rule_id);
	}
}

/* E13, E15: who gets a credential, and whose own may pass. */
static void test_bindings(void **state)
{
	_cleanup_policy_ struct policy *policy = POLICY_OF_USER(
		"'rules': ["
		"{'id':'api','action':'allow','host':'api.example.com','port':[443,8443,80],'guest_credentials':'allow'},"
		"{'id':'must','action':'allow','host':'must.example.com'}],"
		"'bindings': ["
		"{'id':'up','secret':'s','host':'api.example.com','methods':'POST','paths':'/admin','scheme':'bearer','tier':'deployer'},"
		"{'id':'b','secret':'s','host':'api.example.com','methods':['GET','POST'],'paths':'/v1/**','scheme':'bearer'},"
		"{'id':'m','secret':'t','host':'must.example.com','methods':'GET','paths':'/in','scheme':'bearer','require':true},"
		"{'id':'n','secret':'t','host':'not-allowed.example.com','methods':'GET','paths':'/**','scheme':'bearer'}]");
	static const struct {
		const char *words, *binding;
		bool guest;
	} cases[] = {
		{ "GET https://api.example.com/v1/x", "b", false },
		{ "POST https://api.example.com/v1", "b", false },
		{ "DELETE https://api.example.com/v1/x", NULL, true },
		{ "GET https://api.example.com/v2", NULL, true },
		{ "POST https://api.example.com/admin", NULL, true },
		{ "GET https://api.example.com:8443/v1/x", NULL, true },
		{ "GET http://api.example.com/v1/x", NULL, true },
		{ "GET http://api.example.com:443/v1/x", NULL, true },
		{ "GET https://must.example.com/in", "m", false },
	};
	struct policy_asked asked;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct policy_binding *b;

		policy_ask(policy, cases[i].words, &asked);
		b = asked.decision.binding;
		if (asked.decision.verdict != POLICY_ALLOW ||
			asked.decision.guest_credentials != cases[i].guest ||
			(b ? !cases[i].binding || strcmp(b->id, cases[i].binding) != 0
			   : cases[i].binding != NULL))
			fail_msg("%s: binding %s", cases[i].words, b ? b->id : "none");
	}
	EXPECT(policy, DENIED("GET https://must.example.com/out", BINDING, "must"),
		DENIED("POST https://must.example.com/in", BINDING, "must"),
		DENIED("GET https://not-allowed.example.com/", NO_RULE, ""));
}

static bool git_bound(const struct policy *policy, const char *words)
{
	struct policy_asked asked;

	policy_ask(policy, words, &asked);
	assert_int_equal(asked.decision.verdict, POLICY_ALLOW);
	return asked.decision.binding != NULL;
}

static void expect_git_bound(
	const struct policy *policy, const char *const *words, size_t count, bool wanted)
{
	for (size_t i = 0; i < count; i++)
		if (git_bound(policy, words[i]) != wanted)
			fail_msg("%s gets %s credential", words[i], wanted ? "no" : "the");
}

static void test_git_bindings(void **state)
{
	_cleanup_policy_ struct policy *policy = POLICY_OF_USER(
		"'rules': [{'id':'git','action':'allow','host':'git.example.com'}],"
		"'bindings': ["
		"{'id':'pull','secret':'s','host':'git.example.com','git':{'repositories':['me/read']}},"
		"{'id':'push','secret':'s','host':'git.example.com','git':{'repositories':['me/write'],'push':true}}]");
	static const char *const covered[] = {
		"GET https://git.example.com/me/read.git/info/refs?service=git-upload-pack",
		"GET https://git.example.com/me/read/info/refs?service=git-upload-pack",
		"POST https://git.example.com/me/read.git/git-upload-pack",
		"POST https://git.example.com/me/write/git-receive-pack",
		"GET https://git.example.com/me/write.git/info/refs?service=git-receive-pack",
		"POST https://git.example.com/me/write.git/git-upload-pack",
	};
	static const char *const other[] = {
		"GET https://git.example.com/me/read.git/info/refs?service=git-receive-pack",
		"POST https://git.example.com/me/read.git/git-receive-pack",
		"GET https://git.example.com/me/read.git/info/refs",
		"GET https://git.example.com/me/read.git/info/refs?service=git-upload-pack&x=1",
		"GET https://git.example.com/me/read.git/git-upload-pack",
		"POST https://git.example.com/me/read.git/git-upload-pack?x",
		"POST https://git.example.com/me/read.git/info/refs?service=git-upload-pack",
		"GET https://git.example.com/me/read.git/HEAD",
		"GET https://git.example.com/me/read",
		"POST https://git.example.com/me/readable/git-upload-pack",
		"POST https://git.example.com/me/read.gitx/git-upload-pack",
		"POST https://git.example.com/me/read/x/git-upload-pack",
		"POST https://git.example.com/x/me/read/git-upload-pack",
		"POST https://git.example.com/me/other/git-upload-pack",
		"GET https://git.example.com/settings/tokens",
		"POST http://git.example.com/me/read.git/git-upload-pack",
	};

	(void)state;
	assert_string_equal(policy->bindings[0].username, "x-access-token");
	assert_int_equal(policy->bindings[0].scheme, POLICY_SCHEME_BASIC);
	expect_git_bound(policy, covered, ARRAY_SIZE(covered), true);
	expect_git_bound(policy, other, ARRAY_SIZE(other), false);
}

#define OID  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define HOST "https://git.example.com"

/* E15: git-lfs only where it is asked for, of the repository named, and what writes with push alone. */
static void test_git_lfs(void **state)
{
	_cleanup_policy_ struct policy *policy = POLICY_OF_USER(
		"'rules': [{'id':'git','action':'allow','host':'git.example.com'}],"
		"'bindings': ["
		"{'id':'none','secret':'s','host':'git.example.com','git':{'repositories':['me/none'],'push':true}},"
		"{'id':'pull','secret':'s','host':'git.example.com','git':{'repositories':['me/read'],'lfs':true}},"
		"{'id':'push','secret':'s','host':'git.example.com','git':{'repositories':['me/write'],'lfs':true,'push':true}}]");
	static const char *const covered[] = {
		"POST " HOST "/me/read.git/info/lfs/objects/batch",
		"POST " HOST "/me/read/info/lfs/objects/batch",
		"GET " HOST "/me/read.git/info/lfs/objects/" OID,
		"GET " HOST "/me/read.git/gitlab-lfs/objects/" OID,
		"GET " HOST "/me/read.git/info/lfs/locks",
		"GET " HOST "/me/read.git/info/lfs/locks?path=a&limit=1",
		"PUT " HOST "/me/write.git/info/lfs/objects/" OID,
		"PUT " HOST "/me/write.git/info/lfs/objects/" OID "/12",
		"PUT " HOST "/me/write.git/gitlab-lfs/objects/" OID "/12",
		"POST " HOST "/me/write.git/info/lfs/verify",
		"POST " HOST "/me/write.git/info/lfs/locks",
		"POST " HOST "/me/write.git/info/lfs/locks/verify",
		"POST " HOST "/me/write.git/info/lfs/locks/some-ID_1/unlock",
	};
	static const char *const other[] = {
		"POST " HOST "/me/none.git/info/lfs/objects/batch",
		"GET " HOST "/me/none.git/info/lfs/objects/" OID,
		"PUT " HOST "/me/read.git/info/lfs/objects/" OID,
		"PUT " HOST "/me/read.git/gitlab-lfs/objects/" OID "/12",
		"POST " HOST "/me/read.git/info/lfs/verify",
		"POST " HOST "/me/read.git/info/lfs/locks",
		"POST " HOST "/me/read.git/info/lfs/locks/verify",
		"POST " HOST "/me/read.git/info/lfs/locks/1/unlock",
		"GET " HOST "/me/read.git/info/lfs/objects/batch",
		"POST " HOST "/me/read.git/info/lfs/objects/batch?x",
		"GET " HOST "/me/read.git/info/lfs/objects/" OID "0",
		"GET " HOST "/me/read.git/info/lfs/objects/" OID "/12",
		"GET " HOST "/me/read.git/info/lfs/objects/" OID "?x",
		"GET " HOST "/me/read.git/info/lfs/objects/0123",
		"GET " HOST "/me/read.git/info/lfs",
		"GET " HOST "/me/read.git/info/lfsx/locks",
		"GET " HOST "/me/reader/info/lfs/locks",
		"PUT " HOST "/me/write.git/info/lfs/objects/" OID "/x",
		"PUT " HOST "/me/write.git/info/lfs/objects/" OID "/",
		"DELETE " HOST "/me/write.git/info/lfs/objects/" OID,
		"POST " HOST "/me/write.git/info/lfs/locks/1/2/unlock",
		"POST " HOST "/me/write.git/info/lfs/locks/1/unlock/x",
	};

	(void)state;
	expect_git_bound(policy, covered, ARRAY_SIZE(covered), true);
	expect_git_bound(policy, other, ARRAY_SIZE(other), false);
}

/* E25 and E21 hold over layers, too. */
static void test_bindings_refused(void **state)
{
	static const char binding[] =
		"{'version':1,'bindings':[{'id':'b','secret':'s','host':'api.example.com','methods':'GET','paths':'/','scheme':'bearer'}]}";
	static const struct {
		const char *rules, *error;
	} cases[] = {
		{ "{'version':1,'rules':[{'id':'o','action':'allow','protocol':'tls','host':'*.example.com','tier':'admin'}]}",
			"(E25)" },
		{ "{'version':1,'rules':[{'id':'o','action':'allow','protocol':'tcp','host':'api.example.com','port':'1-1000'}]}",
			"(E25)" },
		{ "{'version':1,'presets':'audit-all'}", "(E21)" },
		{ "{'version':1,'rules':[{'id':'o','action':'allow','protocol':'tcp','host':'api.example.com','port':444}]}",
			NULL },
		{ "{'version':1,'rules':[{'id':'o','action':'deny','protocol':'tls','host':'api.example.com'}]}",
			NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_policy_ struct policy *policy = NULL;
		struct err err = {};
		int r = policy_case_try(
			&(struct policy_case){ .layers = { [POLICY_LAYER_SYSTEM] = cases[i].rules,
						       [POLICY_LAYER_COMMAND] = binding } },
			&policy, &err);

		assert_int_equal(r, cases[i].error ? -EINVAL : 0);
		if (cases[i].error)
			assert_non_null(strstr(err.text, cases[i].error));
	}
}

static enum policy_protocol protocol_of(
	const struct policy *policy, const char *name, uint16_t port)
{
	struct policy_host host;

	assert_true(policy_host_parse(name, strlen(name), &host));
	return policy_decide_protocol(policy, &host, port);
}

static void test_protocol(void **state)
{
	_cleanup_policy_ struct policy *policy = POLICY_OF_USER(
		"'rules': ["
		"{'id':'w','action':'allow','host':'**.example.com'},"
		"{'id':'t','action':'allow','host':'pin.example.net','protocol':'tls'},"
		"{'id':'x','action':'allow','host':'a.example.com','protocol':'tls'},"
		"{'id':'s','action':'allow','host':'git.example.net','protocol':'ssh','port':443}]");

	(void)state;
	assert_int_equal(protocol_of(policy, "pin.example.net", 443), POLICY_PROTOCOL_TLS);
	assert_int_equal(protocol_of(policy, "pin.example.net", 444), POLICY_PROTOCOL_HTTP);
	assert_int_equal(protocol_of(policy, "a.example.com", 443), POLICY_PROTOCOL_HTTP);
	assert_int_equal(protocol_of(policy, "git.example.net", 443), POLICY_PROTOCOL_SSH);
	assert_int_equal(protocol_of(policy, "nobody.example.net", 22), POLICY_PROTOCOL_HTTP);
}

static void test_presets(void **state)
{
	_cleanup_policy_ struct policy *offline = POLICY_OF_USER(
		"'presets': 'offline', 'rules': [{'id':'x','action':'allow','host':'example.com'}]");
	_cleanup_policy_ struct policy *builder = POLICY_OF_USER("'presets': ['builder']");
	_cleanup_policy_ struct policy *all = POLICY_OF_USER("'presets': 'audit-all'");

	(void)state;
	EXPECT(offline, DENIED("GET https://example.com/", RULE, "offline"),
		DENIED("tcp://8.8.8.8:1", RULE, "offline"),
		DENIED("ssh://[2606:4700::1]", RULE, "offline"));
	EXPECT(builder,
		ALLOWED("GET https://github.com/a/b.git/info/refs?service=git-upload-pack",
			"code-hosts-read"),
		ALLOWED("POST https://github.com/a/b.git/git-upload-pack", "code-hosts-fetch"),
		DENIED("POST https://github.com/a/b.git/git-receive-pack", PATH,
			"code-hosts-fetch"),
		DENIED("POST https://docs.rs/x", METHOD, "documentation"),
		DENIED("GET https://gist.github.com/", NO_RULE, ""));
	EXPECT(all, AUDITED("POST https://anything.example/x", "audit-web"),
		AUDITED("ssh://anything.example", "audit-ssh"),
		AUDITED("tcp://anything.example:5432", "audit-tcp"),
		AUDITED("GET http://8.8.8.8/", "audit-web"),
		DENIED("GET http://127.0.0.1/", FORBIDDEN, ""),
		DENIED("GET http://10.0.0.1/", PRIVATE, "audit-web"));
	for (unsigned int layer = 0; layer < POLICY_LAYER_COUNT; layer++)
		for (size_t i = 0; i < builder->rule_count[layer]; i++)
			assert_false(builder->rules[layer][i].guest_credentials);
}

/* Whatever stands in a request, an answer comes. */
static void test_total(void **state)
{
	_cleanup_policy_ struct policy *policy =
		POLICY_OF_USER("'rules': [{'id':'a','action':'allow','host':'**.example.com'}]");
	struct policy_request requests[] = {
		{},
		{ .protocol = POLICY_PROTOCOL_HTTP, .port = 443 },
		{ .protocol = POLICY_PROTOCOL_HTTP, .port = 443, .method = "GET" },
		{ .protocol = POLICY_PROTOCOL_HTTP, .port = 443, .method = "", .path = "/" },
		{ .protocol = POLICY_PROTOCOL_HTTP, .port = 443, .method = "GET", .path = "" },
		{ .protocol = POLICY_PROTOCOL_HTTP, .port = 443, .method = "GET", .path = "*" },
		{ .protocol = 99, .port = 443, .method = "GET", .path = "/" },
		{ .protocol = POLICY_PROTOCOL_HTTP, .method = "GET", .path = "/" },
	};
	struct policy_decision decision;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		if (i)
			assert_true(policy_host_parse("a.example.com", 13, &requests[i].host));
		policy_decide(policy, &requests[i], &decision);
		assert_int_equal(decision.verdict, POLICY_DENY);
	}
	requests[5].method = "OPTIONS";
	policy_decide(policy, &requests[5], &decision);
	assert_int_equal(decision.verdict, POLICY_ALLOW);
}

static void test_words(void **state)
{
	enum policy_tier tier = 0;

	(void)state;
	assert_true(policy_tier_parse("orchestrator", &tier));
	assert_int_equal(tier, POLICY_TIER_ORCHESTRATOR);
	assert_false(policy_tier_parse("root", &tier));
	assert_string_equal(policy_tier_name(POLICY_TIER_ADMIN), "admin");
	assert_null(policy_tier_name(0));
	assert_string_equal(policy_protocol_name(POLICY_PROTOCOL_SSH), "ssh");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_is_denied),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_blocked_hosts),
		cmocka_unit_test(test_layers),
		cmocka_unit_test(test_project_twice),
		cmocka_unit_test(test_tiers),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_bindings),
		cmocka_unit_test(test_git_bindings),
		cmocka_unit_test(test_git_lfs),
		cmocka_unit_test(test_bindings_refused),
		cmocka_unit_test(test_protocol),
		cmocka_unit_test(test_presets),
		cmocka_unit_test(test_total),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
