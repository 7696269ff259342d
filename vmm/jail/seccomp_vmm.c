/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What sandbox-vmm may do once it is sealed. Not here, on purpose: socket, connect, bind, execve, fork, kill, ptrace, mount,
 * setsid, setpgid, prctl, open by a path of the outside (there is none: the root is empty). openat2's flags lie in memory
 * and cannot be seen from here; the empty root and Landlock hold it to the shares.
 */
#include "vmm/jail/seccomp_table.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "vmm/base/array.h"

static const struct seccomp_rule rules[] = {
	/* running guests */
	CALL_IF(ioctl, 1, KVM_RUN, "run a vCPU"),
	CALL_IF(ioctl, 1, KVM_GET_REGS, "where a vCPU was when KVM could not go on"),
	CALL_IF(ioctl, 1, KVM_IRQ_LINE, "raise the serial port's interrupt"),
	CALL_IF(tgkill, 0, 1, "kick a vCPU thread of ours (we are pid 1 of our namespace)"),
	CALL(rt_sigreturn, "return from that kick"),
	CALL(rt_sigprocmask, "threads mask signals"),
	CALL(rt_sigaction, "glibc, at abort and thread start"),
	/* threads and memory */
	CALL(futex, "locks and conditions"),
	CALL_MASKED(mmap, 2, PROT_EXEC, 0, "heap and thread stacks, never executable"),
	CALL_MASKED(mprotect, 2, PROT_EXEC, 0, "heap arenas, never executable"),
	CALL(munmap, "heap"),
	CALL(mremap, "heap"),
	CALL(brk, "heap"),
	CALL(madvise, "pages that the balloon gives back; heap trim"),
	CALL(exit, "a thread's end"),
	CALL(exit_group, "the process's end"),
	CALL(restart_syscall, "a wait that SIGSTOP and SIGCONT broke"),
	CALL(sched_yield, "locks"),
	CALL(set_robust_list, "thread start"),
	CALL(rseq, "thread start"),
	CALL(seccomp, "vCPU threads narrow themselves further; a filter can only take away"),
	CALL_IF(prctl, 0, PR_SET_NO_NEW_PRIVS, "libseccomp says it before each filter"),
	CALL(getpid, "abort"),
	CALL(gettid, "pthread_kill"),
	/* the loops */
	CALL(epoll_wait, "loops"),
	CALL(epoll_pwait, "loops"),
	CALL(epoll_ctl, "loops: a vsock stream comes and goes"),
	CALL(poll, "a look at one fd"),
	CALL(ppoll, "a look at one fd"),
	CALL(timerfd_create, "a timer of a vsock connection"),
	CALL(timerfd_settime, "timers"),
	CALL(clock_gettime, "time, where the vDSO cannot"),
	CALL(clock_nanosleep, "short waits"),
	CALL(getrandom, "virtio-rng"),
	/* inherited streams and files */
	CALL(read, "eventfds, streams, disks, shares"),
	CALL(write, "eventfds, streams, logs, shares"),
	CALL(readv, "into guest memory"),
	CALL(writev, "from guest memory"),
	CALL(pread64, "disks, shares"),
	CALL(pwrite64, "disks, shares, logs"),
	CALL(preadv, "into guest memory"),
	CALL(pwritev, "from guest memory"),
	CALL(preadv2, "into guest memory"),
	CALL(pwritev2, "from guest memory"),
	CALL(lseek, "sizes and readdir"),
	CALL(close, "streams and files"),
	CALL(recvmsg, "stream fds from sandbox-link"),
	CALL(sendmsg, "requests to sandbox-link"),
	CALL(sendto, "records to the supervisor"),
	CALL(recvfrom, "an inherited socket"),
	CALL(shutdown, "half-close of a vsock stream"),
	CALL_IF(fcntl, 1, F_GETFL, "an inherited fd's flags"),
	CALL_IF(fcntl, 1, F_SETFL, "non-blocking streams; O_APPEND of a share's file"),
	CALL_IF(fcntl, 1, F_DUPFD_CLOEXEC, "a second reference to a file"),
	CALL_IF(fcntl, 1, F_OFD_SETLK, "9P locks"),
	CALL_IF(fcntl, 1, F_OFD_GETLK, "9P locks"),
	/* files of shares, each reached through an fd that tree.c holds; S3: no set-id bit becomes real, but by openat2's mode */
	CALL(openat2, "a component of a share, beneath its folder"),
	CALL_MASKED(openat, 3, S_ISUID | S_ISGID, 0, "an O_PATH fd again, through /fd"),
	CALL(fstat, "attributes"),
	CALL(newfstatat, "attributes"),
	CALL(statx, "attributes"),
	CALL(fstatfs, "statfs of a share"),
	CALL(statfs, "statfs of a share, through /fd"),
	CALL(readlinkat, "symlinks are read, never followed"),
	CALL(readlink, "through /fd"),
	CALL(getdents64, "readdir"),
	CALL_MASKED(mkdirat, 2, S_ISUID | S_ISGID, 0, "mkdir"),
	CALL(symlinkat, "symlinks"),
	CALL(linkat, "hard links inside a share"),
	CALL(unlinkat, "unlink, rmdir"),
	CALL(renameat, "rename"),
	CALL(renameat2, "rename"),
	CALL_MASKED(fchmod, 1, S_ISUID | S_ISGID, 0, "chmod"),
	CALL_MASKED(chmod, 1, S_ISUID | S_ISGID, 0, "chmod, through /fd"),
	CALL_MASKED(fchmodat, 2, S_ISUID | S_ISGID, 0, "chmod, through /fd"),
	CALL(utimensat, "times, of fds and through /fd"),
	CALL(ftruncate, "truncate"),
	CALL(truncate, "truncate, through /fd"),
	CALL(fallocate, "space and holes"),
	CALL(fsync, "flush"),
	CALL(fdatasync, "flush"),
	CALL(sync_file_range, "flush"),
	CALL(fadvise64, "read-ahead"),
	CALL(copy_file_range, "copies inside a share"),
	CALL(fgetxattr, "virtual owners and modes"),
	CALL(fsetxattr, "virtual owners and modes"),
	CALL(flistxattr, "the guest's own attributes"),
	CALL(fremovexattr, "the guest's own attributes"),
	CALL(getxattr, "the same, through /fd"),
	CALL(setxattr, "the same, through /fd"),
	CALL(listxattr, "the same, through /fd"),
	CALL(removexattr, "the same, through /fd"),
	CALL(fchdir, "no path strings: relative to a folder's fd"),
};

const struct seccomp_table seccomp_vmm = {
	.process = "sandbox-vmm",
	.rules = rules,
	.rule_count = ARRAY_SIZE(rules),
};

/* vCPU threads: run, latch, hand over. No file is opened, changed or found from here. */
static const struct seccomp_rule vcpu_rules[] = {
	CALL_IF(ioctl, 1, KVM_RUN, "run a vCPU"),
	CALL_IF(ioctl, 1, KVM_GET_REGS, "where a vCPU was when KVM could not go on"),
	CALL_IF(ioctl, 1, KVM_IRQ_LINE, "raise the serial port's interrupt"),
	CALL_IF(tgkill, 0, 1, "kick the other vCPUs at the end"),
	CALL(rt_sigreturn, "return from a kick"),
	CALL(rt_sigprocmask, "thread end"),
	CALL(futex, "wait until a loop has done what was handed over"),
	CALL_MASKED(mmap, 2, PROT_EXEC, 0, "heap"),
	CALL_MASKED(mprotect, 2, PROT_EXEC, 0, "heap"),
	CALL(munmap, "heap, thread end"),
	CALL(brk, "heap"),
	CALL(madvise, "thread end"),
	CALL(exit, "thread end"),
	CALL(exit_group, "a bug of ours"),
	CALL(restart_syscall, "a wait that SIGSTOP and SIGCONT broke"),
	CALL(sched_yield, "locks"),
	CALL(getpid, "tgkill"),
	CALL(gettid, "tgkill"),
	CALL(read, "eventfds"),
	CALL(write, "eventfds and log lines"),
	CALL(pread64, "the console log, when it is cut"),
	CALL(pwrite64, "the console log"),
	CALL(ftruncate, "the console log, when it is cut"),
	CALL(sendto, "records to the supervisor"),
	CALL(clock_gettime, "counters"),
	CALL(clock_nanosleep, "slowing a storm of exits"),
};

const struct seccomp_table seccomp_vmm_vcpu = {
	.process = "sandbox-vmm (vCPU)",
	.rules = vcpu_rules,
	.rule_count = ARRAY_SIZE(vcpu_rules),
};
