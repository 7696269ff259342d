/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/egress/names.h"

#include <string.h>

#include "guest-agent/egress/network_order.h"

#define V4_FIRST     0xc6120000u /* 198.18.0.0 */
#define TURN_NUMBERS (NAMES_NUMBERS - 1 - NAMES_FIRST_NUMBER) /* the last is a broadcast address */
#define FNV_OFFSET   2166136261u
#define FNV_PRIME    16777619u

static const uint8_t v6_prefix[12] = { 0xfd, 'S', 'a', 'n', 'd', 'b', 'o', 'x' };

_Static_assert(TURN_NUMBERS > 2 * NAMES_MAX, "a free number is always near");

static uint32_t hash_of(const char *name)
{
	uint32_t hash = FNV_OFFSET;

	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * FNV_PRIME;
	return hash;
}

static bool number_taken(const struct names *names, uint32_t number)
{
	for (uint32_t i = 0; i < names->count; i++)
		if (names->number[i] == number)
			return true;
	return false;
}

static uint32_t next_number(struct names *names)
{
	uint32_t number;

	do
		number = NAMES_FIRST_NUMBER + names->turn++ % TURN_NUMBERS;
	while (number_taken(names, number));
	return number;
}

static uint32_t oldest(const struct names *names)
{
	uint32_t at = 0;

	for (uint32_t i = 1; i < names->count; i++)
		if (names->used[i] < names->used[at])
			at = i;
	return at;
}

uint32_t names_number(struct names *names, const char *name)
{
	size_t len = strnlen(name, NAMES_NAME_MAX + 1);
	uint32_t hash, at;

	if (!len || len > NAMES_NAME_MAX)
		return 0;
	hash = hash_of(name);
	for (at = 0; at < names->count; at++)
		if (names->hash[at] == hash && !strcmp(names->name[at], name))
			break;
	if (at == names->count) {
		uint32_t number = next_number(names);

		at = names->count < NAMES_MAX ? names->count++ : oldest(names);
		names->number[at] = number;
		names->hash[at] = hash;
		memcpy(names->name[at], name, len + 1);
	}
	names->used[at] = ++names->tick;
	return names->number[at];
}

const char *names_find(struct names *names, uint32_t number)
{
	for (uint32_t i = 0; i < names->count; i++)
		if (names->number[i] == number) {
			names->used[i] = ++names->tick;
			return names->name[i];
		}
	return NULL;
}

static void put_number(uint8_t out[static 4], uint32_t number)
{
	struct bytes_writer w = bytes_writer(out, 4);

	put_be32(&w, number);
}

void names_put_v4(uint32_t number, uint8_t out[static 4])
{
	put_number(out, V4_FIRST + number);
}

void names_put_v6(uint32_t number, uint8_t out[static 16])
{
	memcpy(out, v6_prefix, sizeof(v6_prefix));
	put_number(out + sizeof(v6_prefix), number);
}

bool names_get_v4(const uint8_t address[static 4], uint32_t *ret_number)
{
	uint32_t number = load_be32(address) - V4_FIRST;

	if (number >= NAMES_NUMBERS)
		return false;
	*ret_number = number;
	return true;
}

bool names_get_v6(const uint8_t address[static 16], uint32_t *ret_number)
{
	if (memcmp(address, v6_prefix, sizeof(v6_prefix)) != 0)
		return false;
	*ret_number = load_be32(address + sizeof(v6_prefix));
	return true;
}
