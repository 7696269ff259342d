#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A kernel without 9p under sandbox-vmm and sandbox-link, without any share: it comes to agent ready. Used by kernels.sh.
Arguments: the build folder, vmlinux, initramfs, a scratch folder, the release (for people)."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import link_host  # noqa: E402

build, kernel, initramfs, scratch, release = sys.argv[1:6]
machine = link_host.Machine(build, kernel, initramfs, scratch)
try:
    print(f"{release}: agent ready after {machine.event(link_host.READY)[0] / 1e9:.2f} s")
finally:
    machine.stop()
