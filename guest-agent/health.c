/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/health.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/base/loop.h"

#define LOW_PERCENT 5
#define MEMINFO_MAX 8192

static uint64_t number_at(const char *text)
{
	uint64_t value = 0;

	for (int digits = 0; *text >= '0' && *text <= '9' && digits < 18; digits++)
		value = value * 10 + (uint64_t)(*text++ - '0');
	return value;
}

bool health_meminfo(const char *text, const char *field, uint64_t *ret_kib)
{
	size_t len = strlen(field);

	while (text && *text) {
		if (!strncmp(text, field, len) && text[len] == ':') {
			text += len + 1;
			*ret_kib = number_at(text + strspn(text, " "));
			return true;
		}
		text = strchr(text, '\n');
		text = text ? text + 1 : NULL;
	}
	return false;
}

bool health_oom_kill(const char *record, uint64_t *ret_pid)
{
	static const char words[] = "Killed process ";
	const char *at = strstr(record, words);
	uint64_t pid;

	/* A record of the kernel's own has facility 0: its number is below 8. Other writers' say so in front. */
	if (!at || number_at(record) > 7 || !strstr(record, "ut of memory"))
		return false;
	pid = number_at(at + strlen(words));
	if (!pid)
		return false;
	*ret_pid = pid;
	return true;
}

static bool is_low(uint64_t part, uint64_t total)
{
	return total && part < total / 100 * LOW_PERCENT;
}

static void measure_memory(struct protocol_health *h)
{
	_cleanup_free_ char *text = NULL;
	size_t len;

	if (fdio_read_file(AT_FDCWD, "/proc/meminfo", MEMINFO_MAX, &text, &len) < 0)
		return;
	(void)health_meminfo(text, "MemTotal", &h->memory_total_kib);
	(void)health_meminfo(text, "MemAvailable", &h->memory_available_kib);
	if (is_low(h->memory_available_kib, h->memory_total_kib))
		h->degraded |= PROTOCOL_DEGRADED_MEMORY;
}

static void measure_disk(struct protocol_health *h)
{
	struct statvfs fs;

	if (statvfs("/", &fs) < 0)
		return;
	h->disk_total_kib = (uint64_t)fs.f_blocks * fs.f_frsize / 1024;
	h->disk_free_kib = (uint64_t)fs.f_bavail * fs.f_frsize / 1024;
	if (is_low(h->disk_free_kib, h->disk_total_kib))
		h->degraded |= PROTOCOL_DEGRADED_DISK;
}

void health_measure(struct protocol_health *ret, uint32_t degraded)
{
	struct sysinfo info = {};

	*ret = (struct protocol_health){ .degraded = degraded, .uptime_ns = clock_monotonic_ns() };
	if (sysinfo(&info) == 0) {
		ret->load1_x100 = (uint32_t)(info.loads[0] * 100 / (1 << SI_LOAD_SHIFT));
		ret->processes = info.procs;
	}
	measure_memory(ret);
	measure_disk(ret);
}
