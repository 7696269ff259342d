/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vsock program for guests, static. Each stream begins with a command of 16 bytes, little endian, from whoever opened it:
 * u32 mode, u32 size of each write, u64 bytes.
 *   1 sink      bytes come, until the end; the answer is u64 count, u64 sum; then the end
 *   2 source    `bytes` bytes go out in writes of that size; then the end
 *   3 echo      what comes goes back, until the end
 *   4 both      2 and 1 at once: bytes go out while bytes come; the answer comes last
 * Byte i of any of them is (i ^ i >> 8 ^ i >> 16) & 255.
 *
 * vsock_peer serve PORT                          serves any number of streams, each in a process of its own
 * vsock_peer open PORT MODE SIZE BYTES           opens one to the host, sends the command, does the other end's part, prints
 *                                                "<bytes that came> <wrong bytes>"
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>
#include <linux/vm_sockets.h>

enum mode { SINK = 1, SOURCE = 2, ECHO = 3, BOTH = 4 };

struct command {
	uint32_t mode, size;
	uint64_t bytes;
};

static uint8_t buffer[1 << 20];

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static uint8_t pattern(uint64_t i)
{
	return (uint8_t)(i ^ i >> 8 ^ i >> 16);
}

static void write_all(int fd, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0)
			fail("write");
		p += n;
		len -= (size_t)n;
	}
}

static void read_all(int fd, void *data, size_t len)
{
	uint8_t *p = data;

	while (len) {
		ssize_t n = read(fd, p, len);

		if (n <= 0)
			fail("read");
		p += n;
		len -= (size_t)n;
	}
}

static void source(int fd, uint32_t size, uint64_t bytes)
{
	if (!size || size > sizeof(buffer))
		size = sizeof(buffer);
	for (uint64_t sent = 0; sent < bytes;) {
		size_t len = bytes - sent < size ? (size_t)(bytes - sent) : size;

		for (size_t i = 0; i < len; i++)
			buffer[i] = pattern(sent + i);
		write_all(fd, buffer, len);
		sent += len;
	}
}

/* Reads to the end; gives the count, and in *ret_wrong how many bytes were not the pattern's. */
static uint64_t sink(int fd, uint64_t *ret_wrong)
{
	uint64_t count = 0, wrong = 0;
	ssize_t n;

	while ((n = read(fd, buffer, sizeof(buffer))) > 0) {
		for (ssize_t i = 0; i < n; i++)
			wrong += buffer[i] != pattern(count + (uint64_t)i);
		count += (uint64_t)n;
	}
	if (n < 0)
		fail("read");
	*ret_wrong = wrong;
	return count;
}

static void answer(int fd)
{
	uint64_t result[2];

	result[0] = sink(fd, &result[1]);
	write_all(fd, result, sizeof(result));
	shutdown(fd, SHUT_WR);
}

static void echo(int fd)
{
	ssize_t n;

	while ((n = read(fd, buffer, sizeof(buffer))) > 0)
		write_all(fd, buffer, (size_t)n);
	shutdown(fd, SHUT_WR);
}

static void both(int fd, const struct command *c)
{
	uint64_t result[2];
	pid_t child = fork();

	if (child < 0)
		fail("fork");
	if (child == 0) {
		source(fd, c->size, c->bytes);
		_exit(0);
	}
	result[0] = sink(fd, &result[1]);
	waitpid(child, NULL, 0);
	write_all(fd, result, sizeof(result));
	shutdown(fd, SHUT_WR);
}

static void serve_one(int fd)
{
	struct command c;

	read_all(fd, &c, sizeof(c));
	switch ((enum mode)c.mode) {
	case SINK:
		answer(fd);
		break;
	case SOURCE:
		source(fd, c.size, c.bytes);
		break;
	case ECHO:
		echo(fd);
		break;
	case BOTH:
		both(fd, &c);
		break;
	}
	exit(0);
}

static void serve(unsigned int port)
{
	struct sockaddr_vm address = {
		.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = port
	};
	int listener = socket(AF_VSOCK, SOCK_STREAM, 0);

	if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		listen(listener, 64) < 0)
		fail("listen");
	signal(SIGCHLD, SIG_IGN);
	write_all(1, "up\n", 3);
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			fail("accept");
		if (fork() == 0) {
			signal(SIGCHLD, SIG_DFL);
			serve_one(fd);
		}
		close(fd);
	}
}

static void open_one(unsigned int port, const struct command *c)
{
	struct sockaddr_vm address = {
		.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = port
	};
	int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
	uint64_t result[2] = {};

	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		fail("connect");
	write_all(fd, c, sizeof(*c));
	if (c->mode == SINK) {
		source(fd, c->size, c->bytes);
		shutdown(fd, SHUT_WR);
		read_all(fd, result, sizeof(result));
	} else {
		result[0] = sink(fd, &result[1]);
	}
	printf("%llu %llu\n", (unsigned long long)result[0], (unsigned long long)result[1]);
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		serve((unsigned int)strtoul(argv[2], NULL, 10));
	if (argc == 6 && strcmp(argv[1], "open") == 0) {
		const struct command c = {
			.mode = (uint32_t)strtoul(argv[3], NULL, 10),
			.size = (uint32_t)strtoul(argv[4], NULL, 10),
			.bytes = strtoull(argv[5], NULL, 10),
		};

		open_one((unsigned int)strtoul(argv[2], NULL, 10), &c);
		return 0;
	}
	fprintf(stderr, "usage: vsock_peer serve PORT | open PORT MODE SIZE BYTES\n");
	return 2;
}
