/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's resolver: any bytes get no answer or a well-formed one, the same twice (an address is stable), and an answer
 * is never answered.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "guest-agent/egress/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct names names;

static void check_address(const uint8_t *record)
{
	uint32_t number;
	const uint8_t *address = record + 12;

	if (record[3] == 1 && !(names_get_v4(address, &number) && names_find(&names, number)) &&
		address[0] != 127)
		abort();
	if (record[3] == 28 && !(names_get_v6(address, &number) && names_find(&names, number)) &&
		address[15] != 1)
		abort();
}

static void check_answer(const uint8_t *query, const uint8_t *answer, size_t len)
{
	size_t question = 12;

	if (len < 12 || memcmp(answer, query, 2) != 0 || !(answer[2] & 0x80) || answer[4] ||
		answer[5] > 1 || answer[6] || answer[7] > 1 || answer[8] || answer[9] || answer[10])
		abort();
	if (!answer[5])
		return;
	while (question < len && answer[question])
		question += 1u + answer[question];
	question += 5;
	if (question > len || memcmp(answer + 12, query + 12, question - 12) != 0)
		abort();
	if (answer[7])
		check_address(answer + question);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct dns_zone zone = { &names, "box", size % 8 != 7, size % 4 != 3 };
	uint8_t first[DNS_ANSWER_MAX], second[DNS_ANSWER_MAX], third[DNS_ANSWER_MAX];
	size_t len;

	names.count = names.turn = 0;
	len = dns_answer(&zone, data, size, first);
	if (!len)
		return 0;
	check_answer(data, first, len);
	if (dns_answer(&zone, data, size, second) != len || memcmp(first, second, len) != 0)
		abort();
	if (dns_answer(&zone, first, len, third))
		abort();
	return 0;
}
