#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test: limit=1200 takes=110
# The machine: processors, memory, what the guest is shown of the hardware, and each way in which it can end.
. "$TREE/tests/lib/sandbox.bash"

# started NAME FLAGS...: on an empty folder, with the time it took.
started() {
	local name=$1 began
	shift
	began=$(date +%s%N)
	start "$name" "$(project "$name")" "$@"
	echo "$name $* ready in $((($(date +%s%N) - began) / 1000000)) ms"
}

# memory_mib NAME: as the guest's kernel counts it.
memory_mib() {
	inside "$1" 'awk "/^MemTotal/ { print int(\$2 / 1024) }" /proc/meminfo'
}

# between WHAT LOW HIGH NUMBER
between() {
	[ "$4" -ge "$2" ] && [ "$4" -le "$3" ] || fail "$1: $4 is not between $2 and $3"
}

note "1 processor, 128 MiB"
started small --cpus 1 --memory 128M
equal "processors" 1 "$(inside small nproc)"
between "memory of 128 MiB" 85 128 "$(memory_mib small)"
equal "status says so" "1 128" "$(data small cpus) $(data small memory_mib)"

note "what it is shown"
# The agent's own link leads nowhere: what is sent on it is taken up inside (guest-agent/egress).
equal "links" "lo sandbox0" "$(inside small 'cd /sys/class/net; for l in *; do [ $l != dummy0 ] && echo $l; done' | xargs)"
equal "links of a device" "" "$(inside small 'cd /sys/class/net; for l in *; do [ ! -e $l/device ] || echo $l; done' | xargs)"
equal "no KVM" no "$(inside small '[ -e /dev/kvm ] && echo yes || echo no')"
equal "no flag of it" "" "$(inside small 'grep -owE "svm|vmx" /proc/cpuinfo | sort -u')"
contains "it knows its hypervisor" "$(inside small 'grep -m1 ^flags /proc/cpuinfo')" hypervisor
equal "clock source" kvm-clock "$(inside small 'cat /sys/devices/system/clocksource/clocksource0/current_clocksource')"
off=$(($(inside small 'date +%s') - $(date +%s)))
between "the guest's clock is the host's, in seconds" -2 2 "$off"
equal "random bytes at once" 4096 "$(timeout 20 "$SANDBOXCTL" exec small -- sh -c 'head -c 4096 /dev/random | wc -c')"
equal "a source of entropy" virtio_rng.0 "$(inside small 'cat /sys/class/misc/hw_random/rng_current')"
equal "random bytes differ" 2 "$({ inside small 'cat /proc/sys/kernel/random/uuid'; inside small 'cat /proc/sys/kernel/random/uuid'; } | sort -u | wc -l)"
equal "the host name is the sandbox's" small "$(inside small hostname)"
equal "PID 1" init "$(inside small 'cat /proc/1/comm')"
# What it connects to, it connects to the agent: the host's proxy says no.
equal "a way out" 403 "$(inside small 'curl -s -o /dev/null -m 60 -w "%{http_code}" --noproxy "*" http://192.0.2.1/')"

note "zombies are reaped, orphans adopted"
inside small 'for i in 1 2 3 4 5; do (sh -c "sleep 0.2" & ) ; done; sleep 1'
until_true 10 "no zombie" inside small '! grep -l "^State:.*Z" /proc/[0-9]*/status 2>/dev/null'

# ends NAME STATE REASON SCRIPT: SCRIPT, run as root in a new guest, must end it so.
ends() {
	started "$1" --memory 128M
	ctl exec "$1" --user root -- sh -c "sync; $4" >/dev/null 2>&1 </dev/null &
	status_of "$([ "$2" = stopped ] && echo 0 || echo 1)" ctl wait "$1" --timeout 60s
	equal "state after $1" "$2" "$(data "$1" state)"
	contains "reason after $1" "$(data "$1" reason)" "$3"
	gone "$(data "$1" vmm_pid)" || fail "$1: its VMM is still there"
}

note "its end: power off, reboot, panic, triple fault"
system_call='python3 -c "import ctypes; ctypes.CDLL(None).reboot($1)"'
ends poweroff stopped "powered off" "${system_call/\$1/0x4321fedc}"
ends reboot stopped rebooted "${system_call/\$1/0x01234567}"
# Our kernel has no SysRq: it is told to panic when memory ends.
ends panic failed panicked 'cd /proc/sys/vm; echo 1 >overcommit_memory; echo 2 >panic_on_oom; python3 -c "b = b\"x\" * (1 << 29)"'
contains "the console tells" "$(ctl console panic)" "Kernel panic"
ends fault failed "triple fault" "echo triple >/sys/kernel/reboot/type; echo 1 >/sys/kernel/reboot/force; ${system_call/\$1/0x01234567}"

note "2 and 4 processors, 8 GiB"
started two --cpus 2 --memory 512M
equal "processors" 2 "$(inside two nproc)"
equal "each ran" 2 "$(inside two 'for c in 0 1; do taskset -c $c sh -c "cat /proc/self/stat" | cut -d" " -f39; done' | sort -u | wc -l)"
started four --cpus 4 --memory 8G
equal "processors" 4 "$(inside four nproc)"
between "memory of 8 GiB" 7600 8192 "$(memory_mib four)"
equal "cores of one socket" "4 cores 1 sockets 1 threads" "$(inside four 'cd /sys/devices/system/cpu; echo $(cat cpu*/topology/core_id | sort -u | wc -l) cores $(cat cpu*/topology/physical_package_id | sort -u | wc -l) sockets $(cat cpu0/topology/thread_siblings_list | wc -w) threads')"
equal "memory beyond 4 GiB is there" ok "$(inside four 'cat /proc/iomem >/dev/null; python3 -c "b = bytearray(96 << 20); b[::4096] = b\"x\" * len(b[::4096]); print(\"ok\")"')"
resident_kib=$(awk '/^VmRSS/ { print $2 }' "/proc/$(data four vmm_pid)/status")
between "8 GiB are not taken up front, KiB" 1000 1500000 "$resident_kib"
