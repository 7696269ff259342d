/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Names and the synthetic addresses that stand for them (E7): pure.
 *
 * A name gets a number, and the number is an address in each family: 198.18.0.0/15 (RFC 2544, for benchmarks: no network
 * that a workload could mean) and fd53:616e:6462:6f78::/96 (RFC 4193; the bytes of `Sandbox`). A unique local prefix rather
 * than the discard prefix 100::/64: by RFC 6724 it ranks below IPv4, so programs try the family first that every one has.
 *
 * The table is bounded: the name unused for longest makes room. Numbers are given in turn, and one that lost its name is not
 * given again before all others were: a program with an old address gets an error, not somebody else's host.
 * The table is big and lives where its caller puts it; all 0 is empty.
 */
#include <stdbool.h>
#include <stdint.h>

#define NAMES_MAX	   4096
#define NAMES_NAME_MAX	   253
#define NAMES_NUMBERS	   (1u << 17) /* of a /15 */
#define NAMES_FIRST_NUMBER 16 /* those before are the link's own */

struct names {
	uint32_t count;
	uint32_t turn; /* numbers given so far */
	uint64_t tick;
	uint32_t hash[NAMES_MAX];
	uint32_t number[NAMES_MAX];
	uint64_t used[NAMES_MAX]; /* tick of the last use */
	char name[NAMES_MAX][NAMES_NAME_MAX + 1];
};

/* The number of a name, which is in lower case and at most NAMES_NAME_MAX bytes (else 0); new ones are entered. */
uint32_t names_number(struct names *names, const char *name);
/* The name of a number, or NULL. Counts as use. */
const char *names_find(struct names *names, uint32_t number);

void names_put_v4(uint32_t number, uint8_t out[static 4]);
void names_put_v6(uint32_t number, uint8_t out[static 16]);
/* False where the address is not in the range. */
bool names_get_v4(const uint8_t address[static 4], uint32_t *ret_number);
bool names_get_v6(const uint8_t address[static 16], uint32_t *ret_number);
