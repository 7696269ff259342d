/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A log's files, copied while its writer is at work: sealed files, the active one and a head that belongs to them, so that the
 * copy verifies as the log does (`audit export --output`).
 */

/* Into an empty folder. What is damaged is copied as it is. -ESTALE: it was sealed faster than it could be read; -errno. */
int log_copy(int from_fd, int to_fd);
