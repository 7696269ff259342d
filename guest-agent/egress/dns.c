/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/egress/dns.h"

#include <string.h>

#include "guest-agent/egress/network_order.h"
#include "vmm/base/array.h"

#define HEAD_SIZE     12
#define LABEL_MAX     63
#define WIRE_NAME_MAX 255
#define UDP_SIZE      1232 /* what we say we take: fits any path */
#define QUESTION_AT   (0xc000u | HEAD_SIZE) /* a pointer to the question's name */

#define FLAG_RESPONSE 0x8000u
#define FLAG_OPCODE   0x7800u
#define FLAG_RD	      0x0100u
#define FLAG_RA	      0x0080u

enum { TYPE_A = 1, TYPE_PTR = 12, TYPE_AAAA = 28, TYPE_OPT = 41, TYPE_ANY = 255 };
enum { CLASS_IN = 1 };
enum { NOERROR = 0, FORMERR = 1, NXDOMAIN = 3, NOTIMP = 4, REFUSED = 5 };

struct query {
	uint16_t id, flags, type, class;
	bool edns;
	bool plain; /* the name is of letters, digits, hyphen and underscore */
	char name[NAMES_NAME_MAX + 1]; /* in lower case, without the final dot */
	const uint8_t *question; /* borrowed */
	size_t question_len;
};

/* -- the query -- */

static char folded(uint8_t c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static bool plain_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* A label's length past 63 is a pointer, or of no kind yet known: refused (no loop, no reading backwards). */
static bool get_name(struct bytes_reader *r, struct query *q)
{
	size_t start = r->offset, at = 0;

	q->plain = true;
	for (;;) {
		uint8_t len = bytes_get_u8(r);
		const uint8_t *label = bytes_get(r, len);

		if (r->failed || len > LABEL_MAX || r->offset - start >= WIRE_NAME_MAX + !len)
			return false;
		if (!len)
			break;
		if (at)
			q->name[at++] = '.';
		for (uint8_t i = 0; i < len; i++) {
			char c = folded(label[i]);

			q->plain = q->plain && plain_byte(c);
			q->name[at++] = plain_byte(c) ? c : '?';
		}
	}
	q->name[at] = '\0';
	return true;
}

static bool get_opt(struct bytes_reader *r)
{
	uint8_t root = bytes_get_u8(r);
	uint16_t type = get_be16(r);

	(void)get_be16(r); /* their UDP size: answers are smaller than any */
	(void)bytes_get(r, 4); /* version and flags: there is nothing we would do differently */
	(void)bytes_get(r, get_be16(r));
	return !r->failed && !root && type == TYPE_OPT;
}

/* The head is there; the result is an rcode. */
static int get_query(struct bytes_reader *r, struct query *q)
{
	uint16_t questions, answers, authorities, additionals;

	q->id = get_be16(r);
	q->flags = get_be16(r);
	questions = get_be16(r);
	answers = get_be16(r);
	authorities = get_be16(r);
	additionals = get_be16(r);
	if (q->flags & FLAG_OPCODE)
		return NOTIMP;
	if (questions != 1 || answers || authorities || additionals > 1 || !get_name(r, q))
		return FORMERR;
	q->type = get_be16(r);
	q->class = get_be16(r);
	q->question = r->data + HEAD_SIZE;
	q->question_len = r->offset - HEAD_SIZE;
	if (additionals && !r->failed)
		q->edns = get_opt(r);
	if (!bytes_done(r) || (additionals && !q->edns)) {
		q->question_len = 0;
		return FORMERR;
	}
	return NOERROR;
}

/* -- what is known about a name -- */

/* name is suffix, or ends in `.suffix`. */
static bool name_within(const char *name, const char *suffix)
{
	size_t len = strlen(name), suffix_len = strlen(suffix);

	if (len < suffix_len || strcmp(name + len - suffix_len, suffix) != 0)
		return false;
	return len == suffix_len || name[len - suffix_len - 1] == '.';
}

static bool name_local(const struct dns_zone *zone, const char *name)
{
	return name_within(name, "localhost") || !strcmp(name, zone->hostname);
}

static bool name_impossible(const struct query *q)
{
	static const char *const nobodys[] = { "invalid", "onion", "local",
		"use-application-dns.net" };
	const char *last = strrchr(q->name, '.');

	last = last ? last + 1 : q->name;
	if (!q->plain || (*last >= '0' && *last <= '9'))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(nobodys); i++)
		if (name_within(q->name, nobodys[i]))
			return true;
	return false;
}

/* 1.0.18.198.in-addr.arpa */
static bool reverse_v4(const char *name, uint8_t out[static 4])
{
	for (int i = 3; i >= 0; i--) {
		unsigned int value = 0, digits = 0;

		while (*name >= '0' && *name <= '9' && digits++ < 3)
			value = value * 10 + (unsigned int)(*name++ - '0');
		if (!digits || value > 255 || *name++ != '.')
			return false;
		out[i] = (uint8_t)value;
	}
	return !strcmp(name, "in-addr.arpa");
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* 32 digits from the last to the first, a dot after each. */
static bool reverse_v6(const char *name, uint8_t out[static 16])
{
	if (strlen(name) != 64 + strlen("ip6.arpa") || strcmp(name + 64, "ip6.arpa") != 0)
		return false;
	for (int i = 15; i >= 0; i--, name += 4) {
		int low = hex_digit(name[0]), high = hex_digit(name[2]);

		if (low < 0 || high < 0 || name[1] != '.' || name[3] != '.')
			return false;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static const char *reverse_name(const struct dns_zone *zone, const char *name)
{
	uint8_t address[16];
	uint32_t number;

	if ((reverse_v4(name, address) && names_get_v4(address, &number)) ||
		(reverse_v6(name, address) && names_get_v6(address, &number)))
		return names_find(zone->names, number);
	if (reverse_v4(name, address) && address[0] == 127)
		return "localhost";
	return NULL;
}

/* -- the answer -- */

static void put_record(struct bytes_writer *w, uint16_t type, const void *data, size_t len)
{
	put_be16(w, QUESTION_AT);
	put_be16(w, type);
	put_be16(w, CLASS_IN);
	put_be32(w, DNS_TTL_S);
	put_be16(w, (uint16_t)len);
	bytes_put(w, data, len);
}

/* Gives the number of answers: 1. */
static uint16_t put_pointed(struct bytes_writer *w, const char *name)
{
	uint8_t wire[WIRE_NAME_MAX];
	struct bytes_writer n = bytes_writer(wire, sizeof(wire));

	while (*name) {
		size_t len = strcspn(name, ".");

		bytes_put_u8(&n, (uint8_t)len);
		bytes_put(&n, name, len);
		name += len + (name[len] == '.');
	}
	bytes_put_u8(&n, 0);
	w->failed = w->failed || n.failed;
	put_record(w, TYPE_PTR, wire, n.offset);
	return 1;
}

static uint16_t put_address(
	struct bytes_writer *w, const struct dns_zone *zone, const struct query *q, bool local)
{
	uint32_t number;
	uint8_t address[16] = {};

	if ((q->type != TYPE_A && q->type != TYPE_AAAA) || (q->type == TYPE_AAAA && !zone->v6))
		return 0;
	if (local) {
		if (q->type == TYPE_A)
			memcpy(address, (const uint8_t[]){ 127, 0, 0, 1 }, 4);
		else
			address[15] = 1;
	} else {
		number = names_number(zone->names, q->name);
		if (q->type == TYPE_A)
			names_put_v4(number, address);
		else
			names_put_v6(number, address);
	}
	put_record(w, q->type, address, q->type == TYPE_A ? 4 : 16);
	return 1;
}

/* The records of the answer; an rcode. */
static int put_answers(
	struct bytes_writer *w, const struct dns_zone *zone, const struct query *q, uint16_t *count)
{
	bool reverse = name_within(q->name, "in-addr.arpa") || name_within(q->name, "ip6.arpa");
	bool local = q->plain && name_local(zone, q->name);
	const char *pointed = reverse ? reverse_name(zone, q->name) : NULL;

	if (q->class != CLASS_IN)
		return REFUSED;
	if (!q->name[0])
		return NOERROR;
	if (reverse && pointed && q->type == TYPE_PTR)
		*count = put_pointed(w, pointed);
	if (reverse)
		return pointed ? NOERROR : NXDOMAIN;
	if (!local && name_impossible(q))
		return NXDOMAIN;
	if (!local && !zone->captured)
		return REFUSED;
	*count = put_address(w, zone, q, local);
	return NOERROR;
}

static void put_opt(struct bytes_writer *w)
{
	bytes_put_u8(w, 0);
	put_be16(w, TYPE_OPT);
	put_be16(w, UDP_SIZE);
	put_be32(w, 0);
	put_be16(w, 0);
}

static void put_head(
	struct bytes_writer *w, const struct query *q, int rcode, bool question, uint16_t count)
{
	put_be16(w, q->id);
	put_be16(w, (uint16_t)(FLAG_RESPONSE | (q->flags & (FLAG_OPCODE | FLAG_RD)) | FLAG_RA |
			       (unsigned int)rcode));
	put_be16(w, question);
	put_be16(w, count);
	put_be16(w, 0);
	put_be16(w, q->edns);
}

size_t dns_answer(const struct dns_zone *zone, const void *query, size_t len,
	uint8_t out[static DNS_ANSWER_MAX])
{
	struct bytes_reader r = bytes_reader(query, len);
	struct bytes_writer head = bytes_writer(out, HEAD_SIZE);
	struct bytes_writer w = bytes_writer(out, DNS_ANSWER_MAX);
	struct query q = {};
	uint16_t count = 0;
	int rcode;

	if (len < HEAD_SIZE || len > DNS_QUERY_MAX || (((const uint8_t *)query)[2] & 0x80))
		return 0;
	rcode = get_query(&r, &q);
	w.offset = HEAD_SIZE;
	bytes_put(&w, q.question, q.question_len);
	if (rcode == NOERROR)
		rcode = put_answers(&w, zone, &q, &count);
	if (q.edns)
		put_opt(&w);
	put_head(&head, &q, rcode, q.question_len > 0, count);
	return w.failed ? 0 : w.offset;
}
