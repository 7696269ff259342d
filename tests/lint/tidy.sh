#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tidy.sh BUILD: clang-tidy with .clang-tidy's checks over the product's sources, by BUILD's compile commands.
set -euo pipefail
cd "$(dirname "$0")/../.."
build=$1
python3 - "$build" <<'PY' | xargs -0 -P2 -n4 clang-tidy --quiet -p "$build" 2>/dev/null
import json, os, sys
root = os.getcwd()
commands = json.load(open(os.path.join(sys.argv[1], "compile_commands.json")))
files = {os.path.realpath(os.path.join(c["directory"], c["file"])) for c in commands}
mine = sorted(f for f in files if f.startswith(root + "/") and not f.startswith(root + "/tests/"))
sys.stdout.write("".join(f + "\0" for f in mine))
PY
echo "tidy: clean"
