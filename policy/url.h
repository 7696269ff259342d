/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A URL as a person types it to `policy check`, to the request that the data path would decide (E19). Schemes http,
 * https, ws, wss, tls, tcp and ssh; no userinfo, no fragment; tcp wants a port. Anything that the proxy would refuse is
 * refused. Pure.
 */
#include "policy/path.h"
#include "policy/request.h"
#include "vmm/base/err.h"

/* What the request's strings borrow from. */
struct policy_url {
	struct policy_path path;
	char query[POLICY_QUERY_MAX + 1];
	char method[33];
};

/* method NULL: GET. *ret borrows from *storage. -EINVAL and the reason. */
int policy_request_of_url(const char *method, const char *url, struct policy_url *storage,
	struct policy_request *ret, struct err *err);
