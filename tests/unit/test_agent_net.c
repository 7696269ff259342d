/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The link and the rules in a real kernel (E8), in a user and network namespace of the test's own. A TUN device stands in
 * for the dummy link where the kernel has none; where no namespace can be made, or nf_tables is missing, the test is skipped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest-agent/egress/link.h"
#include "guest-agent/egress/nft.h"
#include "guest-agent/egress/origin.h"
#include "guest-agent/system.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/loop.h"

#define PORT	3129
#define AT_ONCE 300 /* ms; the machine may be loaded, a timeout is seconds */

static struct names names;
static bool have_v6;

static void write_text(const char *path, const char *text)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd >= 0)
		(void)!write(fd, text, strlen(text));
}

static void tun(void)
{
	struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI, .ifr_name = LINK_NAME };
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK); /* held to the end */

	if (fd >= 0)
		(void)ioctl(fd, TUNSETIFF, &request);
}

static int set_up(void **state)
{
	char map[64];
	uid_t uid = getuid();
	gid_t gid = getgid();
	struct err err = {};

	(void)state;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		return 0; /* no state: skipped */
	write_text("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "0 %u 1", uid);
	write_text("/proc/self/uid_map", map);
	snprintf(map, sizeof(map), "0 %u 1", gid);
	write_text("/proc/self/gid_map", map);
	if (system_raise_loopback() < 0)
		return 0;
	if (nft_set_up(PORT, &err) < 0) {
		print_message("%s\n", err.text);
		return 0;
	}
	tun();
	if (link_set_up(&have_v6, &err) < 0) {
		print_message("%s\n", err.text);
		return 0;
	}
	*state = &names;
	return 0;
}

static int listener(int family)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET,
		.sin_port = htons(PORT),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6,
		.sin6_port = htons(PORT),
		.sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	assert_true(fd >= 0);
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(family == AF_INET ? bind(fd, (struct sockaddr *)&v4, sizeof(v4))
					   : bind(fd, (struct sockaddr *)&v6, sizeof(v6)),
		0);
	assert_int_equal(listen(fd, 8), 0);
	return fd;
}

static struct sockaddr_storage address_of(const char *text, uint16_t port, socklen_t *len)
{
	struct sockaddr_storage all = {};
	struct sockaddr_in *v4 = (struct sockaddr_in *)&all;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&all;

	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		*len = sizeof(*v4);
	} else {
		assert_int_equal(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		*len = sizeof(*v6);
	}
	return all;
}

/* Connects, and gives what the other end was told of it. */
static struct egress_request captured(const char *address, uint16_t port)
{
	socklen_t len;
	struct sockaddr_storage to = address_of(address, port, &len);
	_cleanup_close_ int server = listener(to.ss_family), peer = -1;
	_cleanup_close_ int fd =
		socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct pollfd wait = { server, POLLIN, 0 };
	struct egress_request request = {};
	struct origin origin = {};

	assert_true(connect(fd, (struct sockaddr *)&to, len) == 0 || errno == EINPROGRESS);
	assert_int_equal(poll(&wait, 1, 3000), 1);
	peer = accept(server, NULL, NULL);
	assert_true(peer >= 0);
	assert_int_equal(origin_get(peer, &origin), 0);
	assert_true(origin_request(&origin, &names, &request));
	return request;
}

static void test_tcp_is_captured(void **state)
{
	struct egress_request request;
	uint8_t bytes[16];
	char address[INET6_ADDRSTRLEN];

	if (!*state)
		skip();
	names_put_v4(names_number(&names, "host.test"), bytes);
	request = captured(inet_ntop(AF_INET, bytes, address, sizeof(address)), 443);
	assert_string_equal(request.host, "host.test");
	assert_int_equal(request.port, 443);
	request = captured("192.0.2.7", 22);
	assert_string_equal(request.host, "192.0.2.7");
	assert_int_equal(request.port, 22);
	if (!have_v6)
		skip();
	names_put_v6(names_number(&names, "host.test"), bytes);
	request = captured(inet_ntop(AF_INET6, bytes, address, sizeof(address)), 80);
	assert_string_equal(request.host, "host.test");
	request = captured("2001:db8::7", 8443);
	assert_string_equal(request.host, "2001:db8::7");
}

/* Refused where it is sent, or by the next call: in any case now. */
static void refused_at_once(
	int fd, const char *address, uint16_t port, const void *data, size_t size)
{
	uint64_t before = clock_monotonic_ms();
	struct pollfd wait = { fd, POLLIN | POLLERR, 0 };
	socklen_t len;
	struct sockaddr_storage to = address_of(address, port, &len);
	char answer[64];

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, len), 0);
	if (send(fd, data, size, 0) == (ssize_t)size) {
		assert_int_equal(poll(&wait, 1, 3000), 1);
		assert_int_equal(recv(fd, answer, sizeof(answer), MSG_DONTWAIT), -1);
	}
	assert_true(errno == EPERM || errno == ECONNREFUSED || errno == EHOSTUNREACH ||
		    errno == EACCES || errno == ENETUNREACH);
	assert_true(clock_monotonic_ms() - before < AT_ONCE);
	(void)close(fd);
}

static void test_the_rest_is_refused(void **state)
{
	struct icmphdr echo = { .type = ICMP_ECHO };

	if (!*state)
		skip();
	refused_at_once(socket(AF_INET, SOCK_DGRAM, 0), "192.0.2.7", 53, "x", 1);
	refused_at_once(
		socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), "192.0.2.7", 0, &echo, sizeof(echo));
	refused_at_once(
		socket(AF_INET, SOCK_RAW, 132 /* SCTP */), "192.0.2.7", 0, "xxxxxxxxxxxx", 12);
	if (!have_v6)
		skip();
	refused_at_once(socket(AF_INET6, SOCK_DGRAM, 0), "2001:db8::7", 53, "x", 1);
	refused_at_once(socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6), "2001:db8::7", 0,
		"\200\0\0\0\0\0\0\0", 8);
}

static void test_loopback_is_left_alone(void **state)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	_cleanup_close_ int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	_cleanup_close_ int server = listener(AF_INET);
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), peer = -1;
	struct egress_request request;
	struct origin origin;
	socklen_t len = sizeof(to);
	char byte;

	if (!*state)
		skip();
	assert_int_equal(bind(udp, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(getsockname(udp, (struct sockaddr *)&to, &len), 0);
	assert_int_equal(sendto(udp, "x", 1, 0, (struct sockaddr *)&to, len), 1);
	assert_int_equal(recv(udp, &byte, 1, MSG_DONTWAIT), 1);
	/* Straight to the agent's port: no way out from there. */
	to.sin_port = htons(PORT);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, len), 0);
	peer = accept(server, NULL, NULL);
	assert_true(origin_get(peer, &origin) < 0 || !origin_request(&origin, &names, &request));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tcp_is_captured),
		cmocka_unit_test(test_the_rest_is_refused),
		cmocka_unit_test(test_loopback_is_left_alone),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
