/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a client asks over the control socket (control.h): answered here, passed on to the link, or parked until the end. */
#include "vmm/supervisor/supervisor_state.h"

/* A control_request_fn; data: the supervisor. */
void request_take(void *data, struct control_client *client, const struct control_request *request);
