/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What sandbox-link may do once it is sealed: move bytes between streams it was given, accept on listeners it was given, and
 * connect to the sockets in /sockets. It opens no file.
 */
#include "vmm/jail/seccomp_table.h"

#include <fcntl.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "vmm/base/array.h"

static const struct seccomp_rule rules[] = {
	/* streams */
	CALL(read, "streams"),
	CALL(write, "streams and log lines"),
	CALL(readv, "streams"),
	CALL(writev, "streams"),
	CALL(pread64, "the session log, when it is cut; WELCOME"),
	CALL(pwrite64, "the session log"),
	CALL(ftruncate, "the session log, when it is cut"),
	CALL(lseek, "WELCOME"),
	CALL(close, "streams"),
	CALL(recvmsg, "requests and stream ends from the supervisor and the VMM"),
	CALL(sendmsg, "stream ends to the VMM"),
	CALL(recvfrom, "sockets"),
	CALL(sendto, "records to the supervisor"),
	CALL(shutdown, "half-close"),
	CALL(accept4, "published ports and the vsock listener"),
	CALL_IF(socket, 0, AF_UNIX, "guest-to-host ports lead to Unix sockets in /sockets"),
	CALL(connect, "the same; only Unix sockets exist here"),
	CALL_IF(socketpair, 0, AF_UNIX, "the two ends of a vsock stream"),
	CALL_IF(fcntl, 1, F_GETFL, "non-blocking streams"),
	CALL_IF(fcntl, 1, F_SETFL, "non-blocking streams"),
	CALL_IF(fcntl, 1, F_DUPFD_CLOEXEC, "a second reference to a stream"),
	CALL_IF(fcntl, 1, F_GETFD, "close-on-exec"),
	CALL_IF(fcntl, 1, F_SETFD, "close-on-exec"),
	CALL_IF(getsockopt, 1, SOL_SOCKET, "SO_ERROR after a connect; SO_PEERCRED"),
	CALL(setsockopt, "TCP_NODELAY of a published port; send buffers of streams"),
	CALL(fstat, "the session log's size"),
	CALL(newfstatat, "glibc's fstat"),
	/* the loop */
	CALL(epoll_wait, "loop"),
	CALL(epoll_pwait, "loop"),
	CALL(epoll_ctl, "loop"),
	CALL(poll, "a look at one fd"),
	CALL(timerfd_create, "time-outs of streams"),
	CALL(timerfd_settime, "time-outs of streams"),
	CALL(clock_gettime, "time, where the vDSO cannot"),
	CALL(getrandom, "glibc's malloc"),
	/* process */
	CALL_MASKED(mmap, 2, PROT_EXEC, 0, "heap, never executable"),
	CALL_MASKED(mprotect, 2, PROT_EXEC, 0, "heap, never executable"),
	CALL(munmap, "heap"),
	CALL(mremap, "heap"),
	CALL(brk, "heap"),
	CALL(madvise, "heap"),
	CALL(futex, "glibc"),
	CALL(rt_sigreturn, "signals"),
	CALL(rt_sigprocmask, "signals"),
	CALL(rt_sigaction, "signals"),
	CALL(restart_syscall, "a wait that SIGSTOP and SIGCONT broke"),
	CALL(getpid, "abort"),
	CALL(gettid, "abort"),
	CALL(exit, "end"),
	CALL(exit_group, "end"),
};

const struct seccomp_table seccomp_link = {
	.process = "sandbox-link",
	.rules = rules,
	.rule_count = ARRAY_SIZE(rules),
};
