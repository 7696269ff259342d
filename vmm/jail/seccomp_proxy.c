/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What sandbox-proxy may do once it is sealed: move bytes between streams it was given. It makes no socket and opens no file.
 */
#include "vmm/jail/seccomp_table.h"

#include <fcntl.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "vmm/base/array.h"

static const struct seccomp_rule rules[] = {
	/* streams */
	CALL(read, "channels; TLS"),
	CALL(write, "channels; TLS; log lines"),
	CALL(readv, "channels"),
	CALL(writev, "channels"),
	CALL(pread64, "a policy's bundle; the limits' counters"),
	CALL(pwrite64, "the limits' counters"),
	CALL(ftruncate, "the limits' counters"),
	CALL(close, "streams"),
	CALL(recvmsg, "streams from the link; policies and channels from the supervisor"),
	CALL(recvfrom, "streams; a look at what comes first"),
	CALL(sendmsg, "channels"),
	CALL(sendto, "streams; events; records to the supervisor"),
	CALL(shutdown, "half-close"),
	CALL_IF(fcntl, 1, F_GETFL, "non-blocking streams"),
	CALL_IF(fcntl, 1, F_SETFL, "non-blocking streams"),
	CALL_IF(getsockopt, 1, SOL_SOCKET, "a socket's kind and errors"),
	CALL_IF(setsockopt, 1, SOL_SOCKET, "buffers of channels"),
	CALL(fstat, "a bundle's size"),
	CALL(newfstatat, "glibc's fstat"),
	/* the loop */
	CALL(epoll_wait, "loop"),
	CALL(epoll_pwait, "loop"),
	CALL(epoll_ctl, "loop"),
	CALL(timerfd_create, "time-outs"),
	CALL(timerfd_settime, "time-outs"),
	CALL(clock_gettime, "time, where the vDSO cannot"),
	CALL(getrandom, "keys; glibc's malloc"),
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
	CALL(getpid, "OpenSSL; abort"),
	CALL(gettid, "abort"),
	CALL(exit, "end"),
	CALL(exit_group, "end"),
};

const struct seccomp_table seccomp_proxy = {
	.process = "sandbox-proxy",
	.rules = rules,
	.rule_count = ARRAY_SIZE(rules),
};
