/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/base/fdio.h"
#include "vmm/link/control.h"

static int pair[2];

static int set_up(void **state)
{
	(void)state;
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair);
}

static int tear_down(void **state)
{
	(void)state;
	close(pair[0]);
	close(pair[1]);
	return 0;
}

static void test_forward_golden_bytes(void **state)
{
	uint8_t wire[64];
	struct link_request request;
	struct err err = {};
	int fds[1];
	size_t count;

	(void)state;
	assert_int_equal(link_control_forward(pair[0], 0x11223344, 8080, 0, &err), 0);
	assert_int_equal(fdio_recv_fds(pair[1], wire, sizeof(wire), fds, 1, &count), 12);
	assert_int_equal(count, 1);
	close(fds[0]);
	assert_memory_equal(wire, "\x06\0\0\0\x44\x33\x22\x11\x90\x1f\0\0", 12);
	assert_true(link_control_decode(wire, 12, &request));
	assert_int_equal(request.op, LINK_OP_FORWARD);
	assert_int_equal(request.id, 0x11223344);
	assert_int_equal(request.body_len, 4);
}

static void test_largest_body_fits_one_packet(void **state)
{
	size_t size = LINK_CONTROL_BODY_MAX;
	uint8_t *body = calloc(1, size + 1), *wire = calloc(1, LINK_CONTROL_HEAD + size);
	struct link_request request = {
		.op = LINK_OP_EXEC, .id = 1, .body = body, .body_len = size
	};
	struct err err = {};
	size_t count;

	(void)state;
	assert_non_null(body);
	assert_non_null(wire);
	assert_int_equal(link_control_send(pair[0], &request, -1, &err), 0);
	assert_int_equal(fdio_recv_fds(pair[1], wire, LINK_CONTROL_HEAD + size, NULL, 0, &count),
		LINK_CONTROL_HEAD + size);
	assert_true(link_control_decode(wire, LINK_CONTROL_HEAD + size, &request));
	request.body_len++;
	assert_int_equal(link_control_send(pair[0], &request, -1, &err), -EMSGSIZE);
	free(body);
	free(wire);
}

static void test_refuses_malformed(void **state)
{
	struct link_request request;
	uint8_t wire[16] = { LINK_OP_VSOCK, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0 };

	(void)state;
	assert_true(link_control_decode(wire, 12, &request));
	assert_false(link_control_decode(wire, 11, &request));
	assert_false(link_control_decode(wire, 13, &request));
	assert_false(link_control_decode(wire, 7, &request));
	wire[2] = 1; /* reserved */
	assert_false(link_control_decode(wire, 12, &request));
	wire[2] = 0;
	wire[1] = LINK_FLAG_HOLD; /* SESSION_START's alone */
	assert_false(link_control_decode(wire, 12, &request));
	wire[0] = LINK_OP_SESSION_START;
	assert_true(link_control_decode(wire, 12, &request));
	assert_false(link_control_decode(wire, 8, &request)); /* a request is never empty */
	wire[0] = 0;
	assert_false(link_control_decode(wire, 12, &request));
	wire[0] = LINK_OP_LAST + 1;
	assert_false(link_control_decode(wire, 12, &request));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_forward_golden_bytes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			test_largest_body_fits_one_packet, set_up, tear_down),
		cmocka_unit_test(test_refuses_malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
