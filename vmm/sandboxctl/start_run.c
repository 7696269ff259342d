/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/start_run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "vmm/base/array.h"
#include "vmm/sandboxctl/kvm_fitness.h"
#include "vmm/share/fd_budget.h"
#include "vmm/sandboxctl/policy_approve.h"
#include "vmm/sandboxctl/status_view.h"
#include "vmm/sandboxctl/target.h"
#include "vmm/sandboxctl/terminal_filter.h"
#include "vmm/supervisor/control.h"
#include "vmm/supervisor/start.h"

#define PATH_NOTES_MAX 8

int start_check_kvm(const struct invocation *in, const struct paths *paths)
{
	char vmm_path[PATH_MAX];
	struct kvm_measurement m;
	struct err err = {};
	int r = paths_find_program("sandbox-vmm", vmm_path, &err);

	if (r == 0)
		r = kvm_measure_cached(vmm_path, paths->runtime, &m, &err);
	if (r < 0)
		return report_failure(
			in, (struct failure){ EXIT_NO_HYPERVISOR, "no-hypervisor", "kvm" }, &err);
	if (m.fitness == KVM_FIT)
		return 0;
	kvm_fitness_explain(&m, &err);
	return report_failure(
		in, (struct failure){ EXIT_NO_HYPERVISOR, "no-hypervisor", "kvm" }, &err);
}

static void show_progress(void *data, const char *stage, const char *text)
{
	(void)stage;
	report_progress(data, "%s", text);
}

/* The script that brings a kernel, by its whole path: nobody knows from where start was asked. */
static void name_kernel_script(const char *kernel, struct err *err)
{
	bool minimal = kernel && strcmp(kernel, "minimal") == 0;
	char path[PATH_MAX];

	if ((kernel && strchr(kernel, '/')) ||
		paths_find_image_script(minimal ? "kernel/build" : "kernel/fetch", path, NULL) < 0)
		return;
	if (minimal)
		err_next_step(err, "%.300s brings it (5 to 7 minutes, once)", path);
	else
		err_next_step(err,
			"%.300s brings the default one; `cloud` and `6.12` are its arguments",
			path);
}

/* The typed words of what start.h says it may give. */
static int launch_failed(const struct invocation *in, int code, const char *stage,
	const char *kernel, struct err *err)
{
	struct failure failure = { EXIT_GENERAL, control_error_word(code), stage };

	if (code == -ENOENT && strcmp(stage, "kernel") == 0)
		name_kernel_script(kernel, err);
	if (code == -EEXIST)
		failure.error = "other-workspace";
	else if (code == -EADDRINUSE)
		failure.error = "port-taken";
	else if (strcmp(stage, "kernel") == 0 || strcmp(stage, "initramfs") == 0 ||
		 strcmp(stage, "image") == 0)
		failure.code = EXIT_IMAGE;
	else if (code == -ENOKEY)
		failure.code = EXIT_SECRET;
	else if (strcmp(stage, "kvm") == 0)
		failure = (struct failure){ EXIT_NO_HYPERVISOR, "no-hypervisor", stage };
	return report_failure(in, failure, err);
}

/* H5 */
static void warn_unapproved(const struct invocation *in, const struct document *status)
{
	char words[APPROVAL_TEXT_MAX];

	if (!in->json && *approval_words(document_child(status, "egress.project"), words))
		fprintf(stderr, "%s\n", words);
}

int start_launch(const struct invocation *in, struct start_plan *plan, struct document **ret_status)
{
	char stage[START_STAGE_MAX] = "launch";
	json_t *status = NULL;
	struct err err = {};
	int r;

	report_progress(in, "starting %s", plan->spec.name);
	r = sandbox_start(
		&plan->paths, &plan->spec, show_progress, (void *)in, stage, &status, &err);
	report_progress_end(in);
	if (r < 0)
		return launch_failed(in, r, stage, plan->spec.kernel, &err);
	warn_unapproved(in, document_of_json(status));
	if (ret_status)
		*ret_status = document_of_json(status);
	else
		json_decref(status);
	return 0;
}

int start_check(const struct invocation *in, const struct start_plan *plan)
{
	char stage[START_STAGE_MAX];
	struct err err = {};
	int r = sandbox_check_start(
		&plan->paths, &plan->spec, show_progress, (void *)in, stage, &err);

	report_progress_end(in);
	return r < 0 ? launch_failed(in, r, stage, plan->spec.kernel, &err) : 0;
}

int start_replace(const struct invocation *in, const struct start_plan *plan)
{
	struct err err = {};
	int r;

	if (!plan->exists)
		return 0;
	r = start_check(in, plan);
	if (r)
		return r;
	report_progress(in, "ending the old %s", plan->spec.name);
	r = sandbox_stop(
		&plan->paths, plan->spec.name, START_GRACE_MS, "replaced by start --fresh", &err);
	report_progress_end(in);
	if (r == -EDEADLK)
		return report_failure(
			in, (struct failure){ EXIT_GENERAL, "survived", "verify" }, &err);
	return r < 0 && r != -ENOENT ? report_general(in, "stop", &err) : 0;
}

/* V11: said where it is not so. */
static void start_warn_siblings(const struct document *status)
{
	char word[32];

	if (strcmp(document_show(status, "isolation.core_scheduling", word, sizeof(word)),
		    "unavailable") == 0)
		fputs("warning: hyperthreads are on and this kernel has no core scheduling: what runs beside "
		      "this guest on a core may be watched by it (sandboxctl doctor)\n",
			stderr);
}

void start_announce(const struct invocation *in, const struct document *status)
{
	const struct document *ports = document_child(status, "ports");
	char name[64], one[96], url[128];

	if (in->json)
		return;
	start_warn_siblings(status);
	fprintf(stderr, "sandbox %s runs\n", document_show(status, "name", name, sizeof(name)));
	for (size_t i = 0; i < document_count(ports); i++) {
		const struct document *port = document_at(ports, i);

		fprintf(stderr, "  %s  %s\n", status_port(port, one, sizeof(one)),
			status_port_url(status, port, url, sizeof(url)));
	}
}

/* Folders that image `host` has anyway. */
static bool in_host_image(const char *folder)
{
	static const char *const roots[] = { "/usr/", "/bin", "/sbin", "/lib", "/snap/" };

	for (size_t i = 0; i < ARRAY_SIZE(roots); i++)
		if (strncmp(folder, roots[i], strlen(roots[i])) == 0)
			return true;
	return false;
}

static bool below(const char *folder, const char *root)
{
	size_t len = root ? strlen(root) : 0;

	return len && strncmp(folder, root, len) == 0 &&
	       (folder[len] == '/' || folder[len] == '\0');
}

static bool shared(const struct spec *spec, const char *folder)
{
	if (below(folder, spec->workspace.host))
		return true;
	for (size_t i = 0; i < spec->share_count; i++)
		if (below(folder, spec->shares[i].host))
			return true;
	return false;
}

/* Where these very programs are: nothing that a guest misses. */
static bool is_our_own(const char *folder)
{
	char path[PATH_MAX], real[PATH_MAX];

	if (paths_find_program("sandboxctl", path, NULL) < 0 || !realpath(folder, real))
		return false;
	*strrchr(path, '/') = '\0';
	return strcmp(path, real) == 0;
}

static bool worth_a_note(const struct spec *spec, const char *folder)
{
	struct stat s;

	return !is_our_own(folder) && folder[0] == '/' && !in_host_image(folder) &&
	       !shared(spec, folder) && stat(folder, &s) == 0 && S_ISDIR(s.st_mode);
}

void start_note_path(const struct invocation *in, const struct spec *spec)
{
	const char *path = getenv("PATH");
	_cleanup_free_ char *copy = path ? strdup(path) : NULL;
	char *rest = copy, *folder;
	char shown[256], quoted[PATH_MAX + 8];
	int notes = 0;

	if (in->json)
		return;
	while (rest && (folder = strsep(&rest, ":")) && notes < PATH_NOTES_MAX) {
		if (!worth_a_note(spec, folder))
			continue;
		if (!notes++)
			fputs("not in the guest, though in your PATH; -v brings a folder with what it needs:\n",
				stderr);
		report_shell_quote(folder, quoted, sizeof(quoted));
		fprintf(stderr, "  %s\n", terminal_filter_text(quoted, shown, sizeof(shown)));
	}
}

void start_note_open_files(const struct invocation *in)
{
	struct rlimit files;

	if (in->json || getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_max >= FD_BUDGET_LOW)
		return;
	fprintf(stderr,
		"only %llu files may be open at once here (hard limit): a guest with many processes may be told \"Too many open files\"; sandboxctl doctor says more\n",
		(unsigned long long)files.rlim_max);
}
