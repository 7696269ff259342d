/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that is jailed as sandbox-vmm (or -link, -unpack, -proxy, -injector) is, and then does what a hijacked one would try. Started by
 * jail_spawn() with: jail_probe ATTEMPT TABLE OMIT RW_SHARE RO_SHARE. Built against a jail that can leave layers out, so
 * that each layer is seen to hold alone.
 *
 * Exit code: 0 the attempt got what it wanted; 1 it was refused; 2 the jail could not be set up. Killed by SIGSYS: seccomp.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/kvm.h>
#include <linux/openat2.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/uio.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/jail/jail.h"
#include "vmm/jail/seccomp_table.h"

#define LIFELINE_FD 3

static int rw_share = -1, ro_share = -1, proc_fd = -1;
static const char *
	outside_name; /* the test listens at this path with .sock behind it, and at the same abstract name */

/* An attempt's outcome by a call's result. */
static int refused_if_negative(long result)
{
	return result < 0 ? 1 : 0;
}

static int attempt_nothing(void)
{
	return 0;
}

static int attempt_use_share(void)
{
	struct open_how how = {
		.flags = O_RDWR | O_CREAT, .mode = 0644, .resolve = RESOLVE_BENEATH
	};
	long fd = syscall(SYS_openat2, rw_share, "made-inside", &how, sizeof(how));

	return fd < 0 || write((int)fd, "x", 1) != 1;
}

static int attempt_reopen(void)
{
	struct open_how how = { .flags = O_PATH, .resolve = RESOLVE_BENEATH };
	char name[24];
	long fd = syscall(SYS_openat2, rw_share, "made-inside", &how, sizeof(how));

	snprintf(name, sizeof(name), "%ld", fd);
	return fd < 0 || openat(proc_fd, name, O_RDONLY) < 0;
}

static int attempt_write_readonly(void)
{
	return refused_if_negative(openat(ro_share, "made-inside", O_WRONLY | O_CREAT, 0644));
}

static int attempt_path(void)
{
	return refused_if_negative(openat(AT_FDCWD, "/etc/passwd", O_RDONLY));
}

/* design.md: plain openat upwards from a share, without any of tree.c's care. */
static int attempt_dotdot(void)
{
	static const char *const ways[] = {
		"../../etc/passwd",
		"../../../../../../etc/passwd",
		"../../proc/self/root/etc/passwd",
		"../../tmp",
	};

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++)
		if (openat(rw_share, ways[i], O_RDONLY) >= 0 ||
			openat(proc_fd, ways[i], O_RDONLY) >= 0)
			return 0;
	return 1;
}

static int attempt_root_listing(void)
{
	struct stat st;

	return fstatat(AT_FDCWD, "/usr", &st, 0) < 0 && fstatat(AT_FDCWD, "/etc", &st, 0) < 0;
}

static int attempt_socket_inet(void)
{
	return refused_if_negative(socket(AF_INET, SOCK_STREAM, 0));
}

static int attempt_socket_raw(void)
{
	return refused_if_negative(socket(AF_INET, SOCK_RAW, IPPROTO_TCP));
}

static int attempt_socket_packet(void)
{
	return refused_if_negative(socket(AF_PACKET, SOCK_RAW, 0));
}

static int attempt_socket_netlink(void)
{
	return refused_if_negative(socket(AF_NETLINK, SOCK_RAW, 0));
}

/* To be connected to, instead of connecting. */
static int attempt_listen(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	return fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 1) < 0;
}

/* Nobody need be there: that the connection is refused is an answer from the network. */
static int attempt_connect_inet(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons(1) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	return fd < 0 ||
	       (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != ECONNREFUSED);
}

/* Anybody's memory, as an injector's beside this one: E23. */
static int attempt_read_memory(void)
{
	char byte;
	struct iovec ours = { &byte, 1 };

	for (pid_t pid = 2; pid < 1 << 16; pid++) {
		struct iovec theirs = { (void *)outside_name, 1 };

		if (process_vm_readv(pid, &ours, 1, &theirs, 1, 0) >= 0 || errno != ESRCH)
			return 0;
	}
	return 1;
}

static int attempt_socket_unix(void)
{
	return refused_if_negative(socket(AF_UNIX, SOCK_STREAM, 0));
}

/* A socket that is made must lead nowhere: no abstract name, no path, no address of the outside. */
static int attempt_connect_outside(void)
{
	for (int i = 0; i < 3; i++) {
		struct sockaddr_un to = { .sun_family = AF_UNIX };
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);
		int len;

		len = snprintf(to.sun_path, sizeof(to.sun_path), "%s%s.sock",
			i == 2	 ? "/share/0/../.."
			: i == 1 ? ""
				 : "@",
			outside_name);
		if (!i)
			to.sun_path[0] = '\0';
		socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)len);

		if (fd >= 0 && connect(fd, (struct sockaddr *)&to, size) == 0)
			return 0;
	}
	return 1;
}

static int attempt_exec(void)
{
	char *const argv[] = { "true", NULL };

	return refused_if_negative(execve("/bin/true", argv, NULL));
}

static int attempt_fork(void)
{
	return refused_if_negative(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
}

/* Pids of the outside do not exist in here; -1 would be everybody. */
static int attempt_kill_outside(void)
{
	return refused_if_negative(kill(-1, 0));
}

static int attempt_ptrace(void)
{
	return refused_if_negative(ptrace(PTRACE_ATTACH, 1, 0, 0));
}

static int attempt_mount(void)
{
	return refused_if_negative(mount("tmpfs", "/", "tmpfs", 0, NULL));
}

static int attempt_setpgid(void)
{
	return refused_if_negative(setpgid(0, 0));
}

static int attempt_setuid_bit(void)
{
	return refused_if_negative(fchmodat(rw_share, "made-inside", 04755, 0));
}

static int attempt_device_node(void)
{
	return refused_if_negative(mknodat(rw_share, "device", S_IFCHR | 0666, 0x103));
}

static int attempt_tiocsti(void)
{
	char c = 'x';

	return refused_if_negative(ioctl(0, TIOCSTI, &c));
}

/* What the machine asks of KVM; the fd is no vCPU, so that anything but a kill is well. */
static int attempt_kvm(void)
{
	ioctl(0, KVM_RUN, 0);
	ioctl(0, KVM_GET_REGS, 0);
	return 0;
}

static int attempt_kvm_set_regs(void)
{
	return refused_if_negative(ioctl(0, KVM_SET_REGS, 0));
}

static int attempt_capability(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {};

	if (syscall(SYS_capget, &header, data) < 0)
		return 1;
	return !(data[0].effective | data[0].permitted | data[0].inheritable | data[1].effective |
		 data[1].permitted);
}

static int attempt_executable_memory(void)
{
	return refused_if_negative(syscall(SYS_mmap, NULL, 4096, 5, 0x22, -1, 0));
}

static const struct {
	const char *name;
	int (*run)(void);
} attempts[] = {
	{ "nothing", attempt_nothing },
	{ "use-share", attempt_use_share },
	{ "reopen", attempt_reopen },
	{ "write-readonly", attempt_write_readonly },
	{ "path", attempt_path },
	{ "dotdot", attempt_dotdot },
	{ "root-listing", attempt_root_listing },
	{ "socket-inet", attempt_socket_inet },
	{ "socket-raw", attempt_socket_raw },
	{ "socket-packet", attempt_socket_packet },
	{ "socket-netlink", attempt_socket_netlink },
	{ "listen", attempt_listen },
	{ "connect-inet", attempt_connect_inet },
	{ "read-memory", attempt_read_memory },
	{ "socket-unix", attempt_socket_unix },
	{ "connect-outside", attempt_connect_outside },
	{ "exec", attempt_exec },
	{ "fork", attempt_fork },
	{ "kill-outside", attempt_kill_outside },
	{ "ptrace", attempt_ptrace },
	{ "mount", attempt_mount },
	{ "setpgid", attempt_setpgid },
	{ "setuid-bit", attempt_setuid_bit },
	{ "device-node", attempt_device_node },
	{ "tiocsti", attempt_tiocsti },
	{ "kvm", attempt_kvm },
	{ "kvm-set-regs", attempt_kvm_set_regs },
	{ "capability", attempt_capability },
	{ "executable-memory", attempt_executable_memory },
};

/* The order of sandbox-vmm's main file. */
static int enter_jail(
	const struct jail_plan *plan, const struct seccomp_table *table, struct err *err)
{
	uint32_t layers;
	int r = jail_begin(plan, err);

	if (r == 0)
		r = jail_build_root(plan, err);
	if (r < 0)
		return r;
	rw_share = open("/share/0", O_PATH | O_DIRECTORY | O_CLOEXEC);
	ro_share = open("/share/1", O_PATH | O_DIRECTORY | O_CLOEXEC);
	proc_fd = open("/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (rw_share < 0 || ro_share < 0 || proc_fd < 0)
		return err_set(err, -errno, "the share roots: %s", strerror(errno));
	r = jail_restrict(plan, &layers, err);
	if (r == 0)
		r = jail_seal(
			plan, table == &seccomp_vmm_vcpu ? &seccomp_vmm : table, &layers, err);
	if (r == 0 && table == &seccomp_vmm_vcpu)
		r = jail_seal_thread(plan, table, err);
	return r;
}

static const struct seccomp_table *table_named(const char *name)
{
	return strcmp(name, "link") == 0       ? &seccomp_link
	       : strcmp(name, "proxy") == 0    ? &seccomp_proxy
	       : strcmp(name, "injector") == 0 ? &seccomp_injector
	       : strcmp(name, "unpack") == 0   ? &seccomp_unpack
	       : strcmp(name, "vcpu") == 0     ? &seccomp_vmm_vcpu
					       : &seccomp_vmm;
}

int main(int argc, char **argv)
{
	struct err err = {};

	if (argc != 6)
		return 2;
	outside_name = argv[4];
	const struct jail_bind binds[] = {
		{ .source = argv[4], .target = "/share/0" },
		{ .source = argv[5], .target = "/share/1", .readonly = true },
	};
	const struct jail_plan plan = {
		.process = "jail_probe",
		.lifeline_fd = LIFELINE_FD,
		.binds = binds,
		.bind_count = ARRAY_SIZE(binds),
		.proc_fd = true,
		.keep_network = strcmp(argv[2], "injector") == 0,
		.omit_layers = (uint32_t)strtoul(argv[3], NULL, 0),
	};

	if (enter_jail(&plan, table_named(argv[2]), &err) < 0) {
		fprintf(stderr, "jail_probe: %s (%s)\n", err.text, err.next_step);
		return 2;
	}
	for (size_t i = 0; i < ARRAY_SIZE(attempts); i++)
		if (strcmp(argv[1], attempts[i].name) == 0)
			_exit(attempts[i].run());
	return 2;
}
