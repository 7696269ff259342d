/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/base/parse.h"

#include <string.h>
#include <strings.h>

#include "vmm/base/array.h"
#include "vmm/base/checked.h"

/* Reads the digits at text; *ret_end is the first byte after them. */
static bool take_digits(const char *text, uint64_t *ret, const char **ret_end)
{
	uint64_t v = 0;
	const char *p = text;

	for (; *p >= '0' && *p <= '9'; p++)
		if (!checked_mul(v, 10u, &v) || !checked_add(v, (uint64_t)(*p - '0'), &v))
			return false;
	if (p == text)
		return false;
	*ret = v;
	*ret_end = p;
	return true;
}

bool parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
	uint64_t v;
	const char *end;

	if (!take_digits(text, &v, &end) || *end || v < min || v > max)
		return false;
	*ret = v;
	return true;
}

bool parse_int(const char *text, int min, int max, int *ret)
{
	uint64_t v;

	if (min < 0 || max < 0 || !parse_u64(text, (uint64_t)min, (uint64_t)max, &v))
		return false;
	*ret = (int)v;
	return true;
}

struct suffix {
	const char *text;
	uint64_t factor;
};

static bool parse_with_suffix(const char *text, const struct suffix *table, size_t count,
	int (*compare)(const char *, const char *), uint64_t *ret)
{
	uint64_t v;
	const char *end;

	if (!take_digits(text, &v, &end))
		return false;
	for (size_t i = 0; i < count; i++)
		if (compare(end, table[i].text) == 0)
			return checked_mul(v, table[i].factor, ret);
	return false;
}

bool parse_size(const char *text, uint64_t *ret_bytes)
{
	static const struct suffix table[] = {
		{ "", 1 },
		{ "B", 1 },
		{ "K", 1ull << 10 },
		{ "Ki", 1ull << 10 },
		{ "KiB", 1ull << 10 },
		{ "KB", 1ull << 10 },
		{ "M", 1ull << 20 },
		{ "Mi", 1ull << 20 },
		{ "MiB", 1ull << 20 },
		{ "MB", 1ull << 20 },
		{ "G", 1ull << 30 },
		{ "Gi", 1ull << 30 },
		{ "GiB", 1ull << 30 },
		{ "GB", 1ull << 30 },
		{ "T", 1ull << 40 },
		{ "Ti", 1ull << 40 },
		{ "TiB", 1ull << 40 },
		{ "TB", 1ull << 40 },
	};

	return parse_with_suffix(text, table, ARRAY_SIZE(table), strcasecmp, ret_bytes);
}

bool parse_duration_ms(const char *text, uint64_t *ret_ms)
{
	static const struct suffix table[] = {
		{ "", 1000 },
		{ "ms", 1 },
		{ "s", 1000 },
		{ "m", 60 * 1000 },
		{ "h", 3600 * 1000 },
		{ "d", 24ull * 3600 * 1000 },
	};

	return parse_with_suffix(text, table, ARRAY_SIZE(table), strcmp, ret_ms);
}

char *decimal_of(uint64_t value, char out[static DECIMAL_MAX])
{
	char *at = out + DECIMAL_MAX - 1;

	*at = '\0';
	do {
		*--at = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	return at;
}

int parse_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool is_name_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool sandbox_name_valid(const char *name)
{
	size_t len = strnlen(name, SANDBOX_NAME_MAX + 1);

	if (len == 0 || len > SANDBOX_NAME_MAX || !is_name_byte(name[0]))
		return false;
	for (size_t i = 1; i < len; i++)
		if (!is_name_byte(name[i]) && name[i] != '-')
			return false;
	return true;
}
