/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/link/connect_line.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/array.h"

static const char word[] = "CONNECT ";
#define WORD_LEN (sizeof(word) - 1)

/* Digits up to the newline; 0 where it is not there yet. */
static int parse_number(const char *text, size_t len, uint32_t *ret)
{
	uint64_t value = 0;
	size_t i = 0;

	for (; i < len && text[i] != '\n'; i++) {
		if (text[i] < '0' || text[i] > '9' || (i == 1 && text[0] == '0'))
			return -EPROTO;
		value = value * 10 + (uint64_t)(text[i] - '0');
		if (value >= UINT32_MAX)
			return -EPROTO;
	}
	if (i == len)
		return 0;
	if (i == 0)
		return -EPROTO;
	*ret = (uint32_t)value;
	return (int)i + 1;
}

int connect_line_parse(const char *data, size_t len, uint32_t *ret_port)
{
	int n;

	if (memcmp(data, word, MIN(len, WORD_LEN)) != 0)
		return -EPROTO;
	if (len <= WORD_LEN)
		return 0;
	n = parse_number(data + WORD_LEN, len - WORD_LEN, ret_port);
	return n > 0 ? n + (int)WORD_LEN : n;
}

size_t connect_line_answer(uint32_t n, char out[static CONNECT_ANSWER_MAX])
{
	return (size_t)snprintf(out, CONNECT_ANSWER_MAX, "OK %u\n", n);
}
