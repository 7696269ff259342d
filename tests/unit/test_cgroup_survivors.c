/* SPDX-License-Identifier: Apache-2.0 */
/*
 * H1: a control group that cannot be removed, because something lives in it, is never taken for a sandbox that has ended. The linker
 * leads cgroup_remove() through here; tests/attack/cgroup.sh has real groups.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/lib/test_folder.h"
#include "vmm/supervisor/cgroup.h"
#include "vmm/supervisor/claim.h"
#include "vmm/supervisor/start.h"

#define GROUP CGROUP_MOUNT "/a/sandboxctl-box-0123456789ab"

static struct paths paths;
static bool group_lives;

int __wrap_cgroup_remove(const char *path);
int __wrap_cgroup_remove(const char *path)
{
	return group_lives && strcmp(path, GROUP) == 0 ? -EBUSY : 0;
}

/* A record whose lock is free: its supervisor was killed, or has ended. */
static void make_record(enum lifecycle_state state)
{
	struct record record;
	int lock;

	record_init(&record);
	assert_int_equal(spec_init(&record.spec), 0);
	strcpy(record.spec.name, "box");
	record.state = state;
	assert_int_equal(host_boot_id(record.boot_id), 0);
	strcpy(record.instance, "0123456789abcdef");
	strcpy(record.cgroup, GROUP);
	assert_int_equal(registry_lock(&paths, "box", 0, &lock, NULL), 0);
	assert_int_equal(registry_save(&paths, &record, NULL), 0);
	record_finish(&record);
	close(lock);
}

static enum lifecycle_state state_now(void)
{
	enum lifecycle_state state;
	struct record record;

	assert_int_equal(registry_load(&paths, "box", &record, NULL), 0);
	state = record.state;
	record_finish(&record);
	return state;
}

static void test_stop_and_start_name_the_group(void **state)
{
	struct err err = {};

	(void)state;
	make_record(LIFECYCLE_RUNNING);
	group_lives = true;
	assert_int_equal(sandbox_clean_stale(&paths, "box", &err), -EDEADLK);
	assert_non_null(strstr(err.text, GROUP));
	/* It is not written down as ended: the next one looks again. */
	assert_int_equal(state_now(), LIFECYCLE_RUNNING);
	assert_int_equal(sandbox_stop(&paths, "box", 0, "stopped", &err), -EDEADLK);
	assert_non_null(strstr(err.text, GROUP));
	assert_int_equal(sandbox_remove(&paths, "box", 0, &err), -EDEADLK);
	group_lives = false;
	assert_int_equal(sandbox_clean_stale(&paths, "box", &err), 1);
	assert_int_equal(state_now(), LIFECYCLE_FAILED);
}

static int claim(struct err *err)
{
	struct supervisor s = { .lock_fd = -1 };
	struct spec spec;
	int r;

	assert_int_equal(spec_init(&spec), 0);
	strcpy(spec.name, "box");
	r = claim_sandbox(&s, &spec, err);
	spec_finish(&spec);
	record_finish(&s.record);
	if (s.lock_fd >= 0)
		close(s.lock_fd);
	return r;
}

static void test_no_supervisor_takes_it_over(void **state)
{
	struct err err = {};

	(void)state;
	for (int i = 0; i < 2; i++) {
		make_record(i ? LIFECYCLE_STOPPED : LIFECYCLE_RUNNING);
		group_lives = true;
		assert_int_equal(claim(&err), -EDEADLK);
		group_lives = false;
		assert_int_equal(claim(&err), 0);
	}
}

static int set_up(void **state)
{
	(void)state;
	if (make_base() < 0)
		return -1;
	unsetenv("SUDO_UID");
	unsetenv("XDG_CONFIG_HOME");
	unsetenv("XDG_DATA_HOME");
	setenv("HOME", base, 1);
	setenv("XDG_STATE_HOME", at("s"), 1);
	setenv("XDG_CONFIG_HOME", at("config"), 1);
	setenv("XDG_RUNTIME_DIR", at("r"), 1);
	setenv("XDG_CACHE_HOME", at("c"), 1);
	mkdir(at("s"), 0700);
	mkdir(at("r"), 0700);
	return paths_load(&paths, NULL) < 0 ? -1 : paths_prepare(&paths, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stop_and_start_name_the_group),
		cmocka_unit_test(test_no_supervisor_takes_it_over),
	};

	return cmocka_run_group_tests(tests, set_up, remove_base);
}
