/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/system.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"

#define SEED_MAX   64
#define SEED_WORDS (SEED_MAX / sizeof(uint32_t))

int system_set_hostname(const char *name)
{
	return sethostname(name, strlen(name)) < 0 ? -errno : 0;
}

int system_raise_loopback(void)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { .ifr_name = "lo" };

	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request) < 0)
		return -errno;
	request.ifr_flags |= IFF_UP | IFF_RUNNING;
	return ioctl(fd, SIOCSIFFLAGS, &request) < 0 ? -errno : 0;
}

int system_set_time(uint64_t realtime_ns, int64_t *ret_step_ns)
{
	struct timespec wanted = { .tv_sec = (time_t)(realtime_ns / 1000000000),
		.tv_nsec = (long)(realtime_ns % 1000000000) };
	struct timespec now;

	if (clock_gettime(CLOCK_REALTIME, &now) < 0 || clock_settime(CLOCK_REALTIME, &wanted) < 0)
		return -errno;
	*ret_step_ns = (int64_t)(realtime_ns -
				 ((uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec));
	return 0;
}

int system_add_entropy(const void *seed, size_t len)
{
	_cleanup_close_ int fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
	struct {
		struct rand_pool_info info;
		uint32_t words[SEED_WORDS];
	} pool = {};

	if (fd < 0)
		return -errno;
	if (len > SEED_MAX)
		return -EINVAL;
	pool.info.entropy_count = (int)(len * 8);
	pool.info.buf_size = (int)len;
	memcpy(pool.words, seed, len);
	return ioctl(fd, RNDADDENTROPY, &pool) < 0 ? -errno : 0;
}

void system_protect_from_oom(void)
{
	_cleanup_close_ int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd >= 0)
		(void)!write(fd, "-900", 4);
}
