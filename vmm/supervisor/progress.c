/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/progress.h"

#include <string.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/base/log.h"

void progress_write(int fd, const json_t *message)
{
	_cleanup_free_ char *text = json_dumps(message, JSON_COMPACT);

	if (fd < 0 || !text)
		return;
	if (fdio_write_full(fd, text, strlen(text)) < 0 || fdio_write_full(fd, "\n", 1) < 0)
		log_debug("nobody follows the start any more");
}

void progress_write_stage(int fd, const char *stage, const char *text)
{
	_cleanup_json_ json_t *message = json_pack("{s:s, s:s}", "stage", stage, "text", text);

	progress_write(fd, message);
}
