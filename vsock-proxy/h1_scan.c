/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-proxy/h1_scan.h"

#include <assert.h>
#include <stdbool.h>

#include "vmm/base/array.h"

static const struct {
	int status;
	const char *text;
} errors[] = {
	[H1_OK] = { 200, "no error" },
	[H1_LINE_END] = { 400, "a bare CR or LF" },
	[H1_CONTROL] = { 400, "a control character" },
	[H1_TOO_LARGE] = { 431, "too large" },
	[H1_TOO_MANY] = { 431, "too many fields" },
	[H1_START_LINE] = { 400, "no start line" },
	[H1_METHOD] = { 400, "no method" },
	[H1_TARGET] = { 400, "no request target of this method" },
	[H1_VERSION] = { 505, "neither HTTP/1.1 nor HTTP/1.0" },
	[H1_STATUS] = { 400, "no status" },
	[H1_FIELD] = { 400, "no field name before a colon" },
	[H1_FOLD] = { 400, "a folded field" },
	[H1_HOST] = { 400, "not one Host" },
	[H1_LENGTH] = { 400, "not one valid Content-Length" },
	[H1_CODING] = { 501, "a Transfer-Encoding other than chunked" },
	[H1_BOTH] = { 400, "Content-Length and Transfer-Encoding" },
	[H1_FRAMING] = { 400, "a body where there can be none" },
	[H1_CHUNK] = { 400, "no chunk" },
	[H1_TRAILER] = { 400, "a field that may not stand in trailers" },
};
static_assert(ARRAY_SIZE(errors) == H1_ERRORS, "an error without its text");

const char *h1_error_text(enum h1_error error)
{
	return (size_t)error < ARRAY_SIZE(errors) ? errors[error].text : "unknown";
}

int h1_error_status(enum h1_error error)
{
	return (size_t)error < ARRAY_SIZE(errors) ? errors[error].status : 400;
}

void h1_scan_init(struct h1_scan *scan, size_t max)
{
	*scan = (struct h1_scan){ .max = max };
}

static enum h1_error check_byte(const struct h1_scan *scan, const char *bytes)
{
	unsigned char c = (unsigned char)bytes[scan->at];
	bool after_cr = scan->at > scan->line && bytes[scan->at - 1] == '\r';

	if (scan->at >= scan->max)
		return H1_TOO_LARGE;
	if (after_cr != (c == '\n'))
		return H1_LINE_END;
	if (c == '\n' || c == '\r')
		return H1_OK;
	if ((c < 0x20 && c != '\t') || c == 0x7f)
		return H1_CONTROL;
	return scan->at - scan->line < H1_LINE_MAX ? H1_OK : H1_TOO_LARGE;
}

enum h1_error h1_scan(struct h1_scan *scan, const char *bytes, size_t len, size_t *ret_end)
{
	for (; scan->at < len; scan->at++) {
		enum h1_error error = check_byte(scan, bytes);

		if (error)
			return error;
		if (bytes[scan->at] != '\n')
			continue;
		if (scan->at - scan->line == 1) {
			*ret_end = ++scan->at;
			return H1_OK;
		}
		if (++scan->lines > H1_LINES_MAX)
			return H1_TOO_MANY;
		scan->line = scan->at + 1;
	}
	*ret_end = 0;
	return H1_OK;
}
