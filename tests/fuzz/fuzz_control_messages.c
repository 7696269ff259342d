/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Requests as the supervisor reads them, answers as sandboxctl does. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_json_ json_t *answer = NULL;
	struct control_request request;
	struct err err = {};

	if (control_request_parse((const char *)data, size, &request, &err) == 0)
		control_request_finish(&request);
	if (json_parse_object(
		    (const char *)data, size, CONTROL_MESSAGE_MAX, "answer", &answer, &err) == 0)
		control_error_from_json(answer, &err);
	return 0;
}
