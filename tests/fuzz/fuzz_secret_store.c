/* SPDX-License-Identifier: Apache-2.0 */
/* A reference's bytes: what is taken is written as it is read, and a value's trimming stays within the value. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/supervisor/secrets/secret_ref.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_reference(const char *text, size_t size)
{
	_cleanup_json_ json_t *object = NULL, *again = NULL;
	struct secret_ref ref, second;
	struct err err = {};

	if (json_parse_object(text, size, 65536, "secret", &object, &err) < 0)
		return;
	if (secret_ref_parse(object, &ref, &err) < 0)
		return;
	again = secret_ref_json(&ref);
	if (!again || secret_ref_parse(again, &second, &err) < 0)
		abort();
	if (second.kind != ref.kind || second.refresh_s != ref.refresh_s ||
		strcmp(second.text, ref.text) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct err err = {};
	size_t len;

	check_reference(text, size);
	if (secret_value_trim(text, size, &len, &err) == 0 &&
		(!len || len > size || len > SECRET_VALUE_MAX || memchr(text, '\n', len)))
		abort();
	return 0;
}
