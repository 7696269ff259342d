# SPDX-License-Identifier: Apache-2.0
"""Two machines with the same kernel, initramfs, agent and devices, vsock and one share: QEMU's microvm, and our VMM in its jail
as its supervisor starts it. For benches."""
import os
import socket
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import agent_host as host  # noqa: E402

CID = 79
CONNECT, ACCEPTED = 1, 2
CMDLINE = "quiet panic=-1 reboot=t 8250.nr_uarts=0"
LIMIT_S = 300


def welcome():
    return host.welcome(root=0, folder="/", mounts=[host.mount("bench", "/bench", msize=512000)])


class Qemu:
    def __init__(self, options, folder, memory_mib):
        listener = host.vsock_listener()
        self.process = subprocess.Popen(
            ["qemu-system-x86_64", "-M", "microvm,acpi=off,pic=off,pit=off,rtc=off,isa-serial=off", "-enable-kvm", "-cpu", "host",
             "-nodefaults", "-no-user-config", "-nographic", "-no-reboot", "-m", str(memory_mib), "-smp", "1", "-kernel",
             options.kernel, "-initrd", options.initramfs, "-append", CMDLINE, "-device",
             f"vhost-vsock-device,guest-cid={CID}", "-fsdev", f"local,id=bench,path={folder},security_model=mapped-xattr",
             "-device", "virtio-9p-device,fsdev=bench,mount_tag=bench"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self.pid = self.process.pid
        listener.settimeout(LIMIT_S)
        self.control = host.Control(listener.accept()[0], welcome())
        listener.close()
        self.control.wait([host.READY], LIMIT_S)

    def end(self):
        self.process.kill()
        self.process.wait()


class Ours:
    def __init__(self, options, folder, memory_mib):
        self.broker, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        st = os.stat(folder)
        files = [os.open("/dev/kvm", os.O_RDWR), os.open(options.kernel, os.O_RDONLY), os.open(options.initramfs, os.O_RDONLY),
                 os.open(options.scratch + "/console", os.O_RDWR | os.O_CREAT | os.O_TRUNC)]
        self.process = subprocess.Popen(
            [options.build + "/tests/bench/jail_run", "--", options.build + "/sandbox-vmm", "--name", "bench", "--cpus", "1",
             "--memory-mib", str(memory_mib), "--kvm-fd", str(files[0]), "--kernel-fd", str(files[1]), "--initramfs-fd",
             str(files[2]), "--console-fd", str(files[3]), "--vsock-fd", str(theirs.fileno()), "--cmdline-devices", "--cmdline",
             CMDLINE, "--owner", f"{os.getuid()}:{os.getgid()}", "--share",
             f"bench,rw,mapped,{st.st_dev}:{st.st_ino},{folder}"], env={}, stdin=subprocess.DEVNULL,
            pass_fds=files + [theirs.fileno()])
        theirs.close()
        for f in files:
            os.close(f)
        self.broker.settimeout(LIMIT_S)
        kind, _, _, number, port = struct.unpack("<BBHII", self.broker.recv(16)[:12])
        assert (kind, port) == (CONNECT, host.PORT), (kind, port)
        mine, guests = socket.socketpair()
        socket.send_fds(self.broker, [struct.pack("<BBHIII", ACCEPTED, 0, 0, number, port, 0)], [guests.fileno()])
        guests.close()
        self.control = host.Control(mine, welcome())
        self.control.wait([host.READY], LIMIT_S)
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as f:
            self.pid = int(f.read().split()[0])

    def end(self):
        self.process.kill()
        self.process.wait()
