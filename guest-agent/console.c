/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/console.h"

#include <fcntl.h>
#include <unistd.h>

#include "vmm/base/log.h"

void console_open(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int log = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

	if (log < 0)
		log = open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC);
	if (null >= 0)
		(void)dup2(null, STDIN_FILENO);
	if (log >= 0) {
		(void)dup2(log, STDOUT_FILENO);
		(void)dup2(log, STDERR_FILENO);
	}
	if (null > STDERR_FILENO)
		close(null);
	if (log > STDERR_FILENO)
		close(log);
	log_set_process("sandbox-agent");
}
