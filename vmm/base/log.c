/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static enum log_level log_threshold = LOG_INFO;
static const char *log_process = "sandboxctl";

static const char *const level_names[] = {
	[LOG_ERROR] = "error",
	[LOG_WARN] = "warning",
	[LOG_INFO] = "info",
	[LOG_DEBUG] = "debug",
};

void log_set_level(enum log_level level)
{
	log_threshold = level;
}

void log_set_process(const char *name)
{
	log_process = name;
}

void log_line(enum log_level level, const char *format, ...)
{
	char line[LOG_LINE_MAX];
	int saved = errno, head, body;
	va_list args;
	size_t len;

	if (level > log_threshold)
		return;
	head = snprintf(line, sizeof(line), "%s: %s: ", log_process, level_names[level]);
	if (head < 0 || (size_t)head >= sizeof(line) - 1)
		return;
	va_start(args, format);
	body = vsnprintf(line + head, sizeof(line) - (size_t)head - 1, format, args);
	va_end(args);
	if (body < 0)
		return;
	len = (size_t)head + (size_t)body;
	if (len > sizeof(line) - 2)
		len = sizeof(line) - 2;
	for (size_t i = (size_t)head; i < len; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	line[len++] = '\n';
	if (write(STDERR_FILENO, line, len) < 0) {
		/* Nowhere left to say so. */
	}
	errno = saved;
}

bool log_budget_take(struct log_budget *budget)
{
	struct timespec now;
	uint64_t start;
	unsigned int dropped;

	clock_gettime(CLOCK_MONOTONIC, &now);
	start = atomic_load(&budget->window_s);
	if (!start || (uint64_t)now.tv_sec >= start + LOG_INTERVAL_S) {
		/* Two threads may both open the window: a few lines more, no harm. */
		atomic_store(&budget->window_s, (uint64_t)now.tv_sec ? (uint64_t)now.tv_sec : 1);
		atomic_store(&budget->lines, 0);
		dropped = atomic_exchange(&budget->dropped, 0);
		if (dropped)
			log_line(LOG_WARN, "%u similar lines were dropped", dropped);
	}
	if (atomic_fetch_add(&budget->lines, 1) < LOG_BURST)
		return true;
	atomic_fetch_add(&budget->dropped, 1);
	return false;
}
