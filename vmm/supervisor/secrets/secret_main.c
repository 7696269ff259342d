/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox-secret: one reference (secret_ref.h, JSON) from fd 0, its value to fd 3, and its end (E20). fd 4 is the environment
 * that a sandbox was started in (secret_environment.h), fd 5 a stored value's file. Exit code 6 where there is no value, with a line on stderr that says why and holds no byte of one. Undumpable, without
 * cores; the value is in locked memory alone and wiped.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/supervisor/secrets/secret_environment.h"
#include "vmm/supervisor/secrets/secret_source.h"

#define EXIT_MISSING 6
#define INPUT_MAX    (SECRET_TEXT_MAX * 6 + 256) /* every byte escaped */

enum { REFERENCE_FD = 0, OUTPUT_FD = 3, ENVIRONMENT_FD = 4, VALUE_FD = 5 };

static char input[INPUT_MAX + 1];
static char value[SECRET_VALUE_MAX + 3];
static char environment_text[SECRET_ENVIRONMENT_MAX + 1];
static char *environment[SECRET_ENVIRONMENT_COUNT + 1];

static int read_reference(struct secret_ref *ret, struct err *err)
{
	_cleanup_json_ json_t *object = NULL;
	size_t len = 0;
	ssize_t n;
	int r;

	while (len < INPUT_MAX && (n = read(REFERENCE_FD, input + len, INPUT_MAX - len)) > 0)
		len += (size_t)n;
	r = json_parse_object(input, len, INPUT_MAX, "secret", &object, err);
	return r < 0 ? r : secret_ref_parse(object, ret, err);
}

int main(void)
{
	const struct rlimit none = { 0, 0 };
	const struct secret_inputs inputs = { VALUE_FD, environment };
	struct secret_ref ref;
	struct err err = {};
	size_t len = 0;
	int r;

	prctl(PR_SET_DUMPABLE, 0);
	setrlimit(RLIMIT_CORE, &none);
	mlock(value, sizeof(value));
	mlock(environment_text, sizeof(environment_text));
	secret_environment_read(ENVIRONMENT_FD, environment_text, environment); /* none: empty */
	r = read_reference(&ref, &err);
	if (r == 0)
		r = secret_source_read(&ref, &inputs, value, &len, &err);
	if (r == 0)
		r = fdio_write_full(OUTPUT_FD, value, len);
	explicit_bzero(value, sizeof(value));
	explicit_bzero(environment_text, sizeof(environment_text));
	if (r == 0)
		return 0;
	fprintf(stderr, "%s\n", *err.text ? err.text : strerror(-r));
	return EXIT_MISSING;
}
