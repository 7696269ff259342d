/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-proxy/dial.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"

struct attempt {
	struct dial *dial;
	struct loop_source *source; /* NULL: free */
	int fd;
};

struct dial {
	struct dial_setup setup;
	uint16_t port;
	struct resolver_query *query;
	struct loop_source *stagger, *deadline, *teller;
	struct policy_host addresses[RESOLVER_ADDRESSES_MAX];
	size_t count, next;
	unsigned int judged_out;
	int code; /* what the last attempt, or the name, failed with */
	const char *why;
	struct attempt attempts[DIAL_ATTEMPTS_MAX];
	/* Through the host's own proxy, once that is connected. */
	struct policy_host target;
	uint16_t target_port;
	struct loop_source *via_source; /* NULL: not yet */
	int via_fd;
	struct via via;
};

DEFINE_CLEANUP(dial, dial_cancel)

static void go_on(struct dial *d);

static void end_attempt(struct attempt *a)
{
	if (!a->source)
		return;
	loop_remove(a->source);
	a->source = NULL;
	close(a->fd);
	a->fd = -1;
}

void dial_cancel(struct dial *d)
{
	if (!d)
		return;
	resolver_cancel(d->query);
	for (size_t i = 0; i < ARRAY_SIZE(d->attempts); i++)
		end_attempt(&d->attempts[i]);
	if (d->via_source) {
		loop_remove(d->via_source);
		close(d->via_fd);
	}
	loop_remove(d->stagger);
	loop_remove(d->deadline);
	loop_remove(d->teller);
	free(d);
}

/* Told in the loop's next turn. */
static void fail(struct dial *d, int code, const char *why)
{
	d->code = code;
	d->why = why;
	loop_timer_set(d->teller, 1);
}

static void on_tell(void *data)
{
	struct dial *d = data;
	struct dial_setup setup = d->setup;
	const char *why = d->why;
	int code = d->code;

	dial_cancel(d);
	setup.done(setup.data, code, why);
}

static void finish(struct dial *d, int fd)
{
	struct dial_setup setup = d->setup;

	dial_cancel(d);
	setup.done(setup.data, fd, "");
}

static const char *words_for(int code)
{
	switch (code) {
	case -ENOENT:
		return "there is no such name, or it has no address";
	case -EIO:
		return "no name server answered";
	case -EACCES:
		return "none of its addresses may be reached";
	case -ETIMEDOUT:
		return "it did not answer in time";
	case -ECONNREFUSED:
		return "it refuses connections";
	case -EPERM:
		return "the host's own proxy refuses to connect there";
	case -EPROTO:
		return "what the host has as its proxy is none";
	}
	return "it cannot be reached";
}

/* -- connecting -- */

static socklen_t fill_address(
	const struct policy_host *host, uint16_t port, struct sockaddr_storage *out)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;

	*out = (struct sockaddr_storage){};
	if (host->kind == POLICY_HOST_IPV4) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		memcpy(&v4->sin_addr, host->address, 4);
		return sizeof(*v4);
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(port);
	memcpy(&v6->sin6_addr, host->address, 16);
	return sizeof(*v6);
}

static void on_via(void *data, uint32_t events)
{
	struct dial *d = data;
	int r = via_step(&d->via, d->via_fd);

	(void)events;
	if (r == 0) {
		loop_modify(d->via_source, via_events(&d->via));
	} else if (r > 0) {
		loop_remove(d->via_source);
		d->via_source = NULL;
		finish(d, d->via_fd);
	} else {
		loop_modify(d->via_source, 0);
		fail(d, r, words_for(r));
	}
}

static void ask_proxy(struct dial *d, int fd)
{
	int r;

	loop_timer_set(d->stagger, 0);
	for (size_t i = 0; i < ARRAY_SIZE(d->attempts); i++)
		end_attempt(&d->attempts[i]);
	d->via_fd = fd;
	via_begin(&d->via, &d->target, d->target_port);
	r = loop_add_fd(d->setup.loop, fd, via_events(&d->via), on_via, d, &d->via_source);
	if (r < 0) {
		close(fd);
		fail(d, r, words_for(r));
	}
}

static void succeed(struct attempt *a)
{
	struct dial *d = a->dial;
	int fd = a->fd;

	loop_remove(a->source);
	a->source = NULL;
	if (d->setup.via)
		ask_proxy(d, fd);
	else
		finish(d, fd);
}

/* Connected, or it failed. */
static void on_attempt(void *data, uint32_t events)
{
	struct attempt *a = data;
	struct dial *d = a->dial;
	socklen_t len = sizeof(int);
	int error = 0;

	(void)events;
	if (getsockopt(a->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error == 0) {
		succeed(a);
		return;
	}
	end_attempt(a);
	d->code = -error;
	go_on(d);
}

static struct attempt *free_attempt(struct dial *d)
{
	for (size_t i = 0; i < ARRAY_SIZE(d->attempts); i++)
		if (!d->attempts[i].source)
			return &d->attempts[i];
	return NULL;
}

static unsigned int attempts_under_way(const struct dial *d)
{
	unsigned int count = 0;

	for (size_t i = 0; i < ARRAY_SIZE(d->attempts); i++)
		count += d->attempts[i].source != NULL;
	return count;
}

/* 0: under way. */
static int attempt_address(struct dial *d, struct attempt *a, const struct policy_host *address)
{
	struct sockaddr_storage to;
	socklen_t len = fill_address(address, d->port, &to);
	_cleanup_close_ int fd =
		socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
	int on = 1, r;

	if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&to, len) < 0 && errno != EINPROGRESS)
		return -errno;
	*a = (struct attempt){ .dial = d, .fd = fd };
	r = loop_add_fd(d->setup.loop, fd, EPOLLOUT, on_attempt, a, &a->source);
	if (r < 0)
		return r;
	TAKE_FD(fd);
	return 0;
}

/* Starts the next address that the judge lets pass; what fails at once is followed by the one after it. */
static void go_on(struct dial *d)
{
	while (d->next < d->count) {
		const struct policy_host *address = &d->addresses[d->next];
		struct attempt *a = free_attempt(d);
		int r;

		if (!a)
			return;
		d->next++;
		/* The proxy's own addresses are the host's business. */
		if (!d->setup.via && !d->setup.judge(d->setup.data, address)) {
			d->judged_out++;
			continue;
		}
		r = attempt_address(d, a, address);
		if (r == 0) {
			if (d->next < d->count)
				loop_timer_set(d->stagger, DIAL_STAGGER_MS);
			return;
		}
		d->code = r;
	}
	if (attempts_under_way(d))
		return;
	if (d->judged_out == d->count)
		d->code = -EACCES;
	fail(d, d->code, words_for(d->code));
}

static void on_stagger(void *data)
{
	go_on(data);
}

static void on_deadline(void *data)
{
	fail(data, -ETIMEDOUT, words_for(-ETIMEDOUT));
}

/* -- the name -- */

/* Families in turn, IPv6 first (RFC 8305, section 4). */
static void take_addresses(struct dial *d, const struct resolver_answer *answer)
{
	size_t next[2] = {};
	bool want_v6 = true;

	while (d->count < answer->count) {
		size_t *i = &next[want_v6];

		while (*i < answer->count &&
			(answer->addresses[*i].kind == POLICY_HOST_IPV6) != want_v6)
			++*i;
		if (*i < answer->count)
			d->addresses[d->count++] = answer->addresses[(*i)++];
		want_v6 = !want_v6;
	}
}

static void on_resolved(void *data, const struct resolver_answer *answer)
{
	struct dial *d = data;

	d->query = NULL;
	if (answer->code < 0) {
		fail(d, answer->code, words_for(answer->code));
		return;
	}
	take_addresses(d, answer);
	go_on(d);
}

int dial_start(const struct dial_setup *setup, const struct policy_host *host, uint16_t port,
	struct dial **ret)
{
	_cleanup_(cleanup_dial_) struct dial *d = calloc(1, sizeof(*d));
	const struct resolver_answer *known;
	int r;

	if (!d)
		return -ENOMEM;
	d->setup = *setup;
	d->port = setup->via ? setup->via->port : port;
	d->target = *host;
	d->target_port = port;
	d->via_fd = -1;
	r = loop_add_timer(setup->loop, on_stagger, d, &d->stagger);
	if (r == 0)
		r = loop_add_timer(setup->loop, on_deadline, d, &d->deadline);
	if (r == 0)
		r = loop_add_timer(setup->loop, on_tell, d, &d->teller);
	if (r == 0)
		r = loop_timer_set(d->deadline, DIAL_TIMEOUT_MS);
	if (r < 0)
		return r;
	if (setup->via && host->kind != POLICY_HOST_NAME && !setup->judge(setup->data, host)) {
		fail(d, -EACCES, words_for(-EACCES));
		*ret = TAKE_PTR(d);
		return 0;
	}
	r = resolver_resolve(setup->resolver, setup->via ? &setup->via->host : host, on_resolved, d,
		&known, &d->query);
	if (r < 0)
		return r;
	if (r == 1)
		on_resolved(d, known);
	*ret = TAKE_PTR(d);
	return 0;
}
