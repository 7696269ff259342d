#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# pure.sh ARCHIVE...: pure libraries make no system call. Reads `nm -u`: besides libc's memory and string functions and the
# bounded readers of vmm/base, an archive may want memory, jansson's parser of bytes and libpsl's built-in list; no more.
set -euo pipefail
allowed='^(mem(cpy|set|cmp|move|chr|mem|rchr)|str(str|n?len|n?cmp|n?cpy|chr|rchr|spn|cspn|pbrk|stok|nlen)|v?snprintf|__v?snprintf_chk|__mem(cpy|set|move)_chk|__stack_chk_fail|stpn?cpy|__st[pr]n?cpy_chk|_GLOBAL_OFFSET_TABLE_|__asan_.*|__ubsan_.*|__start_.*|__stop_.*|bytes_.*|parse_.*|decimal_of|err_.*|sandbox_name_valid|protocol_.*|stream_.*|inet_(pton|ntop)|policy_.*|strn?casecmp|fields?_.*|redact_.*|explicit_bzero|__explicit_bzero_chk|h1_.*|egress_.*|names_.*|dns_.*|netlink_.*|nft_.*|reader_.*|read_.*|place_.*|calloc|realloc|malloc|free|json_(loadb|dumps|delete|object_(get|iter.*|key_to_iter|size)|array_(get|size)|string_(value|length)|integer_value)|psl_(builtin|is_public_suffix2))$'
status=0
for archive in "$@"; do
	wanted=$(nm -u "$archive" | awk '$1 == "U" {print $2}' | sort -u | grep -Ev "$allowed" || true)
	if [ -n "$wanted" ]; then
		echo "pure: $archive wants: $(echo "$wanted" | tr '\n' ' ')" >&2
		status=1
	fi
done
exit $status
