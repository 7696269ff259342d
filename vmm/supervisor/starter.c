/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/starter.h"

#include "vmm/base/cleanup.h"
#include "vmm/supervisor/progress.h"
#include "vmm/supervisor/stop_phases.h"

static void let_go(struct supervisor *s)
{
	loop_remove(TAKE_PTR(s->progress_source));
	close_keeping_errno(TAKE_FD(s->progress_fd));
}

void starter_tell_stage(void *data, const char *stage, const char *text)
{
	const struct supervisor *s = data;

	progress_write_stage(s->progress_fd, stage, text);
}

void starter_tell_failure(struct supervisor *s, const struct err *err, const char *stage)
{
	if (s->progress_fd >= 0 && !s->failure)
		s->failure = control_error_json(err, stage);
}

void starter_tell_ready(struct supervisor *s)
{
	_cleanup_json_ json_t *message =
		json_pack("{s:b, s:o}", "ok", 1, "data", supervisor_status(s));

	progress_write(s->progress_fd, message);
	let_go(s);
}

static void went_away(void *data, uint32_t events)
{
	struct supervisor *s = data;

	(void)events;
	let_go(s);
	if (s->phase != PHASE_UP)
		return;
	supervisor_set_reason(s, "whoever started it went away before it was ready");
	stop_begin(s, LIFECYCLE_ASKED_TO_STOP, 0);
}

int starter_watch(struct supervisor *s)
{
	if (s->progress_fd < 0)
		return 0;
	return loop_add_fd(s->loop, s->progress_fd, 0, went_away, s, &s->progress_source);
}

void starter_finish(struct supervisor *s)
{
	if (s->failure)
		progress_write(s->progress_fd, s->failure);
	json_decref(s->failure);
	close_keeping_errno(s->progress_fd);
}
