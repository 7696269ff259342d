/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <unistd.h>

#include "vmm/sandboxctl/doctor.h"
#include "vmm/sandboxctl/report.h"
#include "vmm/sandboxctl/terminal_filter.h"

static const struct option_def options[] = { OPTION_JSON, OPTIONS_COMMON };

static const char *color_of(enum finding_status status)
{
	static const char *const colors[] = {
		[FINDING_OK] = "\033[32m",
		[FINDING_WARN] = "\033[33m",
		[FINDING_FAIL] = "\033[1;31m",
	};

	return colors[status];
}

static void print_finding(const struct finding *f, bool color)
{
	char text[2 * DOCTOR_TEXT_MAX];

	printf("%s%-4s%s %-20s %s\n", color ? color_of(f->status) : "",
		finding_status_name(f->status), color ? "\033[0m" : "", f->id,
		terminal_filter_text(f->reason, text, sizeof(text)));
	if (f->fix[0])
		printf("     %-20s fix: %s\n", "",
			terminal_filter_text(f->fix, text, sizeof(text)));
}

static struct document *finding_document(const struct finding *f)
{
	struct document *d = document_object();

	document_set_text(d, "id", f->id);
	document_set_text(d, "status", finding_status_name(f->status));
	document_set_text(d, "reason", f->reason);
	document_set_text(d, "fix", f->fix[0] ? f->fix : NULL);
	return d;
}

/* Unfit KVM is 4, as start's refusal is; any other failure is 1. */
static int exit_code_of(const struct finding *findings, size_t count)
{
	int code = EXIT_OK;

	for (size_t i = 0; i < count; i++) {
		if (findings[i].status != FINDING_FAIL)
			continue;
		if (strcmp(findings[i].id, "kvm") == 0)
			return EXIT_NO_HYPERVISOR;
		code = EXIT_GENERAL;
	}
	return code;
}

static void print_all(const struct invocation *in, const struct finding *findings, size_t count)
{
	struct document *list, *data;

	if (!in->json) {
		for (size_t i = 0; i < count; i++)
			print_finding(&findings[i], report_color(in, STDOUT_FILENO));
		return;
	}
	list = document_list();
	data = document_object();
	for (size_t i = 0; i < count; i++)
		document_append(list, finding_document(&findings[i]));
	document_set_child(data, "findings", list);
	document_set_int(data, "exit_code", exit_code_of(findings, count));
	report_document("Doctor", data);
}

static int run(struct invocation *in)
{
	struct finding findings[DOCTOR_FINDINGS_MAX];
	struct doctor_context context = {};
	size_t count;

	context.paths_error = paths_load(&context.paths, &context.paths_err);
	if (context.paths_error == 0)
		context.paths_error = paths_prepare(&context.paths, &context.paths_err);
	count = doctor_examine(&context, findings);
	print_all(in, findings, count);
	return exit_code_of(findings, count);
}

const struct command command_doctor = {
	.name = "doctor",
	.summary = "Say what this machine has and lacks, with the fix for each",
	.details =
		"Measures rather than believes: KVM runs a few instructions in a guest. Exit code: 0 all well (warnings "
		"too), 4 no usable\nKVM, 1 anything else that fails.",
	.options = options,
	.run = run,
};
