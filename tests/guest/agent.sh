#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test: limit=1200 user=root takes=80
# The agent as PID 1, apart from our VMM: QEMU's microvm with vhost-vsock and QEMU's own 9p server, tests/lib/agent_host.py
# for the host's end of the protocol. What fails here is the agent's; what fails only under sandbox-vmm is not.
# The minimal kernel answers every question; stock ones show that modules are loaded (cloud ones have no 9p: the agent stays
# in its initramfs there). KERNELS names them: QEMU 7.2 hangs under emulation in some boots of stock kernels, so CI asks the minimal one.
set -euo pipefail
command -v qemu-system-x86_64 >/dev/null || { echo "no qemu-system-x86_64"; exit 77; }
[ -e /dev/vhost-vsock ] || { echo "no /dev/vhost-vsock"; exit 77; }
kernels=$XDG_CACHE_HOME/sandboxctl/kernels
[ -e "$kernels/minimal/vmlinux" ] || { echo "no minimal kernel: images/kernel/build"; exit 77; }
status=0
for name in ${KERNELS:-minimal}; do
	[ -d "$kernels/$name" ] || continue
	echo "== $name"
	rm -rf "${SCRATCH:?}/$name"
	mkdir "$SCRATCH/$name"
	"$TREE/images/initramfs/build" --kernel "$kernels/$name" --agent "$BUILD/sandbox-agent" \
		--output "$SCRATCH/$name/initramfs" >/dev/null
	case $name in
	minimal) depth=all ;;
	*cloud) depth=none ;;
	*) depth=root ;;
	esac
	python3 "$TREE/tests/guest/agent_boot.py" "$kernels/$name/vmlinuz" "$SCRATCH/$name/initramfs" "$SCRATCH/$name" $depth ||
		status=1
done
exit $status
