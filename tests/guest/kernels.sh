#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test: limit=600 takes=70
# Each kernel that Debian packages, and ours: ready, with the share, the right modules, and an orderly end. `cloud` has no 9p.
# With KERNEL_CPUS="1 2 4" each generic kernel is booted with each of these numbers of processors; else 6.1 with 2, 6.12 with 4.
. "$TREE/tests/lib/sandbox.bash"

folder=$(project kernels)
echo shared >"$folder/file"
cache=$XDG_CACHE_HOME/sandboxctl/kernels

# boots KERNEL RELEASE_PATTERN CPUS
boots() {
	local began
	began=$(date +%s%N)
	note "$1, $3 processors"
	start k "$folder" --kernel "$1" --memory 384M --cpus "$3"
	echo "$1: ready in $((($(date +%s%N) - began) / 1000000)) ms"
	[[ $(inside k 'uname -r') =~ $2 ]] || fail "$1: it says $(inside k 'uname -r')"
	equal "$1: processors" "$3" "$(inside k nproc)"
	equal "$1: share" shared "$(inside k 'cat file; touch made')"
	equal "$1: nothing degraded" "[]" "$(ctl status k --json | jq -c .data.degraded)"
	equal "$1: the kernel in status" "$1" "$(data k kernel)"
	equal "$1: random numbers, clock" "virtio_rng.0 kvm-clock" "$(inside k 'cat /sys/class/misc/hw_random/rng_current /sys/devices/system/clocksource/clocksource0/current_clocksource' | xargs)"
	equal "$1: no unhappy device" "" "$(ctl console k | grep -iE 'virtio.*(fail|error|timeout)|probe of .* failed' || true)"
	ctl stop k
	contains "$1: an orderly end" "$(data k reason)" "stopped"
}

for kernel in generic cloud; do
	for version in 6.1 6.12; do
		[ -d "$cache/debian-$version-$kernel" ] || { echo "no $kernel kernel $version: images/kernel/fetch $kernel $version"; exit 77; }
	done
done
[ -d "$cache/minimal" ] || { echo "no minimal kernel: images/kernel/build"; exit 77; }

boots minimal '^6\.' 1
for cpus in ${KERNEL_CPUS:-2}; do
	boots debian-6.1-generic '^6\.1\.' "$cpus"
done
for cpus in ${KERNEL_CPUS:-4}; do
	boots debian-6.12-generic '^6\.12\.' "$cpus"
done

for version in 6.1 6.12; do
	note "cloud $version: no 9p, and start says so"
	folder_of=$cache/debian-$version-cloud
	release=$(cat "$folder_of/version")
	attempt "start with shares" ctl start c --no-attach --workspace "$folder" --kernel "debian-$version-cloud" --memory 384M </dev/null 2>err
	contains "in words" "$(cat err)" "it has no 9p"
	contains "what to do" "$(cat err)" "--kernel generic"
	equal "as JSON" "not-supported" "$(ctl start c --json --workspace "$folder" --kernel "debian-$version-cloud" --memory 384M </dev/null | jq -r .data.error)"
	note "cloud $version: to agent ready, without shares"
	# That start has unpacked it.
	vmlinux=$(find "$XDG_CACHE_HOME/sandboxctl/vmlinux" -maxdepth 1 -type f -exec grep -la "Linux version $release " {} + | head -n1)
	"$TREE/images/initramfs/build" --kernel "$folder_of" --agent "$BUILD/sandbox-agent" --output "$SCRATCH/initramfs-$version" >/dev/null
	timeout 100 python3 "$TREE/tests/guest/kernels_cloud.py" "$BUILD" "$vmlinux" "$SCRATCH/initramfs-$version" "$SCRATCH" "$release"
done
