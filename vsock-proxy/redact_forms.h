/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The spellings of a secret that redact.h looks for (E14): as it is; in base64 and base64url (RFC 4648) at each of the three
 * places where it may stand in what is encoded; percent-encoded as RFC 3986, encodeURIComponent(), encodeURI(), HTML forms and
 * what python, Go and PHP have for paths and queries do it, and in every byte, with upper- and lower-case digits; in hexadecimal
 * of either case; in JSON strings with the short escapes, with `\/`, with `<>&'+`, `<>&` or `<>&='` as \u00XX, with all but
 * letters and digits so, and with every byte so; in lower case, as a field's name is read.
 * Base64 of more than the secret shares its first and last character with its neighbours: those (less than a byte of the secret
 * at each end) are left out. A secret with bytes past ASCII is looked for in JSON by bytes, not by code points.
 */
#include <stddef.h>
#include <stdint.h>

#define REDACT_SECRET_MIN 6 /* shorter ones would be found where they are not */
#define REDACT_SECRET_MAX 4096
#define REDACT_FORMS_MAX  40

struct redact_forms {
	size_t count;
	struct {
		const uint8_t *bytes;
		size_t len;
	} list[REDACT_FORMS_MAX]; /* no two the same */
	uint8_t *memory;
	size_t size, used;
};

/* 0, -EINVAL (length) or -ENOMEM. redact_forms_finish() wipes and frees. */
int redact_forms_init(struct redact_forms *forms, const uint8_t *secret, size_t len);
void redact_forms_finish(struct redact_forms *forms);
