/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/workers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/vm_sockets.h>

#include "guest-agent/environment.h"
#include "guest-agent/frame_io.h"
#include "guest-agent/system.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"

#define LISTEN_BACKLOG 128

static pid_t *worker_slot(struct workers *w, pid_t pid)
{
	for (int i = 0; i < OPERATIONS_MAX; i++)
		if (w->pid[i] == pid)
			return &w->pid[i];
	return NULL;
}

static void worker_main(struct workers *w, int sock)
{
	struct operation_context context = {
		.user = w->welcome->user,
		.folder = w->welcome->folder,
		.env = w->welcome->env,
		.egress_env = environment_egress(w->welcome),
		.serial = w->serial,
	};
	sigset_t none;

	/* 3: the stream, 4: the audit socket; nothing else of PID 1's comes along. */
	if (fcntl(sock, F_DUPFD, 64) < 0 || dup2(w->audit_fd, 63) < 0)
		_exit(1);
	if (dup2(sock, 3) < 0 || dup2(63, 4) < 0)
		_exit(1);
	(void)syscall(SYS_close_range, 5u, ~0u, 0u);
	(void)fcntl(3, F_SETFD, FD_CLOEXEC);
	(void)fcntl(4, F_SETFD, FD_CLOEXEC);
	context.audit_fd = 4;
	sigemptyset(&none);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)prctl(PR_SET_NAME, "agent-op");
	system_protect_from_oom();
	operation_run(3, &context);
	(void)shutdown(3, SHUT_RDWR);
	_exit(0);
}

/* One stream. Owns sock. */
static void start_operation(struct workers *w, int sock)
{
	_cleanup_close_ int fd = sock;
	pid_t *slot = worker_slot(w, 0);
	pid_t pid;

	w->serial++;
	if (!slot) {
		frame_send_error(fd, -EBUSY, PROTOCOL_STAGE_LIMIT);
		return;
	}
	pid = fork();
	if (pid == 0)
		worker_main(w, fd);
	if (pid < 0) {
		frame_send_error(fd, -errno, PROTOCOL_STAGE_START);
		return;
	}
	*slot = pid;
	w->count++;
}

void workers_accept(struct workers *w)
{
	struct sockaddr_vm peer = {};
	socklen_t len = sizeof(peer);
	int fd = accept4(w->listen_fd, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	if (peer.svm_cid != VMADDR_CID_HOST) {
		log_ratelimited(LOG_WARN, "operation port: a peer with cid %u was turned away",
			peer.svm_cid);
		close(fd);
		return;
	}
	start_operation(w, fd);
}

void workers_note_dead(struct workers *w, pid_t pid)
{
	pid_t *slot = worker_slot(w, pid);

	if (!slot)
		return;
	*slot = 0;
	w->count--;
}

int workers_listen(struct workers *w, struct err *err)
{
	struct sockaddr_vm any = {
		.svm_family = AF_VSOCK,
		.svm_port = PROTOCOL_PORT,
		.svm_cid = VMADDR_CID_ANY,
	};

	w->listen_fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (w->listen_fd < 0 || bind(w->listen_fd, (struct sockaddr *)&any, sizeof(any)) < 0 ||
		listen(w->listen_fd, LISTEN_BACKLOG) < 0)
		return err_set(err, -errno, "vsock port %d: %s", PROTOCOL_PORT, strerror(errno));
	return 0;
}
