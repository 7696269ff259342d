/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/doctor.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/base/parse.h"
#include "vmm/jail/jail_spawn.h"
#include "vmm/sandboxctl/kvm_fitness.h"
#include "vmm/share/fd_budget.h"
#include "vmm/supervisor/cgroup.h"
#include "vmm/supervisor/process.h"

#define GIB		    (1ull << 30)
#define CACHE_SPACE_NEEDED  (2 * GIB) /* a kernel package unpacked, its initramfs, the tools */
#define STATE_SPACE_NEEDED  (GIB / 4) /* logs and snapshots of /etc */
#define LANDLOCK_ABI_WANTED 1

static void found(struct finding *f, enum finding_status status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void found(struct finding *f, enum finding_status status, const char *format, ...)
{
	va_list args;

	f->status = status;
	va_start(args, format);
	vsnprintf(f->reason, sizeof(f->reason), format, args);
	va_end(args);
}

static void fix(struct finding *f, const char *text)
{
	snprintf(f->fix, sizeof(f->fix), "%s", text);
}

static void found_err(struct finding *f, enum finding_status status, const struct err *err)
{
	found(f, status, "%s", err->text);
	fix(f, err->next_step);
}

static void check_kvm(const struct doctor_context *c, struct finding *f)
{
	char vmm_path[PATH_MAX];
	struct kvm_measurement m;
	struct err err = {};

	(void)c;
	if (paths_find_program("sandbox-vmm", vmm_path, &err) < 0 ||
		kvm_measure(vmm_path, &m, &err) < 0) {
		found_err(f, FINDING_FAIL, &err);
		return;
	}
	kvm_fitness_explain(&m, &err);
	found_err(f, m.fitness == KVM_FIT ? FINDING_OK : FINDING_FAIL, &err);
}

static void check_user_namespaces(const struct doctor_context *c, struct finding *f)
{
	struct err err = {};

	(void)c;
	if (jail_try(&err) < 0)
		found_err(f, FINDING_FAIL, &err);
	else
		found(f, FINDING_OK, "a process can be put into namespaces of its own");
}

static void check_landlock(const struct doctor_context *c, struct finding *f)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	(void)c;
	if (abi >= LANDLOCK_ABI_WANTED) {
		found(f, FINDING_OK, "Landlock is there, ABI %ld", abi);
		return;
	}
	found(f, FINDING_FAIL, "this kernel has no Landlock in use");
	fix(f, "boot a kernel of 5.13 or later with landlock in its lsm= list (cat /sys/kernel/security/lsm)");
}

static void check_seccomp(const struct doctor_context *c, struct finding *f)
{
	uint32_t action = SECCOMP_RET_KILL_PROCESS;

	(void)c;
	if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0) {
		found(f, FINDING_OK, "seccomp filters can end a process");
		return;
	}
	found(f, FINDING_FAIL, "this kernel or container has no seccomp filters");
	fix(f, "boot a kernel with CONFIG_SECCOMP_FILTER");
}

static void check_cgroups(const struct doctor_context *c, struct finding *f)
{
	char parent[PATH_MAX];
	struct err err = {};

	(void)c;
	if (cgroup_usable(parent, &err) == 0) {
		found(f, FINDING_OK, "cgroup v2: sandboxes get a group of their own in %s", parent);
		return;
	}
	found(f, FINDING_WARN, "%s: sandboxes end by process group, and --pids is refused",
		err.text);
	fix(f, err.next_step);
}

/* The path of a sandbox's longest socket, where its name has the most letters. */
static void check_folders(const struct doctor_context *c, struct finding *f)
{
	size_t len = strlen(c->paths.runtime) + 1 + SANDBOX_NAME_MAX + strlen("/vsock/vsock.sock");

	if (c->paths_error < 0) {
		found_err(f, FINDING_FAIL, &c->paths_err);
		return;
	}
	found(f, len > PATHS_SOCKET_MAX ? FINDING_WARN : FINDING_OK,
		"sockets in %.200s, state in %.200s", c->paths.runtime, c->paths.state);
	if (len > PATHS_SOCKET_MAX)
		snprintf(f->fix, sizeof(f->fix),
			"set XDG_RUNTIME_DIR to a shorter path: there a sandbox's name may have %zu letters",
			len - PATHS_SOCKET_MAX < SANDBOX_NAME_MAX
				? SANDBOX_NAME_MAX - (len - PATHS_SOCKET_MAX)
				: 0);
}

/* statvfs of path or of its nearest parent that is there. */
static int free_space(const char *path, uint64_t *ret_bytes)
{
	char folder[PATH_MAX];
	struct statvfs s;

	snprintf(folder, sizeof(folder), "%s", path);
	while (statvfs(folder, &s) < 0) {
		char *slash = strrchr(folder, '/');

		if (errno != ENOENT || !slash || slash == folder)
			return -errno;
		*slash = '\0';
	}
	*ret_bytes = (uint64_t)s.f_bavail * s.f_frsize;
	return 0;
}

static void check_space(const char *what, const char *path, uint64_t needed, struct finding *f)
{
	uint64_t bytes = 0;
	int r = free_space(path, &bytes);

	if (r < 0) {
		found(f, FINDING_FAIL, "%s folder %.300s: %s", what, path, strerror(-r));
		fix(f, "make it readable, or name another by the XDG variables");
		return;
	}
	found(f, bytes < needed ? FINDING_FAIL : FINDING_OK, "%.1f GiB free for the %s (%.300s)",
		(double)bytes / GIB, what, path);
	if (bytes < needed)
		snprintf(f->fix, sizeof(f->fix), "free %.1f GiB there: sandboxctl prune helps",
			(double)(needed - bytes) / GIB);
}

static void check_cache_space(const struct doctor_context *c, struct finding *f)
{
	check_space("cache", c->paths.cache, CACHE_SPACE_NEEDED, f);
}

static void check_state_space(const struct doctor_context *c, struct finding *f)
{
	check_space("state", c->paths.state, STATE_SPACE_NEEDED, f);
}

/* Names of the entries of a cache's folder, joined; gives how many. */
static size_t list_cache(const struct doctor_context *c, const char *folder, char *out, size_t size)
{
	char path[PATH_MAX];
	_cleanup_closedir_ DIR *dir = NULL;
	struct dirent *entry;
	size_t count = 0, len = 0;

	out[0] = '\0';
	if (snprintf(path, sizeof(path), "%s/%s", c->paths.cache, folder) >= (int)sizeof(path))
		return 0;
	dir = opendir(path);
	while (dir && (entry = readdir(dir)) && count < 64) {
		if (entry->d_name[0] == '.' || entry->d_type == DT_REG ||
			strstr(entry->d_name, ".new"))
			continue;
		count++;
		if (len + strlen(entry->d_name) + 2 < size)
			len += (size_t)snprintf(
				out + len, size - len, "%s%s", len ? " " : "", entry->d_name);
	}
	return count;
}

/* Whole, since nobody knows from where doctor is asked. */
static void fix_by_script(struct finding *f, const char *script, const char *more)
{
	char path[PATH_MAX];

	if (paths_find_image_script(script, path, NULL) < 0)
		snprintf(path, sizeof(path), "images/%s", script);
	snprintf(f->fix, sizeof(f->fix), "%.300s%s", path, more);
}

static void check_kernel(const struct doctor_context *c, struct finding *f)
{
	char names[300];

	if (list_cache(c, "kernels", names, sizeof(names))) {
		found(f, FINDING_OK, "guest kernels: %s", names);
		return;
	}
	found(f, FINDING_FAIL, "no guest kernel in %.300s/kernels", c->paths.cache);
	fix_by_script(f, "kernel/fetch", " (needs the package manager's network once)");
}

static void check_initramfs(const struct doctor_context *c, struct finding *f)
{
	char script[PATH_MAX];
	struct err err = {};

	(void)c;
	if (paths_find_image_script("initramfs/build", script, &err) == 0)
		found(f, FINDING_OK, "initramfs: made when a kernel is first used");
	else
		found_err(f, FINDING_FAIL, &err);
}

static void check_tools(const struct doctor_context *c, struct finding *f)
{
	char names[300];

	if (access("/usr/sbin/sshd", X_OK) == 0 || list_cache(c, "tools", names, sizeof(names))) {
		found(f, FINDING_OK, "an SSH server for guests is there");
		return;
	}
	found(f, FINDING_WARN,
		"no SSH server for guests: sandboxctl ssh will not work in image host");
	fix_by_script(f, "tools/fetch", "");
}

static void check_ssh_client(const struct doctor_context *c, struct finding *f)
{
	(void)c;
	if (access("/usr/bin/ssh", X_OK) == 0 && access("/usr/bin/ssh-keygen", X_OK) == 0) {
		found(f, FINDING_OK, "ssh and ssh-keygen are installed");
		return;
	}
	found(f, FINDING_WARN, "no OpenSSH client: sandboxctl ssh will not work");
	fix(f, "apt-get install openssh-client");
}

static void check_programs(const struct doctor_context *c, struct finding *f)
{
	static const char *const programs[] = { "sandbox-supervisor", "sandbox-vmm", "sandbox-link",
		"sandbox-agent" };
	char path[PATH_MAX];
	struct err err = {};

	(void)c;
	for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
		if (paths_find_program(programs[i], path, &err) < 0) {
			found_err(f, FINDING_FAIL, &err);
			fix(f, "build or install all of it: ninja -C build, or meson install -C build");
			return;
		}
	}
	found(f, FINDING_OK, "all programs of sandboxctl are there");
}

/* V11: what siblings share. Our own cookie is asked for: a kernel that cannot tell it has no core scheduling. */
static void check_smt(const struct doctor_context *c, struct finding *f)
{
	unsigned long cookie;

	(void)c;
	if (!host_smt_active()) {
		found(f, FINDING_OK, "no hyperthread siblings are in use");
	} else if (prctl(PR_SCHED_CORE, PR_SCHED_CORE_GET, 0, PR_SCHED_CORE_SCOPE_THREAD,
			   &cookie) == 0) {
		found(f, FINDING_OK,
			"SMT is active: each sandbox runs with a core-scheduling cookie of its own");
	} else {
		found(f, FINDING_WARN,
			"SMT is active and this kernel has no core scheduling: a guest may watch what runs on the "
			"other thread of its core");
		fix(f, "boot a kernel with CONFIG_SCHED_CORE, or switch SMT off: as root "
		       "`echo off >/sys/devices/system/cpu/smt/control`");
	}
}

static bool vulnerability_open(int dir_fd, const char *name)
{
	_cleanup_free_ char *text = NULL;
	size_t len;

	return name[0] != '.' && fdio_read_file(dir_fd, name, 4096, &text, &len) == 0 &&
	       strncmp(text, "Vulnerable", 10) == 0;
}

static void check_vulnerabilities(const struct doctor_context *c, struct finding *f)
{
	_cleanup_closedir_ DIR *dir = opendir("/sys/devices/system/cpu/vulnerabilities");
	char names[300] = "";
	struct dirent *entry;
	size_t len = 0;

	(void)c;
	while (dir && (entry = readdir(dir)))
		if (vulnerability_open(dirfd(dir), entry->d_name) && len + 64 < sizeof(names))
			len += (size_t)snprintf(
				names + len, sizeof(names) - len, " %.60s", entry->d_name);
	if (!len) {
		found(f, FINDING_OK, "the kernel reports no CPU vulnerability without mitigation");
		return;
	}
	found(f, FINDING_WARN, "CPU vulnerabilities without mitigation:%s", names);
	fix(f, "update the microcode and the kernel, and do not boot with mitigations=off");
}

/* A guest's open files are fds of its VMM. */
static void check_open_files(const struct doctor_context *c, struct finding *f)
{
	struct rlimit files;

	(void)c;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_max < FD_BUDGET_LOW) {
		found(f, FINDING_WARN,
			"only %llu files may be open at once (hard limit): a guest with many processes may be told \"Too many open files\"",
			(unsigned long long)files.rlim_max);
		fix(f, "raise it: LimitNOFILE= of the service, /etc/security/limits.conf, or `ulimit -Hn` as root");
		return;
	}
	found(f, FINDING_OK, "enough files may be open at once");
}

struct check {
	const char *id;
	void (*run)(const struct doctor_context *c, struct finding *f);
};

static const struct check checks[] = {
	{ "kvm", check_kvm },
	{ "user-namespaces", check_user_namespaces },
	{ "landlock", check_landlock },
	{ "seccomp", check_seccomp },
	{ "cgroups", check_cgroups },
	{ "folders", check_folders },
	{ "programs", check_programs },
	{ "kernel", check_kernel },
	{ "initramfs", check_initramfs },
	{ "tools", check_tools },
	{ "ssh-client", check_ssh_client },
	{ "open-files", check_open_files },
	{ "cache-space", check_cache_space },
	{ "state-space", check_state_space },
	{ "smt", check_smt },
	{ "cpu-vulnerabilities", check_vulnerabilities },
};

static_assert(ARRAY_SIZE(checks) <= DOCTOR_FINDINGS_MAX, "a finding for each check");

size_t doctor_examine(
	const struct doctor_context *context, struct finding ret[static DOCTOR_FINDINGS_MAX])
{
	for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
		ret[i] = (struct finding){ .id = checks[i].id };
		checks[i].run(context, &ret[i]);
	}
	return ARRAY_SIZE(checks);
}

const char *finding_status_name(enum finding_status status)
{
	static const char *const status_names[] = {
		[FINDING_OK] = "ok",
		[FINDING_WARN] = "warn",
		[FINDING_FAIL] = "fail",
	};

	return status_names[status];
}
