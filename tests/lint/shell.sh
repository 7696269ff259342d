#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs shellcheck over every script of the tree.
set -euo pipefail
cd "$(dirname "$0")/../.."
mapfile -t files < <(grep -rlIE --exclude-dir=.git --exclude-dir='build*' --exclude-dir=corpus '^#!.*\b(ba)?sh\b' . | sort |
	while read -r file; do
		# A sample in a document is not a script.
		! head -n 1 "$file" | grep -q '^#!' || printf '%s\n' "$file"
	done)
shellcheck -x -S warning "${files[@]}"
echo "shell: ${#files[@]} scripts"
