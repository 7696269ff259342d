/* SPDX-License-Identifier: Apache-2.0 */
/*
 * p9_mount FOLDER TARGET [mount options]: serves FOLDER by our 9p server to this very kernel's 9p client, over a socket
 * (trans=fd), mounted on TARGET, until it is unmounted. So the server meets a real client without a guest. Needs root and
 * the modules 9p and 9pnet_fd. Prints "ready". For tests only.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/base/fdio.h"
#include "vmm/devices/p9_server.h"
#include "vmm/devices/p9_wire.h"

static int serve_one(struct p9_server *server, int fd, uint8_t *in, uint8_t *out)
{
	struct virtq_chain chain = { .readable_count = 1, .writable_count = 1 };
	uint32_t size;
	int64_t n;

	if (fdio_read_full(fd, in, 4) < 0)
		return 1;
	size = load_le32(in);
	if (size < P9_HEADER_BYTES || size > P9_MSIZE_MAX ||
		fdio_read_full(fd, in + 4, size - 4) < 0)
		return -EPROTO;
	chain.slices[0] = (struct iovec){ in, size };
	chain.slices[1] = (struct iovec){ out, P9_MSIZE_MAX };
	chain.readable_bytes = size;
	chain.writable_bytes = P9_MSIZE_MAX;
	n = p9_server_handle(server, &chain);
	if (n < 0)
		return (int)n;
	return fdio_write_full(fd, out, (size_t)n);
}

static int serve(const char *folder, int fd)
{
	struct share_config config = {
		.root_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC),
		.proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC),
		.proc_path = "/proc/self/fd",
		.kind = IDMAP_MAPPED,
	};
	uint8_t *in = malloc(P9_MSIZE_MAX), *out = malloc(P9_MSIZE_MAX);
	struct p9_server *server;
	struct err err = {};
	int r = 0;

	umask(0);
	if (config.root_fd < 0 || !in || !out || p9_server_create(&config, &server, &err) < 0) {
		fprintf(stderr, "p9_mount: %s: %s\n", folder, err.text);
		return 1;
	}
	while (r == 0)
		r = serve_one(server, fd, in, out);
	p9_server_destroy(server);
	if (r < 0)
		fprintf(stderr, "p9_mount: %s\n", strerror(-r));
	free(in);
	free(out);
	return r < 0;
}

int main(int argc, char **argv)
{
	struct rlimit limit = { 8192, 8192 };
	char options[512];
	int pair[2], status;
	pid_t child;

	if (argc < 3) {
		fprintf(stderr, "usage: p9_mount FOLDER TARGET [options]\n");
		return 2;
	}
	setrlimit(RLIMIT_NOFILE, &limit);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		return 1;
	child = fork();
	if (child == 0) {
		close(pair[0]);
		_exit(serve(argv[1], pair[1]));
	}
	close(pair[1]);
	snprintf(options, sizeof(options),
		"trans=fd,rfdno=%d,wfdno=%d,version=9p2000.L,access=user,msize=512000,cache=mmap%s%s",
		pair[0], pair[0], argc > 3 ? "," : "", argc > 3 ? argv[3] : "");
	if (mount("none", argv[2], "9p", 0, options) < 0) {
		perror("p9_mount: mount");
		return 1;
	}
	close(pair[0]);
	puts("ready");
	fflush(stdout);
	if (waitpid(child, &status, 0) < 0)
		return 1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
