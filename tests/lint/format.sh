#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# .clang-format decides; nobody argues.
set -euo pipefail
cd "$(dirname "$0")/../.."
mapfile -t files < <(find vmm guest-agent images policy vsock-proxy tests -name '*.[ch]' | sort)
if ! clang-format --dry-run -Werror "${files[@]}" 2>/tmp/format.$$; then
	grep -o '^[^:]*:[0-9]*' /tmp/format.$$ | cut -d: -f1 | sort | uniq -c
	rm -f /tmp/format.$$
	echo "format: run clang-format -i on these files" >&2
	exit 1
fi
rm -f /tmp/format.$$
echo "format: ${#files[@]} files"
