/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Where clients keep their settings for this user and this machine, and what client_settings.h finds in them. No client is
 * run, and no file of a project is read: whose workspace it is chose those (H5).
 */
#include "vmm/sandboxctl/client_settings.h"

/* Adds to *registries. A file that is not there says nothing; one that can't be read is told on stderr. */
void client_files_read(struct client_registries *registries);
