/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the two directions of copying share. */
#include "guest-agent/operation.h"

/* For good: the rights of the request's user (default: WELCOME's), and the folder that relative paths start from. */
int copy_become(const struct protocol_copy *request, const struct operation_context *context);
