/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The modules that the initramfs brings: /modules/order holds file names, one a line, in the order to insert them; what it
 * names is needed before READY, what /modules/later names can wait. What /modules/egress names is for transparent capture:
 * needed before READY where the host offers egress, else it can wait as well. Made by images/initramfs/build.
 */
#pragma once
/*
 * The modules that the initramfs brings: /modules/order holds file names, one a line, in the order to insert them; what it
 * names is needed before READY, what /modules/later names can wait, what /modules/egress names
 * is for transparent capture: needed before READY where the host offers egress, else it can wait too. Made by images/initramfs/build.
 */
#include <stdbool.h>
#include <stddef.h>

#define MODULES_FOLDER	 "/modules"
#define MODULES_EGRESS	 "egress"
#define MODULES_LIST_MAX (64u << 10)
#define MODULE_NAME_MAX	 128

/*
 * The next name of a list, copied to out. *cursor moves on. Blank lines and `#` comments are passed over; a name that is
 * no plain file name, or too long, is too, and counted in *bad. False at the end. Pure.
 */
bool modules_next(const char **cursor, char out[static MODULE_NAME_MAX], unsigned int *bad);

/* Whether the kernel has to unpack it (.xz, .gz, .zst). Pure. */
bool module_compressed(const char *name);

/*
 * Inserts all of a list (a file in the folder), removing each file after it: the initramfs is memory. Gives the number
 * that failed; one that is there already, or whose device is not, has not failed. No list: 0.
 */
unsigned int modules_load(int folder_fd, const char *list);
