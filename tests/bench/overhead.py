#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""overhead.py BUILD KERNEL INITRAMFS SCRATCH: the memory that a running machine costs beside its guest's RAM, idle, with vsock and
one share: private dirty memory of the VMM in its jail and of QEMU's microvm, and of every process of a whole sandbox as
`sandboxctl start` leaves it. Prints one JSON document, in KiB. Exit status 1 where the VMM has more than its bar."""
import json
import os
import re
import subprocess
import sys
import time

import pair

MEMORY_MIB = 512  # of no other mapping's size
BAR_KIB = 5 << 10
IDLE_S = 5


def field(path, name):
    with open(path) as f:
        return int(re.search(rf"^{name}:\s+(\d+) kB$", f.read(), re.M)[1])


def guest_ram(pid):
    """KiB of private dirty memory in the mapping that is the guest's RAM."""
    found = []
    with open(f"/proc/{pid}/smaps") as f:
        for line in f:
            head = re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line)
            if head:
                size = int(head[2], 16) - int(head[1], 16)
            elif line.startswith("Private_Dirty:") and size >= MEMORY_MIB << 20:
                found.append(int(line.split()[1]))
    assert len(found) == 1 and found[0] > 0, f"mappings of the guest RAM's size: {found}"
    return found[0]


def private_dirty(pid, is_machine):
    return field(f"/proc/{pid}/smaps_rollup", "Private_Dirty") - (guest_ram(pid) if is_machine else 0)


def members(pgid):
    """(pid, name) of each process of a group."""
    for pid in sorted(map(int, filter(str.isdigit, os.listdir("/proc")))):
        try:
            with open(f"/proc/{pid}/stat") as f:
                name, rest = re.match(r"\d+ \((.*)\) (.*)", f.read()).groups()
        except OSError:
            continue
        if int(rest.split()[2]) == pgid:
            yield pid, name


def machine(kind, options):
    folder = f"{options.scratch}/{kind.__name__}"
    os.makedirs(folder)
    running = kind(options, folder, MEMORY_MIB)
    time.sleep(IDLE_S)
    result = private_dirty(running.pid, True)
    running.end()
    return result


def sandbox(options):
    folder = options.scratch + "/project"
    os.makedirs(folder)
    program = options.build + "/sandboxctl"
    subprocess.run([program, "start", "bench", "--fresh", "--no-attach", "--workspace", folder, "--kernel", "minimal", "--cpus", "1",
                    "--memory", f"{MEMORY_MIB}M"], check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    status = json.loads(subprocess.run([program, "status", "bench", "--json"], check=True, stdout=subprocess.PIPE).stdout)
    status = status.get("data", status)
    time.sleep(IDLE_S)
    result = {}
    for pid, name in members(status["pgid"]):
        result[name] = result.get(name, 0) + private_dirty(pid, pid == status["vmm_pid"])
    subprocess.run([program, "stop", "bench"], check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    assert len(result) >= 3, result
    return {**result, "whole": sum(result.values())}


def main():
    class Options:
        build, kernel, initramfs, scratch = sys.argv[1:5]
    result = {"vmm": machine(pair.Ours, Options), "qemu": machine(pair.Qemu, Options), "bar": BAR_KIB, "sandbox": sandbox(Options)}
    json.dump(result, sys.stdout, indent=1)
    print()
    return result["vmm"] > BAR_KIB


sys.exit(main())
