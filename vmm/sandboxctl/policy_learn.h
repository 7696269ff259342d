/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What a sandbox was seen to reach, by its audit log, as what a policy would have to allow: `policy init --from-audit`. Requests that passed count, by a rule
 * that allows or by one that only watches (preset audit-all); what was denied does not. The log's words were chosen by a guest:
 * what is made of them is judged by the policy's own reader before it is kept.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/request.h"
#include "vmm/base/err.h"

#define POLICY_LEARN_MAX     512
#define POLICY_LEARN_METHODS 8

struct learnt {
	char host[POLICY_NAME_MAX + 1]; /* as a rule has it, with no port */
	uint16_t port;
	const char
		*methods[POLICY_LEARN_METHODS]; /* of those that are known; none: it was no HTTP */
	size_t method_count;
	bool other_methods; /* and some that are not */
};

/* Sorted by host and port. -E2BIG: more than POLICY_LEARN_MAX destinations. */
int policy_learn(
	int log_fd, struct learnt ret[static POLICY_LEARN_MAX], size_t *ret_count, struct err *err);
