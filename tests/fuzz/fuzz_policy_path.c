/* SPDX-License-Identifier: Apache-2.0 */
/* Paths: what is taken has one form, which is taken again as itself, without dots, empty segments, or anything hidden in an escape. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "policy/path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct policy_path path, again;

	policy_query_valid((const char *)data, size);
	if (!policy_path_parse((const char *)data, size, &path))
		return 0;
	if (path.text[0] != '/' || strstr(path.text, "//") || strstr(path.text, "/../") ||
		strstr(path.text, "/./") || strstr(path.text, "%2E") || strstr(path.text, "%5C") ||
		strstr(path.text, "%3B") || strstr(path.text, "%00") ||
		strcasestr(path.text, "%252E") || strcasestr(path.text, "%252F") ||
		path.has_encoded_slash != (strstr(path.text, "%2F") != NULL))
		abort();
	if (!policy_path_parse(path.text, strlen(path.text), &again) ||
		strcmp(path.text, again.text) != 0 ||
		path.has_encoded_slash != again.has_encoded_slash)
		abort();
	return 0;
}
