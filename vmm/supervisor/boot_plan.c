/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation. A table of stages, done in order; the first that fails names itself. As root with another owner,
 * the jailed processes (who have the owner's rights) cannot pass root's 0700 folders: what they must reach by path lies
 * below /run/sandboxctl/INSTANCE, which anybody may pass through but only root may write; the folder of sockets in it is the owner's.
 */
#include "vmm/supervisor/boot_plan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "images/host_etc.h"
#include "images/initramfs_cache.h"
#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/base/log.h"
#include "vmm/base/spawn.h"
#include "vmm/supervisor/ports.h"
#include "vmm/supervisor/ssh_keys.h"

#define VSOCK_SOCKET	      "vsock.sock"
#define VSOCK_PORT_SUFFIX_MAX 11 /* "_4294967295" */

struct stage {
	bool beside; /* may be done while a sandbox of that name runs: changes nothing that it has */
	const char *name, *text;
	int (*run)(struct boot_plan *plan, const char *const *environment, struct err *err);
};

void boot_plan_init(struct boot_plan *plan, const struct spec *spec, const struct paths *paths)
{
	*plan = (struct boot_plan){ .spec = spec,
		.paths = paths,
		.kvm_fd = -1,
		.kernel_fd = -1,
		.initramfs_fd = -1,
		.console_fd = -1,
		.session_log_fd = -1,
		.welcome_fd = -1,
		.listen_fd = -1,
		.egress_fd = -1 };
}

void boot_plan_finish(struct boot_plan *plan)
{
	int *fds[] = { &plan->kvm_fd, &plan->kernel_fd, &plan->initramfs_fd, &plan->console_fd,
		&plan->session_log_fd, &plan->welcome_fd, &plan->listen_fd };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close_keeping_errno(TAKE_FD(*fds[i]));
	for (size_t i = 0; i < plan->port_count; i++)
		close_keeping_errno(plan->port_fds[i]);
	plan->port_count = 0;
}

static int make_instance(struct boot_plan *plan, const char *const *environment, struct err *err)
{
	uint8_t bytes[REGISTRY_INSTANCE_LEN / 2];

	(void)environment;
	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return err_set(err, -EIO, "instance id: no random bytes");
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(plan->instance + 2 * i, 3, "%02x", bytes[i]);
	return owner_of_sandbox(plan->spec, &plan->owner, err);
}

static int check_access(
	const struct boot_plan *plan, const struct spec_share *share, struct err *err)
{
	struct stat st;

	if (stat(share->host, &st) < 0)
		return err_set(err, -errno, "share %s: %s", share->host, strerror(errno));
	if (st.st_dev != share->device || st.st_ino != share->inode)
		return err_set(err, -ESTALE, "share %s: not the folder it was", share->host);
	return owner_check_access(&plan->owner, share->host, !share->readonly, err);
}

static int check_shares(struct boot_plan *plan, const char *const *environment, struct err *err)
{
	const struct spec *spec = plan->spec;
	int r = share_rules_check(plan->paths, spec, &plan->protected_ids, err);

	(void)environment;
	if (r == 0 && spec->workspace.host)
		r = check_access(plan, &spec->workspace, err);
	for (size_t i = 0; i < spec->share_count && r == 0; i++)
		r = check_access(plan, &spec->shares[i], err);
	return r;
}

static int open_ports(struct boot_plan *plan, const char *const *environment, struct err *err)
{
	int r = ports_open(plan->paths, plan->spec, plan->port_fds, err);

	(void)environment;
	if (r == 0)
		plan->port_count = plan->spec->port_count;
	return r;
}

static int open_kvm(struct boot_plan *plan, const char *const *environment, struct err *err)
{
	int r;

	(void)environment;
	plan->kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (plan->kvm_fd >= 0)
		return 0;
	r = errno == EACCES || errno == EPERM ? -EACCES : -ENODEV;
	err_set(err, r, "/dev/kvm: %s", strerror(errno));
	if (r == -EACCES)
		err_next_step(err, "join the group kvm (usermod -aG kvm USER) and log in again");
	else
		err_next_step(err, "sandboxctl doctor");
	return r;
}

static int open_kernel(struct boot_plan *plan, const char *const *environment, struct err *err)
{
	char program[PATH_MAX];
	struct kernel_unpacker unpacker = {
		.program = program, .uid = plan->owner.uid, .gid = plan->owner.gid
	};
	int r = kernel_cache_find(plan->paths->cache, plan->spec->kernel, &plan->kernel, err);

	(void)environment;
	if (r == 0)
		r = paths_find_program("sandbox-unpack", program, err);
	return r < 0 ? r
		     : kernel_cache_open(
			       plan->paths->cache, &plan->kernel, &unpacker, &plan->kernel_fd, err);
}

static int refuse_shares(const struct boot_plan *plan, struct err *err)
{
	err_set(err, -EOPNOTSUPP,
		"kernel %s: it has no 9p, so it can mount no share, the workspace included",
		plan->kernel.name);
	err_next_step(err,
		"use the distribution's generic kernel (--kernel generic) or our own (--kernel minimal)");
	return -EOPNOTSUPP;
}

static int open_initramfs(struct boot_plan *plan, const char *const *environment, struct err *err)
{
	char script[PATH_MAX], agent[PATH_MAX];
	struct initramfs_inputs inputs = {
		.cache = plan->paths->cache,
		.script = script,
		.agent = agent,
		.kernel = &plan->kernel,
		.environment = environment,
	};
	int r = paths_find_image_script("initramfs/build", script, err);

	if (r == 0)
		r = paths_find_program("sandbox-agent", agent, err);
	if (r == 0)
		r = initramfs_cache_open(&inputs, &plan->initramfs_fd, &plan->has_p9, err);
	if (r == 0 && !plan->has_p9 && (plan->spec->workspace.host || plan->spec->share_count))
		return refuse_shares(plan, err);
	return r;
}

/* The image `host` is made of links into /usr: a host that still has a real /bin cannot be one. */
static int check_image(struct boot_plan *plan, const char *const *environment, struct err *err)
{
	struct stat st;

	(void)environment;
	if (strcmp(plan->spec->image, "host") != 0)
		return err_set(err, -EOPNOTSUPP, "image %s: only the image `host` exists so far",
			plan->spec->image);
	if (!plan->has_p9 || (lstat("/bin", &st) == 0 && S_ISLNK(st.st_mode)))
		return 0;
	err_set(err, -EOPNOTSUPP, "image host: /bin of this host is no link to /usr/bin");
	err_next_step(err, "apt-get install usrmerge, or use another image");
	return -EOPNOTSUPP;
}

static int make_private(const char *path, struct err *err)
{
	_cleanup_close_ int fd = -1;

	return paths_open_private(path, &fd, err);
}

/* See theory of operation. The folder for sockets, whoever the owner is. */
static int make_folders(struct boot_plan *plan, const char *const *environment, struct err *err)
{
	char runtime[PATH_MAX];
	int r = paths_of_runtime(plan->paths, plan->spec->name, NULL, runtime, err);

	(void)environment;
	if (r == 0)
		r = make_private(runtime, err);
	if (r < 0)
		return r;
	if (!owner_is_other(&plan->owner)) {
		r = paths_of_runtime(
			plan->paths, plan->spec->name, "vsock", plan->socket_folder, err);
		return r < 0 ? r : make_private(plan->socket_folder, err);
	}
	if (mkdir(PATHS_EXPOSED_ROOT, 0711) < 0 && errno != EEXIST)
		return err_set(err, -errno, "folder " PATHS_EXPOSED_ROOT ": %s", strerror(errno));
	if (chmod(PATHS_EXPOSED_ROOT, 0711) < 0)
		return err_set(err, -errno, "folder " PATHS_EXPOSED_ROOT ": %s", strerror(errno));
	snprintf(plan->exposed, sizeof(plan->exposed), PATHS_EXPOSED_ROOT "/%s", plan->instance);
	snprintf(plan->socket_folder, sizeof(plan->socket_folder), PATHS_EXPOSED_ROOT "/%s/vsock",
		plan->instance);
	/* Root's own, passed through by those who know its name: the owner could make links of what root puts there. */
	if (mkdir(plan->exposed, 0711) < 0 || chmod(plan->exposed, 0711) < 0 ||
		mkdir(plan->socket_folder, 0700) < 0)
		return err_set(err, -errno, "folder %s: %s", plan->exposed, strerror(errno));
	return 0;
}

/* The socket and its folder become the owner's when root has nothing more to do in it, the folder last. */
static int give_sockets(const struct boot_plan *plan, const char *socket, struct err *err)
{
	if (!owner_is_other(&plan->owner))
		return 0;
	if (lchown(socket, plan->owner.uid, plan->owner.gid) < 0 ||
		chown(plan->socket_folder, plan->owner.uid, plan->owner.gid) < 0)
		return err_set(err, -errno, "socket %s: %s", socket, strerror(errno));
	return 0;
}

static int open_log(const struct boot_plan *plan, const char *file, int *ret_fd, struct err *err)
{
	char path[PATH_MAX];
	int r = paths_of_state(plan->paths, plan->spec->name, file, path, err);

	if (r < 0)
		return r;
	*ret_fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	return *ret_fd < 0 ? err_set(err, -errno, "file %s: %s", path, strerror(errno)) : 0;
}

static int open_logs(struct boot_plan *plan, const char *const *environment, struct err *err)
{
	int r = open_log(plan, "console.log", &plan->console_fd, err);

	(void)environment;
	return r < 0 ? r : open_log(plan, "session.log", &plan->session_log_fd, err);
}

static int open_listener(struct boot_plan *plan, const char *const *environment, struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int n = snprintf(address.sun_path, sizeof(address.sun_path) - VSOCK_PORT_SUFFIX_MAX,
		"%s/" VSOCK_SOCKET, plan->socket_folder);

	(void)environment;
	if (n < 0 || (size_t)n >= sizeof(address.sun_path) - VSOCK_PORT_SUFFIX_MAX) {
		err_set(err, -ENAMETOOLONG,
			"socket %s/" VSOCK_SOCKET ": its path with a port is longer than %d bytes",
			plan->socket_folder, PATHS_SOCKET_MAX);
		err_next_step(err, "set XDG_RUNTIME_DIR to a shorter path of your own (mode 0700)");
		return -ENAMETOOLONG;
	}
	unlink(address.sun_path);
	plan->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (plan->listen_fd < 0 ||
		bind(plan->listen_fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		chmod(address.sun_path, 0600) < 0 || listen(plan->listen_fd, 64) < 0)
		return err_set(err, -errno, "socket %s: %s", address.sun_path, strerror(errno));
	return give_sockets(plan, address.sun_path, err);
}

static int add_share(struct boot_plan *plan, const struct boot_share *share, struct err *err)
{
	struct boot_share *to = &plan->shares[plan->share_count];
	struct stat st;

	if (plan->share_count == BOOT_SHARES_MAX)
		return err_set(err, -E2BIG, "shares: more than %d", BOOT_SHARES_MAX);
	*to = *share;
	if (!to->inode) {
		if (stat(to->path, &st) < 0)
			return err_set(err, -errno, "share %s: %s", to->path, strerror(errno));
		to->device = st.st_dev;
		to->inode = st.st_ino;
	}
	plan->share_count++;
	return 0;
}

static int add_user_share(
	struct boot_plan *plan, const char *tag, const struct spec_share *from, struct err *err)
{
	struct boot_share share = { .kind = BOOT_SHARE_MAPPED,
		.role = BOOT_ROLE_PLAIN,
		.readonly = from->readonly,
		.trust_hardlinks = from->trust_hardlinks,
		.device = from->device,
		.inode = from->inode,
		.target = from->guest };

	snprintf(share.tag, sizeof(share.tag), "%s", tag);
	snprintf(share.path, sizeof(share.path), "%s", from->host);
	return add_share(plan, &share, err);
}

/* A folder of the system's own, or one that we made. Links in its path are followed here, once. */
static int add_system_share(struct boot_plan *plan, const char *tag, enum boot_share_kind kind,
	enum boot_share_role role, const char *path, struct err *err)
{
	struct boot_share share = { .kind = kind, .role = role, .readonly = true };

	snprintf(share.tag, sizeof(share.tag), "%s", tag);
	if (!realpath(path, share.path))
		return err_set(err, -errno, "share %s: %s", path, strerror(errno));
	return add_share(plan, &share, err);
}

static int make_etc(struct boot_plan *plan, char path[static PATH_MAX], struct err *err)
{
	int r;

	if (*plan->exposed)
		snprintf(path, PATH_MAX, PATHS_EXPOSED_ROOT "/%s/etc", plan->instance);
	else if ((r = paths_of_state(plan->paths, plan->spec->name, "etc", path, err)) < 0)
		return r;
	return host_etc_build("/etc", path, err);
}

/* A copy where the owner can reach it. */
static int copy_tools(struct boot_plan *plan, const char *const *environment)
{
	const char *const argv[] = { "cp", "-r", plan->tools, plan->exposed_tools, NULL };
	struct spawn_spec spec = { .path = "/bin/cp", .argv = argv, .environment = environment };
	_cleanup_close_ int pidfd = -1;
	int status, r;
	pid_t pid;

	snprintf(plan->exposed_tools, sizeof(plan->exposed_tools), PATHS_EXPOSED_ROOT "/%s/tools",
		plan->instance);
	umask(022); /* of this one: the layer is for anybody to read */
	r = spawn(&spec, &pid, &pidfd, NULL);
	umask(077);
	if (r < 0)
		return r;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return -EIO;
	snprintf(plan->tools, sizeof(plan->tools), "%s", plan->exposed_tools);
	return 0;
}

static int find_tools(struct boot_plan *plan, const char *const *environment, struct err *err)
{
	char path[PATH_MAX];

	(void)err;
	if (snprintf(path, sizeof(path), "%s/tools/current", plan->paths->cache) >= PATH_MAX ||
		!realpath(path, plan->tools))
		plan->tools[0] = '\0';
	/* Without it ssh works only where the image has a server: no reason not to start. */
	if (*plan->tools && owner_check_access(&plan->owner, plan->tools, false, NULL) < 0 &&
		(!*plan->exposed || copy_tools(plan, environment) < 0)) {
		log_warn("tools layer %s: uid %u may not read it; ssh needs the image's own server",
			plan->tools, (unsigned int)plan->owner.uid);
		plan->tools[0] = '\0';
	}
	return 0;
}

static int add_host_image(struct boot_plan *plan, struct err *err)
{
	char etc[PATH_MAX];
	int r = make_etc(plan, etc, err);

	if (r == 0)
		r = add_system_share(plan, "usr", BOOT_SHARE_HOST, BOOT_ROLE_USR, "/usr", err);
	if (r == 0)
		r = add_system_share(plan, "etc", BOOT_SHARE_INTERNAL, BOOT_ROLE_ETC, etc, err);
	if (r == 0 && access("/var/lib/dpkg", F_OK) == 0)
		r = add_system_share(
			plan, "dpkg", BOOT_SHARE_HOST, BOOT_ROLE_DPKG, "/var/lib/dpkg", err);
	if (r == 0 && *plan->tools)
		r = add_system_share(
			plan, "tools", BOOT_SHARE_INTERNAL, BOOT_ROLE_TOOLS, plan->tools, err);
	return r;
}

static int add_shares(struct boot_plan *plan, const char *const *environment, struct err *err)
{
	const struct spec *spec = plan->spec;
	char tag[BOOT_TAG_MAX + 1];
	int r;

	(void)environment;
	if (!plan->has_p9)
		return 0; /* such a kernel boots to its initramfs, and no further */
	r = add_host_image(plan, err);
	if (r == 0 && spec->workspace.host)
		r = add_user_share(plan, "workspace", &spec->workspace, err);
	for (size_t i = 0; i < spec->share_count && r == 0; i++) {
		snprintf(tag, sizeof(tag), "v%u", (unsigned int)i);
		r = add_user_share(plan, tag, &spec->shares[i], err);
	}
	return r;
}

static int make_keys(struct boot_plan *plan, const char *const *environment, struct err *err)
{
	int r = paths_of_state(plan->paths, plan->spec->name, "ssh", plan->ssh_folder, err);

	(void)environment;
	return r < 0 ? r : ssh_keys_make(plan->ssh_folder, plan->spec->name, err);
}

static int make_welcome(struct boot_plan *plan, const char *const *environment, struct err *err)
{
	(void)environment;
	return welcome_make(plan, &plan->welcome_fd, err);
}

static const struct stage stages[] = {
	{ true, "prepare", "choosing whose rights it has", make_instance },
	{ true, "shares", "checking the shares", check_shares },
	{ false, "ports", "binding the ports", open_ports },
	{ true, "kvm", "opening /dev/kvm", open_kvm },
	{ true, "kernel", "finding the kernel", open_kernel },
	{ true, "initramfs", "finding the initramfs", open_initramfs },
	{ true, "image", "checking the image", check_image },
	{ false, "folders", "making its folders", make_folders },
	{ false, "folders", "opening its logs", open_logs },
	{ false, "folders", "opening its sockets", open_listener },
	{ false, "image", "finding the tools layer", find_tools },
	{ false, "image", "preparing the host's image", add_shares },
	{ false, "keys", "making its keys", make_keys },
	{ false, "welcome", "writing down what the guest is told", make_welcome },
};

static int run_stages(struct boot_plan *plan, bool beside, const char *const *environment,
	boot_stage_fn *stage, void *data, const char **ret_stage, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(stages); i++) {
		int r;

		if (beside && !stages[i].beside)
			continue;
		if (stage)
			stage(data, stages[i].name, stages[i].text);
		r = stages[i].run(plan, environment, err);
		if (r < 0) {
			*ret_stage = stages[i].name;
			return r;
		}
	}
	return 0;
}

int boot_plan_prepare(struct boot_plan *plan, const char *const *environment, boot_stage_fn *stage,
	void *data, const char **ret_stage, struct err *err)
{
	return run_stages(plan, false, environment, stage, data, ret_stage, err);
}

int boot_plan_check(struct boot_plan *plan, const char *const *environment, boot_stage_fn *stage,
	void *data, const char **ret_stage, struct err *err)
{
	return run_stages(plan, true, environment, stage, data, ret_stage, err);
}
