#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs shellcheck over every script of the tree.
set -euo pipefail
cd "$(dirname "$0")/../.."
mapfile -t files < <(grep -rlIE --exclude-dir=.git --exclude-dir='build*' --exclude-dir=corpus '^#!.*\b(ba)?sh\b' . | sort)
shellcheck -x -S warning "${files[@]}"
echo "shell: ${#files[@]} scripts"
