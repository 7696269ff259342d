/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/audit/head.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/parse.h"

#define SIGNATURE_WORD "signature "
#define HEX_LEN(size)  (2 * (size_t)(size))
#define TAIL_LEN       (sizeof(SIGNATURE_WORD) - 1 + HEX_LEN(AUDIT_SIGNATURE_SIZE) + 1)

/* What is signed. */
static int render(const struct audit_head *head, char out[static AUDIT_HEAD_MAX])
{
	const struct chain *places[] = { &head->first, &head->active, &head->end };
	char hash[3][HEX_LEN(AUDIT_HASH_SIZE) + 1] = {};
	int n;

	for (int i = 0; i < 3; i++)
		audit_hash_write(places[i]->prev, hash[i]);
	n = snprintf(out, AUDIT_HEAD_MAX - TAIL_LEN,
		"sandboxctl-audit-head 1\nlog %s\nfirst %" PRIu64 " %s\nactive %" PRIu64
		" %s\nend %" PRIu64 " %s\nsegments %" PRIu64 "\n",
		head->log, head->first.sequence, hash[0], head->active.sequence, hash[1],
		head->end.sequence, hash[2], head->segments);
	return n > 0 && (size_t)n < AUDIT_HEAD_MAX - TAIL_LEN ? n : -EINVAL;
}

int audit_head_encode(
	const struct audit_head *head, const struct audit_key *key, char out[static AUDIT_HEAD_MAX])
{
	uint8_t signature[AUDIT_SIGNATURE_SIZE];
	int n = render(head, out), r;

	if (n < 0)
		return n;
	r = audit_key_sign(key, out, (size_t)n, signature);
	if (r < 0)
		return r;
	n += snprintf(out + n, TAIL_LEN, SIGNATURE_WORD);
	for (size_t i = 0; i < sizeof(signature); i++)
		n += snprintf(out + n, 3, "%02x", signature[i]);
	out[n] = '\n';
	return n + 1;
}

/* The words of one line, from *text on: behind its name, up to its end. */
static bool take_value(const char **text, const char *name, char *out, size_t size)
{
	size_t skip = strlen(name), len;

	if (strncmp(*text, name, skip) != 0)
		return false;
	len = strcspn(*text + skip, " \n");
	if (len >= size || (*text)[skip + len] == '\0')
		return false;
	memcpy(out, *text + skip, len);
	out[len] = '\0';
	*text += skip + len;
	return true;
}

static bool read_hex(const char *text, uint8_t *out, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		int high = parse_hex_digit(text[2 * i]);
		int low = high < 0 ? -1 : parse_hex_digit(text[2 * i + 1]);

		if (low < 0)
			return false;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static bool take_number(const char **text, const char *name, uint64_t *ret)
{
	char word[24];

	return take_value(text, name, word, sizeof(word)) && parse_u64(word, 0, UINT64_MAX, ret);
}

static bool take_place(const char **text, const char *name, struct chain *ret)
{
	char word[HEX_LEN(AUDIT_HASH_SIZE) + 1];

	return take_number(text, name, &ret->sequence) &&
	       take_value(text, " ", word, sizeof(word)) &&
	       read_hex(word, ret->prev, AUDIT_HASH_SIZE);
}

static bool read_body(const char *text, struct audit_head *head)
{
	return take_value(&text, "sandboxctl-audit-head 1\nlog ", head->log, sizeof(head->log)) &&
	       take_place(&text, "\nfirst ", &head->first) &&
	       take_place(&text, "\nactive ", &head->active) &&
	       take_place(&text, "\nend ", &head->end) &&
	       take_number(&text, "\nsegments ", &head->segments);
}

int audit_head_decode(
	const void *data, size_t len, const struct audit_key *key, struct audit_head *ret)
{
	char text[AUDIT_HEAD_MAX + 1] = {}, again[AUDIT_HEAD_MAX];
	uint8_t signature[AUDIT_SIGNATURE_SIZE];
	struct audit_head head = {};
	size_t body;
	int n;

	if (len <= TAIL_LEN || len > AUDIT_HEAD_MAX)
		return -EPROTO;
	memcpy(text, data, len);
	body = len - TAIL_LEN;
	if (!read_body(text, &head) || text[len - 1] != '\n' ||
		memcmp(text + body, SIGNATURE_WORD, strlen(SIGNATURE_WORD)) != 0 ||
		!read_hex(text + body + strlen(SIGNATURE_WORD), signature, sizeof(signature)))
		return -EPROTO;
	/* One spelling: whatever else was in it would not be seen here, but signed. */
	n = render(&head, again);
	if (n < 0 || (size_t)n != body || memcmp(again, text, body) != 0)
		return -EPROTO;
	if (audit_key_verify(key, text, body, signature) < 0)
		return -EKEYREJECTED;
	*ret = head;
	return 0;
}
