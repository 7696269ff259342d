/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/audit/chain.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <string.h>

#define TEXT_(x)  #x
#define TEXT(x)	  TEXT_(x)
#define HEAD_WORD "{\"schema_version\":" TEXT(AUDIT_SCHEMA_VERSION) ",\"sequence\":"
#define PREV_WORD ",\"prev\":\""
#define HASH_LEN  ((size_t)2 * AUDIT_HASH_SIZE)

static const char *const verdicts[] = {
	[CHAIN_WHOLE] = "whole",
	[CHAIN_MALFORMED] = "malformed",
	[CHAIN_REMOVED] = "removed",
	[CHAIN_REORDERED] = "reordered",
	[CHAIN_EDITED] = "edited",
	[CHAIN_TORN] = "torn",
};

const char *chain_verdict_word(enum chain_verdict verdict)
{
	return verdicts[verdict];
}

int chain_add(struct chain *chain, const char *line, size_t len)
{
	uint8_t hash[EVP_MAX_MD_SIZE];
	unsigned int size = 0;

	if (EVP_Digest(line, len, hash, &size, EVP_sha256(), NULL) != 1 || size != AUDIT_HASH_SIZE)
		return -EIO;
	memcpy(chain->prev, hash, AUDIT_HASH_SIZE);
	chain->sequence++;
	return 0;
}

/* A number as printf writes it; its length, 0: it is none. */
static size_t read_number(const char *text, size_t len, uint64_t *ret)
{
	uint64_t value = 0;
	size_t i = 0;

	for (; i < len && text[i] >= '0' && text[i] <= '9'; i++) {
		if (i == 1 && text[0] == '0')
			return 0;
		if (__builtin_mul_overflow(value, UINT64_C(10), &value) ||
			__builtin_add_overflow(value, (uint64_t)(text[i] - '0'), &value))
			return 0;
	}
	*ret = value;
	return i;
}

/* Moves *text behind word. */
static bool skip_word(const char **text, const char *end, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(end - *text) < len || memcmp(*text, word, len) != 0)
		return false;
	*text += len;
	return true;
}

/* Printable ASCII between braces: what audit_line_render() writes and nothing that changes a terminal. */
static bool line_is_clean(const char *line, size_t len)
{
	for (size_t i = 0; i < len - 1; i++) {
		if (line[i] < 0x20 || line[i] > 0x7e)
			return false;
	}
	return len >= 2 && line[len - 2] == '}';
}

static enum chain_verdict line_verdict(const struct chain *chain, const char *line, size_t len)
{
	const char *text = line, *end = line + len;
	char prev[2 * AUDIT_HASH_SIZE];
	uint64_t sequence;
	size_t n;

	if (len > AUDIT_LINE_MAX || !line_is_clean(line, len) || !skip_word(&text, end, HEAD_WORD))
		return CHAIN_MALFORMED;
	n = read_number(text, (size_t)(end - text), &sequence);
	text += n;
	if (n == 0 || !skip_word(&text, end, PREV_WORD) || (size_t)(end - text) <= HASH_LEN ||
		text[HASH_LEN] != '"')
		return CHAIN_MALFORMED;
	if (sequence != chain->sequence)
		return sequence > chain->sequence ? CHAIN_REMOVED : CHAIN_REORDERED;
	audit_hash_write(chain->prev, prev);
	return memcmp(text, prev, HASH_LEN) == 0 ? CHAIN_WHOLE : CHAIN_EDITED;
}

int chain_read(struct chain *chain, const void *data, size_t len, enum chain_verdict *ret_verdict,
	size_t *ret_offset)
{
	enum chain_verdict verdict = CHAIN_WHOLE;
	const char *text = data;
	size_t offset = 0;

	while (offset < len && verdict == CHAIN_WHOLE) {
		const char *newline = memchr(text + offset, '\n', len - offset);
		size_t n = newline ? (size_t)(newline - (text + offset)) + 1 : 0;

		verdict = newline ? line_verdict(chain, text + offset, n) : CHAIN_TORN;
		if (verdict != CHAIN_WHOLE)
			break;
		if (chain_add(chain, text + offset, n) < 0)
			return -EIO;
		offset += n;
	}
	*ret_verdict = verdict;
	*ret_offset = offset;
	return 0;
}
