#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# V1 to V7, V9, V10: a guest kernel that does nothing but attack its devices (hostile_kernel.c), and the host's side of it.
. "$TREE/tests/lib/sandbox.bash"

kernel=$BUILD/tests/attack/hostile_kernel
[ -x "$kernel" ] || {
	echo "no hostile kernel for this architecture"
	exit 77
}

# An image whose first bytes name another format, with a backing file (V6); and one that must not change (V5).
truncate -s 4M disk frozen
printf 'QFI\373\0\0\0\2\0\0\0\0\0\0\0\150\0\0\0\013/etc/passwd' | dd of=disk conv=notrunc status=none
head -c 1M /dev/urandom | dd of=frozen conv=notrunc status=none
sum=$(sha256sum <frozen)

# The second disk's fd could be written: what keeps it read-only is the device alone.
# Jailed, as under a supervisor: in namespaces of one uid, where it is pid 1.
attack() {
	: >log
	status_of 0 unshare --user --map-root-user --pid --fork --kill-child "$BUILD/sandbox-vmm" --name hostile --memory-mib 128 --kvm-fd 3 --kernel-fd 4 --console-fd 5 \
		--disk "root,rw,6" --disk "data,ro,7" 3<>/dev/kvm 4<"$kernel" 5<>log 6<>disk 7<>frozen 2>vmm.log </dev/null
}
attack
# What floods the serial port's ring is dropped, and on a machine that is slow enough that is all it says.
if ! grep -aq '^\(PASS\|FAIL\) ' log; then
	echo "not one line came through ($(stat -c %s log) bytes: $(tail -c 60 log | tr -cd '[:print:]')): once more"
	cat vmm.log
	attack
fi
cat vmm.log
grep -a '^\(PASS\|FAIL\|all\) ' log || true

[ "$(grep -ac '^PASS ' log)" -eq 15 ] || fail "not everything passed"
grep -aq '^all attempted' log || fail "the guest did not come to its end"
grep -q 'powered off' vmm.log || fail "the machine did not end as its guest asked"
equal "the read-only disk" "$sum" "$(sha256sum <frozen)"
equal "the disk's size" 4194304 "$(stat -c %s disk)"
[ "$(stat -c %s log)" -le $((4 * 1024 * 1024)) ] || fail "V10: the console log has outgrown its cap"
attempt "V9: a console request beyond its cap" grep -aq BEYOND log
# V7: said, but not flooded.
[ "$(wc -l <vmm.log)" -le 40 ] || fail "V7: the guest floods the host's log"

note "V2, V3, V7 to V9, S1, S2, S8: vsock and 9P in a hostile kernel's own tongue"
mkdir transport
python3 "$TREE/tests/attack/transport.py" "$BUILD" "$SCRATCH/transport" || fail "transport"
echo "virtio: held"
