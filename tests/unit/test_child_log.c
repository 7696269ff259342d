/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept of a child's lines: the last one, the last fix, both printable and bounded; all of it in the file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/base/cleanup.h"
#include "vmm/jail/jail.h"
#include "vmm/supervisor/child_log.h"

static void take(struct child_log *log, const char *text)
{
	child_log_take(log, text, strlen(text));
}

static void test_the_last_line_and_the_last_fix_are_kept(void **state)
{
	struct child_log log;

	(void)state;
	child_log_init(&log, -1);
	assert_string_equal(log.tail, "");
	assert_string_equal(log.fix, "");
	take(&log, "one\ntwo\n" JAIL_FIX_MARK "do this\n\n");
	assert_string_equal(log.tail, "two");
	assert_string_equal(log.fix, "do this");
	take(&log, "three");
	assert_string_equal(log.tail, "three");
	assert_string_equal(log.fix, "do this");
}

static void test_lines_are_printable_and_bounded(void **state)
{
	struct child_log log;
	char line[4096];

	(void)state;
	child_log_init(&log, -1);
	child_log_take(&log, "a\0\033[2J\xff", 7);
	assert_string_equal(log.tail, "a??[2J?");
	memset(line, 'x', sizeof(line));
	child_log_take(&log, line, sizeof(line));
	assert_int_equal(strlen(log.tail), CHILD_LOG_TAIL_MAX - 1);
	memcpy(line, JAIL_FIX_MARK, strlen(JAIL_FIX_MARK));
	child_log_take(&log, line, sizeof(line));
	assert_int_equal(strlen(log.fix), CHILD_LOG_FIX_MAX - 1);
}

static void test_all_goes_to_the_file(void **state)
{
	_cleanup_close_ int fd = memfd_create("child", MFD_CLOEXEC);
	struct child_log log;
	char text[16] = "";

	(void)state;
	child_log_init(&log, fd);
	take(&log, "one\n");
	take(&log, "two\n");
	assert_int_equal(pread(fd, text, sizeof(text) - 1, 0), 8);
	assert_string_equal(text, "one\ntwo\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_last_line_and_the_last_fix_are_kept),
		cmocka_unit_test(test_lines_are_printable_and_bounded),
		cmocka_unit_test(test_all_goes_to_the_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
