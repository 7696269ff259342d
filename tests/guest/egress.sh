#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test: limit=900 user=root takes=60
# Egress inside a guest (E7, E8), apart from our VMM and from the host's proxy: QEMU's microvm with vhost-vsock, and a stub in
# place of the proxy. One guest whose host offers egress, one whose host does not. KERNEL names others than the minimal one;
# those have what captures as modules.
set -euo pipefail
command -v qemu-system-x86_64 >/dev/null || { echo "no qemu-system-x86_64"; exit 77; }
[ -e /dev/vhost-vsock ] || { echo "no /dev/vhost-vsock"; exit 77; }
kernels=$XDG_CACHE_HOME/sandboxctl/kernels
status=0
for name in ${KERNEL:-minimal}; do
	[ -e "$kernels/$name/vmlinuz" ] || { echo "no kernel $name: images/kernel/build"; exit 77; }
	echo "== $name"
	rm -rf "${SCRATCH:?}/$name"
	mkdir "$SCRATCH/$name"
	"$TREE/images/initramfs/build" --kernel "$kernels/$name" --agent "$BUILD/sandbox-agent" \
		--output "$SCRATCH/$name/initramfs" >/dev/null
	for offer in offered absent; do
		[ "$name" = minimal ] || [ $offer = offered ] || continue
		mkdir "$SCRATCH/$name/$offer"
		python3 "$TREE/tests/guest/egress_boot.py" "$kernels/$name/vmlinuz" "$SCRATCH/$name/initramfs" \
			"$SCRATCH/$name/$offer" $offer || status=1
	done
done
exit $status
