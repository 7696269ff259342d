/* SPDX-License-Identifier: Apache-2.0 */
/* What rules, bindings and limits have in common: ids, hosts, ports, methods, paths, tiers. */
#include <stdlib.h>
#include <string.h>

#include "policy/document.h"
#include "policy/match.h"
#include "vmm/base/array.h"
#include "vmm/base/parse.h"

const char *const read_tier_words[] = { "builder", "deployer", "orchestrator", "admin", NULL };

static bool is_id_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '.' || c == '_' || c == '-';
}

const char *read_id(struct reader *r, const struct json_t *object, const char *key)
{
	const char *id = reader_get_text(r, object, key, POLICY_ID_MAX, "");

	if (!reader_member(object, key)) {
		reader_fail(r, "has no \"%s\"", key);
		return "";
	}
	for (size_t i = 0; id[i]; i++) {
		if (is_id_byte(id[i]) && (i || (id[i] != '.' && id[i] != '_' && id[i] != '-')))
			continue;
		reader_fail_at(r, key,
			"is no name: letters, digits, `.`, `_` and `-`, the first a letter or digit");
		return "";
	}
	return id;
}

static void *take_list(struct reader *r, size_t count, size_t size)
{
	void *list = count ? policy_memory_take(r->memory, count, size) : NULL;

	if (count && !list)
		reader_fail(r, "the policy is larger than %u MiB, or memory ran out",
			POLICY_MEMORY_MAX >> 20);
	return list;
}

/* One entry of the member `key`, text or not: its value, the reader standing at it until the mark is given back. */
static const struct json_t *enter_item(struct reader *r, const struct json_t *object,
	const char *key, size_t index, size_t *ret_mark)
{
	*ret_mark = reader_enter(r, key, 0);
	if (reader_is_list(object, key))
		reader_enter(r, NULL, index);
	return reader_item(object, key, index);
}

static bool address_is_private(const uint8_t bytes[static 16])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	bool v4 = memcmp(bytes, mapped, sizeof(mapped)) == 0;
	struct policy_host host = { .kind = v4 ? POLICY_HOST_IPV4 : POLICY_HOST_IPV6 };

	memcpy(host.address, bytes + (v4 ? 12 : 0), v4 ? 4 : 16);
	return policy_address_classify(&host) == POLICY_ADDRESS_PRIVATE;
}

/* Its first and last address are: a range of more than one private block begins or ends outside of them. */
static bool range_is_private(const struct policy_range *range)
{
	uint8_t last[16];

	memcpy(last, range->address, sizeof(last));
	for (size_t bit = range->prefix_len; bit < 128; bit++)
		last[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	return address_is_private(range->address) && address_is_private(last);
}

static void list_address(struct reader *r, const struct policy_host *host, enum read_hosts_as as,
	struct policy_listed *ret)
{
	bool v4 = host->kind == POLICY_HOST_IPV4;

	if (as != READ_HOSTS_ANY && policy_address_classify(host) == POLICY_ADDRESS_FORBIDDEN)
		reader_fail(r, "is an address that no policy lets anybody reach (E6)");
	*ret = (struct policy_listed){ .range.prefix_len = 128, .private = true };
	memcpy(ret->range.address + (v4 ? 12 : 0), host->address, v4 ? 4 : 16);
	if (v4)
		memset(ret->range.address + 10, 0xff, 2);
}

static void read_pattern(
	struct reader *r, const char *text, enum read_hosts_as as, struct policy_pattern *ret)
{
	const char *wrong = policy_pattern_parse(text, r->memory, ret);

	if (!wrong && as != READ_HOSTS_ANY && (*ret->suffix || as != READ_HOSTS_LEARN))
		wrong = policy_pattern_too_wide(ret);
	if (wrong)
		reader_fail(r, "\"%.100s\" %s", text, wrong);
}

struct host_lists {
	struct policy_pattern *patterns;
	struct policy_listed *listed;
	size_t pattern_count, listed_count;
};

static void read_host(
	struct reader *r, const char *text, enum read_hosts_as as, struct host_lists *lists)
{
	struct policy_host host;

	if (policy_host_parse(text, strlen(text), &host) && host.kind != POLICY_HOST_NAME)
		list_address(r, &host, as, &lists->listed[lists->listed_count++]);
	else
		read_pattern(r, text, as, &lists->patterns[lists->pattern_count++]);
}

static void read_range(struct reader *r, const char *text, struct host_lists *lists)
{
	struct policy_listed *listed = &lists->listed[lists->listed_count++];

	if (!policy_range_parse(text, strlen(text), &listed->range))
		reader_fail(r,
			"\"%.64s\" is no range: ADDRESS/LENGTH, bits past the length 0 (\"10.0.0.0/8\")",
			text);
	else
		listed->private = range_is_private(&listed->range);
}

static void read_host_list(struct reader *r, const struct json_t *object, const char *key,
	enum read_hosts_as as, struct host_lists *lists)
{
	size_t count = reader_count(r, object, key, POLICY_LIST_MAX), mark;

	for (size_t i = 0; i < count && !r->result; i++) {
		const char *text =
			reader_text(r, enter_item(r, object, key, i, &mark), READER_TEXT_MAX);

		if (!r->result && strcmp(key, "cidr") == 0)
			read_range(r, text, lists);
		else if (!r->result)
			read_host(r, text, as, lists);
		reader_leave(r, mark);
	}
}

void read_hosts(struct reader *r, const struct json_t *object, enum read_hosts_as as,
	struct policy_hosts *ret)
{
	const char *key = reader_member(object, "blocked_hosts") ? "blocked_hosts" : "host";
	size_t names = reader_count(r, object, key, POLICY_LIST_MAX);
	size_t ranges = reader_count(r, object, "cidr", POLICY_LIST_MAX);
	struct host_lists lists = {};

	lists.patterns = take_list(r, names, sizeof(*lists.patterns));
	lists.listed = take_list(r, names + ranges, sizeof(*lists.listed));
	if (r->result)
		return;
	read_host_list(r, object, key, as, &lists);
	read_host_list(r, object, "cidr", as, &lists);
	*ret = (struct policy_hosts){ lists.patterns, lists.pattern_count, lists.listed,
		lists.listed_count };
}

/* "8000-8100" */
static bool parse_ports(const char *text, struct policy_ports *ret)
{
	const char *dash = strchr(text, '-');
	char first[8] = "";
	uint64_t low, high;

	if (!dash || (size_t)(dash - text) >= sizeof(first))
		return false;
	memcpy(first, text, (size_t)(dash - text));
	if (!parse_u64(first, 1, 65535, &low) || !parse_u64(dash + 1, low, 65535, &high))
		return false;
	*ret = (struct policy_ports){ (uint16_t)low, (uint16_t)high };
	return true;
}

static void read_port(struct reader *r, const struct json_t *v, struct policy_ports *ret)
{
	if (reader_is_number(v)) {
		ret->first = ret->last = (uint16_t)reader_number(r, v, 1, 65535);
		return;
	}
	if (!parse_ports(reader_text(r, v, 11), ret))
		reader_fail(r,
			"is no port: a number of 1 to 65535, or a range of them (\"8000-8100\")");
}

void read_ports(struct reader *r, const struct json_t *object, const struct policy_ports **ret,
	size_t *ret_count)
{
	size_t count = reader_count(r, object, "port", POLICY_LIST_MAX), mark;
	struct policy_ports *ports = take_list(r, count, sizeof(*ports));

	for (size_t i = 0; i < count && !r->result; i++) {
		read_port(r, enter_item(r, object, "port", i, &mark), &ports[i]);
		reader_leave(r, mark);
	}
	*ret = ports;
	*ret_count = count;
}

static const char *read_method(struct reader *r, const struct json_t *v)
{
	const char *text = reader_text(r, v, POLICY_METHOD_MAX);

	if (strcmp(text, "CONNECT") == 0)
		reader_fail(r, "CONNECT never passes (E9)");
	else if (!policy_is_method(text))
		reader_fail(
			r, "\"%.40s\" is no method: they are written in capitals (\"GET\")", text);
	return text;
}

static const char *read_path(struct reader *r, const struct json_t *v)
{
	const char *text = reader_text(r, v, POLICY_PATH_PATTERN_MAX), *path = "";
	const char *wrong = r->result ? NULL : policy_path_pattern_parse(text, r->memory, &path);

	if (wrong)
		reader_fail(r, "\"%.200s\" %s", text, wrong);
	return path;
}

static void read_texts(struct reader *r, const struct json_t *object, const char *key,
	const char *(*read_one)(struct reader *r, const struct json_t *v), struct policy_texts *ret)
{
	size_t count = reader_count(r, object, key, POLICY_LIST_MAX), mark;
	const char **items = take_list(r, count, sizeof(*items));

	for (size_t i = 0; i < count && !r->result; i++) {
		items[i] = read_one(r, enter_item(r, object, key, i, &mark));
		reader_leave(r, mark);
	}
	if (!r->result)
		*ret = (struct policy_texts){ items, count };
}

void read_methods(struct reader *r, const struct json_t *object, struct policy_texts *ret)
{
	read_texts(r, object, "methods", read_method, ret);
}

void read_paths(struct reader *r, const struct json_t *object, struct policy_texts *ret)
{
	read_texts(r, object, "paths", read_path, ret);
}

enum policy_tier read_tier(struct reader *r, const struct json_t *object)
{
	int word = reader_get_word(r, object, "tier", read_tier_words);

	return word < 0 ? POLICY_TIER_BUILDER : (enum policy_tier)(word + 1);
}

void read_refuse(
	struct reader *r, const struct json_t *object, const char *const *keys, const char *why)
{
	for (size_t i = 0; keys[i]; i++)
		if (reader_member(object, keys[i]))
			reader_fail_at(r, keys[i], "%s", why);
}
