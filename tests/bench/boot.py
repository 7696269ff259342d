#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""boot.py BUILD KERNEL INITRAMFS SCRATCH [ROUNDS]: our VMM and QEMU's microvm, the same unpacked kernel, initramfs and agent, turn by
turn in one boot of the testbed. Prints one JSON document. Run by tests/bench/run, in a tmpfs, with counted time.

What is measured, in seconds of CLOCK_MONOTONIC:
  first    from just before exec to the first KVM_RUN
  outside  what vCPU threads spent outside KVM_RUN from then until the agent was ready
  vmm      the two together: the VMM's own part
  ready    from just before exec to the agent's READY
  start    from just before `sandboxctl start` to its end (ours only): the whole path
Both VMMs are watched by the same shim (kvm_watch.c). Ours runs in its jail, as under its supervisor."""
import json
import mmap
import os
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import agent_host as host  # noqa: E402

CID = 77
MEMORY_MIB = 256
CONNECT, ACCEPTED = 1, 2
CMDLINE = "quiet panic=-1 reboot=t 8250.nr_uarts=0 tsc=reliable"


class Watch:
    def __init__(self, scratch):
        self.path = scratch + "/watch"
        with open(self.path, "wb") as f:
            f.write(bytes(4096))
        self.file = open(self.path, "r+b")
        self.map = mmap.mmap(self.file.fileno(), 4096)

    def read(self, began_ns, ready_ns):
        first, outside, exits = struct.unpack("<3Q", self.map[:24])
        assert first, "the shim saw no KVM_RUN"
        return {"first": (first - began_ns) / 1e9, "outside": outside / 1e9, "vmm": (first - began_ns + outside) / 1e9,
                "exits": exits, "ready": (ready_ns - began_ns) / 1e9}


def finish(control_socket, watch, began_ns):
    control = host.Control(control_socket, host.welcome(root=0, folder="/"))
    control.wait([host.READY], 120)
    return watch.read(began_ns, time.monotonic_ns())


def end(process):
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def qemu(options, watch):
    listener = host.vsock_listener()
    words = ["qemu-system-x86_64", "-M", "microvm,acpi=off,pic=off,pit=off,rtc=off,isa-serial=off", "-enable-kvm", "-cpu",
             "host", "-nodefaults", "-no-user-config", "-nographic", "-no-reboot", "-m", str(MEMORY_MIB), "-smp", "1", "-kernel",
             options.kernel, "-initrd", options.initramfs, "-append", CMDLINE, "-device",
             f"vhost-vsock-device,guest-cid={CID}"]
    environment = {"PATH": os.environ["PATH"], "LD_PRELOAD": options.shim, "KVM_WATCH": watch.path}
    began = time.monotonic_ns()
    process = subprocess.Popen(words, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    listener.settimeout(120)
    result = finish(listener.accept()[0], watch, began)
    end(process)
    listener.close()
    return result


def ours(options, watch):
    broker, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    files = [os.open("/dev/kvm", os.O_RDWR), os.open(options.kernel, os.O_RDONLY), os.open(options.initramfs, os.O_RDONLY),
             os.open(options.scratch + "/console", os.O_RDWR | os.O_CREAT | os.O_TRUNC)]
    words = [options.build + "/tests/bench/jail_run", "LD_PRELOAD=" + options.shim, "KVM_WATCH=" + watch.path, "--",
             options.build + "/sandbox-vmm", "--name", "bench", "--cpus", "1", "--memory-mib", str(MEMORY_MIB), "--kvm-fd",
             str(files[0]), "--kernel-fd", str(files[1]), "--initramfs-fd", str(files[2]), "--console-fd", str(files[3]),
             "--vsock-fd", str(theirs.fileno()), "--cmdline-devices", "--cmdline", CMDLINE]
    began = time.monotonic_ns()
    process = subprocess.Popen(words, env={}, stdin=subprocess.DEVNULL, pass_fds=files + [theirs.fileno()])
    theirs.close()
    broker.settimeout(120)
    message = broker.recv(16)
    kind, _, _, number, port = struct.unpack("<BBHII", message[:12])
    assert (kind, port) == (CONNECT, host.PORT), message
    mine, guests = socket.socketpair()
    socket.send_fds(broker, [struct.pack("<BBHIII", ACCEPTED, 0, 0, number, port, 0)], [guests.fileno()])
    guests.close()
    result = finish(mine, watch, began)
    broker.close()
    end(process)
    for f in files:
        os.close(f)
    return result


def start(options, _watch):
    folder = options.scratch + "/project"
    os.makedirs(folder, exist_ok=True)
    began = time.monotonic_ns()
    subprocess.run([options.build + "/sandboxctl", "start", "bench", "--fresh", "--no-attach", "--workspace", folder, "--kernel",
                    "minimal", "--cpus", "1", "--memory", f"{MEMORY_MIB}M"], check=True, stdin=subprocess.DEVNULL)
    took = (time.monotonic_ns() - began) / 1e9
    subprocess.run([options.build + "/sandboxctl", "stop", "bench"], check=True, stdin=subprocess.DEVNULL)
    return {"start": took}


def table(rows):
    return {key: {"median": statistics.median(r[key] for r in rows), "all": [r[key] for r in rows]} for key in rows[0]}


def main():
    class Options:
        build, kernel, initramfs, scratch = sys.argv[1:5]
        shim = build + "/tests/bench/kvm_watch.so"
    rounds = int(sys.argv[5]) if len(sys.argv) > 5 else 3
    runners = {"ours": ours, "qemu": qemu, "start": start}
    rows = {name: [] for name in runners}
    for round_number in range(rounds + 1):  # the first is the warm-up
        for name, run in runners.items():
            row = run(Options, Watch(Options.scratch))
            print(name, round_number, row, file=sys.stderr, flush=True)
            if round_number:
                rows[name].append(row)
    result = {name: table(r) for name, r in rows.items()}
    result["ratio"] = {
        "vmm": result["ours"]["vmm"]["median"] / result["qemu"]["vmm"]["median"],
        "ready": result["ours"]["ready"]["median"] / result["qemu"]["ready"]["median"],
        "whole": result["start"]["start"]["median"] / result["qemu"]["ready"]["median"],
    }
    json.dump(result, sys.stdout, indent=1)
    print()


shutil.which("qemu-system-x86_64") or sys.exit("boot.py: no qemu-system-x86_64")
main()
