/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "vmm/base/loop.h"
#include "vmm/sandboxctl/status_view.h"
#include "vmm/sandboxctl/target.h"
#include "vmm/sandboxctl/terminal_filter.h"
#include "vmm/supervisor/status.h"

#define FIRST_LOOK_MS  500
#define LOOK_DEFAULT_S 2
#define LOOK_MAX_S     3600
#define SANDBOXES_MAX  256
#define CLEAR_SCREEN   "\033[H\033[2J"

static const struct option_def options[] = {
	{ "once", '1', NULL, "print it once (what happens where stdout is no terminal)" },
	{ "interval", 'd', "SECONDS", "look again after so long (default: 2)" },
	OPTION_JSON,
	OPTIONS_COMMON,
};

/* What a machine's process had used at the last look. */
struct sample {
	int64_t pid;
	uint64_t cpu_ms;
};

struct top {
	struct paths paths;
	struct sample before[SANDBOXES_MAX];
	size_t before_count;
	uint64_t before_ms;
};

/* User and system time of a process (proc(5): stat, fields 14 and 15); 0 where it is gone. */
static uint64_t cpu_ms_of(int64_t pid)
{
	uint64_t user = 0, system = 0;
	char path[64], text[1024];
	const char *rest;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%" PRId64 "/stat", pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	rest = strrchr(text, ')'); /* the name before it may hold anything */
	if (!rest ||
		sscanf(rest, ") %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %" SCNu64 " %" SCNu64,
			&user, &system) != 2)
		return 0;
	return (user + system) * 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
}

/* Resident memory in KiB; its guest's is in it. */
static uint64_t resident_kib_of(int64_t pid)
{
	uint64_t pages = 0;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%" PRId64 "/statm", pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%*s %" SCNu64, &pages) != 1)
		pages = 0;
	fclose(f);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
}

static const struct sample *find_sample(const struct top *top, int64_t pid)
{
	for (size_t i = 0; i < top->before_count; i++)
		if (top->before[i].pid == pid)
			return &top->before[i];
	return NULL;
}

/* In percent of one CPU since the last look; -1: not known yet. */
static int64_t cpu_percent(const struct top *top, int64_t pid, uint64_t cpu_ms, uint64_t now_ms)
{
	const struct sample *s = find_sample(top, pid);
	uint64_t passed = now_ms - top->before_ms;

	if (!s || !passed || cpu_ms < s->cpu_ms)
		return -1;
	return (int64_t)((cpu_ms - s->cpu_ms) * 100 / passed);
}

/* Adds cpu_percent and resident_kib to each that runs; what has ended is left out. */
static struct document *look(struct top *top, const struct document *all)
{
	struct document *list = document_list();
	struct sample now[SANDBOXES_MAX];
	uint64_t now_ms = clock_monotonic_ms();
	size_t count = 0;

	for (size_t i = 0; i < document_count(all) && count < SANDBOXES_MAX; i++) {
		int64_t pid = document_int(document_at(all, i), "vmm_pid", 0);
		struct document *one;

		if (!pid)
			continue;
		one = document_copy(document_at(all, i));
		now[count] = (struct sample){ pid, cpu_ms_of(pid) };
		document_set_int(
			one, "cpu_percent", cpu_percent(top, pid, now[count].cpu_ms, now_ms));
		document_set_int(one, "resident_kib", (int64_t)resident_kib_of(pid));
		document_append(list, one);
		count++;
	}
	memcpy(top->before, now, count * sizeof(now[0]));
	top->before_count = count;
	top->before_ms = now_ms;
	return list;
}

static int look_now(struct top *top, struct document **ret, struct err *err)
{
	_cleanup_document_ struct document *all = NULL;
	json_t *json = NULL;
	int r = status_of_all(&top->paths, &json, err);

	if (r < 0)
		return r;
	all = document_of_json(json);
	*ret = look(top, all);
	return 0;
}

static void print_one(const struct document *s)
{
	char name[80], state[32], health[32], egress[32], age[32], cpu[24] = "-", load[32];
	int64_t percent = document_int(s, "cpu_percent", -1);

	terminal_filter_text(document_text(s, "name", "?"), name, sizeof(name));
	document_show(s, "state", state, sizeof(state));
	document_show(s, "health", health, sizeof(health));
	document_show(s, "egress.state", egress, sizeof(egress));
	document_show(s, "guest.load1", load, sizeof(load));
	status_age(document_int(s, "uptime_s", 0), age, sizeof(age));
	if (percent >= 0)
		snprintf(cpu, sizeof(cpu), "%" PRId64 "%%", percent);
	printf("%-24s  %-8s  %-8s  %6s  %5" PRId64 " MiB  %5.5s  %5" PRId64 " MiB  %5" PRId64
	       "  %-10s  %s\n",
		name, state, health, cpu, document_int(s, "resident_kib", 0) / 1024,
		load[0] ? load : "-", document_int(s, "guest.memory_free_kib", 0) / 1024,
		document_int(s, "guest.processes", 0), egress[0] ? egress : "-", age);
}

static void print_all(const struct document *list)
{
	printf("%-24s  %-8s  %-8s  %6s  %9s  %5s  %9s  %5s  %-10s  %s\n", "NAME", "STATE", "HEALTH",
		"CPU", "RESIDENT", "LOAD", "FREE", "PROCS", "EGRESS", "UPTIME");
	for (size_t i = 0; i < document_count(list); i++)
		print_one(document_at(list, i));
	fflush(stdout);
}

static void pause_ms(uint64_t ms)
{
	struct timespec t = { .tv_sec = (time_t)(ms / 1000),
		.tv_nsec = (long)(ms % 1000) * 1000000 };

	nanosleep(&t, NULL);
}

/* Until it is interrupted. */
static int watch(const struct invocation *in, struct top *top, uint64_t interval_s)
{
	for (;;) {
		_cleanup_document_ struct document *list = NULL;
		struct err err = {};

		if (look_now(top, &list, &err) < 0)
			return report_general(in, "lookup", &err);
		fputs(CLEAR_SCREEN, stdout);
		print_all(list);
		if (ferror(stdout))
			return EXIT_GENERAL;
		pause_ms(interval_s * 1000);
	}
}

static int run(struct invocation *in)
{
	_cleanup_document_ struct document *first = NULL, *list = NULL;
	const char *interval = options_value(&in->options, "interval");
	uint64_t interval_s = LOOK_DEFAULT_S;
	static struct top top;
	struct err err = {};
	int code = target_paths(in, &top.paths);

	if (code)
		return code;
	if (interval && !parse_u64(interval, 1, LOOK_MAX_S, &interval_s)) {
		err_set(&err, -EINVAL, "--interval %.20s: not 1 to %d seconds", interval,
			LOOK_MAX_S);
		return report_usage(in, &err);
	}
	if (look_now(&top, &first, &err) < 0)
		return report_general(in, "lookup", &err);
	pause_ms(FIRST_LOOK_MS);
	if (!in->json && !options_flag(&in->options, "once") && isatty(STDOUT_FILENO))
		return watch(in, &top, interval_s);
	if (look_now(&top, &list, &err) < 0)
		return report_general(in, "lookup", &err);
	if (in->json)
		return report_document("TopList", document_copy(list));
	print_all(list);
	return EXIT_OK;
}

const struct command command_top = {
	.name = "top",
	.summary = "Show what the sandboxes that run are using",
	.details =
		"CPU is of one host CPU, RESIDENT what the machine holds of the host's memory. LOAD, FREE and PROCS are the guest's own word.",
	.options = options,
	.run = run,
};
