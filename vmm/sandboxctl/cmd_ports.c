/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/status_view.h"
#include "vmm/sandboxctl/target.h"

static const struct option_def options[] = { OPTION_JSON, OPTIONS_COMMON };

static void print_ports(const struct document *status, const struct document *ports)
{
	char one[96], url[128];

	for (size_t i = 0; i < document_count(ports); i++) {
		const struct document *port = document_at(ports, i);

		printf("%-32s %s\n", status_port(port, one, sizeof(one)),
			status_port_url(status, port, url, sizeof(url)));
	}
}

static struct document *ports_document(const struct document *status, const struct document *ports)
{
	struct document *list = document_list();
	char url[128];

	for (size_t i = 0; i < document_count(ports); i++) {
		struct document *port = document_copy(document_at(ports, i));

		status_port_url(status, port, url, sizeof(url));
		document_set_text(port, "url", url[0] ? url : NULL);
		document_append(list, port);
	}
	return list;
}

static int run(struct invocation *in)
{
	_cleanup_document_ struct document *status = NULL;
	const struct document *ports;
	struct target target;
	int code = target_find_status(in, 0, &target, &status);

	if (code)
		return code;
	ports = document_child(status, "ports");
	if (in->json)
		return report_document("PortList", ports_document(status, ports));
	if (document_count(ports) && !document_child(status, "supervisor_pid"))
		fprintf(stderr, "sandbox %s is not running; when it is:\n", target.name);
	print_ports(status, ports);
	return EXIT_OK;
}

const struct command command_ports = {
	.name = "ports",
	.words_help = "[NAME]",
	.summary = "Show the guest ports that are published on this host",
	.options = options,
	.words = WORDS_NAME,
	.words_max = 1,
	.run = run,
};
