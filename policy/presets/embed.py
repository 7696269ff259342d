#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""embed.py PRESET.json...: the presets as C, on stdout: one table, in the order given."""
import json
import pathlib
import sys

rows = []
print("/* SPDX-License-Identifier: Apache-2.0 */\n/* Made by policy/presets/embed.py. */\n#include \"policy/preset.h\"\n")
for name in sys.argv[1:]:
    path = pathlib.Path(name)
    data = path.read_bytes()
    json.loads(data)
    symbol = "preset_" + path.stem.replace("-", "_")
    print(f"static const char {symbol}[] = {{ {', '.join(str(b) for b in data)}, 0 }};")
    rows.append(f'\t{{ "{path.stem}", {symbol}, sizeof({symbol}) - 1 }},')
print("\nconst struct policy_preset policy_presets[] = {\n" + "\n".join(rows) + "\n\t{ 0 },\n};")
