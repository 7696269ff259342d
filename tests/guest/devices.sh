#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test: limit=600 user=root takes=40
# Disks and balloon with a real driver, 32 processors, and a panic before any driver of ours is there.
set -euo pipefail
kernel=$XDG_CACHE_HOME/sandboxctl/kernels/minimal
[ -e "$kernel/vmlinux" ] || { echo "no minimal kernel: images/kernel/build"; exit 77; }
"$TREE/images/initramfs/build" --kernel "$kernel" --agent "$BUILD/sandbox-agent" --output "$SCRATCH/initramfs" >/dev/null
export PATH=$PATH:/usr/sbin:/sbin
truncate -s 32M "$SCRATCH/raw" "$SCRATCH/frozen" "$SCRATCH/ext4"
head -c 4M /dev/urandom | dd of="$SCRATCH/frozen" conv=notrunc status=none
mkdir "$SCRATCH/content"
head -c 8M /dev/urandom >"$SCRATCH/content/big"
mkfs.ext4 -q -O ^has_journal -d "$SCRATCH/content" "$SCRATCH/ext4"
exec python3 "$TREE/tests/guest/devices_boot.py" "$BUILD" "$kernel/vmlinux" "$SCRATCH/initramfs" \
	"$BUILD/tests/guest/device_peer" "$SCRATCH"
