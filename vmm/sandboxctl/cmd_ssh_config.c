/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/ssh_config.h"
#include "vmm/sandboxctl/target.h"

static const struct option_def options[] = { OPTION_JSON, OPTIONS_COMMON };

static int run(struct invocation *in)
{
	char text[SSH_CONFIG_MAX], program[PATH_MAX];
	struct target target;
	struct err err = {};
	int code = target_find_word(in, 0, &target);

	if (code)
		return code;
	if (ssh_config_program(program, &err) < 0 || ssh_config_format(&target.paths, target.name,
							     program, text, sizeof(text), &err) < 0)
		return report_general(in, "ssh", &err);
	if (in->json) {
		struct document *data = document_object();

		document_set_text(data, "name", target.name);
		document_set_text(data, "config", text);
		return report_document("SshConfig", data);
	}
	fputs(text, stdout);
	return EXIT_OK;
}

const struct command command_ssh_config = {
	.name = "ssh-config",
	.words_help = "[NAME]",
	.summary =
		"Print the configuration with which plain ssh, scp, sftp and rsync reach a sandbox",
	.details =
		"For example: sandboxctl ssh-config api > api.conf; scp -F api.conf file api:/tmp/; rsync -e 'ssh -F api.conf' ...\n"
		"scp, rsync and editors that work over ssh trust what the guest's side tells them about names and paths.",
	.options = options,
	.words = WORDS_NAME,
	.words_max = 1,
	.run = run,
};
