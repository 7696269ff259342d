/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/ports.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/supervisor/json.h"
#include "vmm/supervisor/process.h"
#include "vmm/supervisor/registry.h"

#define BACKLOG 64

static socklen_t fill_address(const struct spec_port *port, struct sockaddr_storage *ret)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;

	memset(ret, 0, sizeof(*ret));
	if (inet_pton(AF_INET, port->address, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port->host_port);
		return sizeof(*v4);
	}
	if (inet_pton(AF_INET6, port->address, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port->host_port);
		return sizeof(*v6);
	}
	return 0;
}

/* Both were filled: equal, or either one the wildcard. (A v6 one is bound for v6 alone.) */
static bool addresses_overlap(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	static const struct in6_addr any;
	const struct in6_addr *a6 = &((const struct sockaddr_in6 *)a)->sin6_addr,
			      *b6 = &((const struct sockaddr_in6 *)b)->sin6_addr;
	in_addr_t a4 = ((const struct sockaddr_in *)a)->sin_addr.s_addr,
		  b4 = ((const struct sockaddr_in *)b)->sin_addr.s_addr;

	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET)
		return a4 == b4 || a4 == INADDR_ANY || b4 == INADDR_ANY;
	return memcmp(a6, b6, sizeof(any)) == 0 || memcmp(a6, &any, sizeof(any)) == 0 ||
	       memcmp(b6, &any, sizeof(any)) == 0;
}

const struct spec_port *ports_find_clash(const struct spec *spec, const struct spec_port *port)
{
	struct sockaddr_storage wanted, other;

	if (!fill_address(port, &wanted))
		return NULL;
	for (size_t i = 0; i < spec->port_count; i++)
		if (spec->ports[i].host_port == port->host_port &&
			fill_address(&spec->ports[i], &other) && addresses_overlap(&wanted, &other))
			return &spec->ports[i];
	return NULL;
}

/* Whose errors name whom: the sandbox that asks for ports, and where all are registered (may be NULL). */
struct asker {
	const struct paths *paths;
	const char *name;
};

/* Another running sandbox that publishes what stands in port's way. */
static bool find_sandbox(const struct asker *asker, const struct spec_port *port,
	char ret_name[static SANDBOX_NAME_MAX + 1])
{
	const struct paths *paths = asker->paths;
	char **names = NULL;
	bool found = false;

	if (!paths || registry_list(paths, &names, NULL) < 0)
		return false;
	for (size_t i = 0; names[i] && !found; i++) {
		struct record record;

		if (strcmp(names[i], asker->name) == 0 ||
			registry_is_locked(paths, names[i]) != 1 ||
			registry_load(paths, names[i], &record, NULL) < 0)
			continue;
		found = ports_find_clash(&record.spec, port) != NULL;
		if (found)
			snprintf(ret_name, SANDBOX_NAME_MAX + 1, "%s", names[i]);
		record_finish(&record);
	}
	json_free_texts(names);
	return found;
}

static int explain(
	const struct asker *asker, const struct spec_port *port, int code, struct err *err)
{
	char who[64], name[SANDBOX_NAME_MAX + 1];

	if (code != -EADDRINUSE) {
		err_set(err, code, "port %s:%u: %s", port->address, port->host_port,
			strerror(-code));
		if (code == -EACCES && port->host_port < 1024)
			err_next_step(err, "ports below 1024 are root's: -p %u:%u",
				port->host_port + 8000u, port->guest_port);
		if (code == -EADDRNOTAVAIL)
			err_next_step(err, "no interface of this host has that address: ip addr");
		return code;
	}
	if (find_sandbox(asker, port, name))
		err_set(err, code, "port %s:%u: sandbox %s publishes it", port->address,
			port->host_port, name);
	else if (process_find_listener(port->host_port, who, sizeof(who)))
		err_set(err, code, "port %s:%u: %s has it", port->address, port->host_port, who);
	else
		err_set(err, code, "port %s:%u: somebody has it", port->address, port->host_port);
	err_next_step(err, "publish another one, e.g. -p %u:%u",
		port->host_port < 65535 ? port->host_port + 1u : 8080u, port->guest_port);
	return code;
}

static int open_one(
	const struct asker *asker, const struct spec_port *port, int *ret_fd, struct err *err)
{
	struct sockaddr_storage address;
	socklen_t len = fill_address(port, &address);
	_cleanup_close_ int fd = -1;
	int on = 1;

	if (len == 0)
		return err_set(err, -EINVAL, "port %u: %s is not an address", port->host_port,
			port->address);
	fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return explain(asker, port, -errno, err);
	/* Connections of the last run that linger in TIME_WAIT are not somebody else's claim. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
		(address.ss_family == AF_INET6 &&
			setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0) ||
		bind(fd, (struct sockaddr *)&address, len) < 0 || listen(fd, BACKLOG) < 0)
		return explain(asker, port, -errno, err);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int ports_open(const struct paths *paths, const struct spec *spec,
	int ret_fds[static SPEC_PORTS_MAX], struct err *err)
{
	const struct asker asker = { .paths = paths, .name = spec->name };
	int fds[SPEC_PORTS_MAX] = {};

	for (size_t i = 0; i < spec->port_count; i++) {
		int r = open_one(&asker, &spec->ports[i], &fds[i], err);

		if (r < 0) {
			while (i--)
				close(fds[i]);
			return r;
		}
	}
	memcpy(ret_fds, fds, spec->port_count * sizeof(*fds));
	return 0;
}

int ports_check_bindable(const struct paths *paths, const struct spec *spec, struct err *err)
{
	int fds[SPEC_PORTS_MAX] = {};
	int r = ports_open(paths, spec, fds, err);

	for (size_t i = 0; r == 0 && i < spec->port_count; i++)
		close(fds[i]);
	return r;
}

int ports_check_replace(const struct paths *paths, const struct spec *spec, struct err *err)
{
	struct spec asked = {};
	struct record record;
	bool lives = registry_is_locked(paths, spec->name) == 1;
	int r = registry_load(paths, spec->name, &record, err);

	if (r < 0)
		return r;
	strcpy(asked.name, spec->name);
	for (size_t i = 0; i < spec->port_count; i++)
		if (!lives || !ports_find_clash(&record.spec, &spec->ports[i]))
			asked.ports[asked.port_count++] = spec->ports[i];
	record_finish(&record);
	return ports_check_bindable(paths, &asked, err);
}
