/* SPDX-License-Identifier: Apache-2.0 */
/* E6: the host's own addresses, as the kernel sees them now. */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/base/array.h"
#include "vsock-proxy/local_address.h"

static bool is_own(struct local_address *local, const char *text)
{
	struct policy_host host;

	assert_true(policy_host_parse(text, strlen(text), &host));
	return local_address_is(local, &host);
}

static void test_always_its_own(void **state)
{
	static const char *const addresses[] = { "127.0.0.1", "127.1.2.3", "0.0.0.0",
		"255.255.255.255", "::1", "224.0.0.1", "ff02::1" };
	struct local_address local;

	(void)state;
	assert_int_equal(local_address_init(&local, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(addresses); i++)
		if (!is_own(&local, addresses[i]))
			fail_msg("%s", addresses[i]);
	local_address_finish(&local);
}

static void test_every_address_of_every_interface(void **state)
{
	struct local_address local;
	struct ifaddrs *all = NULL;
	char text[INET6_ADDRSTRLEN];

	(void)state;
	assert_int_equal(local_address_init(&local, NULL), 0);
	assert_int_equal(getifaddrs(&all), 0);
	for (struct ifaddrs *i = all; i; i = i->ifa_next) {
		const void *address;

		if (!i->ifa_addr || !(i->ifa_flags & IFF_UP))
			continue;
		if (i->ifa_addr->sa_family == AF_INET)
			address = &((struct sockaddr_in *)i->ifa_addr)->sin_addr;
		else if (i->ifa_addr->sa_family == AF_INET6)
			address = &((struct sockaddr_in6 *)i->ifa_addr)->sin6_addr;
		else
			continue;
		inet_ntop(i->ifa_addr->sa_family, address, text, sizeof(text));
		if (!is_own(&local, text))
			fail_msg("%s of %s", text, i->ifa_name);
	}
	freeifaddrs(all);
	local_address_finish(&local);
}

/* Somebody else's, where there is a route to it at all; without one it counts as ours, which denies it all the same. */
static void test_somebody_elses(void **state)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(9) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct local_address local;
	bool routed;

	(void)state;
	inet_pton(AF_INET, "192.0.2.1", &address.sin_addr);
	routed = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0; /* sends nothing */
	close(fd);
	assert_int_equal(local_address_init(&local, NULL), 0);
	assert_int_equal(is_own(&local, "192.0.2.1"), !routed);
	assert_int_equal(is_own(&local, "127.0.0.1"), true);
	assert_int_equal(is_own(&local, "192.0.2.1"), !routed);
	local_address_finish(&local);
}

/* A question that cannot be asked is answered with yes. */
static void test_a_kernel_that_does_not_answer(void **state)
{
	struct local_address local;

	(void)state;
	assert_int_equal(local_address_init(&local, NULL), 0);
	local_address_finish(&local);
	assert_true(is_own(&local, "192.0.2.1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_always_its_own),
		cmocka_unit_test(test_every_address_of_every_interface),
		cmocka_unit_test(test_somebody_elses),
		cmocka_unit_test(test_a_kernel_that_does_not_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
