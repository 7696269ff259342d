/* SPDX-License-Identifier: Apache-2.0 */
/* The ClientHello: in any pieces the same answer and the same name, which lies in what came. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/array.h"
#include "vsock-proxy/client_hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct client_hello whole, pieces;
	enum client_hello_result result, again = CLIENT_HELLO_MORE;

	memset(&whole, 0, sizeof(whole));
	memset(&pieces, 0, sizeof(pieces));
	result = client_hello_peek(&whole, data, size);
	for (size_t len = 0; len <= size; len += 1 + len / 64)
		again = client_hello_peek(&pieces, data, len);
	again = client_hello_peek(&pieces, data, size);
	if (result != again || result > CLIENT_HELLO_MALFORMED ||
		(result == CLIENT_HELLO_MORE && whole.len >= CLIENT_HELLO_MAX))
		abort();
	if (result != CLIENT_HELLO_NAMED)
		return 0;
	if (!whole.name || !whole.name_len || whole.name_len > CLIENT_HELLO_NAME_MAX ||
		whole.name_len != pieces.name_len || whole.alpn != pieces.alpn ||
		whole.ech != pieces.ech || memcmp(whole.name, pieces.name, whole.name_len) != 0 ||
		!memmem(whole.message, whole.len, whole.name, whole.name_len))
		abort();
	return 0;
}
