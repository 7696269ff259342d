/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Egress as PID 1 sees it: set up once, before READY, then carried on by a process of its own (`agent-egress`), which PID 1
 * starts again when it dies. Link, rules, sockets and the file of denials are PID 1's: a new process goes on with them, and
 * what connects in between waits. Only the names of synthetic addresses go with a process: programs ask again.
 *
 * The process parses the workload's DNS and the host's answers, as a user of its own without any right, undumpable.
 * What the kernel lacks costs transparency, not safety: then only the proxy's port is there, names are refused, and
 * PROTOCOL_DEGRADED_EGRESS says so. Nothing can go out another way: there is no NIC.
 */
#include <stdbool.h>
#include <sys/types.h>

#include "vmm/base/err.h"

#define SERVICE_CAPTURE_PORT  3129
#define SERVICE_PROXY_PORT    3128
#define SERVICE_UID	      64999 /* nobody else's: no line of passwd has it */
#define SERVICE_HOSTNAME_MAX  63
#define SERVICE_RESTART_MS    500
#define SERVICE_LISTENERS_MAX 8

struct service {
	bool captured; /* link and rules are in force */
	bool v6;
	char hostname[SERVICE_HOSTNAME_MAX + 1]; /* in lower case */
	int denials_fd; /* -1: none */
	int listener[SERVICE_LISTENERS_MAX]; /* in the order of service.c's table; -1: none */
	pid_t pid; /* of the process; 0: none */
};

/*
 * Rules, link and sockets. 0, or the first error in *err with as much in place as there can be (degraded). Loopback is up, the
 * guest's root is in place.
 */
int service_set_up(struct service *service, const char *hostname, struct err *err);

/* In a fork of PID 1, in its place: keeps the service's fds, closes all others, gives up root, serves. */
void service_run(struct service *service) __attribute__((noreturn));
