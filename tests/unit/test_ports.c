/* SPDX-License-Identifier: Apache-2.0 */
/* Who has a port: what clashes, whom an error names, and what --fresh finds before it ends anything. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/lib/test_folder.h"
#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"
#include "vmm/supervisor/ports.h"
#include "vmm/supervisor/registry.h"

static struct paths paths;

static void add_port(struct spec *spec, const char *address, uint16_t port)
{
	char word[80];

	snprintf(word, sizeof(word), strchr(address, ':') ? "[%s]:%u:80" : "%s:%u:80", address,
		port);
	assert_int_equal(spec_add_port(spec, word, NULL), 0);
}

static void make_spec(struct spec *spec, const char *name, const char *address, uint16_t port)
{
	assert_int_equal(spec_init(spec), 0);
	strcpy(spec->name, name);
	add_port(spec, address, port);
}

/* A registered sandbox that publishes a port. The fd holds its lock: while it is open, the sandbox lives. */
static int make_sandbox(const char *name, const char *address, uint16_t port)
{
	struct record record;
	int lock;

	record_init(&record);
	make_spec(&record.spec, name, address, port);
	assert_int_equal(spec_set_workspace(&record.spec, base, NULL), 0);
	record.state = LIFECYCLE_RUNNING;
	assert_int_equal(host_boot_id(record.boot_id), 0);
	strcpy(record.instance, "0123456789abcdef");
	assert_int_equal(registry_lock(&paths, name, 0, &lock, NULL), 0);
	assert_int_equal(registry_save(&paths, &record, NULL), 0);
	record_finish(&record);
	return lock;
}

/* On this address; port 0: one that is free, in *port. */
static int listen_on(const char *address, uint16_t *port)
{
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons(*port) };
	socklen_t len = sizeof(name);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(inet_pton(AF_INET, address, &name.sin_addr), 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&name, len), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &len), 0);
	*port = ntohs(name.sin_port);
	return fd;
}

static void test_what_clashes(void **state)
{
	static const struct {
		const char *a, *b;
		bool clash;
	} pairs[] = {
		{ "127.0.0.1", "127.0.0.1", true },
		{ "127.0.0.1", "127.0.0.2", false },
		{ "127.0.0.1", "0.0.0.0", true },
		{ "::1", "0:0:0:0:0:0:0:1", true },
		{ "::1", "::2", false },
		{ "::1", "::", true },
		{ "127.0.0.1", "::", false },
		{ "0.0.0.0", "::1", false },
		{ "0.0.0.0", "::", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		struct spec a, b;

		make_spec(&a, "a", pairs[i].a, 81);
		add_port(&a, pairs[i].a, 80);
		make_spec(&b, "b", pairs[i].b, 80);
		add_port(&b, pairs[i].b, 82);
		assert_ptr_equal(
			ports_find_clash(&a, &b.ports[0]), pairs[i].clash ? &a.ports[1] : NULL);
		assert_ptr_equal(
			ports_find_clash(&b, &a.ports[1]), pairs[i].clash ? &b.ports[0] : NULL);
		assert_null(ports_find_clash(&b, &a.ports[0]));
		spec_finish(&a);
		spec_finish(&b);
	}
}

static void assert_taken(const struct spec *spec, const char *who)
{
	struct err err = {};

	assert_int_equal(ports_check_bindable(&paths, spec, &err), -EADDRINUSE);
	if (!strstr(err.text, who))
		fail_msg("%s", err.text);
}

/* The sandbox that is in the way is named, and not one that publishes on another address. */
static void test_whom_the_error_names(void **state)
{
	_cleanup_close_ int lock = -1;
	uint16_t port = 0;
	struct spec spec;
	int fd = listen_on("127.0.0.1", &port);

	(void)state;
	make_spec(&spec, "asker", "127.0.0.1", port);
	lock = make_sandbox("there", "127.0.0.2", port);
	assert_taken(&spec, "pid");
	close(TAKE_FD(lock));
	lock = make_sandbox("there", "127.0.0.1", port);
	assert_taken(&spec, "sandbox there publishes it");
	close(TAKE_FD(lock));
	lock = make_sandbox("there", "0.0.0.0", port);
	assert_taken(&spec, "sandbox there publishes it");
	close(TAKE_FD(lock));
	assert_taken(&spec, "pid"); /* it has ended: what it recorded says nothing any more */
	close(fd);
	assert_int_equal(ports_check_bindable(&paths, &spec, NULL), 0);
	spec_finish(&spec);
}

static int check_replace(const char *address, uint16_t port)
{
	struct spec spec;
	int r;

	make_spec(&spec, "old", address, port);
	r = ports_check_replace(&paths, &spec, NULL);
	spec_finish(&spec);
	return r;
}

/* A living sandbox's ports are its own, a dead one's are whose they are. */
static void test_what_fresh_finds_taken(void **state)
{
	_cleanup_close_ int lock = -1;
	uint16_t port = 0;
	int fd = listen_on("127.0.0.1", &port);

	(void)state;
	lock = make_sandbox("old", "127.0.0.1", port);
	assert_int_equal(check_replace("127.0.0.1", port), 0);
	assert_int_equal(check_replace("0.0.0.0", port), 0);
	close(TAKE_FD(lock));
	assert_int_equal(check_replace("127.0.0.1", port), -EADDRINUSE);
	lock = make_sandbox("old", "127.0.0.2", port); /* another address is not its own */
	assert_int_equal(check_replace("127.0.0.1", port), -EADDRINUSE);
	close(fd);
	assert_int_equal(check_replace("127.0.0.1", port), 0);
}

static int set_up(void **state)
{
	(void)state;
	if (make_base() < 0)
		return -1;
	snprintf(paths.state, sizeof(paths.state), "%.4000s/state", base);
	snprintf(paths.runtime, sizeof(paths.runtime), "%.4000s/run", base);
	snprintf(paths.cache, sizeof(paths.cache), "%.4000s/cache", base);
	return paths_prepare(&paths, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_clashes),
		cmocka_unit_test(test_whom_the_error_names),
		cmocka_unit_test(test_what_fresh_finds_taken),
	};

	return cmocka_run_group_tests(tests, set_up, remove_base);
}
