/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "vmm/sandboxctl/status_view.h"
#include "vmm/sandboxctl/target.h"
#include "vmm/sandboxctl/terminal_filter.h"
#include "vmm/supervisor/status.h"

#define COLUMNS	 7
#define CELL_MAX 512

static const struct option_def options[] = {
	OPTION_JSON,
	{ "quiet", 'q', NULL, "print names only" },
	{ "running", 0, NULL, "only those that run" },
	OPTIONS_COMMON,
};

struct row {
	char cell[COLUMNS][CELL_MAX];
};

static const char *const heads[COLUMNS] = { "NAME", "STATE", "CPUS", "MEMORY", "UPTIME", "PORTS",
	"WORKSPACE" };

static void fill_row(const struct document *status, struct row *row)
{
	terminal_filter_text(document_text(status, "name", "?"), row->cell[0], CELL_MAX);
	terminal_filter_text(document_text(status, "state", "?"), row->cell[1], CELL_MAX);
	document_show(status, "cpus", row->cell[2], CELL_MAX);
	snprintf(row->cell[3], CELL_MAX, "%lld MiB",
		(long long)document_int(status, "memory_mib", 0));
	if (document_child(status, "supervisor_pid"))
		status_age(document_int(status, "uptime_s", 0), row->cell[4], CELL_MAX);
	else
		strcpy(row->cell[4], "-");
	status_ports(status, row->cell[5], CELL_MAX);
	terminal_filter_text(document_text(status, "workspace.host", "-"), row->cell[6], CELL_MAX);
}

static void measure(const struct row *row, size_t widths[static COLUMNS])
{
	for (size_t i = 0; i < COLUMNS; i++)
		if (strlen(row->cell[i]) > widths[i])
			widths[i] = strlen(row->cell[i]);
}

static void print_row(const struct row *row, const size_t widths[static COLUMNS])
{
	for (size_t i = 0; i + 1 < COLUMNS; i++)
		printf("%-*s  ", (int)widths[i], row->cell[i]);
	printf("%s\n", row->cell[COLUMNS - 1]);
}

static int print_table(const struct document *list)
{
	size_t count = document_count(list), widths[COLUMNS] = {};
	struct row *rows = calloc(count + 1, sizeof(*rows));

	if (!rows)
		return EXIT_GENERAL;
	for (size_t i = 0; i < COLUMNS; i++)
		strcpy(rows[0].cell[i], heads[i]);
	for (size_t i = 0; i < count; i++)
		fill_row(document_at(list, i), &rows[i + 1]);
	for (size_t i = 0; i <= count; i++)
		measure(&rows[i], widths);
	for (size_t i = 0; i <= count; i++)
		print_row(&rows[i], widths);
	free(rows);
	return EXIT_OK;
}

static int print_names(const struct document *list)
{
	char name[CELL_MAX];

	for (size_t i = 0; i < document_count(list); i++)
		printf("%s\n", document_show(document_at(list, i), "name", name, sizeof(name)));
	return EXIT_OK;
}

static struct document *only_running(const struct document *list)
{
	struct document *kept = document_list();

	for (size_t i = 0; i < document_count(list); i++)
		if (document_child(document_at(list, i), "supervisor_pid"))
			document_append(kept, document_copy(document_at(list, i)));
	return kept;
}

static int run(struct invocation *in)
{
	_cleanup_document_ struct document *all = NULL, *kept = NULL;
	const struct document *list;
	json_t *json = NULL;
	struct paths paths;
	struct err err = {};
	int code = target_paths(in, &paths);

	if (code)
		return code;
	if (status_of_all(&paths, &json, &err) < 0)
		return report_general(in, "lookup", &err);
	all = document_of_json(json);
	if (options_flag(&in->options, "running"))
		kept = only_running(all);
	list = kept ? kept : all;
	if (in->json)
		return report_document("SandboxList", document_copy(list));
	return options_flag(&in->options, "quiet") ? print_names(list) : print_table(list);
}

const struct command command_ls = {
	.name = "ls",
	.alias = "list",
	.summary = "List all sandboxes",
	.options = options,
	.run = run,
};
