/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/lib/test_folder.h"
#include "vmm/base/fdio.h"
#include "vmm/supervisor/ssh_keys.h"

static char *get(const char *name)
{
	char path[PATH_MAX], *text = NULL;

	snprintf(path, sizeof(path), "%s/%s", at("ssh"), name);
	assert_int_equal(fdio_read_file(AT_FDCWD, path, SSH_KEYS_FILE_MAX, &text, NULL), 0);
	return text;
}

static void make(void)
{
	assert_int_equal(ssh_keys_make(at("ssh"), "api", NULL), 0);
}

static void test_keys_are_made_once(void **state)
{
	char *first, *second, *known, *host;
	struct stat st;

	(void)state;
	make();
	first = get("id_ed25519");
	make();
	second = get("id_ed25519");
	assert_string_equal(first, second);
	known = get("known_hosts");
	host = get("host_ed25519.pub");
	assert_int_equal(strncmp(known, "api ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI", 41), 0);
	assert_string_equal(known + 4, host);
	assert_int_equal(stat(at("ssh/host_ed25519"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	free(first);
	free(second);
	free(known);
	free(host);
}

/* OpenSSH itself reads the private key and finds the public one in it. */
static void test_openssh_understands_them(void **state)
{
	char command[3 * PATH_MAX];

	(void)state;
	if (access("/usr/bin/ssh-keygen", X_OK) < 0)
		skip();
	snprintf(command, sizeof(command),
		"test \"$(ssh-keygen -y -P '' -f '%s/ssh/id_ed25519')\" = \"$(cat '%s/ssh/id_ed25519.pub')\"",
		base, base);
	assert_int_equal(system(command), 0);
}

static int set_up(void **state)
{
	(void)state;
	return make_base();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys_are_made_once),
		cmocka_unit_test(test_openssh_understands_them),
	};

	return cmocka_run_group_tests(tests, set_up, remove_base);
}
