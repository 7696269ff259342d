/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/report.h"

static const struct option_def options[] = { OPTION_JSON, OPTIONS_COMMON };

static int run(struct invocation *in)
{
	struct document *data;

	if (!in->json) {
		printf("sandboxctl %s\n", SANDBOXCTL_VERSION);
		return EXIT_OK;
	}
	data = document_object();
	document_set_text(data, "version", SANDBOXCTL_VERSION);
	return report_document("Version", data);
}

const struct command command_version = {
	.name = "version",
	.summary = "Print the version",
	.options = options,
	.run = run,
};
