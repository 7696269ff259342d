#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The host's end of the agent protocol, for tests: written from docs and headers alone, not from the C codec, so that
each checks the other. Streams are made by connect(): vhost-vsock here, whatever a test brings there."""
import os
import select
import socket
import struct
import threading

PORT = 1024
STDIN, STDIN_EOF, RESIZE, SIGNAL = 1, 2, 3, 4
STDOUT, STDERR, STARTED, EXIT, ERROR = 16, 17, 18, 19, 20
ENTRY, DATA = 32, 33
EXEC, COPY_OUT, COPY_IN, FORWARD = 48, 49, 50, 51
HELLO, READY, REFUSED, HEALTH, AUDIT = 64, 65, 66, 67, 68
WELCOME, SHUTDOWN, TIME_SET, HEALTH_REQUEST = 80, 81, 82, 83
DIR, FILE, SYMLINK, UP, END = 1, 2, 3, 4, 5
TTY, CLEAN_ENV, LOGIN, SHELL = 1, 2, 4, 8


def frame(kind, body=b""):
    return struct.pack("<BBHI", kind, 0, 0, len(body)) + body


def text(value):
    data = (value if isinstance(value, bytes) else value.encode()) + b"\0"
    return struct.pack("<H", len(data)) + data


def words(values):
    return struct.pack("<H", len(values)) + b"".join(text(v) for v in values)


def mount(tag, target="", role=1, readonly=False, cache=1, kind=1, optional=False, msize=0):
    return struct.pack("<BBBBI", kind, role, cache, readonly | optional << 1, msize) + text(tag) + text(target)


def file(path, content, mode=0o644, uid=0, gid=0):
    return text(path) + struct.pack("<IIII", mode, uid, gid, len(content)) + content


def welcome(mounts=(), files=(), env=(), root=1, instance="test-1", hostname="testbox", folder="/workspace", time_ns=0,
            sudo=True, seed=b"", egress=False):
    return (struct.pack("<QIIIB", time_ns, 1000, 1000, sudo | egress << 1, root) + text(instance) + text(hostname)
            + text("sandbox") + text(folder) + struct.pack("<H", len(seed)) + seed
            + struct.pack("<H", len(mounts)) + b"".join(mounts) + struct.pack("<H", len(files)) + b"".join(files)
            + words(env))


def exec_body(argv, env=(), user="", folder="", flags=0, rows=0, cols=0):
    return (struct.pack("<IHH", flags, rows, cols) + text(user) + text(folder) + words(argv) + words(env))


def entry(kind, name="", mode=0, size=0, mtime=0):
    return frame(ENTRY, struct.pack("<BBHIQq", kind, 0, 0, mode, size, mtime) + bytes(40) + name.encode().ljust(256, b"\0"))


class Stream:
    """Frames over a connected socket."""

    def __init__(self, sock):
        self.sock = sock

    def exactly(self, size):
        data = bytearray()
        while len(data) < size:
            part = self.sock.recv(size - len(data))
            if not part:
                raise EOFError
            data += part
        return bytes(data)

    def read(self):
        kind, _, _, size = struct.unpack("<BBHI", self.exactly(8))
        return kind, self.exactly(size)

    def send(self, data):
        self.sock.sendall(data)

    def close(self):
        self.sock.close()


class Result:
    def __init__(self):
        self.out, self.err, self.exit, self.error, self.pid = bytearray(), bytearray(), None, None, None


class Guest:
    """A guest whose operation port connect() reaches."""

    def __init__(self, connect):
        self.connect = connect

    def open(self, kind, body):
        stream = Stream(self.connect())
        stream.send(frame(kind, body))
        return stream

    def execute(self, argv, stdin=None, interact=None, **options):
        """Runs to the end. stdin: bytes, or an iterable of bytes (sent by a thread, so both ways flow)."""
        stream = self.open(EXEC, exec_body(argv, **options))
        result = Result()

        def feed():
            parts = [stdin] if isinstance(stdin, bytes) else stdin
            for part in parts or []:
                for at in range(0, len(part), 65536):
                    stream.send(frame(STDIN, part[at:at + 65536]))
            stream.send(frame(STDIN_EOF))

        feeder = threading.Thread(target=feed, daemon=True)
        if interact is None:
            feeder.start()
        while result.exit is None and result.error is None:
            kind, body = stream.read()
            if kind == STDOUT:
                result.out += body
                if interact:
                    interact(stream, result)
            elif kind == STDERR:
                result.err += body
            elif kind == STARTED:
                result.pid = struct.unpack("<I", body)[0]
            elif kind == EXIT:
                result.exit = struct.unpack("<II", body)
            elif kind == ERROR:
                result.error = struct.unpack("<II", body)
        stream.close()
        return result

    def copy_out(self, path, user="", flags=0):
        """The entries as (kind, name, mode, data), and EXIT or ERROR's two numbers."""
        stream = self.open(COPY_OUT, struct.pack("<I", flags) + text(path) + text(user))
        entries = []
        while True:
            kind, body = stream.read()
            if kind == ENTRY:
                what, _, _, mode, size, _ = struct.unpack("<BBHIQq", body[:24])
                entries.append([what, body[64:].split(b"\0")[0].decode(), mode, bytearray(), size])
            elif kind == DATA:
                entries[-1][3] += body
            elif kind in (EXIT, ERROR):
                return entries, kind, struct.unpack("<II", body)

    def copy_in(self, path, frames, user="", flags=0):
        stream = self.open(COPY_IN, struct.pack("<I", flags) + text(path) + text(user))
        kind, body = stream.read()
        if kind == STARTED:
            try:
                for part in frames:
                    stream.send(part)
            except OSError:
                pass
            kind, body = stream.read()
        return kind, struct.unpack("<II", body)

    def forward(self, port):
        stream = self.open(FORWARD, struct.pack("<H", port))
        kind, body = stream.read()
        if kind != STARTED:
            raise OSError(struct.unpack("<II", body)[0], "forward")
        return stream.sock


class Control:
    """The agent's control stream, from the listener that the guest connects to."""

    def __init__(self, sock, welcome_body):
        self.stream = Stream(sock)
        kind, body = self.stream.read()
        assert kind == HELLO, kind
        self.version, _, self.payload_max = struct.unpack("<HHI", body[:8])
        self.stream.send(frame(WELCOME, welcome_body))

    def wait(self, wanted, seconds=60):
        """The next message of a wanted kind; others are passed over."""
        while select.select([self.stream.sock], [], [], seconds)[0]:
            kind, body = self.stream.read()
            if kind in wanted:
                return kind, body
        raise TimeoutError(f"no message {wanted}")

    def shutdown(self, reboot=False):
        self.stream.send(frame(SHUTDOWN, struct.pack("<I", int(reboot))))


def vsock_listener(port=PORT):
    listener = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    listener.bind((socket.VMADDR_CID_ANY, port))
    listener.listen(8)
    return listener


def vsock_connector(cid, port=PORT):
    def connect():
        sock = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
        sock.connect((cid, port))
        return sock
    return connect


if __name__ == "__main__":
    raise SystemExit(f"{os.path.basename(__file__)}: a library for tests")
