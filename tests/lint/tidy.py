#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tidy.py BUILD: clang-tidy with .clang-tidy's checks over the product's sources, by BUILD's compile commands.

A file that was found clean is known by a digest of all that decides it: its own text, that of every header of ours it
includes, its command, the checks and the tool. So only what a change can have touched is looked at again; in a cold cache
that is everything."""
import concurrent.futures
import hashlib
import json
import os
import pathlib
import shlex
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "sandboxctl" / "lint-tidy"
KEPT_DAYS = 30
AT_ONCE = 2


def commands(build):
    """file -> (object, words) of its compile command, for the product's own sources."""
    found = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        path = pathlib.Path(os.path.realpath(os.path.join(entry["directory"], entry["file"])))
        if path.is_relative_to(ROOT) and not path.is_relative_to(ROOT / "tests"):
            found[path] = (entry["output"], shlex.split(entry["command"]))
    return found


def headers(build):
    """object -> what of this tree the compiler read for it, as ninja noted it; what it read elsewhere comes with the tools."""
    found, current = {}, []
    for line in subprocess.run(["ninja", "-C", str(build), "-t", "deps"], capture_output=True, text=True, check=True).stdout.splitlines():
        if line.startswith(" "):
            path = pathlib.Path(os.path.realpath(build / line.strip()))
            if path.is_relative_to(ROOT):
                current.append(path)
        elif ": #deps" in line:
            current = found.setdefault(line.split(": #deps")[0], [])
    return found


def digest(base, words, paths):
    total = base.copy()
    # Where the tree lies does not matter.
    total.update("\0".join(words).replace(str(ROOT), "").encode())
    for path in sorted(set(paths)):
        text = path.read_bytes()
        total.update(f"{path.relative_to(ROOT)} {len(text)}\0".encode() + text)
    return total.hexdigest()


def look(build, base, path, words, paths):
    """(whether it was looked at, complaints). No paths: nobody knows what it includes, so no mark is believed or made."""
    mark = CACHE / digest(base, words, paths) if paths else None
    if mark and mark.exists():
        os.utime(mark)
        return False, ""
    result = subprocess.run(["clang-tidy", "--quiet", "-p", str(build), str(path)], capture_output=True, text=True)
    if result.returncode != 0 or result.stdout.strip():
        return True, result.stdout or result.stderr or f"{path}: clang-tidy ended with {result.returncode}"
    if mark:
        CACHE.mkdir(parents=True, exist_ok=True)
        mark.touch()
    return True, ""


def forget_old():
    for mark in CACHE.glob("*"):
        if mark.stat().st_mtime < time.time() - KEPT_DAYS * 86400:
            mark.unlink(missing_ok=True)


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    base = hashlib.sha256((ROOT / ".clang-tidy").read_bytes())
    base.update(subprocess.run(["clang-tidy", "--version"], capture_output=True, check=True).stdout)
    todo, known = commands(build), headers(build)
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        results = list(pool.map(
            lambda item: look(build, base, item[0], item[1][1], known.get(item[1][0], [])), sorted(todo.items())))
    complaints = [text for _, text in results if text]
    sys.stdout.write("".join(complaints))
    forget_old()
    print(f"tidy: {len(todo)} files, {sum(looked for looked, _ in results)} looked at, {len(complaints)} with complaints")
    return 1 if complaints or not todo else 0


if __name__ == "__main__":
    sys.exit(main())
