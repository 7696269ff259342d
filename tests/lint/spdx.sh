#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# One SPDX line in every source file, near its top; no path of a build machine and no registry host anywhere.
set -euo pipefail
cd "$(dirname "$0")/../.."
status=0
while read -r file; do
	if ! head -n 3 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0'; then
		echo "spdx: $file: no SPDX line" >&2
		status=1
	fi
done < <(find vmm guest-agent images policy vsock-proxy tests .ci \
	\( -name '*.[ch]' -o -name meson.build -o -name '*.sh' -o -name '*.py' \) -not -path '*/corpus/*' | sort)
# Spelt in two halves, so that this file does not find itself.
for word in '/work''/main' '/work''/wt' '/work''/aux' 'deb.debian''.org' 'registry.npmjs''.org'; do
	if grep -rnIF --exclude-dir=.git --exclude=.git --exclude-dir='build*' -e "$word" . >&2; then
		echo "spdx: the lines above name \"$word\"" >&2
		status=1
	fi
done
exit $status
