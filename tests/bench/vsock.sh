#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test: limit=600 user=root
# tests/bench/vsock.sh: bulk over vsock beside vhost-vsock; environment as tests/testbed/worker says. Reported, without a bar.
set -euo pipefail
command -v qemu-system-x86_64 >/dev/null || { echo "no qemu-system-x86_64"; exit 77; }
[ -e /dev/vhost-vsock ] || { echo "no /dev/vhost-vsock"; exit 77; }
kernel=$XDG_CACHE_HOME/sandboxctl/kernels/minimal
[ -e "$kernel/vmlinux" ] || { echo "no minimal kernel: images/kernel/build"; exit 77; }
"$TREE/images/initramfs/build" --kernel "$kernel" --agent "$BUILD/sandbox-agent" --output "$SCRATCH/initramfs" >/dev/null
exec python3 "$TREE/tests/bench/vsock.py" "$BUILD" "$kernel/vmlinux" "$SCRATCH/initramfs" "$BUILD/tests/guest/vsock_peer" \
	"$SCRATCH"
