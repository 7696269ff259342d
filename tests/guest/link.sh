#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test: limit=1200 user=root takes=90
# sandbox-vmm's vsock device and sandbox-link, with the real agent in a real guest: streams of every kind, both ways, in
# tiny and large writes, many at once, readers that wait. (V8, V9)
set -euo pipefail
kernel=$XDG_CACHE_HOME/sandboxctl/kernels/minimal
[ -e "$kernel/vmlinux" ] || { echo "no minimal kernel: images/kernel/build"; exit 77; }
"$TREE/images/initramfs/build" --kernel "$kernel" --agent "$BUILD/sandbox-agent" --output "$SCRATCH/initramfs" >/dev/null
exec python3 "$TREE/tests/guest/link_boot.py" "$BUILD" "$kernel/vmlinux" "$SCRATCH/initramfs" "$BUILD/tests/guest/vsock_peer" \
	"$SCRATCH"
