/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/name.h"

#include <arpa/inet.h>
#include <string.h>

#define ADDRESS_TEXT_MAX 64

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
	return c >= 'a' && c <= 'z';
}

static char to_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool policy_host_from_address(const uint8_t *address, size_t len, struct policy_host *ret)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct policy_host host = { .kind = POLICY_HOST_IPV6 };

	if (len != 4 && len != 16)
		return false;
	if (len == 16 && memcmp(address, mapped, sizeof(mapped)) == 0) {
		address += sizeof(mapped);
		len = 4;
	}
	memcpy(host.address, address, len);
	if (len == 4)
		host.kind = POLICY_HOST_IPV4;
	inet_ntop(host.kind == POLICY_HOST_IPV4 ? AF_INET : AF_INET6, host.address, host.text,
		sizeof(host.text));
	*ret = host;
	return true;
}

/* RFC 4291 text, no zone. */
static bool parse_ipv6(const char *bytes, size_t len, struct policy_host *ret)
{
	char text[ADDRESS_TEXT_MAX];
	uint8_t address[16];

	if (len >= sizeof(text) || memchr(bytes, '\0', len) || memchr(bytes, '%', len))
		return false;
	memcpy(text, bytes, len);
	text[len] = '\0';
	return inet_pton(AF_INET6, text, address) == 1 &&
	       policy_host_from_address(address, sizeof(address), ret);
}

/* One octet without leading zeros; the cursor moves past it. */
static bool parse_octet(const char **cursor, uint8_t *ret)
{
	const char *p = *cursor;
	unsigned int value = 0;

	if (!is_digit(*p) || (*p == '0' && is_digit(p[1])))
		return false;
	for (; is_digit(*p); p++) {
		value = value * 10 + (unsigned int)(*p - '0');
		if (value > UINT8_MAX)
			return false;
	}
	*ret = (uint8_t)value;
	*cursor = p;
	return true;
}

/* text is lower case and without a final dot. */
static bool parse_ipv4(const char *text, struct policy_host *ret)
{
	struct policy_host host = { .kind = POLICY_HOST_IPV4 };
	const char *p = text;

	for (size_t i = 0; i < 4; i++)
		if (!parse_octet(&p, &host.address[i]) || *p++ != (i < 3 ? '.' : '\0'))
			return false;
	memcpy(host.text, text, strlen(text));
	*ret = host;
	return true;
}

/* What some resolver somewhere reads as a number: all digits, or 0x and whatever follows. */
static bool is_numeric(const char *label)
{
	if (label[0] == '0' && label[1] == 'x')
		return true;
	return label[strspn(label, "0123456789")] == '\0';
}

static bool label_valid(const char *label, size_t len, bool may_underscore)
{
	if (!len || len > POLICY_LABEL_MAX || label[0] == '-' || label[len - 1] == '-')
		return false;
	for (size_t i = 0; i < len; i++)
		if (!is_letter(label[i]) && !is_digit(label[i]) && label[i] != '-' &&
			!(label[i] == '_' && may_underscore))
			return false;
	return true;
}

static bool name_valid(const char *name)
{
	const char *label = name, *last = strrchr(name, '.');
	const char *before_last = last ? memrchr(name, '.', (size_t)(last - name)) : NULL;

	for (;;) {
		size_t len = strcspn(label, ".");

		if (!label_valid(label, len, before_last && label < before_last))
			return false;
		if (!label[len])
			return !is_numeric(label);
		label += len + 1;
	}
}

bool policy_host_parse(const char *bytes, size_t len, struct policy_host *ret)
{
	struct policy_host host = { .kind = POLICY_HOST_NAME };
	bool dot;

	if (!len)
		return false;
	if (len > 2 && bytes[0] == '[' && bytes[len - 1] == ']')
		return parse_ipv6(bytes + 1, len - 2, ret);
	if (memchr(bytes, ':', len))
		return parse_ipv6(bytes, len, ret);
	dot = bytes[len - 1] == '.';
	len -= dot;
	if (len > POLICY_NAME_MAX || memchr(bytes, '\0', len))
		return false;
	for (size_t i = 0; i < len; i++)
		host.text[i] = to_lower(bytes[i]);
	if (!dot && parse_ipv4(host.text, ret))
		return true;
	if (!name_valid(host.text))
		return false;
	*ret = host;
	return true;
}

/* 1 to 65535, without leading zeros. */
static bool parse_port(const char *bytes, size_t len, uint16_t *ret)
{
	uint32_t value = 0;

	if (!len || len > 5 || bytes[0] == '0')
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!is_digit(bytes[i]))
			return false;
		value = value * 10 + (uint32_t)(bytes[i] - '0');
	}
	if (value > UINT16_MAX)
		return false;
	*ret = (uint16_t)value;
	return true;
}

bool policy_authority_parse(
	const char *bytes, size_t len, struct policy_host *ret, uint16_t *ret_port)
{
	const char *close, *from, *colon;
	struct policy_host host;
	uint16_t port = 0;
	size_t host_len;

	if (!len)
		return false;
	close = bytes[0] == '[' ? memchr(bytes, ']', len) : NULL;
	from = close ? close : bytes;
	colon = memchr(from, ':', len - (size_t)(from - bytes));
	host_len = colon ? (size_t)(colon - bytes) : len;
	/* A bare IPv6 address has colons of its own: only brackets say where it ends. */
	if (bytes[0] == '[' && (!close || host_len != (size_t)(close - bytes) + 1))
		return false;
	if (colon && !parse_port(colon + 1, len - host_len - 1, &port))
		return false;
	if (!policy_host_parse(bytes, host_len, &host) || (host.kind == POLICY_HOST_IPV6 && !close))
		return false;
	*ret = host;
	*ret_port = port;
	return true;
}

bool policy_host_equal(const struct policy_host *a, const struct policy_host *b)
{
	return a->kind == b->kind && strcmp(a->text, b->text) == 0;
}
