#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Disks, balloon, many processors and an early panic, with a real kernel. Used by devices.sh."""
import hashlib
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import agent_host as host  # noqa: E402
import link_host  # noqa: E402

MIB = 1 << 20
failures = []


def check(name, good, seen=None):
    print(("ok   " if good else "FAIL ") + name + ("" if good else f": {seen!r}"), flush=True)
    if not good:
        failures.append(name)


def install(machine, program):
    data = open(program, "rb").read()
    frames = [host.entry(host.FILE, "peer", 0o755, len(data))]
    frames += [host.frame(host.DATA, data[at:at + 65536]) for at in range(0, len(data), 65536)]
    answer = machine.copy_in("/tmp", frames + [host.entry(host.END)], user="root")
    check("the peer is in", answer == (host.EXIT, (1, 0)), answer)


def run(machine, *words):
    result = machine.execute(["/tmp/peer", *words], user="root", folder="/")
    return (bytes(result.out) + bytes(result.err)).decode().strip()


def resident_mib(machine):
    return int(next(line for line in open(f"/proc/{machine.vmm.pid}/status") if line.startswith("VmRSS")).split()[1]) // 1024


def pattern(size):
    return bytes(((i * 2654435761) & 0xffffffff) >> 24 for i in range(size))


def test_disks(machine, scratch, frozen_sum):
    check("write, flush, read", run(machine, "write", "/dev/vda", str(16 * MIB)) == "written")
    # Written by our process, so seen through the host's page cache without any sync.
    with open(scratch + "/raw", "rb") as raw:
        check("the host has it", raw.read(65536) == pattern(65536))
    before = os.stat(scratch + "/raw").st_blocks * 512
    said = run(machine, "discard", "/dev/vda", str(4 * MIB), str(8 * MIB))
    after = os.stat(scratch + "/raw").st_blocks * 512
    check("discard reads as zeroes", said == "zeroes", said)
    check("and takes no room on the host", before - after >= 8 * MIB, (before, after))
    check("nor changes the size", os.stat(scratch + "/raw").st_size == 32 * MIB)
    said = run(machine, "refuse", "/dev/vdb")
    check("a read-only disk", said == "refused", said)
    check("is what it was", hashlib.sha256(open(scratch + "/frozen", "rb").read()).digest() == frozen_sum)
    before = os.stat(scratch + "/ext4").st_blocks * 512
    said = run(machine, "files", "/dev/vdc")
    after = os.stat(scratch + "/ext4").st_blocks * 512
    check("a file system on a disk", said == "left", said)
    check("trim gives room back", before - after >= 7 * MIB, (before, after))
    said = subprocess.run(["debugfs", "-R", "cat left", scratch + "/ext4"], capture_output=True).stdout
    check("the host reads it", said == b"by the guest\n", said)
    said = subprocess.run(["e2fsck", "-fn", scratch + "/ext4"], capture_output=True)
    check("and finds it clean", said.returncode == 0, said.stdout[-300:])


def test_balloon(machine):
    """Free pages are reported some seconds after they were freed, in blocks of 2 MiB or more."""
    before = resident_mib(machine)
    stream = machine.open(host.EXEC, host.exec_body(["/tmp/peer", "memory", "160"], user="root", folder="/"))
    kind, _ = stream.read()
    check("exec", kind == host.STARTED and stream.read() == (host.STDOUT, b"used\n"))
    used = resident_mib(machine)
    check("memory in use is resident", used - before >= 140, (before, used))
    stream.close()  # a client that is gone ends its program
    end = time.time() + 60
    while resident_mib(machine) > used - 120 and time.time() < end:
        time.sleep(0.5)
    print(f"     resident: {before} MiB, in use {used}, given back {resident_mib(machine)}", flush=True)
    check("free memory goes back to the host", resident_mib(machine) <= used - 120, (before, used, resident_mib(machine)))


def test_processors(build, kernel, initramfs, peer, scratch):
    machine = link_host.Machine(build, kernel, initramfs, scratch, cpus=32)
    try:
        machine.event(link_host.READY, 200)
        install(machine, peer)
        said = run(machine, "processors")
        check("32 processors, each in use", said == "32 32", said)
    finally:
        machine.stop()


def test_early_panic(build, kernel, scratch):
    """No initramfs and no root: the kernel panics; pvpanic is kept from it, so its words are all there is."""
    for name, more, reason in (("by its words alone", "initcall_blacklist=pvpanic_mmio_init,pvpanic_mmio_driver_init", "kernel panic"),
                               ("by pvpanic", "", "kernel panic")):
        files = [os.open("/dev/kvm", os.O_RDWR), os.open(kernel, os.O_RDONLY)]
        with open(scratch + "/panic.console", "w+") as console:
            done = subprocess.run(
                [build + "/sandbox-vmm", "--unjailed", "--name", "panic", "--memory-mib", "128", "--kvm-fd", str(files[0]),
                 "--kernel-fd", str(files[1]), "--console-fd", str(console.fileno()), "--cmdline", f"console=ttyS0 quiet panic=-1 {more}"],
                pass_fds=files + [console.fileno()], capture_output=True, timeout=120)
            console.seek(0)
            said = console.read()
        for f in files:
            os.close(f)
        check(f"a panic is known {name}", reason in done.stderr.decode(), (done.stderr, said[-500:]))
        check("the console has its words", "Kernel panic - not syncing" in said, said[-500:])


def main():
    build, kernel, initramfs, peer, scratch = sys.argv[1:6]
    frozen_sum = hashlib.sha256(open(scratch + "/frozen", "rb").read()).digest()
    test_early_panic(build, kernel, scratch)
    disks = [os.open(scratch + "/" + name, os.O_RDWR) for name in ("raw", "frozen", "ext4")]
    words = [word for name, fd in zip(("raw,rw", "frozen,ro", "ext4,rw"), disks) for word in ("--disk", f"{name},{fd}")]
    machine = link_host.Machine(build, kernel, initramfs, scratch, more=words, more_fds=disks)
    try:
        machine.event(link_host.READY)
        install(machine, peer)
        for test, *arguments in ((test_disks, scratch, frozen_sum), (test_balloon,)):
            try:
                test(machine, *arguments)
            except Exception as e:  # noqa: B902
                check(test.__name__, False, repr(e))
    finally:
        machine.stop()
    test_processors(build, kernel, initramfs, peer, scratch)
    if failures:
        machine.console.seek(0)
        print(machine.console.read()[-2000:])
    print(f"{len(failures)} failed")
    sys.exit(bool(failures))


main()
