/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/base/array.h"
#include "vmm/supervisor/ports.h"
#include "vmm/supervisor/process.h"

static void test_a_hostile_command_name_is_read_right(void **state)
{
	struct process_stat stat;

	(void)state;
	assert_true(process_stat_parse(
		"42 (a) R 1 2 (x\x1b) S 7 8 9 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 12345 0 0\n",
		&stat));
	assert_int_equal(stat.id.pid, 42);
	assert_int_equal(stat.id.start_ticks, 12345);
	assert_int_equal(stat.parent, 7);
	assert_int_equal(stat.group, 8);
	assert_int_equal(stat.session, 9);
	assert_int_equal(stat.state, 'S');
	assert_int_equal(stat.threads, 1);
	assert_string_equal(stat.command, "a) R 1 2 (x?");
	assert_false(process_stat_parse("42 (a S 7", &stat));
	assert_false(process_stat_parse("", &stat));
	assert_false(process_stat_parse("42 (a) S 7 8", &stat));
}

static void test_a_reused_pid_is_not_signalled(void **state)
{
	struct process_id id;
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		pause();
		_exit(0);
	}
	assert_int_equal(process_id_of(child, &id), 0);
	assert_true(process_id_alive(&id));
	id.start_ticks++;
	assert_false(process_id_alive(&id));
	assert_int_equal(process_id_signal(&id, SIGKILL), -ESRCH);
	assert_int_equal(waitpid(child, NULL, WNOHANG), 0); /* it lives on */
	id.start_ticks--;
	assert_int_equal(process_id_wait(&id, 1), -ETIME);
	assert_int_equal(process_id_signal(&id, SIGSTOP), 0);
	while (!process_id_stopped(&id))
		usleep(1000);
	assert_int_equal(process_id_signal(&id, SIGKILL), 0);
	assert_int_equal(process_id_wait(&id, 5000), 0);
	assert_false(process_id_alive(&id)); /* a zombie */
	waitpid(child, NULL, 0);
	assert_int_equal(process_id_signal(&id, SIGKILL), -ESRCH);
}

static void *stay(void *data)
{
	for (;;)
		pause();
	return data;
}

/* What KILL leaves of a process of which one thread hangs: its first thread a zombie, and files and memory still held. */
static void test_a_zombie_with_a_thread_is_alive(void **state)
{
	struct process_stat members[4], stat;
	struct process_id id;
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		pthread_t thread;

		setpgid(0, 0);
		pthread_create(&thread, NULL, stay, NULL);
		pthread_exit(NULL);
	}
	do {
		usleep(1000);
		assert_int_equal(process_stat_of(child, &stat), 0);
	} while (stat.state != 'Z');
	assert_int_equal(stat.threads, 2);
	id = stat.id;
	assert_true(process_id_alive(&id));
	assert_false(process_hangs(child));
	assert_int_equal(process_group_members(child, members, ARRAY_SIZE(members)), 1);
	assert_int_equal(process_id_wait(&id, 1), -ETIME);
	assert_int_equal(process_id_signal(&id, SIGKILL), 0);
	assert_int_equal(process_id_wait(&id, 5000), 0);
	assert_false(process_id_alive(&id));
	assert_int_equal(process_group_members(child, members, ARRAY_SIZE(members)), 0);
	waitpid(child, NULL, 0);
}

static void test_members_of_a_group(void **state)
{
	struct process_stat members[4];
	int count;
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		setsid();
		if (fork() == 0)
			pause();
		pause();
		_exit(0);
	}
	do
		count = process_group_members(child, members, ARRAY_SIZE(members));
	while (count < 2);
	assert_int_equal(count, 2);
	for (int i = 0; i < count; i++)
		process_id_signal(&members[i].id, SIGKILL);
	waitpid(child, NULL, 0);
	while (process_group_members(child, members, ARRAY_SIZE(members)) > 0)
		usleep(1000);
}

static void test_who_has_a_port(void **state)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM, 0), fds[SPEC_PORTS_MAX];
	struct spec spec = { .port_count = 1,
		.ports = { { .address = "127.0.0.1", .guest_port = 80 } } };
	struct err err = {};
	char self[32];

	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
	assert_int_equal(listen(fd, 1), 0);
	getsockname(fd, (struct sockaddr *)&address, &len);
	spec.ports[0].host_port = ntohs(address.sin_port);
	assert_int_equal(ports_open(NULL, &spec, fds, &err), -EADDRINUSE);
	snprintf(self, sizeof(self), "pid %d (", (int)getpid());
	assert_non_null(strstr(err.text, self));
	close(fd);
	assert_int_equal(ports_check_bindable(NULL, &spec, &err), 0);
	assert_int_equal(ports_open(NULL, &spec, fds, &err), 0);
	close(fds[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_hostile_command_name_is_read_right),
		cmocka_unit_test(test_a_reused_pid_is_not_signalled),
		cmocka_unit_test(test_a_zombie_with_a_thread_is_alive),
		cmocka_unit_test(test_members_of_a_group),
		cmocka_unit_test(test_who_has_a_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
