/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/audit/audit_line.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define NS_PER_S UINT64_C(1000000000)

static const char digits[] = "0123456789abcdef";
static const char escape_start[] = "\\u00";
#define ESCAPE_START_LEN (sizeof(escape_start) - 1)
#define ESCAPE_LEN	 (ESCAPE_START_LEN + 2)

static bool is_plain(uint8_t c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* One byte's spelling, 1 to ESCAPE_LEN characters. */
static size_t escape_byte(uint8_t c, char out[static ESCAPE_LEN])
{
	if (is_plain(c)) {
		out[0] = (char)c;
		return 1;
	}
	out[0] = '\\';
	if (c == '"' || c == '\\') {
		out[1] = (char)c;
		return 2;
	}
	memcpy(out, escape_start, ESCAPE_START_LEN);
	out[ESCAPE_START_LEN] = digits[c >> 4];
	out[ESCAPE_START_LEN + 1] = digits[c & 15];
	return ESCAPE_LEN;
}

int audit_escape(const void *data, size_t len, char *out, size_t size)
{
	const uint8_t *bytes = data;
	size_t used = 0;

	for (size_t i = 0; i < len; i++) {
		char one[ESCAPE_LEN];
		size_t n = escape_byte(bytes[i], one);

		if (n > size - used)
			return -ENOSPC;
		memcpy(out + used, one, n);
		used += n;
	}
	return (int)used;
}

/* -1 for no lower-case hexadecimal digit. */
static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One byte from the front of text, in the one spelling it has; how many characters, 0: it is none. */
static size_t unescape_byte(const char *text, size_t len, uint8_t *ret)
{
	int high, low;
	uint8_t c;

	if (is_plain((uint8_t)text[0])) {
		*ret = (uint8_t)text[0];
		return 1;
	}
	if (len >= 2 && text[0] == '\\' && (text[1] == '"' || text[1] == '\\')) {
		*ret = (uint8_t)text[1];
		return 2;
	}
	if (len < ESCAPE_LEN || memcmp(text, escape_start, ESCAPE_START_LEN) != 0)
		return 0;
	high = digit_value(text[ESCAPE_START_LEN]);
	low = digit_value(text[ESCAPE_START_LEN + 1]);
	if (high < 0 || low < 0)
		return 0;
	c = (uint8_t)(high << 4 | low);
	if (is_plain(c) || c == '"' || c == '\\')
		return 0;
	*ret = c;
	return ESCAPE_LEN;
}

int audit_unescape(const char *text, size_t len, uint8_t *out, size_t size)
{
	size_t used = 0;

	for (size_t i = 0, n; i < len; i += n) {
		uint8_t c;

		n = unescape_byte(text + i, len - i, &c);
		if (n == 0)
			return -EPROTO;
		if (used == size)
			return -ENOSPC;
		out[used++] = c;
	}
	return (int)used;
}

void audit_hash_write(
	const uint8_t hash[static AUDIT_HASH_SIZE], char out[static 2 * AUDIT_HASH_SIZE])
{
	for (size_t i = 0; i < AUDIT_HASH_SIZE; i++) {
		out[2 * i] = digits[hash[i] >> 4];
		out[2 * i + 1] = digits[hash[i] & 15];
	}
}

/* A line in the making; sticky as vmm/base/bytes.h is. */
struct line {
	char *text;
	size_t used;
	bool failed;
};

static void __attribute__((format(printf, 2, 3))) put(struct line *line, const char *format, ...)
{
	size_t left = AUDIT_LINE_MAX - line->used;
	va_list args;
	int n;

	if (line->failed)
		return;
	va_start(args, format);
	n = vsnprintf(line->text + line->used, left, format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= left)
		line->failed = true;
	else
		line->used += (size_t)n;
}

static void put_text(struct line *line, const char *name, const void *data, size_t len)
{
	int n;

	put(line, ",\"%s\":\"", name);
	if (line->failed)
		return;
	n = audit_escape(data, len, line->text + line->used, AUDIT_LINE_MAX - line->used);
	if (n < 0)
		line->failed = true;
	else
		line->used += (size_t)n;
	put(line, "\"");
}

static void put_number(struct line *line, const char *name, uint64_t value)
{
	if (value != 0)
		put(line, ",\"%s\":%" PRIu64, name, value);
}

/* RFC 3339, UTC, to the nanosecond. */
static void put_time(struct line *line, uint64_t time_ns)
{
	time_t seconds = (time_t)(time_ns / NS_PER_S);
	struct tm tm = {};

	if (!gmtime_r(&seconds, &tm))
		line->failed = true;
	put(line, ",\"time\":\"%04d-%02d-%02dT%02d:%02d:%02d.%09" PRIu64 "Z\"", tm.tm_year + 1900,
		tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, time_ns % NS_PER_S);
}

static void put_origin(struct line *line, uint64_t sequence, const struct audit_origin *origin)
{
	size_t instance = strnlen(origin->instance, AUDIT_NAME_MAX + 1);
	size_t sandbox = strnlen(origin->sandbox, AUDIT_NAME_MAX + 1);
	char id[AUDIT_NAME_MAX + 32];
	int n;

	if (instance > AUDIT_NAME_MAX || sandbox > AUDIT_NAME_MAX)
		line->failed = true;
	n = snprintf(id, sizeof(id), "%.*s/%" PRIu64, (int)sandbox, origin->sandbox, sequence);
	put_text(line, "event_id", id, (size_t)n);
	put_text(line, "sandbox", origin->sandbox, sandbox);
	put_text(line, "instance", origin->instance, instance);
	put(line, ",\"source\":\"%s\"", origin->source == AUDIT_FROM_HOST ? "host" : "guest");
}

static void put_event(struct line *line, const struct audit_event *event)
{
	put(line, ",\"kind\":\"%s\"", audit_kind_word(event->kind));
	if (event->tier != AUDIT_TIER_NONE)
		put(line, ",\"tier\":\"%s\"", audit_tier_word(event->tier));
	if (event->decision != AUDIT_DECISION_NONE)
		put(line, ",\"decision\":\"%s\"", audit_decision_word(event->decision));
	for (int i = 0; i < AUDIT_TEXTS; i++) {
		if (event->text[i].len > 0)
			put_text(line, audit_text_word((enum audit_text)i), event->text[i].data,
				event->text[i].len);
	}
	put_number(line, "status", event->status);
	put_number(line, "sent_bytes", event->sent_bytes);
	put_number(line, "received_bytes", event->received_bytes);
	put_number(line, "duration_us", event->duration_us);
	put_number(line, "count", event->count);
}

int audit_line_render(uint64_t sequence, const uint8_t prev[static AUDIT_HASH_SIZE],
	const struct audit_origin *origin, const struct audit_event *event,
	char out[static AUDIT_LINE_MAX])
{
	struct line line = { .text = out };
	char hash[2 * AUDIT_HASH_SIZE];
	uint8_t wire[AUDIT_MESSAGE_MAX];

	/* Whatever can be sent can be written, and nothing else is. */
	if (audit_event_encode(event, wire) < 0)
		return -EINVAL;
	audit_hash_write(prev, hash);
	put(&line, "{\"schema_version\":%d,\"sequence\":%" PRIu64 ",\"prev\":\"%.*s\"",
		AUDIT_SCHEMA_VERSION, sequence, 2 * AUDIT_HASH_SIZE, hash);
	put_origin(&line, sequence, origin);
	put_time(&line, event->time_ns);
	put_event(&line, event);
	put(&line, "}\n");
	return line.failed ? -EINVAL : (int)line.used;
}
