/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What sandbox-audit may do once it is sealed: take events from sockets it was given, and write into the one folder that is its
 * tree. It makes no socket.
 */
#include "vmm/jail/seccomp_table.h"

#include <fcntl.h>
#include <seccomp.h>
#include <sys/mman.h>

#include "vmm/base/array.h"

static const struct seccomp_rule rules[] = {
	/* events in, records out */
	CALL(recvmsg, "events"),
	CALL(sendto, "records to the supervisor"),
	CALL(sendmsg, "records to the supervisor"),
	/* the log's files; no path leads out of the folder */
	CALL(openat, "heads, the next active file, segments to be given up"),
	CALL(pread64, "a segment before it is given up"),
	CALL(pwrite64, "lines"),
	CALL(write, "heads; log lines"),
	CALL(ftruncate, "a line that could not be written whole"),
	CALL(fsync, "heads and the folder"),
	CALL(fdatasync, "lines"),
	CALL(renameat, "heads; sealing"),
	CALL(renameat2, "glibc's renameat"),
	CALL(unlinkat, "retention; a head that could not be written"),
	CALL(fstat, "sizes and ages"),
	CALL(newfstatat, "sizes and ages"),
	CALL(getdents64, "which segments there are"),
	CALL(lseek, "glibc's directories"),
	CALL_IF(fcntl, 1, F_GETFL, "glibc's directories"),
	CALL_IF(fcntl, 1, F_SETFD, "glibc's directories"),
	CALL(close, "files"),
	/* the loop */
	CALL(epoll_wait, "loop"),
	CALL(epoll_pwait, "loop"),
	CALL(epoll_ctl, "loop"),
	CALL(timerfd_create, "each second"),
	CALL(timerfd_settime, "each second"),
	CALL(read, "timers"),
	CALL(clock_gettime, "time, where the vDSO cannot"),
	CALL(getrandom, "OpenSSL; glibc's malloc"),
	/* process */
	CALL_MASKED(mmap, 2, PROT_EXEC, 0, "heap, never executable"),
	CALL_MASKED(mprotect, 2, PROT_EXEC, 0, "heap, never executable"),
	CALL(munmap, "heap"),
	CALL(mremap, "heap"),
	CALL(brk, "heap"),
	CALL(madvise, "heap"),
	CALL(futex, "glibc, OpenSSL"),
	CALL(rt_sigreturn, "signals"),
	CALL(rt_sigprocmask, "signals"),
	CALL(rt_sigaction, "signals"),
	CALL(restart_syscall, "a wait that SIGSTOP and SIGCONT broke"),
	CALL(getpid, "the name of a file that is being written; OpenSSL; abort"),
	CALL(gettid, "abort"),
	CALL(exit, "end"),
	CALL(exit_group, "end"),
};

const struct seccomp_table seccomp_audit = {
	.process = "sandbox-audit",
	.rules = rules,
	.rule_count = ARRAY_SIZE(rules),
};
