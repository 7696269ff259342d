/* SPDX-License-Identifier: Apache-2.0 */
/* What `status` says of isolation and limits (H4, V11). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "guest-agent/protocol/messages.h"
#include "vmm/base/array.h"
#include "vmm/supervisor/status.h"

static bool contains(const json_t *array, const char *word)
{
	for (size_t i = 0; i < json_array_size(array); i++)
		if (strcmp(json_string_value(json_array_get(array, i)), word) == 0)
			return true;
	return false;
}

static json_t *status_with(struct record *record, enum core_scheduling core_scheduling)
{
	const struct status_live live = {};

	record->core_scheduling = core_scheduling;
	return status_data(record, &live, true);
}

static void test_core_scheduling_is_told(void **state)
{
	static const char *const names[] = { "unknown", "in-force", "not-needed", "unavailable" };
	struct record record;

	(void)state;
	record_init(&record);
	assert_int_equal(spec_init(&record.spec), 0);
	record.state = LIFECYCLE_RUNNING;
	record.isolation_vmm = record.isolation_link = status_isolation_asked();
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_json_ json_t *data = status_with(&record, (enum core_scheduling)i);
		const json_t *isolation = json_object_get(data, "isolation");

		assert_string_equal(
			json_string_value(json_object_get(isolation, "core_scheduling")), names[i]);
		assert_int_equal(contains(json_object_get(data, "degraded"), "core-scheduling"),
			i == CORE_SCHEDULING_UNAVAILABLE);
	}
	record_finish(&record);
}

static void test_limits_are_told(void **state)
{
	struct record record;

	(void)state;
	record_init(&record);
	assert_int_equal(spec_init(&record.spec), 0);
	record.state = LIFECYCLE_RUNNING;
	_cleanup_json_ json_t *without = status_with(&record, CORE_SCHEDULING_IN_FORCE);
	record.spec.pids = 200;
	strcpy(record.cgroup, "/sys/fs/cgroup/a/sandboxctl-x");
	_cleanup_json_ json_t *with = status_with(&record, CORE_SCHEDULING_IN_FORCE);

	assert_true(json_is_null(json_object_get(without, "pids")));
	assert_true(json_is_null(json_object_get(without, "cgroup")));
	assert_int_equal(json_integer_value(json_object_get(with, "pids")), 200);
	assert_string_equal(json_string_value(json_object_get(with, "cgroup")), record.cgroup);
	record_finish(&record);
}

static void test_missing_capture_is_told(void **state)
{
	struct status_live live = { .degraded_bits = PROTOCOL_DEGRADED_MEMORY };
	struct record record;

	(void)state;
	record_init(&record);
	assert_int_equal(spec_init(&record.spec), 0);
	record.state = LIFECYCLE_RUNNING;
	_cleanup_json_ json_t *without = status_data(&record, &live, true);
	live.degraded_bits |= PROTOCOL_DEGRADED_EGRESS;
	_cleanup_json_ json_t *with = status_data(&record, &live, true);

	assert_false(contains(json_object_get(without, "degraded"), "egress-variables-only"));
	assert_true(contains(json_object_get(with, "degraded"), "egress-variables-only"));
	record_finish(&record);
}

/* H5, H7: a project's policy that is not the approved one; an audit log that does not reach where it is to go; one that has too many files. */
static void test_egress_is_told(void **state)
{
	struct policy_project project = { .looked = true, .known = true };
	struct status_live live = {
		.egress_state = "up", .policy_digest = "d", .project = &project
	};
	struct record record;

	(void)state;
	record_init(&record);
	assert_int_equal(spec_init(&record.spec), 0);
	record.state = LIFECYCLE_RUNNING;
	assert_int_equal(project_policy_set(&project.approved, NULL, NULL), 0);
	assert_int_equal(project_policy_set(&project.present, NULL, NULL), 0);
	_cleanup_json_ json_t *without = status_data(&record, &live, true);
	assert_int_equal(project_policy_set(&project.present, strdup("f"), strdup("{}")), 0);
	live.forward = "syslog";
	live.forward_error = ECONNREFUSED;
	live.not_forwarded = 7;
	live.audit_error = E2BIG;
	_cleanup_json_ json_t *with = status_data(&record, &live, true);
	const json_t *egress = json_object_get(without, "egress");
	const char *approved, *present, *to, *cut, *why;
	int changed, lost;

	assert_true(json_is_null(json_object_get(egress, "project")));
	assert_true(json_is_null(json_object_get(egress, "forward")));
	assert_int_equal(
		json_unpack(json_object_get(with, "egress"),
			"{s:s, s:{s:s, s:s, s:b}, s:{s:s, s:s, s:i}}", "why", &why, "project",
			"approved", &approved, "present", &present, "changed", &changed, "forward",
			"to", &to, "cut", &cut, "not_forwarded", &lost),
		0);
	assert_string_equal(approved, PROJECT_NONE);
	assert_int_equal(strlen(present), PROJECT_DIGEST_LEN);
	assert_true(changed);
	assert_string_equal(to, "syslog");
	assert_string_equal(cut, "Connection refused");
	assert_int_equal(lost, 7);
	assert_non_null(strstr(why, "audit verify"));
	policy_project_finish(&project);
	record_finish(&record);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_core_scheduling_is_told),
		cmocka_unit_test(test_missing_capture_is_told),
		cmocka_unit_test(test_limits_are_told),
		cmocka_unit_test(test_egress_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
