/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/supervisor/boot_plan.h"
#include "vmm/supervisor/config.h"
#include "vmm/supervisor/control.h"
#include "vmm/supervisor/egress.h"
#include "vmm/supervisor/progress.h"
#include "vmm/supervisor/supervisor.h"

static void tell_stage(void *data, const char *stage, const char *text)
{
	const int *fd = data;

	progress_write_stage(*fd, stage, text);
}

static int check(const struct spec *spec, int progress_fd, int environment_fd,
	const char **ret_stage, struct err *err)
{
	struct boot_plan plan;
	struct config config;
	struct paths paths;
	int r = paths_load(&paths, err);

	if (r < 0)
		return r;
	*ret_stage = "config";
	r = config_load(&paths, NULL, &config, err);
	if (r < 0)
		return r;
	*ret_stage = "policy";
	r = egress_check(spec, &paths, environment_fd, err);
	if (r < 0)
		return r;
	boot_plan_init(&plan, spec, &paths);
	r = boot_plan_check(
		&plan, (const char *const *)environ, tell_stage, &progress_fd, ret_stage, err);
	boot_plan_finish(&plan);
	return r;
}

int supervisor_check(const struct spec *spec, int progress_fd, int environment_fd)
{
	_cleanup_json_ json_t *answer = NULL;
	const char *stage = "prepare";
	struct err err = {};
	int r;

	signal(SIGPIPE, SIG_IGN);
	r = check(spec, progress_fd, environment_fd, &stage, &err);
	answer = r < 0 ? control_error_json(&err, stage) : json_pack("{s:b}", "ok", 1);
	progress_write(progress_fd, answer);
	close_keeping_errno(progress_fd);
	return r < 0;
}
