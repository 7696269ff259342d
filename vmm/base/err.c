/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/base/err.h"

#include <stdio.h>
#include <string.h>

static void escape_controls(char *text)
{
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
}

static void format_text(char *text, size_t size, const char *format, va_list args)
	__attribute__((format(printf, 3, 0)));

static void format_text(char *text, size_t size, const char *format, va_list args)
{
	vsnprintf(text, size, format, args);
	escape_controls(text);
}

int err_set(struct err *err, int code, const char *format, ...)
{
	va_list args;

	if (!err)
		return code;
	err->code = code;
	err->next_step[0] = '\0';
	va_start(args, format);
	format_text(err->text, sizeof(err->text), format, args);
	va_end(args);
	return code;
}

int err_next_step(struct err *err, const char *format, ...)
{
	va_list args;

	if (!err)
		return 0;
	va_start(args, format);
	format_text(err->next_step, sizeof(err->next_step), format, args);
	va_end(args);
	return err->code;
}

int err_prefix(struct err *err, int code, const char *format, ...)
{
	char rest[ERR_TEXT_MAX];
	va_list args;
	size_t used;

	if (!err)
		return code;
	memcpy(rest, err->text, sizeof(rest));
	va_start(args, format);
	format_text(err->text, sizeof(err->text), format, args);
	va_end(args);
	used = strlen(err->text);
	snprintf(err->text + used, sizeof(err->text) - used, ": %s", rest);
	err->code = code;
	return code;
}
