/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Log lines on stderr: "<level> <process>: text". Log or return an error, never both; libraries log at debug only.
 * Secrets and raw guest bytes reach no log. log_ratelimited() keeps one budget per call site, so that a hostile peer
 * cannot flood: at most LOG_BURST lines per LOG_INTERVAL_S seconds, then one line that counts what was dropped.
 * Thread-safe (one write(2) a line).
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define LOG_LINE_MAX   1024
#define LOG_BURST      5
#define LOG_INTERVAL_S 10

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_set_level(enum log_level level);
void log_set_process(const char *name); /* borrowed for the life of the process */

void log_line(enum log_level level, const char *format, ...)
	__attribute__((format(printf, 2, 3), nonnull(2)));

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

struct log_budget {
	atomic_uint_fast64_t window_s; /* monotonic second in which the window began */
	atomic_uint lines;
	atomic_uint dropped;
};

/* True if a line may be written now; the caller's line is then the window's next. */
bool log_budget_take(struct log_budget *budget);

#define log_ratelimited(level, ...)                                                                \
	do {                                                                                       \
		static struct log_budget log_budget_;                                              \
		if (log_budget_take(&log_budget_))                                                 \
			log_line(level, __VA_ARGS__);                                              \
	} while (0)
