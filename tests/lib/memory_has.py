#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""memory_has.py PID FILE...: names those FILEs whose bytes stand somewhere in what the process has mapped. Needs the right to
trace it."""
import sys

PIECE = 16 << 20
MAPPING_MAX = 8 << 30  # what is larger is a sanitizer's shadow


def memory_has(pid, texts):
    """The set of those texts (bytes, short ones) that are there."""
    found, overlap = set(), max(len(text) for text in texts)
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            words = line.split()
            if words[1][0] != "r" or words[-1] in ("[vvar]", "[vsyscall]"):
                continue
            at, last = (int(x, 16) for x in words[0].split("-"))
            if last - at > MAPPING_MAX:
                continue
            tail = b""
            while at < last:
                memory.seek(at)
                try:
                    data = memory.read(min(PIECE, last - at))
                except OSError:  # a device's memory, or behind a file's end
                    break
                if not data:
                    break
                found |= {text for text in texts if text in tail + data}
                tail, at = data[-overlap:], at + len(data)
    return found


def main():
    texts = {open(name, "rb").read(): name for name in sys.argv[2:]}
    for text in sorted(memory_has(int(sys.argv[1]), list(texts)), key=lambda text: texts[text]):
        print(texts[text])


if __name__ == "__main__":
    main()
