#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test: limit=600 user=root
# The agent as PID 1, apart from our VMM: QEMU's microvm with vhost-vsock and QEMU's own 9p server, tests/lib/agent_host.py
# for the host's end of the protocol. What fails here is the agent's; what fails only under sandbox-vmm is not.
set -euo pipefail
command -v qemu-system-x86_64 >/dev/null || { echo "no qemu-system-x86_64"; exit 77; }
[ -e /dev/vhost-vsock ] || { echo "no /dev/vhost-vsock"; exit 77; }
kernel=$XDG_CACHE_HOME/sandboxctl/kernels/minimal
[ -e "$kernel/vmlinux" ] || { echo "no minimal kernel: images/kernel/build"; exit 77; }
"$TREE/images/initramfs/build" --kernel "$kernel" --agent "$BUILD/sandbox-agent" --output "$SCRATCH/initramfs" >/dev/null
exec python3 "$TREE/tests/guest/agent_boot.py" "$kernel/vmlinux" "$SCRATCH/initramfs" "$SCRATCH"
