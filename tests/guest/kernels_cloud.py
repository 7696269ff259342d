#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A kernel without 9p under sandbox-vmm and sandbox-link, without any share: it comes to agent ready. Used by kernels.sh.
Arguments: the build folder, vmlinux, initramfs, a scratch folder, the release that is expected."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import agent_host as host  # noqa: E402
import link_host  # noqa: E402

build, kernel, initramfs, scratch, release = sys.argv[1:6]
machine = link_host.Machine(build, kernel, initramfs, scratch)
try:
    print(f"{release}: agent ready after {machine.event(link_host.READY)[0] / 1e9:.2f} s")
    entries, kind, _ = machine.copy_out("/proc/version", user="root")
    said = bytes(entries[0][3]).decode() if kind == host.EXIT and entries else repr((entries, kind))
    if not said.startswith("Linux version " + release):
        sys.exit(f"it says it is: {said!r}")
finally:
    machine.stop()
