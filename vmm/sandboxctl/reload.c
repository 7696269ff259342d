/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/reload.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/supervisor/control.h"
#include "vmm/supervisor/registry.h"

#define RELOAD_WAIT_MS 10000

int reload_one(
	const struct invocation *in, const struct paths *paths, const char *name, const char *op)
{
	_cleanup_json_ json_t *request = json_pack("{s:s}", "op", op);
	_cleanup_close_ int fd = -1;
	struct err err = {};
	int r = control_connect(paths, name, &fd, &err);

	if (r == -ENOENT || r == -ECONNREFUSED)
		return EXIT_OK;
	if (r == 0)
		r = control_call(fd, request, RELOAD_WAIT_MS, NULL, NULL, &err);
	if (r < 0)
		return report_general(in, "policy", &err);
	fprintf(stderr, "sandbox %s %s\n", name,
		strcmp(op, "secrets_reload") ? "has it now" : "is told to fetch it anew");
	return EXIT_OK;
}

int reload_all(const struct invocation *in, const struct paths *paths, const char *op)
{
	char **names = NULL;
	struct err err = {};
	int code = EXIT_OK, r = registry_list(paths, &names, &err);

	if (r < 0)
		return report_general(in, "policy", &err);
	for (char **name = names; *name; name++) {
		int one = reload_one(in, paths, *name, op);

		code = one ? one : code;
	}
	json_free_texts(names);
	return code;
}
