/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "tests/lib/private_folder.h"
#include "vmm/base/fdio.h"
#include "vmm/sandboxctl/kvm_fitness.h"

static void test_line(void **state)
{
	struct kvm_measurement m = {};

	(void)state;
	assert_true(kvm_measurement_parse(
		"kvm=fit ring0=370506471 ring3=215268112 cmpxchg16b=yes\n", &m));
	assert_int_equal(m.fitness, KVM_FIT);
	assert_string_equal(m.fields, "kvm=fit ring0=370506471 ring3=215268112 cmpxchg16b=yes");
	assert_true(kvm_measurement_parse("kvm=emulated ring0=1 ring3=2 cmpxchg16b=no\n", &m));
	assert_int_equal(m.fitness, KVM_EMULATED);
	assert_true(kvm_measurement_parse("kvm=absent", &m));
	assert_int_equal(m.fitness, KVM_ABSENT);
	assert_true(kvm_measurement_parse("kvm=no-permission ring0=0", &m));
	assert_int_equal(m.fitness, KVM_NO_PERMISSION);
	assert_false(kvm_measurement_parse("", &m));
	assert_false(kvm_measurement_parse("kvm=", &m));
	assert_false(kvm_measurement_parse("kvm=fitter", &m));
	assert_false(kvm_measurement_parse(" kvm=fit", &m));
	assert_int_equal(m.fitness, KVM_NO_PERMISSION);
}

static void write_program(const char *path, const char *text)
{
	assert_int_equal(fdio_write_file_atomic(AT_FDCWD, path, text, strlen(text), 0700), 0);
}

static void test_programs_that_misbehave(void **state)
{
	char folder[PATH_MAX], path[PATH_MAX + 16];
	struct kvm_measurement m = {};
	struct err err = {};

	(void)state;
	assert_non_null(private_folder_make(folder));
	snprintf(path, sizeof(path), "%s/vmm", folder);
	assert_true(kvm_measure(path, &m, &err) < 0);
	write_program(path, "#!/bin/sh\n[ \"$1\" = --measure-kvm ] && echo kvm=absent && exit 4\n");
	assert_int_equal(kvm_measure(path, &m, &err), 0);
	assert_int_equal(m.fitness, KVM_ABSENT);
	write_program(path, "#!/bin/sh\necho hello\n");
	assert_int_equal(kvm_measure(path, &m, &err), -EPROTO);
	write_program(path, "#!/bin/sh\nyes\n");
	assert_true(kvm_measure(path, &m, &err) < 0);
	unlink(path);
	rmdir(folder);
}

static void test_every_finding_has_words(void **state)
{
	(void)state;
	for (int f = KVM_FIT; f <= KVM_UNKNOWN; f++) {
		struct kvm_measurement m = { .fitness = (enum kvm_fitness)f };
		struct err err = {};

		kvm_fitness_explain(&m, &err);
		assert_true(err.text[0]);
		assert_true(f == KVM_FIT || err.next_step[0]);
		assert_non_null(kvm_fitness_name(m.fitness));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line),
		cmocka_unit_test(test_programs_that_misbehave),
		cmocka_unit_test(test_every_finding_has_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
