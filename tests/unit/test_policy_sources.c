/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/lib/test_folder.h"
#include "vmm/supervisor/policy_sources.h"

#define DENY "{\"blocked_hosts\":\"a.test\",\"version\":1}"
#define RULE "{\"version\":1,\"rules\":[{\"id\":\"r\",\"action\":\"allow\",\"host\":\"a.test\"}]}"

static struct paths paths;
static struct policy_sources got;
static struct err err;

static int load(const char *workspace, const char *command)
{
	char folder[PATH_MAX];
	struct policy_inputs in = { .paths = &paths, .sandbox = "box", .command = command };
	char system_file[PATH_MAX];
	int r;

	snprintf(system_file, sizeof(system_file), "%s", at("etc/policy.json"));
	in.system_file = system_file;
	snprintf(folder, sizeof(folder), "%s", workspace ? at(workspace) : "");
	in.workspace = workspace ? folder : NULL;
	policy_sources_finish(&got);
	err = (struct err){};
	r = policy_sources_load(&in, &got, &err);
	return r;
}

static void expect(size_t i, enum policy_layer layer, const char *json)
{
	assert_true(i < got.count);
	assert_int_equal(got.list[i].layer, layer);
	assert_int_equal(got.list[i].len, strlen(json));
	assert_memory_equal(got.list[i].json, json, strlen(json));
}

static void expect_is_a_policy(void)
{
	struct policy *policy = NULL;

	assert_int_equal(policy_create(got.list, got.count, POLICY_TIER_BUILDER, &policy, &err), 0);
	policy_destroy(policy);
}

static int fresh(void **state)
{
	(void)state;
	if (make_base() < 0)
		return -1;
	snprintf(paths.config, sizeof(paths.config), "%s", at("config"));
	snprintf(paths.state, sizeof(paths.state), "%s", at("state"));
	return 0;
}

static int clear(void **state)
{
	policy_sources_finish(&got);
	return remove_base(state);
}

static void nobody_said_anything(void **state)
{
	(void)state;
	assert_int_equal(load(NULL, NULL), 0);
	assert_int_equal(got.count, 1);
	expect(0, POLICY_LAYER_USER, "{\"version\":1,\"presets\":[\"builder\"]}");
	expect_is_a_policy();
	/* Rules of the command line come on top of the default; a preset there takes its place. */
	assert_int_equal(load(NULL, RULE), 0);
	assert_int_equal(got.count, 2);
	assert_int_equal(load(NULL, "{\"version\":1,\"presets\":[\"offline\"]}"), 0);
	assert_int_equal(got.count, 1);
}

static void every_layer_speaks(void **state)
{
	(void)state;
	put("etc/policy.json", DENY, 0644);
	put("config/policy.json", RULE, 0600);
	put("state/sandboxes/box/policy.json", RULE, 0600);
	put("work/.sandbox.json", "{\"policy\": " DENY ", \"other\": 1}", 0666);
	assert_int_equal(load("work", RULE), 0);
	assert_int_equal(got.count, 5);
	expect(0, POLICY_LAYER_SYSTEM, DENY);
	expect(1, POLICY_LAYER_USER, RULE);
	expect(2, POLICY_LAYER_COMMAND, RULE);
	expect(3, POLICY_LAYER_COMMAND, RULE);
	expect(4, POLICY_LAYER_PROJECT, DENY);
	assert_non_null(strstr(got.list[1].name, "config/policy.json"));
	expect_is_a_policy();
}

static void others_may_not_write_it(void **state)
{
	(void)state;
	put("config/policy.json", RULE, 0620);
	assert_int_equal(load(NULL, NULL), -EPERM);
	assert_non_null(strstr(err.text, "config/policy.json"));
	put("config/policy.json", RULE, 0602);
	assert_int_equal(load(NULL, NULL), -EPERM);
	put("config/policy.json", RULE, 0600);
	assert_int_equal(load(NULL, NULL), 0);
	assert_int_equal(unlink(at("config/policy.json")), 0);
	assert_int_equal(symlink("elsewhere.json", at("config/policy.json")), 0);
	assert_int_equal(load(NULL, NULL), -ELOOP);
}

/* H14: whoever may write the workspace makes us read nothing else and hangs us on nothing. */
static void the_projects_file_is_only_itself(void **state)
{
	(void)state;
	put("work/secret.json", "{\"policy\": " DENY "}", 0644);
	assert_int_equal(symlink("secret.json", at("work/.sandbox.json")), 0);
	assert_int_equal(load("work", NULL), -ELOOP);
	assert_int_equal(unlink(at("work/.sandbox.json")), 0);
	assert_int_equal(mkfifo(at("work/.sandbox.json"), 0600), 0);
	assert_int_equal(load("work", NULL), -EINVAL);
	assert_int_equal(unlink(at("work/.sandbox.json")), 0);
	assert_int_equal(mkdir(at("work/.sandbox.json"), 0700), 0);
	assert_int_equal(load("work", NULL), -EINVAL);
	assert_int_equal(rmdir(at("work/.sandbox.json")), 0);
	put("work/.sandbox.json", "{\"policy\": []}", 0644);
	assert_int_equal(load("work", NULL), -EINVAL);
	put("work/.sandbox.json", "{\"policy\": {}, \"policy\": {}}", 0644);
	assert_int_equal(load("work", NULL), -EINVAL);
	put("work/.sandbox.json", "not json", 0644);
	assert_int_equal(load("work", NULL), -EINVAL);
	assert_non_null(strstr(err.text, "work/.sandbox.json"));
	put("work/.sandbox.json", "{\"name\": \"x\"}", 0644);
	assert_int_equal(load("work", NULL), 0);
	assert_int_equal(got.count, 1);
}

static void is_looked_for_up_to_the_git_root(void **state)
{
	(void)state;
	put("outer/.sandbox.json", "{\"policy\": " DENY "}", 0644);
	put("outer/repo/sub/file", "", 0644);
	assert_int_equal(load("outer/repo/sub", NULL), 0);
	assert_int_equal(got.count, 2);
	put("outer/repo/.git", "gitdir: elsewhere", 0644);
	assert_int_equal(load("outer/repo/sub", NULL), 0);
	assert_int_equal(got.count, 1);
	put("outer/repo/.sandbox.json", "{\"policy\": " DENY "}", 0644);
	assert_int_equal(load("outer/repo/sub", NULL), 0);
	assert_int_equal(got.count, 2);
	assert_non_null(strstr(got.list[0].name, "repo/.sandbox.json"));
}

/* H5: what a guest makes of the project's file changes nothing for a sandbox that runs. */
static void the_project_is_pinned(void **state)
{
	struct policy_project project = {};
	struct policy_inputs in = {
		.paths = &paths, .system_file = "/nowhere", .project = &project
	};
	char folder[PATH_MAX];

	(void)state;
	put("w/.sandbox.json", "{\"policy\":" DENY "}", 0644);
	assert_int_equal(load("w", NULL), 0);
	assert_int_equal(policy_project_copy(&got.project, &project), 0);
	assert_string_equal(project.present.json, DENY);
	assert_int_equal(unlink(at("w/.sandbox.json")), 0);
	snprintf(folder, sizeof(folder), "%s", at("w"));
	in.workspace = folder;
	policy_sources_finish(&got);
	assert_int_equal(policy_sources_load(&in, &got, &err), 0);
	expect(0, POLICY_LAYER_PROJECT, DENY);
	/* The other way round: what comes later is not taken either. */
	policy_project_finish(&project);
	put("w/.sandbox.json", "{\"policy\":" DENY "}", 0644);
	policy_sources_finish(&got);
	assert_int_equal(policy_sources_load(&in, &got, &err), 0);
	assert_null(got.project.present.json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nobody_said_anything, fresh, clear),
		cmocka_unit_test_setup_teardown(every_layer_speaks, fresh, clear),
		cmocka_unit_test_setup_teardown(others_may_not_write_it, fresh, clear),
		cmocka_unit_test_setup_teardown(the_projects_file_is_only_itself, fresh, clear),
		cmocka_unit_test_setup_teardown(is_looked_for_up_to_the_git_root, fresh, clear),
		cmocka_unit_test_setup_teardown(the_project_is_pinned, fresh, clear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
