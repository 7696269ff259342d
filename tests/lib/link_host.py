# SPDX-License-Identifier: Apache-2.0
"""A machine of ours as its supervisor has it, for tests: sandbox-vmm and sandbox-link, joined by sockets, with this program as
the supervisor. Both run unjailed; shares are not its business. Guests speak by agent_host.py."""
import os
import select
import socket
import struct
import subprocess
import tempfile

import agent_host as host

OP = {host.EXEC: 1, host.COPY_OUT: 4, host.COPY_IN: 5}
OP_SESSION_START, OP_SESSION_ATTACH, OP_FORWARD, OP_VSOCK, OP_SHUTDOWN = 2, 3, 6, 7, 8
HELLO, READY, HEALTH, LOST, SESSION_ENDED = 33, 34, 35, 36, 37


def seqpacket():
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


class Machine(host.Guest):
    """Starts at once; wait() for the agent."""

    def __init__(self, build, kernel, initramfs, scratch, memory_mib=256, cpus=1, allow=(), publish=(), cmdline="",
                 welcome=None, more=(), more_fds=()):
        super().__init__(None)
        self.folder = tempfile.mkdtemp(dir=scratch)
        self.console = open(self.folder + "/console", "w+")
        self.session_log = open(self.folder + "/session.log", "w+b")
        vmm_broker, link_broker = seqpacket()
        self.events, link_events = seqpacket()
        self.control, link_control = seqpacket()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.folder + "/vsock.sock")
        self.listener.listen(64)
        body = os.memfd_create("welcome")
        os.write(body, welcome or host.welcome(root=0, folder="/"))
        fds = [link_broker, link_events, link_control, self.listener]
        words = [build + "/sandbox-link", "--unjailed", "--name", "test", "--vsock-fd", str(link_broker.fileno()), "--event-fd",
                 str(link_events.fileno()), "--control-fd", str(link_control.fileno()), "--listen-fd",
                 str(self.listener.fileno()), "--welcome-fd", str(body), "--session-log-fd", str(self.session_log.fileno()),
                 "--socket-folder", self.folder]
        for port in allow:
            words += ["--allow-port", str(port)]
        for listener, port in publish:
            words += ["--publish", f"{listener.fileno()}:{port}"]
            fds.append(listener)
        numbers = [f.fileno() for f in fds] + [body, self.session_log.fileno()]
        self.link = subprocess.Popen(words, pass_fds=numbers)
        files = [os.open("/dev/kvm", os.O_RDWR), os.open(kernel, os.O_RDONLY), os.open(initramfs, os.O_RDONLY)]
        numbers = files + [vmm_broker.fileno(), self.console.fileno(), *more_fds]
        self.vmm = subprocess.Popen(
            [build + "/sandbox-vmm", "--unjailed", "--name", "test", "--cpus", str(cpus), "--memory-mib", str(memory_mib),
             "--kvm-fd", str(files[0]), "--kernel-fd", str(files[1]), "--initramfs-fd", str(files[2]), "--console-fd",
             str(self.console.fileno()), "--vsock-fd", str(vmm_broker.fileno()), "--cmdline",
             "console=hvc0 panic=-1 quiet " + cmdline, *more], pass_fds=numbers)
        for f in [vmm_broker, link_broker, link_events, link_control]:
            f.close()
        for f in files + [body]:
            os.close(f)

    def event(self, wanted, seconds=120):
        """The values of the next event of that kind; others are passed over."""
        while select.select([self.events], [], [], seconds)[0]:
            data = self.events.recv(65)
            if not data:
                break
            fields = struct.unpack("<HHIQ6Q", data)
            if fields[0] == wanted:
                return fields[4:]
        self.console.seek(0)
        raise TimeoutError(f"no event {wanted}; console: {self.console.read()[-2000:]}")

    def ask(self, op, body, flags=0):
        ours, theirs = socket.socketpair()
        socket.send_fds(self.control, [struct.pack("<BBHI", op, flags, 0, 1) + body], [theirs.fileno()])
        theirs.close()
        return ours

    def open(self, kind, body):
        return host.Stream(self.ask(OP[kind], body))

    def forward(self, port):
        return self.ask(OP_FORWARD, struct.pack("<I", port))

    def attach(self, rows=0, cols=0):
        return host.Stream(self.ask(OP_SESSION_ATTACH, struct.pack("<HH", rows, cols)))

    def vsock(self, port):
        """A stream by Firecracker's wire form."""
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(self.folder + "/vsock.sock")
        sock.sendall(b"CONNECT %d\n" % port)
        line = b""
        while not line.endswith(b"\n"):
            part = sock.recv(1)
            if not part:
                raise ConnectionRefusedError(port)
            line += part
        assert line.startswith(b"OK "), line
        return sock

    def cpu_seconds(self, process):
        fields = open(f"/proc/{process.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        for process in (self.vmm, self.link):
            process.terminate()
        for process in (self.vmm, self.link):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
