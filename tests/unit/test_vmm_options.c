/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/base/array.h"
#include "vmm/machine/vmm_options.h"

#define PARSE(ret, err, ...)                                                                       \
	({                                                                                         \
		char *words_[] = { "sandbox-vmm", __VA_ARGS__ };                                   \
		vmm_options_parse((int)ARRAY_SIZE(words_), words_, ret, err);                      \
	})
#define NEEDED "--kvm-fd", "3", "--kernel-fd", "4"

static void test_everything(void **state)
{
	struct vmm_options o;

	(void)state;
	assert_int_equal(
		PARSE(&o, NULL, NEEDED, "--name", "api", "--cpus", "4", "--memory-mib", "2048",
			"--initramfs-fd", "5", "--cmdline", "console=hvc0 panic=-1", "--nested",
			"--lifeline-fd", "6", "--event-fd", "7", "--console-fd", "8", "--vsock-fd",
			"9", "--lock-fd", "10", "--owner", "1000:100", "--share",
			"workspace,rw,mapped,2049:77,/home/u/a,b", "--share",
			"usr,ro,host,0:0,/usr", "--disk", "root,ro,11", "--guest-cid", "5"),
		0);
	assert_string_equal(o.name, "api");
	assert_int_equal(o.cpus, 4);
	assert_int_equal(o.memory_mib, 2048);
	assert_int_equal(o.lock_fd, 10);
	assert_true(o.nested);
	assert_false(o.cmdline_devices);
	assert_int_equal(o.owner_uid, 1000);
	assert_int_equal(o.owner_gid, 100);
	assert_int_equal(o.share_count, 2);
	assert_string_equal(o.shares[0].path, "/home/u/a,b");
	assert_int_equal(o.shares[0].device, 2049);
	assert_int_equal(o.shares[0].inode, 77);
	assert_false(o.shares[0].readonly);
	assert_int_equal(o.shares[1].kind, VMM_SHARE_HOST);
	assert_true(o.shares[1].readonly);
	assert_int_equal(o.disk_count, 1);
	assert_int_equal(o.disks[0].fd, 11);
	assert_int_equal(o.guest_cid, 5);
}

static void test_defaults(void **state)
{
	struct vmm_options o;

	(void)state;
	assert_int_equal(PARSE(&o, NULL, NEEDED), 0);
	assert_int_equal(o.cpus, 1);
	assert_int_equal(o.vsock_fd, -1);
	assert_int_equal(o.guest_cid, 3);
	assert_int_equal(PARSE(&o, NULL, "--measure-kvm"), 0);
	assert_true(o.measure_kvm);
}

#define REFUSED(...)                                                                               \
	do {                                                                                       \
		struct vmm_options o_ = { .cpus = 99 };                                            \
		struct err err_ = {};                                                              \
		assert_int_equal(PARSE(&o_, &err_, NEEDED, __VA_ARGS__), -EINVAL);                 \
		assert_true(err_.text[0]);                                                         \
		assert_int_equal(o_.cpus, 99);                                                     \
	} while (0)

static void test_what_is_refused(void **state)
{
	struct vmm_options o;

	(void)state;
	assert_int_equal(PARSE(&o, NULL, "--kvm-fd", "3"), -EINVAL);
	REFUSED("--no-such");
	REFUSED("--cpus");
	REFUSED("--cpus", "0");
	REFUSED("--cpus", "33");
	REFUSED("--memory-mib", "63");
	REFUSED("--memory-mib", "129");
	REFUSED("--name", "Api");
	REFUSED("--event-fd", "-1");
	REFUSED("--owner", "1000");
	REFUSED("--guest-cid", "2");
	/* H4: a supervised VMM is never without its jail */
	REFUSED("--unjailed", "--event-fd", "7");
	/* shares */
	REFUSED("--share", "w,rw,mapped,0:0,/w"); /* no owner */
	REFUSED("--owner", "1:1", "--share", "w,rx,mapped,0:0,/w");
	REFUSED("--owner", "1:1", "--share", "w,rw,foreign,0:0,/w");
	REFUSED("--owner", "1:1", "--share", "w,rw,mapped,0,/w");
	REFUSED("--owner", "1:1", "--share", "w,rw,mapped,0:0,w");
	REFUSED("--owner", "1:1", "--share", "w,rw,mapped,0:0");
	REFUSED("--owner", "1:1", "--share", "../w,rw,mapped,0:0,/w");
	REFUSED("--owner", "1:1", "--share", "w,rw,mapped,0:0,/w", "--share", "w,ro,mapped,0:0,/v");
	REFUSED("--protect", "5");
	REFUSED("--trust-hardlinks", "none");
	REFUSED("--disk", "a,ro");
	REFUSED("--disk", "a,ro,x");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_what_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
