/* SPDX-License-Identifier: Apache-2.0 */
/* H5: which policy a project's folder was approved with, whatever its guest wrote since. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/lib/test_folder.h"
#include "vmm/supervisor/policy_sources.h"

#define FIRST  "{\"blocked_hosts\":\"a.test\",\"version\":1}"
#define SECOND "{\"blocked_hosts\":\"b.test\",\"version\":1}"

static struct paths paths;
static struct policy_sources got;
static struct err err;
static char workspace[PATH_MAX];

static int fresh(void **state)
{
	(void)state;
	if (make_base() < 0)
		return -1;
	snprintf(paths.config, sizeof(paths.config), "%s", at("config"));
	snprintf(paths.state, sizeof(paths.state), "%s", at("state"));
	snprintf(workspace, sizeof(workspace), "%s", at("work"));
	put("work/file", "", 0644);
	err = (struct err){};
	return 0;
}

static int clear(void **state)
{
	policy_sources_finish(&got);
	return remove_base(state);
}

static int load(void)
{
	const struct policy_inputs in = {
		.paths = &paths, .system_file = "/nowhere", .workspace = workspace
	};

	policy_sources_finish(&got);
	return policy_sources_load(&in, &got, &err);
}

/* As a start does it. */
static void start(void)
{
	if (load() < 0 || policy_project_settle(&paths, workspace, &got.project, &err) < 0)
		fail_msg("%s", err.text);
}

/* The project's documents, in order; NULL: no such one. */
static void expect(const char *one, const char *two)
{
	const char *const wanted[] = { one, two };
	size_t found = 0;

	for (size_t i = 0; i < got.count; i++) {
		if (got.list[i].layer != POLICY_LAYER_PROJECT)
			continue;
		assert_true(found < 2 && wanted[found]);
		assert_int_equal(got.list[i].len, strlen(wanted[found]));
		assert_memory_equal(got.list[i].json, wanted[found], got.list[i].len);
		found++;
	}
	assert_true(found == 2 || !wanted[found]);
	assert_int_equal(
		policy_project_changed(&got.project), two || (one && !got.project.present.json));
}

static void put_policy(const char *json)
{
	char text[256];

	snprintf(text, sizeof(text), "{\"policy\": %s, \"other\": 1}", json);
	put("work/.sandbox.json", text, 0644);
}

static void what_a_guest_takes_out_holds(void **state)
{
	(void)state;
	put_policy(FIRST);
	start();
	expect(FIRST, NULL);
	/* Rewritten, or another member: the policy is the same. */
	put("work/.sandbox.json",
		"{\"policy\":{\"version\":1,\"blocked_hosts\":\"a.test\"},\"x\":2}", 0644);
	start();
	expect(FIRST, NULL);
	put_policy(SECOND);
	start();
	expect(FIRST, SECOND);
	assert_non_null(strstr(got.list[0].name, "work/.sandbox.json, as it was approved"));
	assert_int_equal(unlink(at("work/.sandbox.json")), 0);
	start();
	expect(FIRST, NULL);
	assert_true(policy_project_changed(&got.project));
	assert_string_equal(got.project.present.digest, PROJECT_NONE);
	assert_int_equal(strlen(got.project.approved.digest), PROJECT_DIGEST_LEN);
	put("work/.sandbox.json", "no JSON", 0644);
	assert_int_equal(load(), -EINVAL);
	assert_non_null(strstr(err.text, "work/.sandbox.json"));
	put_policy(FIRST);
	start();
	expect(FIRST, NULL);
}

static void what_a_guest_adds_narrows(void **state)
{
	(void)state;
	start();
	expect(NULL, NULL);
	put_policy(SECOND);
	start();
	assert_true(policy_project_changed(&got.project));
	assert_string_equal(got.project.approved.digest, PROJECT_NONE);
	assert_int_equal(got.list[0].layer, POLICY_LAYER_PROJECT);
	assert_int_equal(unlink(at("work/.sandbox.json")), 0);
	start();
	assert_false(policy_project_changed(&got.project));
}

/* Above the workspace is the user's; a guest that puts one nearer, or an end to the search, hides it. */
static void one_that_is_hidden_holds(void **state)
{
	(void)state;
	put("outer/.sandbox.json", "{\"policy\": " FIRST "}", 0644);
	put("outer/sub/file", "", 0644);
	snprintf(workspace, sizeof(workspace), "%s", at("outer/sub"));
	start();
	expect(FIRST, NULL);
	put("outer/sub/.git", "", 0644);
	start();
	expect(FIRST, NULL);
	put("outer/sub/.sandbox.json", "{\"policy\": " SECOND "}", 0644);
	start();
	expect(FIRST, SECOND);
}

static void approving_takes_the_place(void **state)
{
	(void)state;
	put_policy(FIRST);
	start();
	put_policy(SECOND);
	start();
	assert_int_equal(project_approval_store(&paths, workspace, &got.project.present, &err), 0);
	start();
	expect(SECOND, NULL);
}

static void start_writes_once(void **state)
{
	char command[2 * PATH_MAX];

	(void)state;
	/* Looking alone approves nothing. */
	put_policy(FIRST);
	assert_int_equal(load(), 0);
	assert_false(got.project.known);
	assert_int_equal(access(at("state/projects"), F_OK), -1);
	put_policy(SECOND);
	start();
	expect(SECOND, NULL);
	start();
	assert_true(got.project.exact);
	snprintf(command, sizeof(command), "test $(ls '%s' | wc -l) = 1", at("state/projects"));
	assert_int_equal(system(command), 0);
}

/* Known by path and inode, or by inode and device; kept under one key. */
static void a_folder_that_moves_stays_known(void **state)
{
	char command[3 * PATH_MAX];

	(void)state;
	put_policy(FIRST);
	start();
	assert_int_equal(rename(workspace, at("moved")), 0);
	snprintf(workspace, sizeof(workspace), "%s", at("moved"));
	assert_int_equal(unlink(at("moved/.sandbox.json")), 0);
	assert_int_equal(load(), 0);
	assert_true(got.project.known && !got.project.exact);
	start();
	expect(FIRST, NULL);
	start();
	assert_true(got.project.exact);
	expect(FIRST, NULL);
	/* Its device has another number. */
	snprintf(command, sizeof(command), "cd '%s' && for f in *; do mv $f ${f%%-*}-9.json; done",
		at("state/projects"));
	assert_int_equal(system(command), 0);
	start();
	expect(FIRST, NULL);
	snprintf(command, sizeof(command), "test $(ls '%s' | wc -l) = 1", at("state/projects"));
	assert_int_equal(system(command), 0);
	/* Another folder at the old place is another project. */
	assert_int_equal(rename(workspace, at("away")), 0);
	put("moved/file", "", 0644);
	start();
	expect(NULL, NULL);
}

/* E19: what a sandbox was started with can be had while it runs, whatever its guest writes. */
static void what_it_was_started_with_is_kept(void **state)
{
	struct policy_project kept = {};
	struct policy_inputs in = { .paths = &paths, .system_file = "/nowhere", .project = &kept };

	(void)state;
	put("state/sandboxes/box/x", "", 0600);
	assert_int_equal(policy_project_saved(&paths, "box", &kept, &err), -ENOENT);
	put_policy(FIRST);
	start();
	put_policy(SECOND);
	start();
	assert_int_equal(policy_project_save(&paths, "box", &got.project, &err), 0);
	assert_int_equal(unlink(at("work/.sandbox.json")), 0);
	assert_int_equal(policy_project_saved(&paths, "box", &kept, &err), 0);
	policy_sources_finish(&got);
	assert_int_equal(policy_sources_load(&in, &got, &err), 0);
	expect(FIRST, SECOND);
	policy_project_finish(&kept);
	/* None at all, of one without a workspace. */
	policy_sources_finish(&got);
	in.project = NULL;
	assert_int_equal(policy_sources_load(&in, &got, &err), 0);
	assert_int_equal(policy_project_save(&paths, "box", &got.project, &err), 0);
	assert_int_equal(policy_project_saved(&paths, "box", &kept, &err), 0);
	assert_false(kept.looked);
	policy_project_finish(&kept);
}

/* A policy near its largest size is kept in no more room than is read again. */
static void a_large_one_is_kept(void **state)
{
	static char text[POLICY_DOCUMENT_MAX];
	size_t len = (size_t)snprintf(text, sizeof(text), "{\"policy\":{\"version\":1,\"rules\":[");
	struct policy_project kept = {};

	(void)state;
	for (int rule = 0; rule < 500; rule++) {
		len += (size_t)snprintf(text + len, sizeof(text) - len,
			"%s{\"id\":\"r%d\",\"action\":\"deny\",\"host\":[\"a.b\"", rule ? "," : "",
			rule);
		for (int host = 0; host < 250; host++)
			len += (size_t)snprintf(text + len, sizeof(text) - len, ",\"a.b\"");
		len += (size_t)snprintf(text + len, sizeof(text) - len, "]}");
	}
	snprintf(text + len, sizeof(text) - len, "]}}");
	put("work/.sandbox.json", text, 0644);
	put("state/sandboxes/box/x", "", 0600);
	start();
	start();
	assert_true(got.project.known && got.project.exact);
	assert_int_equal(policy_project_save(&paths, "box", &got.project, &err), 0);
	assert_int_equal(policy_project_saved(&paths, "box", &kept, &err), 0);
	policy_project_finish(&kept);
}

static void damage_is_named(void **state)
{
	char command[2 * PATH_MAX];

	(void)state;
	put_policy(FIRST);
	start();
	snprintf(command, sizeof(command), "sed -i s/a.test/c.test/ '%s'/*", at("state/projects"));
	assert_int_equal(system(command), 0);
	assert_int_equal(load(), -EINVAL);
	assert_non_null(strstr(err.text, "state/projects/"));
	assert_non_null(strstr(err.next_step, "policy approve"));
	/* Others could have put it there. */
	assert_int_equal(chmod(at("state/projects"), 0777), 0);
	assert_int_equal(load(), -EPERM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_a_guest_takes_out_holds, fresh, clear),
		cmocka_unit_test_setup_teardown(what_a_guest_adds_narrows, fresh, clear),
		cmocka_unit_test_setup_teardown(one_that_is_hidden_holds, fresh, clear),
		cmocka_unit_test_setup_teardown(approving_takes_the_place, fresh, clear),
		cmocka_unit_test_setup_teardown(start_writes_once, fresh, clear),
		cmocka_unit_test_setup_teardown(a_folder_that_moves_stays_known, fresh, clear),
		cmocka_unit_test_setup_teardown(what_it_was_started_with_is_kept, fresh, clear),
		cmocka_unit_test_setup_teardown(a_large_one_is_kept, fresh, clear),
		cmocka_unit_test_setup_teardown(damage_is_named, fresh, clear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
