/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Ownership by scope: a variable declared with one of these is released when it goes out of scope, unless it was
 * handed on with TAKE_FD or TAKE_PTR. Declare initialised (-1 or NULL). errno is kept.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))

static inline void cleanup_free_(void *p)
{
	free(*(void **)p);
}

static inline void close_keeping_errno(int fd)
{
	int saved = errno;

	if (fd >= 0)
		close(fd);
	errno = saved;
}

static inline void cleanup_close_(int *fd)
{
	close_keeping_errno(*fd);
}

static inline void cleanup_fclose_(FILE **f)
{
	if (*f)
		fclose(*f);
}

static inline void cleanup_closedir_(DIR **d)
{
	if (*d)
		closedir(*d);
}

#define _cleanup_free_	   _cleanup_(cleanup_free_)
#define _cleanup_close_	   _cleanup_(cleanup_close_)
#define _cleanup_fclose_   _cleanup_(cleanup_fclose_)
#define _cleanup_closedir_ _cleanup_(cleanup_closedir_)

/* For a type with x_destroy(struct x *): DEFINE_CLEANUP(x, x_destroy) gives _cleanup_(cleanup_x_). */
#define DEFINE_CLEANUP(name, destroy)                                                              \
	static inline void cleanup_##name##_(struct name **p)                                      \
	{                                                                                          \
		if (*p)                                                                            \
			destroy(*p);                                                               \
	}

#define TAKE_FD(fd)                                                                                \
	({                                                                                         \
		int *take_p_ = &(fd);                                                              \
		int take_v_ = *take_p_;                                                            \
		*take_p_ = -1;                                                                     \
		take_v_;                                                                           \
	})
#define TAKE_PTR(p)                                                                                \
	({                                                                                         \
		typeof(p) *take_p_ = &(p);                                                         \
		typeof(p) take_v_ = *take_p_;                                                      \
		*take_p_ = NULL;                                                                   \
		take_v_;                                                                           \
	})
