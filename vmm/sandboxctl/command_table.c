/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/command.h"

#include <string.h>

const struct command *const command_table[] = {
	&command_start,
	&command_run,
	&command_stop,
	&command_restart,
	&command_rm,
	&command_ls,
	&command_status,
	&command_wait,
	&command_inspect,
	&command_exec,
	&command_shell,
	&command_attach,
	&command_ssh,
	&command_ssh_config,
	&command_cp,
	&command_logs,
	&command_console,
	&command_top,
	&command_events,
	&command_audit,
	&command_ports,
	&command_policy,
	&command_secret,
	&command_doctor,
	&command_prune,
	&command_completion,
	&command_version,
	&command_names,
	&command_ssh_proxy,
	NULL,
};

const char *const command_later[] = { "stats", "image", "snapshot", "request", "diff", "apply",
	"sync", "config", NULL };

const struct command *command_find(const char *name)
{
	for (const struct command *const *c = command_table; *c; c++)
		if (strcmp((*c)->name, name) == 0 ||
			((*c)->alias && strcmp((*c)->alias, name) == 0))
			return *c;
	return NULL;
}
