/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-proxy/redact_forms.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/array.h"

#define LONGEST_ESCAPE 6 /* \u00XX */

static const char lower_digits[] = "0123456789abcdef", upper_digits[] = "0123456789ABCDEF";
static const char *const digits_of[] = { lower_digits, upper_digits };

/* What stays as it is beside letters and digits, and what a blank becomes; NULL: every byte is escaped. */
static const struct {
	const char *kept;
	bool plus;
} percent_styles[] = {
	{ "-._~", false }, /* RFC 3986, unreserved */
	{ "-._~!'()*", false }, /* encodeURIComponent() */
	{ "-._~!'()*;,/?:@&=+$#", false }, /* encodeURI() */
	{ "-._*", true }, /* application/x-www-form-urlencoded */
	{ "-._~/", false }, /* python's quote() */
	{ "-._~$&+=:@", false }, /* Go's PathEscape() */
	{ "-._", true }, /* PHP's urlencode() */
	{ NULL, false },
};

/* What becomes \u00XX beside controls; NULL: every byte. all: whatever is no letter or digit. */
static const struct {
	const char *escaped;
	bool slash, all;
} json_styles[] = {
	{ "", false, false },
	{ "", true, false },
	{ "<>&'+", false, false }, /* .NET */
	{ "<>&", false, false }, /* Go, Rails */
	{ "<>&='", false, false }, /* Gson */
	{ "", false, true },
	{ NULL, false, false },
};

static void put(struct redact_forms *forms, uint8_t byte)
{
	if (forms->used < forms->size)
		forms->memory[forms->used++] = byte;
}

static void put_hex(struct redact_forms *forms, uint8_t byte, const char *digits)
{
	put(forms, (uint8_t)digits[byte >> 4]);
	put(forms, (uint8_t)digits[byte & 15]);
}

/* What was put since start is a form, unless it is there already. */
static void end_form(struct redact_forms *forms, size_t start)
{
	const uint8_t *bytes = forms->memory + start;
	size_t len = forms->used - start;

	for (size_t i = 0; i < forms->count; i++)
		if (forms->list[i].len == len && memcmp(forms->list[i].bytes, bytes, len) == 0) {
			forms->used = start;
			return;
		}
	forms->list[forms->count].bytes = bytes;
	forms->list[forms->count++].len = len;
}

static bool is_alphanumeric(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static void put_percent(struct redact_forms *forms, uint8_t c, size_t style, const char *digits)
{
	const char *kept = percent_styles[style].kept;

	if (c == ' ' && percent_styles[style].plus) {
		put(forms, '+');
	} else if (kept && (is_alphanumeric(c) || (c && strchr(kept, c)))) {
		put(forms, c);
	} else {
		put(forms, '%');
		put_hex(forms, c, digits);
	}
}

static void put_json(struct redact_forms *forms, uint8_t c, size_t style, const char *digits)
{
	static const char plain[] = "\"\\\n\t\r\b\f", letters[] = "\"\\ntrbf";
	const char *escaped = json_styles[style].escaped;
	const char *brief = c ? strchr(plain, c) : NULL;

	if (!escaped || (json_styles[style].all && !is_alphanumeric(c)) ||
		(c && strchr(escaped, c)) || (c < 0x20 && !brief)) {
		put(forms, '\\');
		put(forms, 'u');
		put(forms, '0');
		put(forms, '0');
		put_hex(forms, c, digits);
	} else if (brief || (c == '/' && json_styles[style].slash)) {
		put(forms, '\\');
		put(forms, brief ? (uint8_t)letters[brief - plain] : c);
	} else {
		put(forms, c);
	}
}

/* The 6 bits from that one on. */
static unsigned int six_bits(const uint8_t *secret, size_t len, size_t bit)
{
	unsigned int high = secret[bit / 8];
	unsigned int low = bit / 8 + 1 < len ? secret[bit / 8 + 1] : 0;

	return (high << 8 | low) >> (10 - bit % 8) & 63;
}

/* The characters that are the secret's alone where `before` bytes stand before it in its group of three. */
static void add_base64(struct redact_forms *forms, const uint8_t *secret, size_t len, size_t before,
	const char *last_two)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	size_t start = forms->used;

	for (size_t bit = (6 - before * 8 % 6) % 6; bit + 6 <= len * 8; bit += 6) {
		unsigned int value = six_bits(secret, len, bit);

		put(forms, (uint8_t)(value < 62 ? alphabet[value] : last_two[value - 62]));
	}
	end_form(forms, start);
}

static void add_all(struct redact_forms *forms, const uint8_t *secret, size_t len)
{
	size_t start = forms->used;

	for (size_t i = 0; i < len; i++)
		put(forms, secret[i]);
	end_form(forms, start);
	/* As a field's name, which is read in lower case. */
	start = forms->used;
	for (size_t i = 0; i < len; i++)
		put(forms, secret[i] >= 'A' && secret[i] <= 'Z' ? (uint8_t)(secret[i] + 32)
								: secret[i]);
	end_form(forms, start);
	for (size_t before = 0; before < 3; before++) {
		add_base64(forms, secret, len, before, "+/");
		add_base64(forms, secret, len, before, "-_");
	}
	for (size_t d = 0; d < ARRAY_SIZE(digits_of); d++) {
		start = forms->used;
		for (size_t i = 0; i < len; i++)
			put_hex(forms, secret[i], digits_of[d]);
		end_form(forms, start);
		for (size_t style = 0; style < ARRAY_SIZE(percent_styles); style++) {
			start = forms->used;
			for (size_t i = 0; i < len; i++)
				put_percent(forms, secret[i], style, digits_of[d]);
			end_form(forms, start);
		}
		for (size_t style = 0; style < ARRAY_SIZE(json_styles); style++) {
			start = forms->used;
			for (size_t i = 0; i < len; i++)
				put_json(forms, secret[i], style, digits_of[d]);
			end_form(forms, start);
		}
	}
}
static_assert(
	2 + 6 + 2 * (1 + ARRAY_SIZE(percent_styles) + ARRAY_SIZE(json_styles)) <= REDACT_FORMS_MAX,
	"more forms than there is room for");

int redact_forms_init(struct redact_forms *forms, const uint8_t *secret, size_t len)
{
	*forms = (struct redact_forms){};
	if (len < REDACT_SECRET_MIN || len > REDACT_SECRET_MAX)
		return -EINVAL;
	/* One more than the longest, so that a repeated form has room until it is seen to be one. */
	forms->size = (REDACT_FORMS_MAX + 1) * LONGEST_ESCAPE * len;
	forms->memory = calloc(1, forms->size);
	if (!forms->memory)
		return -ENOMEM;
	add_all(forms, secret, len);
	return 0;
}

void redact_forms_finish(struct redact_forms *forms)
{
	if (forms->memory)
		explicit_bzero(forms->memory, forms->size);
	free(forms->memory);
	*forms = (struct redact_forms){};
}
