/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The processes of a sandbox's way out: sandbox-proxy, and an injector for each credential that its policy binds, and one
 * without any (`open`). Theory of operation:
 *
 *   plan      egress_plan.h, before anything runs
 *   start     after the audit log's writer, for without it nothing passes (audit_log.h): the proxy, then the injectors, each
 *             with a channel of its own to the proxy
 *   a killed  process is replaced (member.h): an injector by one with a new channel, a proxy with all its injectors
 *   reload    a new policy goes to the injectors first, then to the proxy; a binding that is gone takes its injector along
 *   secrets   fetched for one injector each (secrets/secret_fetch.h): at a start before anything runs, and waited for; of a
 *             replacement beside it, and a refresh by timer. One that cannot be fetched then is tried again with its injector.
 *   end       after the machine: proxy and injectors, before the writer
 *
 * Replacements wait longer each time; streams that come in between wait in their socket.
 */
#include "vmm/base/event.h"
#include "vmm/supervisor/egress_plan.h"
#include "vmm/supervisor/jailed_child.h"

struct supervisor;
struct egress;

/*
 * Whether the spec's policy could be carried out, as far as that shows beforehand: `start --check`. Each secret that it binds is
 * fetched, for nobody: -ENOKEY.
 */
int egress_check(
	const struct spec *spec, const struct paths *paths, int environment_fd, struct err *err);
/* From the spec. *ret stays usable after a failure: egress_destroy(). */
int egress_create(struct supervisor *s, struct egress **ret, struct err *err);
/* Closes what is open; ends no process. NULL is allowed. */
void egress_destroy(struct egress *egress);
const struct egress_plan *egress_plan_of(const struct egress *egress);

/* The lifeline and the loop are there, the control group is known. On failure what was started is watched all the same. */
int egress_start(struct egress *egress, struct err *err);
/* A policy that cannot be read, or a secret that is not there, leaves the old one in force: -EINVAL with its place, -ENOKEY. */
int egress_reload(struct egress *egress, struct err *err);
/* The secrets that bindings use are fetched anew; an injector keeps its old one until the new one is there. */
void egress_refresh_secrets(struct egress *egress);
/* The machine has ended: TERM for proxy and injectors. NULL is allowed. */
void egress_end(struct egress *egress);

/* For status: "up", "restarting", "stalled" (nothing can be recorded, so nothing passes). */
const char *egress_state_word(const struct egress *egress);
/* The jail layers that are in force in all of its processes. */
uint64_t egress_layers(const struct egress *egress);
