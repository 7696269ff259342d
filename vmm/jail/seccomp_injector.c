/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What sandbox-injector may do once it is sealed: connect by TCP, ask name servers by UDP and TCP, and move bytes. No socket of
 * another kind, no listening, no file.
 */
#include "vmm/jail/seccomp_table.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "vmm/base/array.h"

static const struct seccomp_rule rules[] = {
	/* upstreams and name servers */
	CALL_IF(socket, 0, AF_INET, "upstreams and name servers"),
	CALL_IF(socket, 0, AF_INET6, "upstreams and name servers"),
	CALL(connect, "upstreams, whose addresses were checked, and name servers"),
	CALL(getsockname, "c-ares: which source address an answer came to"),
	CALL(getpeername, "where a connection that is used again leads to (E6)"),
	CALL(bind, "the netlink socket's own address, and c-ares'"),
	CALL(read, "upstreams; channels; TLS"),
	CALL(write, "upstreams; channels; TLS; log lines"),
	CALL(readv, "channels"),
	CALL(writev, "channels"),
	CALL(pread64, "a policy's bundle"),
	CALL(close, "connections"),
	CALL(recvmsg,
		"policies and secrets from the supervisor; the kernel's answers about routes"),
	CALL(recvfrom, "upstreams; name servers' answers"),
	CALL(sendmsg, "channels; questions to the kernel about routes"),
	CALL(sendto, "upstreams; questions to name servers; events; records to the supervisor"),
	CALL(shutdown, "half-close"),
	CALL_IF(fcntl, 1, F_GETFL, "non-blocking connections"),
	CALL_IF(fcntl, 1, F_SETFL, "non-blocking connections"),
	CALL_IF(fcntl, 1, F_GETFD, "c-ares: close-on-exec"),
	CALL_IF(fcntl, 1, F_SETFD, "c-ares: close-on-exec"),
	CALL_IF(ioctl, 1, FIONBIO, "c-ares: non-blocking"),
	CALL_IF(getsockopt, 1, SOL_SOCKET, "whether a connect went well"),
	CALL_IF(setsockopt, 1, SOL_SOCKET, "buffers"),
	CALL_IF(setsockopt, 1, IPPROTO_TCP, "TCP_NODELAY"),
	CALL_IF(setsockopt, 1, IPPROTO_IP, "c-ares"),
	CALL_IF(setsockopt, 1, IPPROTO_IPV6, "c-ares"),
	CALL(fstat, "a bundle's size"),
	CALL(newfstatat, "glibc's fstat"),
	CALL(poll, "c-ares: a look at one fd"),
	/* the loop */
	CALL(epoll_wait, "loop"),
	CALL(epoll_pwait, "loop"),
	CALL(epoll_ctl, "loop"),
	CALL(timerfd_create, "time-outs"),
	CALL(timerfd_settime, "time-outs"),
	CALL(clock_gettime, "time, where the vDSO cannot"),
	CALL(gettimeofday, "c-ares"),
	CALL(getrandom, "keys; query ids; glibc's malloc"),
	/* process */
	CALL_MASKED(mmap, 2, PROT_EXEC, 0, "heap, never executable"),
	CALL_MASKED(mprotect, 2, PROT_EXEC, 0, "heap, never executable"),
	CALL(munmap, "heap"),
	CALL(mremap, "heap"),
	CALL(brk, "heap"),
	CALL(madvise, "heap; what is not to be in a core"),
	CALL(mlock, "a fresh secret is not swapped"),
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

const struct seccomp_table seccomp_injector = {
	.process = "sandbox-injector",
	.rules = rules,
	.rule_count = ARRAY_SIZE(rules),
};
