/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/egress/origin.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter_ipv4.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#define ORIGINAL_DST_V6 80 /* IP6T_SO_ORIGINAL_DST, whose header does not stand beside libc's */

static void take_v6(const struct sockaddr_in6 *from, struct origin *to)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	const uint8_t *address = from->sin6_addr.s6_addr;

	*to = (struct origin){ .v6 = true, .port = ntohs(from->sin6_port) };
	to->v6 = memcmp(address, mapped, sizeof(mapped)) != 0;
	memcpy(to->address, to->v6 ? address : address + 12, to->v6 ? 16 : 4);
}

int origin_get(int fd, struct origin *ret)
{
	struct sockaddr_in v4 = {};
	struct sockaddr_in6 v6 = {};
	struct sockaddr_storage own;
	socklen_t own_len = sizeof(own), v4_len = sizeof(v4), v6_len = sizeof(v6);

	if (getsockname(fd, (struct sockaddr *)&own, &own_len) < 0)
		return -errno;
	if (own.ss_family == AF_INET6) {
		if (getsockopt(fd, SOL_IPV6, ORIGINAL_DST_V6, &v6, &v6_len) < 0)
			return -errno;
		take_v6(&v6, ret);
		return 0;
	}
	if (getsockopt(fd, SOL_IP, SO_ORIGINAL_DST, &v4, &v4_len) < 0)
		return -errno;
	*ret = (struct origin){ .port = ntohs(v4.sin_port) };
	memcpy(ret->address, &v4.sin_addr, 4);
	return 0;
}

static bool is_here(const struct origin *origin)
{
	static const uint8_t nowhere[16], loopback[16] = { [15] = 1 };

	if (!origin->v6)
		return origin->address[0] == 127 || !memcmp(origin->address, nowhere, 4);
	return !memcmp(origin->address, nowhere, 16) || !memcmp(origin->address, loopback, 16);
}

bool origin_request(const struct origin *origin, struct names *names, struct egress_request *ret)
{
	struct egress_request request = { .kind = EGRESS_CAPTURED, .port = origin->port };
	bool synthetic;
	uint32_t number;
	const char *name;

	if (is_here(origin) || !origin->port)
		return false;
	synthetic = origin->v6 ? names_get_v6(origin->address, &number)
			       : names_get_v4(origin->address, &number);
	if (synthetic) {
		name = names_find(names, number);
		if (!name)
			return false;
		memcpy(request.host, name, strlen(name) + 1);
	} else if (!inet_ntop(origin->v6 ? AF_INET6 : AF_INET, origin->address, request.host,
			   sizeof(request.host)))
		return false;
	*ret = request;
	return true;
}
