/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-proxy/resolver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <ares.h>

#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"

#define SOCKETS_MAX 64 /* that c-ares may have open at once: one UDP and one TCP for each server */

enum entry_state { ENTRY_FREE = 0, ENTRY_ASKING, ENTRY_KNOWN };

struct resolver_query {
	struct resolver_query *next;
	struct entry *entry;
	resolver_done_fn *done;
	void *data;
};

struct entry {
	struct resolver *resolver;
	enum entry_state state;
	struct policy_host name;
	struct resolver_answer answer;
	uint64_t expires_ms, used;
	struct resolver_query *waiting;
	bool in_question; /* c-ares may answer from inside the question: nobody is told then */
};

struct watched {
	struct resolver *resolver;
	struct loop_source *source;
	ares_socket_t fd;
};

struct resolver {
	struct loop *loop;
	struct loop_source *timer;
	ares_channel channel;
	bool library, channel_made, ending;
	uint64_t uses;
	unsigned int waiting;
	struct watched watched[SOCKETS_MAX];
	struct resolver_answer literal; /* of an address that was asked for */
	struct entry entries[RESOLVER_NAMES_MAX];
};

DEFINE_CLEANUP(resolver, resolver_destroy)

/* -- the loop and c-ares -- */

static void set_timer(struct resolver *r)
{
	struct timeval most = { .tv_sec = 60 }, next;
	struct timeval *tv = ares_timeout(r->channel, &most, &next);

	loop_timer_set(r->timer, (uint64_t)tv->tv_sec * 1000 + (uint64_t)tv->tv_usec / 1000 + 1);
}

static void on_timer(void *data)
{
	struct resolver *r = data;

	ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	set_timer(r);
}

static void on_socket(void *data, uint32_t events)
{
	struct watched *w = data;
	struct resolver *r = w->resolver;
	ares_socket_t fd = w->fd;

	ares_process_fd(r->channel, events & (EPOLLIN | EPOLLHUP | EPOLLERR) ? fd : ARES_SOCKET_BAD,
		events & EPOLLOUT ? fd : ARES_SOCKET_BAD);
	set_timer(r);
}

static struct watched *find_watched(struct resolver *r, ares_socket_t fd)
{
	struct watched *unused = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(r->watched); i++) {
		if (r->watched[i].source && r->watched[i].fd == fd)
			return &r->watched[i];
		if (!r->watched[i].source)
			unused = &r->watched[i];
	}
	return unused;
}

/* What c-ares wants to know of a socket has changed. One too many is not watched, and its question times out. */
static void on_interest(void *data, ares_socket_t fd, int readable, int writable)
{
	struct resolver *r = data;
	struct watched *w = find_watched(r, fd);
	uint32_t events = (readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u);

	if (!w)
		return;
	if (!events) {
		loop_remove(w->source);
		w->source = NULL;
	} else if (w->source) {
		loop_modify(w->source, events);
	} else {
		*w = (struct watched){ .resolver = r, .fd = fd };
		if (loop_add_fd(r->loop, fd, events, on_socket, w, &w->source) < 0)
			w->source = NULL;
	}
}

/* -- answers -- */

static void add_address(struct resolver_answer *answer, const struct ares_addrinfo_node *node)
{
	char text[INET6_ADDRSTRLEN];
	const void *address;

	if (node->ai_family == AF_INET)
		address = &((const struct sockaddr_in *)(const void *)node->ai_addr)->sin_addr;
	else if (node->ai_family == AF_INET6)
		address = &((const struct sockaddr_in6 *)(const void *)node->ai_addr)->sin6_addr;
	else
		return;
	/* Through the one parser, so that a v4-mapped answer is the IPv4 address that it is. */
	if (answer->count < RESOLVER_ADDRESSES_MAX &&
		inet_ntop(node->ai_family, address, text, sizeof(text)) &&
		policy_host_parse(text, strlen(text), &answer->addresses[answer->count]))
		answer->count++;
}

static int code_of(int status)
{
	switch (status) {
	case ARES_SUCCESS:
		return 0;
	case ARES_ENOTFOUND:
	case ARES_ENODATA:
		return -ENOENT;
	}
	return -EIO;
}

static void tell(struct entry *entry)
{
	/* A copy: who is told may ask again, and so push the entry out. */
	struct resolver_answer answer = entry->answer;
	struct resolver_query *query = entry->waiting, *next;

	entry->waiting = NULL;
	for (; query; query = next) {
		next = query->next;
		entry->resolver->waiting--;
		if (query->done)
			query->done(query->data, &answer);
		free(query);
	}
}

static uint64_t lifetime_s(const struct resolver_answer *answer, int ttl_s)
{
	if (answer->code == -ENOENT)
		return RESOLVER_TTL_NONE_S;
	return answer->code || ttl_s < 0 ? 0 : MIN((uint64_t)ttl_s, (uint64_t)RESOLVER_TTL_MAX_S);
}

static void on_answer(void *data, int status, int timeouts, struct ares_addrinfo *info)
{
	struct entry *entry = data;
	struct resolver_answer *answer = &entry->answer;
	int ttl_s = RESOLVER_TTL_MAX_S;

	(void)timeouts;
	*answer = (struct resolver_answer){ .code = code_of(status) };
	for (const struct ares_addrinfo_node *n = info ? info->nodes : NULL; n; n = n->ai_next) {
		add_address(answer, n);
		ttl_s = MIN(ttl_s, n->ai_ttl);
	}
	if (info)
		ares_freeaddrinfo(info);
	if (!answer->code && !answer->count)
		answer->code = -ENOENT;
	entry->state = ENTRY_KNOWN;
	entry->expires_ms = clock_monotonic_ms() + lifetime_s(answer, ttl_s) * 1000;
	if (!entry->resolver->ending && !entry->in_question)
		tell(entry);
}

/* -- questions -- */

static struct entry *find_entry(struct resolver *r, const struct policy_host *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(r->entries); i++)
		if (r->entries[i].state != ENTRY_FREE &&
			policy_host_equal(&r->entries[i].name, name))
			return &r->entries[i];
	return NULL;
}

/* A free one, or the one unused for longest of which nobody waits for anything. */
static struct entry *make_entry(struct resolver *r)
{
	struct entry *oldest = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(r->entries); i++) {
		struct entry *entry = &r->entries[i];

		if (entry->state == ENTRY_FREE)
			return entry;
		if (entry->state == ENTRY_KNOWN && (!oldest || entry->used < oldest->used))
			oldest = entry;
	}
	return oldest;
}

static struct resolver_query *add_query(struct entry *entry, resolver_done_fn *done, void *data)
{
	struct resolver_query *query = calloc(1, sizeof(*query));

	if (!query)
		return NULL;
	*query = (struct resolver_query){
		.next = entry->waiting, .entry = entry, .done = done, .data = data
	};
	entry->waiting = query;
	entry->resolver->waiting++;
	return query;
}

/* True: it is answered already. */
static bool ask(struct entry *entry)
{
	static const struct ares_addrinfo_hints hints = {
		.ai_flags = ARES_AI_NOSORT, .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM
	};
	char name[POLICY_NAME_MAX + 2];

	/* With its final dot it is a whole name, whatever a search list or an alias says. */
	snprintf(name, sizeof(name), "%s.", entry->name.text);
	entry->state = ENTRY_ASKING;
	entry->in_question = true;
	ares_getaddrinfo(entry->resolver->channel, name, NULL, &hints, on_answer, entry);
	entry->in_question = false;
	set_timer(entry->resolver);
	return entry->state == ENTRY_KNOWN;
}

static void forget_first(struct entry *entry)
{
	struct resolver_query *query = entry->waiting;

	entry->waiting = query->next;
	entry->resolver->waiting--;
	free(query);
}

static const struct resolver_answer *literal(struct resolver *r, const struct policy_host *address)
{
	r->literal = (struct resolver_answer){ .count = 1, .addresses = { *address } };
	return &r->literal;
}

int resolver_resolve(struct resolver *r, const struct policy_host *name, resolver_done_fn *done,
	void *data, const struct resolver_answer **ret_answer, struct resolver_query **ret_query)
{
	struct entry *entry = find_entry(r, name);

	if (name->kind != POLICY_HOST_NAME) {
		*ret_answer = literal(r, name);
		return 1;
	}
	if (entry && entry->state == ENTRY_KNOWN && clock_monotonic_ms() < entry->expires_ms) {
		entry->used = ++r->uses;
		*ret_answer = &entry->answer;
		return 1;
	}
	if (!entry)
		entry = make_entry(r);
	if (!entry || r->waiting >= RESOLVER_WAITING_MAX)
		return -EBUSY;
	if (entry->state != ENTRY_ASKING)
		*entry = (struct entry){ .resolver = r, .name = *name };
	*ret_query = add_query(entry, done, data);
	if (!*ret_query)
		return -ENOMEM;
	entry->used = ++r->uses;
	if (entry->state == ENTRY_ASKING || !ask(entry))
		return 0;
	forget_first(entry);
	*ret_query = NULL;
	*ret_answer = &entry->answer;
	return 1;
}

void resolver_cancel(struct resolver_query *query)
{
	if (query)
		query->done = NULL; /* freed with its answer, which comes or times out */
}

/* -- its life -- */

static int make_channel(struct resolver *r, const char *servers, struct err *err)
{
	char lookups[] = "b"; /* servers only */
	struct ares_options options = {
		.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
		.timeout = RESOLVER_TRY_MS,
		.tries = RESOLVER_TRIES,
		.lookups = lookups,
		.sock_state_cb = on_interest,
		.sock_state_cb_data = r,
	};
	int status = ares_init_options(&r->channel, &options,
		ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS |
			ARES_OPT_SOCK_STATE_CB);

	r->channel_made = status == ARES_SUCCESS;
	if (status == ARES_SUCCESS && servers)
		status = ares_set_servers_ports_csv(r->channel, servers);
	if (status != ARES_SUCCESS)
		return err_set(err, -ENOENT, "name servers %.200s: %s",
			servers ? servers : "of the host", ares_strerror(status));
	return 0;
}

int resolver_create(struct loop *loop, const char *servers, struct resolver **ret, struct err *err)
{
	_cleanup_(cleanup_resolver_) struct resolver *r = calloc(1, sizeof(*r));
	int code;

	if (!r || ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
		return err_set(err, -ENOMEM, "resolver: no memory");
	r->library = true;
	r->loop = loop;
	code = loop_add_timer(loop, on_timer, r, &r->timer);
	if (code < 0)
		return err_set(err, code, "resolver: no timer: %s", strerror(-code));
	code = make_channel(r, servers, err);
	if (code == 0)
		*ret = TAKE_PTR(r);
	return code;
}

void resolver_destroy(struct resolver *r)
{
	if (!r)
		return;
	r->ending = true;
	if (r->channel_made)
		ares_destroy(r->channel);
	for (size_t i = 0; i < ARRAY_SIZE(r->entries); i++)
		while (r->entries[i].waiting) {
			struct resolver_query *query = r->entries[i].waiting;

			r->entries[i].waiting = query->next;
			free(query);
		}
	for (size_t i = 0; i < ARRAY_SIZE(r->watched); i++)
		loop_remove(r->watched[i].source);
	loop_remove(r->timer);
	if (r->library)
		ares_library_cleanup();
	free(r);
}
