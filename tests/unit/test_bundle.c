/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-proxy/bundle.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define ALLOW "{\"version\":1,\"rules\":[{\"id\":\"a\",\"action\":\"allow\",\"host\":\"x.test\"}]}"

static const struct policy_source two[] = {
	{ POLICY_LAYER_USER, "the user's file", "{\"version\":1}", 13 },
	{ POLICY_LAYER_COMMAND, "the command line", ALLOW, sizeof(ALLOW) - 1 },
};

static uint8_t *encoded(const struct policy_source *sources, size_t count, size_t *ret_len)
{
	uint8_t *out;

	*ret_len = bundle_size(sources, count);
	assert_int_not_equal(*ret_len, 0);
	out = malloc(*ret_len);
	assert_non_null(out);
	bundle_encode(sources, count, POLICY_TIER_DEPLOYER, out);
	return out;
}

static void gives_back_what_it_was_given(void **state)
{
	struct bundle bundle;
	uint8_t *wire;
	size_t len;

	(void)state;
	wire = encoded(two, 2, &len);
	assert_int_equal(bundle_decode(wire, len, &bundle), 0);
	assert_int_equal(bundle.count, 2);
	assert_int_equal(bundle.tier, POLICY_TIER_DEPLOYER);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(bundle.sources[i].layer, two[i].layer);
		assert_string_equal(bundle.sources[i].name, two[i].name);
		assert_int_equal(bundle.sources[i].len, two[i].len);
		assert_memory_equal(bundle.sources[i].json, two[i].json, two[i].len);
	}
	bundle_finish(&bundle);
	free(wire);
	wire = encoded(NULL, 0, &len);
	assert_int_equal(bundle_decode(wire, len, &bundle), 0);
	assert_int_equal(bundle.count, 0);
	bundle_finish(&bundle);
	free(wire);
}

static void refuses_all_else(void **state)
{
	struct bundle bundle;
	uint8_t *wire, *copy;
	size_t len;

	(void)state;
	wire = encoded(two, 2, &len);
	for (size_t cut = 0; cut < len; cut++) {
		copy = malloc(cut ? cut : 1); /* of its own, so that ASan sees a read past it */
		assert_non_null(copy);
		memcpy(copy, wire, cut);
		assert_int_equal(bundle_decode(copy, cut, &bundle), -EPROTO);
		free(copy);
	}
	copy = malloc(len + 1);
	assert_non_null(copy);
	memcpy(copy, wire, len);
	copy[len] = 0;
	assert_int_equal(bundle_decode(copy, len + 1, &bundle), -EPROTO);
	for (size_t i = 0; i < 6; i++) { /* version, tier, count, a layer and the byte behind it */
		memcpy(copy, wire, len);
		copy[i] = 200;
		assert_int_equal(bundle_decode(copy, len, &bundle), -EPROTO);
	}
	memcpy(copy, wire, len);
	copy[12] = 0; /* in a name */
	assert_int_equal(bundle_decode(copy, len, &bundle), -EPROTO);
	free(copy);
	free(wire);
}

static void is_bounded(void **state)
{
	static char name[BUNDLE_NAME_MAX + 2];
	struct policy_source source = two[0], many[POLICY_SOURCES_MAX + 1] = {};

	(void)state;
	for (size_t i = 0; i <= POLICY_SOURCES_MAX; i++)
		many[i] = two[0];
	assert_int_not_equal(bundle_size(many, POLICY_SOURCES_MAX), 0);
	assert_int_equal(bundle_size(many, POLICY_SOURCES_MAX + 1), 0);
	memset(name, 'n', BUNDLE_NAME_MAX + 1);
	source.name = name;
	assert_int_equal(bundle_size(&source, 1), 0);
	name[BUNDLE_NAME_MAX] = '\0';
	assert_int_not_equal(bundle_size(&source, 1), 0);
	source.name = "";
	assert_int_equal(bundle_size(&source, 1), 0);
	source = two[0];
	source.len = POLICY_DOCUMENT_MAX + 1;
	assert_int_equal(bundle_size(&source, 1), 0);
}

static int memfd_of(const void *data, size_t len)
{
	int fd = memfd_create("bundle", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), (ssize_t)len);
	return fd;
}

static void becomes_the_policy(void **state)
{
	struct policy_source bad = { POLICY_LAYER_USER, "my file", "{\"version\":2}", 13 };
	struct policy *policy = NULL;
	struct err err = {};
	uint8_t *wire;
	size_t len;
	int fd;

	(void)state;
	wire = encoded(two, 2, &len);
	fd = memfd_of(wire, len);
	assert_int_equal(bundle_read(fd, &policy, &err), 0);
	assert_int_equal(policy->rule_count[POLICY_LAYER_COMMAND], 1);
	assert_int_equal(policy->tier, POLICY_TIER_DEPLOYER);
	policy_destroy(policy);
	close(fd);
	free(wire);
	wire = encoded(&bad, 1, &len);
	fd = memfd_of(wire, len);
	assert_int_equal(bundle_read(fd, &policy, &err), -EINVAL);
	assert_non_null(strstr(err.text, "my file"));
	close(fd);
	free(wire);
	fd = memfd_of("x", 1);
	assert_int_equal(bundle_read(fd, &policy, &err), -EPROTO);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_back_what_it_was_given),
		cmocka_unit_test(refuses_all_else),
		cmocka_unit_test(is_bounded),
		cmocka_unit_test(becomes_the_policy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
