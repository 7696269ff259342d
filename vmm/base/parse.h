/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Words to values. Every parser takes a whole NUL-terminated word, returns true and sets *ret, or returns false and
 * leaves *ret alone. Decimal only, no sign, no white space, no locale. And one value to a word.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A decimal number in [min, max]. */
bool parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret);
bool parse_int(const char *text, int min, int max, int *ret);
/* A size: digits with an optional binary suffix K, M, G or T in either case (Ki, KiB, KB too: all powers of 1024). In bytes. */
bool parse_size(const char *text, uint64_t *ret_bytes);
/* A time: digits with an optional suffix s (default), m, h or d. In milliseconds. */
bool parse_duration_ms(const char *text, uint64_t *ret_ms);
#define DECIMAL_MAX 21
/* The number's decimal digits, in out, from what is returned on; ended by NUL. */
char *decimal_of(uint64_t value, char out[static DECIMAL_MAX]);
/* A hexadecimal digit's value in either case, or -1. */
int parse_hex_digit(char c);

/* H13: names match [a-z0-9][a-z0-9-]{0,40} wherever they come from. */
#define SANDBOX_NAME_MAX 41
bool sandbox_name_valid(const char *name);
