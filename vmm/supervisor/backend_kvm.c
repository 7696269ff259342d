/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/backend_kvm.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"

void backend_processes_init(struct backend_processes *p)
{
	jailed_child_init(&p->vmm, "sandbox-vmm");
	jailed_child_init(&p->link, "sandbox-link");
	p->control_fd = p->lifeline_fd = p->lifeline_end_fd = -1;
}

void backend_processes_finish(struct backend_processes *p)
{
	jailed_child_finish(&p->vmm);
	jailed_child_finish(&p->link);
	close_keeping_errno(TAKE_FD(p->control_fd));
	close_keeping_errno(TAKE_FD(p->lifeline_fd));
	close_keeping_errno(TAKE_FD(p->lifeline_end_fd));
}

int backend_make_lifeline(struct backend_processes *p, struct err *err)
{
	int lifeline[2];

	if (pipe2(lifeline, O_CLOEXEC) < 0)
		return err_set(err, -errno, "cannot make the lifeline: %s", strerror(errno));
	p->lifeline_end_fd = lifeline[0];
	p->lifeline_fd = lifeline[1];
	return 0;
}

/* The children's ends of all that ties them to us and to each other; closed once they have them. */
struct ends {
	int vsock_vmm, vsock_link, control;
};

static int make_ends(struct backend_processes *p, struct ends *ends, struct err *err)
{
	int r = socket_pair(SOCK_SEQPACKET, &ends->vsock_vmm, &ends->vsock_link, err);

	return r < 0 ? r : socket_pair(SOCK_SEQPACKET, &p->control_fd, &ends->control, err);
}

static void close_ends(struct ends *ends)
{
	close_keeping_errno(ends->vsock_vmm);
	close_keeping_errno(ends->vsock_link);
	close_keeping_errno(ends->control);
}

static struct child_place place_of(const struct boot_plan *plan)
{
	return (struct child_place){ plan->owner.uid, plan->owner.gid, plan->cgroup };
}

static int spawn_link(const struct boot_plan *plan, int lock_fd, const struct ends *ends,
	struct backend_processes *p, struct err *err)
{
	struct child_place place = place_of(plan);
	struct child_command c = {};

	static_assert(10 + 1 + SPEC_PORTS_MAX <= SPAWN_FDS_MAX, "spawn() takes them all");
	child_command_add(&c, "sandbox-link");
	child_command_add(&c, "--name");
	child_command_add(&c, "%s", plan->spec->name);
	child_command_add_fd(&c, "--lifeline-fd", p->lifeline_end_fd);
	child_command_add_fd(&c, "--vsock-fd", ends->vsock_link);
	child_command_add_fd(&c, "--control-fd", ends->control);
	child_command_add_fd(&c, "--listen-fd", plan->listen_fd);
	child_command_add_fd(&c, "--welcome-fd", plan->welcome_fd);
	child_command_add_fd(&c, "--session-log-fd", plan->session_log_fd);
	child_command_add_fd(&c, "--lock-fd", lock_fd);
	child_command_add_fd(&c, "--egress-fd", plan->egress_fd);
	child_command_add(&c, "--socket-folder");
	child_command_add(&c, "%s", plan->socket_folder);
	for (size_t i = 0; i < plan->port_count; i++) {
		child_command_add(&c, "--publish");
		child_command_add(&c, "%d:%u", child_command_give(&c, plan->port_fds[i]),
			plan->spec->ports[i].guest_port);
	}
	return jailed_child_spawn(&p->link, &c, &place, err);
}

static void add_share(struct child_command *c, const struct boot_share *share)
{
	static const char *const kinds[] = {
		[BOOT_SHARE_MAPPED] = "mapped",
		[BOOT_SHARE_HOST] = "host",
		[BOOT_SHARE_INTERNAL] = "internal",
	};

	child_command_add(c, "--share");
	child_command_add(c, "%s,%s,%s,%llu:%llu,%s", share->tag, share->readonly ? "ro" : "rw",
		kinds[share->kind], (unsigned long long)share->device,
		(unsigned long long)share->inode, share->path);
	if (share->trust_hardlinks) {
		child_command_add(c, "--trust-hardlinks");
		child_command_add(c, "%s", share->tag);
	}
}

static void add_vmm_arguments(struct child_command *c, const struct boot_plan *plan)
{
	const struct spec *spec = plan->spec;

	child_command_add(c, "sandbox-vmm");
	child_command_add(c, "--name");
	child_command_add(c, "%s", spec->name);
	child_command_add(c, "--cpus");
	child_command_add(c, "%u", spec->cpus);
	child_command_add(c, "--memory-mib");
	child_command_add(c, "%llu", (unsigned long long)spec->memory_mib);
	/* Early messages and a panic's last lines come over the serial port; a quiet kernel says nothing else there. */
	child_command_add(c, "--cmdline");
	child_command_add(c, "console=ttyS0 quiet panic=-1");
	if (spec->nested)
		child_command_add(c, "--nested");
	child_command_add(c, "--owner");
	child_command_add(c, "%u:%u", (unsigned int)plan->owner.uid, (unsigned int)plan->owner.gid);
	for (size_t i = 0; i < plan->share_count; i++)
		add_share(c, &plan->shares[i]);
	for (size_t i = 0; i < plan->protected_ids.count; i++) {
		child_command_add(c, "--protect");
		child_command_add(c, "%llu:%llu",
			(unsigned long long)plan->protected_ids.ids[i].device,
			(unsigned long long)plan->protected_ids.ids[i].inode);
	}
}

static int spawn_vmm(const struct boot_plan *plan, int lock_fd, const struct ends *ends,
	struct backend_processes *p, struct err *err)
{
	struct child_place place = place_of(plan);
	struct child_command c = {};

	add_vmm_arguments(&c, plan);
	child_command_add_fd(&c, "--kvm-fd", plan->kvm_fd);
	child_command_add_fd(&c, "--kernel-fd", plan->kernel_fd);
	child_command_add_fd(&c, "--initramfs-fd", plan->initramfs_fd);
	child_command_add_fd(&c, "--lifeline-fd", p->lifeline_end_fd);
	child_command_add_fd(&c, "--console-fd", plan->console_fd);
	child_command_add_fd(&c, "--vsock-fd", ends->vsock_vmm);
	child_command_add_fd(&c, "--lock-fd", lock_fd);
	return jailed_child_spawn(&p->vmm, &c, &place, err);
}

int backend_kvm_spawn(const struct boot_plan *plan, int lock_fd, struct backend_processes *p,
	void (*started)(void *data), void *data, const char **ret_stage, struct err *err)
{
	struct ends ends = { -1, -1, -1 };
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
