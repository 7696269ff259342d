/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Published ports: bound before anything is launched, so that a taken port is an error at start that names who has it.
 */
#include "vmm/supervisor/paths.h"
#include "vmm/supervisor/spec.h"

/* Of this spec, one that cannot be bound beside port: the same number on the same address, or either on all of its family's. */
const struct spec_port *ports_find_clash(const struct spec *spec, const struct spec_port *port);
/*
 * Binds and listens on all of them: ret_fds[i] for ports[i], CLOEXEC, non-blocking, the caller's. -EADDRINUSE. On failure
 * nothing is left open. paths (may be NULL): the error names the sandbox of ours that has a port.
 */
int ports_open(const struct paths *paths, const struct spec *spec,
	int ret_fds[static SPEC_PORTS_MAX], struct err *err);
/* Whether every one could be bound now. */
int ports_check_bindable(const struct paths *paths, const struct spec *spec, struct err *err);
/* The same once the registered sandbox of that name has ended: what it holds itself, if it lives, is no obstacle. */
int ports_check_replace(const struct paths *paths, const struct spec *spec, struct err *err);
