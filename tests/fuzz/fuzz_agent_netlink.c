/* SPDX-License-Identifier: Apache-2.0 */
/* Netlink both ways: a datagram read to its end, and a writer driven by the input's bytes, which never leaves its buffer. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "guest-agent/egress/netlink.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(const uint8_t *data, size_t size)
{
	struct bytes_reader r = bytes_reader(data, size);
	struct netlink_message m;
	int code = 0;

	while (netlink_next(&r, &m)) {
		if (m.body < data || m.len > size || m.body + m.len > data + size)
			abort();
		if (netlink_ack(&m, &code) && (code > 0 || code < -4095))
			abort();
	}
}

static void write_all(const uint8_t *data, size_t size)
{
	uint8_t *buffer = malloc(256); /* so that a sanitizer sees its end */
	struct bytes_reader r;
	struct netlink_message m;
	struct netlink n;

	if (!buffer)
		return;
	netlink_init(&n, buffer, 256);
	netlink_begin(&n, 1, 2, "abcd", 4);
	for (size_t i = 0; i < size; i++) {
		if (data[i] < 64)
			netlink_attr(&n, data[i], data, size < data[i] ? size : data[i]);
		else if (data[i] < 128)
			netlink_nest(&n, data[i]);
		else if (data[i] < 192)
			netlink_unnest(&n);
		else
			netlink_attr_be32(&n, data[i], data[i]);
	}
	netlink_end(&n);
	r = bytes_reader(buffer, n.w.offset);
	if (!n.w.failed && (!netlink_next(&r, &m) || !bytes_done(&r) || m.seq != 1))
		abort();
	free(buffer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	read_all(data, size);
	write_all(data, size);
	return 0;
}
