/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/sealed.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"

int sealed_memfd(const char *what, const void *data, size_t len, int *ret_fd, struct err *err)
{
	_cleanup_close_ int fd = memfd_create(what, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r = fd < 0 ? -errno : fdio_write_full(fd, data, len);

	if (r == 0 &&
		(lseek(fd, 0, SEEK_SET) < 0 ||
			fcntl(fd, F_ADD_SEALS,
				F_SEAL_SEAL | F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK) < 0))
		r = -errno;
	if (r < 0)
		return err_set(err, r, "%s: %s", what, strerror(-r));
	*ret_fd = TAKE_FD(fd);
	return 0;
}
