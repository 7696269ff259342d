/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/backend_kvm.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/jail/jail_spawn.h"
#include "vmm/supervisor/cgroup.h"

#define ARGUMENTS_MAX 256
#define FD_LOG	      2
/* of sandbox-vmm */
enum {
	VMM_KVM = 3,
	VMM_KERNEL,
	VMM_INITRAMFS,
	VMM_LIFELINE,
	VMM_EVENT,
	VMM_CONSOLE,
	VMM_VSOCK,
	VMM_LOCK
};
/* of sandbox-link; published ports follow */
enum {
	LINK_LIFELINE = 3,
	LINK_EVENT,
	LINK_VSOCK,
	LINK_CONTROL,
	LINK_LISTEN,
	LINK_WELCOME,
	LINK_SESSION_LOG,
	LINK_LOCK,
	LINK_PORTS
};

/* An argv that grows; each word is its own. */
struct arguments {
	char *words[ARGUMENTS_MAX + 1];
	size_t count;
	bool failed;
};

static void add(struct arguments *a, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct arguments *a, const char *format, ...)
{
	va_list args;

	if (a->failed || a->count == ARGUMENTS_MAX) {
		a->failed = true;
		return;
	}
	va_start(args, format);
	if (vasprintf(&a->words[a->count], format, args) < 0) {
		a->words[a->count] = NULL;
		a->failed = true;
	} else {
		a->count++;
	}
	va_end(args);
}

static void finish_arguments(struct arguments *a)
{
	for (size_t i = 0; i < a->count; i++)
		free(a->words[i]);
}

static void init_child(struct backend_child *child, const char *name)
{
	*child = (struct backend_child){
		.name = name, .pidfd = -1, .event_fd = -1, .stderr_fd = -1
	};
}

void backend_processes_init(struct backend_processes *p)
{
	init_child(&p->vmm, "sandbox-vmm");
	init_child(&p->link, "sandbox-link");
	p->control_fd = p->lifeline_fd = -1;
}

static void finish_child(struct backend_child *child)
{
	close_keeping_errno(TAKE_FD(child->pidfd));
	close_keeping_errno(TAKE_FD(child->event_fd));
	close_keeping_errno(TAKE_FD(child->stderr_fd));
}

void backend_processes_finish(struct backend_processes *p)
{
	finish_child(&p->vmm);
	finish_child(&p->link);
	close_keeping_errno(TAKE_FD(p->control_fd));
	close_keeping_errno(TAKE_FD(p->lifeline_fd));
}

/* The children's ends of all that ties them to us and to each other; closed once they have them. */
struct ends {
	int lifeline, vsock_vmm, vsock_link, control;
};

static int seqpacket_pair(int *ret_ours, int *ret_theirs, struct err *err)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(err, -errno, "cannot make a pair of sockets: %s", strerror(errno));
	*ret_ours = pair[0];
	*ret_theirs = pair[1];
	return 0;
}

static int make_ends(struct backend_processes *p, struct ends *ends, struct err *err)
{
	int lifeline[2], r;

	if (pipe2(lifeline, O_CLOEXEC) < 0)
		return err_set(err, -errno, "cannot make the lifeline: %s", strerror(errno));
	ends->lifeline = lifeline[0];
	p->lifeline_fd = lifeline[1];
	r = seqpacket_pair(&ends->vsock_vmm, &ends->vsock_link, err);
	return r < 0 ? r : seqpacket_pair(&p->control_fd, &ends->control, err);
}

static void close_ends(struct ends *ends)
{
	close_keeping_errno(ends->lifeline);
	close_keeping_errno(ends->vsock_vmm);
	close_keeping_errno(ends->vsock_link);
	close_keeping_errno(ends->control);
}

/* Before it runs an instruction of its own. */
static int enter_cgroup(void *data, pid_t pid, struct err *err)
{
	const struct boot_plan *plan = data;
	int r = cgroup_enter(plan->cgroup, pid);

	return r < 0 ? err_set(err, r, "cgroup %s: a process cannot enter it: %s", plan->cgroup,
			       strerror(-r))
		     : 0;
}

/* Makes the event socket and the log pipe, puts the child's ends in the map, and starts it. */
static int spawn_child(const struct boot_plan *plan, struct backend_child *child,
	struct arguments *arguments, struct spawn_fd *map, size_t map_count, int event_target,
	struct err *err)
{
	static const char *const environment[] = { NULL };
	_cleanup_close_ int event = -1, log_write = -1;
	struct spawn_spec spec = { .environment = environment, .fds = map };
	char path[PATH_MAX];
	int log[2], r;
	pid_t pid;

	r = paths_find_program(child->name, path, err);
	if (r == 0)
		r = seqpacket_pair(&child->event_fd, &event, err);
	if (r < 0)
		return r;
	if (pipe2(log, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_set(
			err, -errno, "%s: cannot make a pipe: %s", child->name, strerror(errno));
	child->stderr_fd = log[0];
	log_write = log[1];
	map[map_count++] = (struct spawn_fd){ event, event_target };
	map[map_count++] = (struct spawn_fd){ log_write, FD_LOG };
	spec.path = path;
	spec.argv = (const char *const *)arguments->words;
	spec.fd_count = map_count;
	if (plan->cgroup) {
		spec.before_exec = enter_cgroup;
		spec.data = (void *)plan; /* const again in enter_cgroup() */
	}
	if (arguments->failed)
		return err_set(err, -E2BIG, "%s: too many arguments", child->name);
	r = jail_spawn(&spec, plan->owner.uid, plan->owner.gid, &pid, &child->pidfd, err);
	if (r < 0)
		return r;
	r = process_id_of(pid, &child->id);
	return r < 0 ? err_set(err, r, "%s: ended at once", child->name) : 0;
}

static int spawn_link(const struct boot_plan *plan, int lock_fd, const struct ends *ends,
	struct backend_processes *p, struct err *err)
{
	struct spawn_fd map[7 + 2 + SPEC_PORTS_MAX] = {
		{ ends->lifeline, LINK_LIFELINE },
		{ ends->vsock_link, LINK_VSOCK },
		{ ends->control, LINK_CONTROL },
		{ plan->listen_fd, LINK_LISTEN },
		{ plan->welcome_fd, LINK_WELCOME },
		{ plan->session_log_fd, LINK_SESSION_LOG },
		{ lock_fd, LINK_LOCK },
	};
	struct arguments a = {};
	size_t fds = 7;
	int r;

	static_assert(7 + 2 + SPEC_PORTS_MAX <= SPAWN_FDS_MAX, "spawn() takes them all");
	add(&a, "sandbox-link");
	add(&a, "--name");
	add(&a, "%s", plan->spec->name);
	add(&a, "--lifeline-fd");
	add(&a, "%d", LINK_LIFELINE);
	add(&a, "--event-fd");
	add(&a, "%d", LINK_EVENT);
	add(&a, "--vsock-fd");
	add(&a, "%d", LINK_VSOCK);
	add(&a, "--control-fd");
	add(&a, "%d", LINK_CONTROL);
	add(&a, "--listen-fd");
	add(&a, "%d", LINK_LISTEN);
	add(&a, "--welcome-fd");
	add(&a, "%d", LINK_WELCOME);
	add(&a, "--session-log-fd");
	add(&a, "%d", LINK_SESSION_LOG);
	add(&a, "--lock-fd");
	add(&a, "%d", LINK_LOCK);
	add(&a, "--socket-folder");
	add(&a, "%s", plan->socket_folder);
	for (size_t i = 0; i < plan->port_count; i++) {
		map[fds++] = (struct spawn_fd){ plan->port_fds[i], LINK_PORTS + (int)i };
		add(&a, "--publish");
		add(&a, "%d:%u", LINK_PORTS + (int)i, plan->spec->ports[i].guest_port);
	}
	r = spawn_child(plan, &p->link, &a, map, fds, LINK_EVENT, err);
	finish_arguments(&a);
	return r;
}

static void add_share(struct arguments *a, const struct boot_share *share)
{
	static const char *const kinds[] = {
		[BOOT_SHARE_MAPPED] = "mapped",
		[BOOT_SHARE_HOST] = "host",
		[BOOT_SHARE_INTERNAL] = "internal",
	};

	add(a, "--share");
	add(a, "%s,%s,%s,%llu:%llu,%s", share->tag, share->readonly ? "ro" : "rw",
		kinds[share->kind], (unsigned long long)share->device,
		(unsigned long long)share->inode, share->path);
	if (share->trust_hardlinks) {
		add(a, "--trust-hardlinks");
		add(a, "%s", share->tag);
	}
}

static void add_vmm_arguments(struct arguments *a, const struct boot_plan *plan)
{
	const struct spec *spec = plan->spec;

	add(a, "sandbox-vmm");
	add(a, "--name");
	add(a, "%s", spec->name);
	add(a, "--cpus");
	add(a, "%u", spec->cpus);
	add(a, "--memory-mib");
	add(a, "%llu", (unsigned long long)spec->memory_mib);
	/* Early messages and a panic's last lines come over the serial port; a quiet kernel says nothing else there. */
	add(a, "--cmdline");
	add(a, "console=ttyS0 quiet panic=-1");
	if (spec->nested)
		add(a, "--nested");
	add(a, "--owner");
	add(a, "%u:%u", (unsigned int)plan->owner.uid, (unsigned int)plan->owner.gid);
	for (size_t i = 0; i < plan->share_count; i++)
		add_share(a, &plan->shares[i]);
	for (size_t i = 0; i < plan->protected_ids.count; i++) {
		add(a, "--protect");
		add(a, "%llu:%llu", (unsigned long long)plan->protected_ids.ids[i].device,
			(unsigned long long)plan->protected_ids.ids[i].inode);
	}
}

static int spawn_vmm(const struct boot_plan *plan, int lock_fd, const struct ends *ends,
	struct backend_processes *p, struct err *err)
{
	struct spawn_fd map[VMM_LOCK + 2] = {
		{ plan->kvm_fd, VMM_KVM },
		{ plan->kernel_fd, VMM_KERNEL },
		{ plan->initramfs_fd, VMM_INITRAMFS },
		{ ends->lifeline, VMM_LIFELINE },
		{ plan->console_fd, VMM_CONSOLE },
		{ ends->vsock_vmm, VMM_VSOCK },
		{ lock_fd, VMM_LOCK },
	};
	static const struct {
		const char *option;
		int fd;
	} options[] = {
		{ "--kvm-fd", VMM_KVM },
		{ "--kernel-fd", VMM_KERNEL },
		{ "--initramfs-fd", VMM_INITRAMFS },
		{ "--lifeline-fd", VMM_LIFELINE },
		{ "--event-fd", VMM_EVENT },
		{ "--console-fd", VMM_CONSOLE },
		{ "--vsock-fd", VMM_VSOCK },
		{ "--lock-fd", VMM_LOCK },
	};
	struct arguments a = {};
	int r;

	add_vmm_arguments(&a, plan);
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		add(&a, "%s", options[i].option);
		add(&a, "%d", options[i].fd);
	}
	r = spawn_child(plan, &p->vmm, &a, map, 7, VMM_EVENT, err);
	finish_arguments(&a);
	return r;
}

int backend_kvm_spawn(const struct boot_plan *plan, int lock_fd, struct backend_processes *p,
	void (*started)(void *data), void *data, const char **ret_stage, struct err *err)
{
	struct ends ends = { -1, -1, -1, -1 };
	int r;

	*ret_stage = "launch";
	r = make_ends(p, &ends, err);
	if (r == 0)
		r = spawn_link(plan, lock_fd, &ends, p, err);
	if (r == 0) {
		started(data);
		r = spawn_vmm(plan, lock_fd, &ends, p, err);
	}
	if (r == 0)
		started(data);
	close_ends(&ends);
	return r;
}
