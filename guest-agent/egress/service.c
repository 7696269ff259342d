/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/egress/service.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <linux/vm_sockets.h>

#include "guest-agent/egress/capture.h"
#include "guest-agent/egress/denials.h"
#include "guest-agent/egress/link.h"
#include "guest-agent/egress/nft.h"
#include "guest-agent/egress/reports.h"
#include "guest-agent/egress/resolver.h"
#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"

#define DNS_PORT      53
#define BACKLOG	      128
#define FIRST_FD      3
#define PARKED_FD     64 /* above all that are to stay */
#define FILES_AT_MOST (2 * CAPTURE_CONNECTIONS_MAX + RESOLVER_TCP_MAX + 64)

enum use { USE_CAPTURE, USE_PROXY, USE_DNS_TCP, USE_DNS_UDP };

static const struct {
	enum use use;
	int family;
	uint16_t port;
} sockets[] = {
	{ USE_CAPTURE, AF_INET, SERVICE_CAPTURE_PORT },
	{ USE_CAPTURE, AF_INET6, SERVICE_CAPTURE_PORT },
	{ USE_PROXY, AF_INET, SERVICE_PROXY_PORT },
	{ USE_PROXY, AF_INET6, SERVICE_PROXY_PORT },
	{ USE_DNS_TCP, AF_INET, DNS_PORT },
	{ USE_DNS_TCP, AF_INET6, DNS_PORT },
	{ USE_DNS_UDP, AF_INET, DNS_PORT },
	{ USE_DNS_UDP, AF_INET6, DNS_PORT },
};

_Static_assert(ARRAY_SIZE(sockets) == SERVICE_LISTENERS_MAX, "one place for each");
_Static_assert(FIRST_FD + SERVICE_LISTENERS_MAX + 1 < PARKED_FD, "parked fds are out of the way");

struct serving {
	struct names names;
	struct dns_zone zone;
	struct denials denials;
	struct loop *loop;
	struct capture *capture;
	struct resolver *resolver;
	struct reports *reports;
};

/* -- set up, by PID 1 -- */

static int open_socket(int family, bool datagrams, uint16_t port)
{
	const struct sockaddr_in v4 = { .sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const struct sockaddr_in6 v6 = { .sin6_family = AF_INET6,
		.sin6_port = htons(port),
		.sin6_addr = IN6ADDR_LOOPBACK_INIT };
	const struct sockaddr *address = (const struct sockaddr *)&v4;
	socklen_t len = sizeof(v4);
	_cleanup_close_ int fd = socket(
		family, (datagrams ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1;

	if (family == AF_INET6) {
		address = (const struct sockaddr *)&v6;
		len = sizeof(v6);
	}
	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, address, len) < 0 || (!datagrams && listen(fd, BACKLOG) < 0))
		return -errno;
	return TAKE_FD(fd);
}

/* Without IPv6 the sockets of its loopback are not missed. */
static int open_sockets(struct service *service, struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(sockets); i++) {
		int fd = open_socket(
			sockets[i].family, sockets[i].use == USE_DNS_UDP, sockets[i].port);

		service->listener[i] = fd < 0 ? -1 : fd;
		if (fd < 0 && sockets[i].family == AF_INET && r == 0)
			r = err_set(err, fd, "port %u: %s", sockets[i].port, strerror(-fd));
	}
	return r;
}

static int set_up_capture(struct service *service, struct err *err)
{
	/* The rules first: a route to a link that nothing takes up from would swallow connections. */
	int r = nft_set_up(SERVICE_CAPTURE_PORT, err);

	if (r == 0)
		r = link_set_up(&service->v6, err);
	service->captured = r == 0;
	return r;
}

static void take_hostname(struct service *service, const char *hostname)
{
	size_t at = 0;

	for (; at < SERVICE_HOSTNAME_MAX && hostname[at]; at++)
		service->hostname[at] =
			(char)(hostname[at] >= 'A' && hostname[at] <= 'Z' ? hostname[at] - 'A' + 'a'
									  : hostname[at]);
	service->hostname[at] = '\0';
}

int service_set_up(struct service *service, const char *hostname, struct err *err)
{
	struct err second = {};
	int r, sockets_r;

	*service = (struct service){ .denials_fd = -1 };
	take_hostname(service, hostname);
	service->denials_fd = open(DENIALS_PATH, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	sockets_r = open_sockets(service, &second);
	r = set_up_capture(service, err);
	if (r == 0 && sockets_r < 0)
		r = err_set(err, sockets_r, "%s", second.text);
	return r;
}

/* -- the process -- */

static int connect_host(void *data)
{
	const struct sockaddr_vm host = {
		.svm_family = AF_VSOCK, .svm_port = PROTOCOL_EGRESS_PORT, .svm_cid = VMADDR_CID_HOST
	};
	_cleanup_close_ int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	(void)data;
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&host, sizeof(host)) < 0 && errno != EINPROGRESS)
		return -errno;
	return TAKE_FD(fd);
}

static void note_denied(
	void *data, const struct egress_request *request, const struct egress_answer *answer)
{
	struct serving *serving = data;
	char line[DENIALS_LINE_MAX];

	denials_add(
		&serving->denials, line, denials_line(request, answer, (uint64_t)time(NULL), line));
}

/* What the host reports as well is noted once. */
static void note_refused(
	void *data, const struct egress_request *request, const struct egress_answer *answer)
{
	struct serving *serving = data;

	if (answer->verdict == EGRESS_UNREACHABLE || !reports_heard(serving->reports))
		note_denied(data, request, answer);
}

static const struct capture_ops capture_ops = {
	.connect = connect_host,
	.origin = origin_get,
	.denied = note_refused,
};

static void note_reported(void *data, const struct egress_answer *answer)
{
	static const struct egress_request inside = { .kind = EGRESS_REPORTS };

	note_denied(data, &inside, answer);
}

static const struct reports_ops reports_ops = { .connect = connect_host, .denied = note_reported };

static int park(int *fd)
{
	if (*fd < 0)
		return 0;
	*fd = fcntl(*fd, F_DUPFD, PARKED_FD);
	return *fd < 0 ? -errno : 0;
}

static int settle(int *fd, int *next)
{
	if (*fd < 0)
		return 0;
	if (dup2(*fd, *next) < 0)
		return -errno;
	*fd = (*next)++;
	return 0;
}

static int keep_own_fds(struct service *service)
{
	int next = FIRST_FD, r = park(&service->denials_fd);

	for (size_t i = 0; i < ARRAY_SIZE(sockets) && r == 0; i++)
		r = park(&service->listener[i]);
	if (r == 0)
		r = settle(&service->denials_fd, &next);
	for (size_t i = 0; i < ARRAY_SIZE(sockets) && r == 0; i++)
		r = settle(&service->listener[i], &next);
	if (r == 0 && syscall(SYS_close_range, (unsigned int)next, ~0u, 0u) < 0)
		r = -errno;
	return r;
}

static int give_up_root(void)
{
	const struct rlimit files = { FILES_AT_MOST, FILES_AT_MOST };

	(void)prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0); /* buffers are touched as they are used */
	if (setrlimit(RLIMIT_NOFILE, &files) < 0 || chdir("/") < 0 || setgroups(0, NULL) < 0 ||
		setresgid(SERVICE_UID, SERVICE_UID, SERVICE_UID) < 0 ||
		setresuid(SERVICE_UID, SERVICE_UID, SERVICE_UID) < 0 ||
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0)
		return -errno;
	return 0;
}

static int add_socket(struct serving *serving, enum use use, int fd)
{
	switch (use) {
	case USE_CAPTURE:
		return capture_listen(serving->capture, fd, EGRESS_CAPTURED);
	case USE_PROXY:
		return capture_listen(serving->capture, fd, EGRESS_PROXY);
	case USE_DNS_TCP:
		return resolver_add_tcp(serving->resolver, fd);
	case USE_DNS_UDP:
		return resolver_add_udp(serving->resolver, fd);
	}
	return -EINVAL;
}

static int serve(struct service *service)
{
	static struct serving serving;
	int r;

	serving.zone = (struct dns_zone){ &serving.names, service->hostname, service->captured,
		service->v6 };
	denials_init(&serving.denials, service->denials_fd);
	r = loop_create(&serving.loop);
	if (r == 0)
		r = capture_create(
			serving.loop, &serving.names, &capture_ops, &serving, &serving.capture);
	if (r == 0)
		r = resolver_create(serving.loop, &serving.zone, &serving.resolver);
	if (r == 0)
		r = reports_create(serving.loop, &reports_ops, &serving, &serving.reports);
	for (size_t i = 0; i < ARRAY_SIZE(sockets) && r == 0; i++)
		if (service->listener[i] >= 0)
			r = add_socket(&serving, sockets[i].use, service->listener[i]);
	return r < 0 ? r : loop_run(serving.loop);
}

void service_run(struct service *service)
{
	int r = keep_own_fds(service);

	(void)prctl(PR_SET_NAME, "agent-egress");
	if (r == 0)
		r = give_up_root();
	if (r == 0)
		r = serve(service);
	log_error("egress: %s", strerror(-r));
	_exit(1);
}
