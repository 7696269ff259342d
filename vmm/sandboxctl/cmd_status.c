/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "vmm/base/array.h"
#include "vmm/sandboxctl/linked_names.h"
#include "vmm/sandboxctl/policy_approve.h"
#include "vmm/sandboxctl/status_view.h"
#include "vmm/sandboxctl/target.h"
#include "vmm/sandboxctl/terminal_filter.h"

static const struct option_def options[] = { OPTION_JSON, OPTIONS_COMMON };

/* Fields that are one value each, in the order shown. */
static const char *const fields[] = { "name", "state", "reason", "health", "degraded", "backend",
	"instance", "image", "kernel", "tier", "cpus", "memory_mib", "started_at", "uptime_s",
	"supervisor_pid", "vmm_pid", "pgid" };

static void print_field(const char *label, const char *text)
{
	if (text[0])
		printf("%-15s %s\n", label, text);
}

/* A share's line, and what lies below it and is another file system: its guest cannot go there. */
static void print_share(const char *label, const struct document *share)
{
	const struct document *mounts = document_child(share, "not_entered");
	char text[STATUS_TEXT_MAX], shown[STATUS_TEXT_MAX], path[PATH_MAX];

	print_field(label, status_share(share, text, sizeof(text)));
	for (size_t i = 0; i < document_count(mounts); i++) {
		snprintf(text, sizeof(text), "not in it, being another file system: %s",
			document_show(document_at(mounts, i), NULL, path, sizeof(path)));
		print_field("", terminal_filter_text(text, shown, sizeof(shown)));
	}
}

static void print_shares(const struct document *status)
{
	const struct document *workspace = document_child(status, "workspace"),
			      *shares = document_child(status, "shares");

	if (workspace)
		print_share("workspace", workspace);
	for (size_t i = 0; i < document_count(shares); i++)
		print_share("share", document_at(shares, i));
}

/* S4: which files a share did not let the guest change, and the way out. */
static void print_linked_outside(const struct document *status)
{
	const struct document *shares = document_child(status, "linked_outside");
	char text[STATUS_TEXT_MAX], shown[STATUS_TEXT_MAX];

	for (size_t i = 0; i < document_count(shares); i++) {
		const struct document *share = document_at(shares, i),
				      *files = document_child(share, "files");

		snprintf(text, sizeof(text),
			"%lld changes in %s refused: these files have names outside it (:trust-hardlinks lifts that)",
			(long long)document_int(share, "refusals", 0),
			document_text(share, "host", "?"));
		print_field("hard links", terminal_filter_text(text, shown, sizeof(shown)));
		for (size_t k = 0; k < document_count(files); k++) {
			const struct document *file = document_at(files, k);
			const char *path = document_text(file, "path", NULL);

			snprintf(text, sizeof(text), "inode %lld",
				(long long)document_int(file, "inode", 0));
			print_field(
				"", terminal_filter_text(path ? path : text, shown, sizeof(shown)));
		}
	}
}

static void print_ports(const struct document *status)
{
	const struct document *ports = document_child(status, "ports");
	char one[96], url[128], text[256];

	for (size_t i = 0; i < document_count(ports); i++) {
		const struct document *port = document_at(ports, i);

		snprintf(text, sizeof(text), "%s  %s", status_port(port, one, sizeof(one)),
			status_port_url(status, port, url, sizeof(url)));
		print_field("port", text);
	}
}

/* H4: what was asked for and what is in force, by process. */
static void print_isolation(const struct document *status)
{
	static const char *const processes[] = { "vmm", "link" };
	char kind[64], layers[512], missing[512], path[64], text[1200];

	print_field("isolation", document_show(status, "isolation.kind", kind, sizeof(kind)));
	document_show(status, "isolation.core_scheduling", kind, sizeof(kind));
	snprintf(text, sizeof(text), "core scheduling: %s", kind[0] ? kind : "unknown");
	print_field("", text);
	for (size_t i = 0; i < ARRAY_SIZE(processes); i++) {
		snprintf(path, sizeof(path), "isolation.%s.in_force", processes[i]);
		document_show(status, path, layers, sizeof(layers));
		snprintf(path, sizeof(path), "isolation.%s.missing", processes[i]);
		document_show(status, path, missing, sizeof(missing));
		snprintf(text, sizeof(text), "%s: %s%s%s", processes[i],
			layers[0] ? layers : "none yet", missing[0] ? "; not in force: " : "",
			missing);
		print_field("", text);
	}
}

/* Whether the way out is open, and why not. */
static void print_egress(const struct document *status)
{
	char state[64], why[STATUS_TEXT_MAX], text[STATUS_TEXT_MAX + 80], words[APPROVAL_TEXT_MAX];

	document_show(status, "egress.state", state, sizeof(state));
	document_show(status, "egress.why", why, sizeof(why));
	snprintf(text, sizeof(text), "%s%s%s", state, why[0] ? ": " : "", why);
	print_field("egress", text);
	print_field("", approval_words(document_child(status, "egress.project"), words));
}

/* What does not leave this host shows no rollback of the log (H7). */
static void print_forward(const struct document *status)
{
	char to[32], cut[128], text[256];

	document_show(status, "egress.forward.to", to, sizeof(to));
	document_show(status, "egress.forward.cut", cut, sizeof(cut));
	if (!*cut && !document_int(status, "egress.forward.not_forwarded", 0))
		return;
	snprintf(text, sizeof(text), "to %s%s%s; not forwarded: %lld", to, *cut ? ", cut: " : "",
		cut, (long long)document_int(status, "egress.forward.not_forwarded", 0));
	print_field("audit log", text);
}

static int print_status(const struct document *status)
{
	char text[STATUS_TEXT_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		print_field(fields[i], document_show(status, fields[i], text, sizeof(text)));
	print_shares(status);
	print_linked_outside(status);
	print_ports(status);
	print_egress(status);
	print_forward(status);
	if (document_child(status, "supervisor_pid")) /* what has ended is isolated by nothing */
		print_isolation(status);
	return EXIT_OK;
}

static int run(struct invocation *in)
{
	_cleanup_document_ struct document *status = NULL;
	struct target target;
	int code = target_find_status(in, 0, &target, &status);

	if (code)
		return code;
	linked_names_fill(status);
	return in->json ? report_document("Sandbox", document_copy(status)) : print_status(status);
}

const struct command command_status = {
	.name = "status",
	.words_help = "[NAME]",
	.summary = "Show a sandbox's state, shares, ports and isolation",
	.options = options,
	.words = WORDS_NAME,
	.words_max = 1,
	.run = run,
};
