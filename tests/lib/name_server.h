/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A name server in a test's own loop, on loopback, that knows a table of records and counts what it was asked. Asserts by cmocka.
 */
#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/loop.h"

#define NAME_SERVER_A	 1
#define NAME_SERVER_AAAA 28

struct name_record {
	const char *name; /* as asked, in lower case; NULL ends the table */
	uint16_t type; /* NAME_SERVER_* */
	const char *address; /* NULL: 20 addresses, more than anybody takes */
	uint32_t ttl;
};

struct name_server {
	struct loop_source *source;
	int fd;
	const struct name_record *records; /* may be changed at any time */
	bool silent;
	unsigned int questions;
	char last_name[256];
	char servers[32]; /* as resolver_create() takes it */
};

void name_server_init(
	struct name_server *server, struct loop *loop, const struct name_record *records);
void name_server_finish(struct name_server *server);
