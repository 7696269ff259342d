# SPDX-License-Identifier: Apache-2.0
"""The host's half of egress without a guest: sandbox-proxy and sandbox-injectors as the supervisor would start them, in a
network namespace whose only neighbour is a small internet made here: origins, a name server, their logs.

Everything runs inside `unshare -rn` (no root), see in_namespace(). The processes are --unjailed: what jails them is tested by
starting real sandboxes. Nothing outlives the rig: the processes hold a lifeline that is ours."""
import array
import json
import os
import pathlib
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time

POLICY_LAYER_COMMAND, POLICY_LAYER_USER = 0, 1
EGRESS_CAPTURED, EGRESS_PROXY, EGRESS_REPORTS = 1, 2, 3
ACCEPTED = 1
CONTROL_POLICY, CONTROL_INJECTOR, CONTROL_SECRET = 1, 2, 3

# An address that nobody will miss here, and that no registry calls special.
INTERNET = "93.184.216"
NAME_SERVER = f"{INTERNET}.53"
ORIGIN = f"{INTERNET}.34"


# What is started ends when this program does, however that ends.
WITH_US = ["setpriv", "--pdeathsig", "KILL"]


def in_namespace():
    """Runs this program again in a user and network namespace of its own, once."""
    if os.environ.get("EGRESS_RIG"):
        return
    os.environ["EGRESS_RIG"] = "1"
    os.execvp("unshare", ["unshare", "-rn", "--", sys.executable] + sys.argv)


def ip(*words, namespace=None):
    command = (["nsenter", "-n", "-t", str(namespace)] if namespace else []) + ["ip"] + list(words)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def memfd(name, data):
    fd = os.memfd_create(name)
    os.write(fd, data)
    return fd


def bundle(documents, tier=1):
    """documents: (layer, object or text) pairs. vsock-proxy/bundle.h"""
    out = struct.pack("<BBH", 1, tier, len(documents))
    for number, (layer, document) in enumerate(documents):
        text = document if isinstance(document, str) else json.dumps(document)
        name = f"document {number}".encode()
        out += struct.pack("<BBHI", layer, 0, len(name), len(text.encode())) + name + text.encode()
    return out


def authority(folder, name):
    """A CA: (key and certificate as one PEM, the certificate's path)."""
    key, certificate = folder / f"{name}.key", folder / f"{name}.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign",
                    "-keyout", str(key), "-out", str(certificate)], check=True, stderr=subprocess.DEVNULL)
    return key.read_bytes() + certificate.read_bytes(), certificate


def leaf(folder, issuer, *names):
    """A certificate for names, by issuer: (certificate's path, key's path)."""
    stem = folder / names[0]
    request, certificate, key = stem.with_suffix(".csr"), stem.with_suffix(".crt"), stem.with_suffix(".leafkey")
    extension = folder / f"{names[0]}.ext"
    extension.write_text("subjectAltName=" + ",".join(f"DNS:{n}" for n in names) + "\n")
    subprocess.run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={names[0]}",
                    "-keyout", str(key), "-out", str(request)], check=True, stderr=subprocess.DEVNULL)
    subprocess.run(["openssl", "x509", "-req", "-in", str(request), "-CA", str(folder / f"{issuer}.pem"), "-CAkey", str(folder / f"{issuer}.key"),
                    "-CAcreateserial", "-days", "2", "-extfile", str(extension), "-out", str(certificate)], check=True, stderr=subprocess.DEVNULL)
    return certificate, key


class NameServer(threading.Thread):
    """Answers A questions from a table; keeps every question."""

    def __init__(self, address):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 53))
        self.names, self.asked, self.log = {}, [], None

    def run(self):
        while True:
            question, peer = self.socket.recvfrom(2048)
            labels, at = [], 12
            while question[at]:
                labels.append(question[at + 1:at + 1 + question[at]].decode())
                at += 1 + question[at]
            name, kind = ".".join(labels).lower(), struct.unpack(">H", question[at + 1:at + 3])[0]
            self.asked.append((name, kind))
            if self.log:
                self.log.write(name + "\n")
            addresses = self.names.get(name)
            if callable(addresses):
                addresses = addresses()
            found = [a for a in (addresses or []) if (":" in a) == (kind == 28)]
            head = question[:2] + struct.pack(">HHHHH", 0x8180 if addresses is not None else 0x8183, 1, len(found), 0, 0)
            answer = b"".join(
                b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 1, 4 if kind == 1 else 16)
                + socket.inet_pton(socket.AF_INET if kind == 1 else socket.AF_INET6, a) for a in found)
            self.socket.sendto(head + question[12:at + 5] + answer, peer)


class Rig:
    """An internet, a proxy, injectors. Use as a context manager."""

    def __init__(self, build, documents, secrets=None, tier=1, injector_words=()):
        self.injector_words = list(injector_words)
        self.build, self.documents, self.secrets, self.tier = pathlib.Path(build), documents, secrets or {}, tier
        self.children, self.keep = [], []

    def __enter__(self):
        self.folder_object = tempfile.TemporaryDirectory(prefix="egress-")
        self.folder = pathlib.Path(self.folder_object.name)
        self.make_network()
        self.ca_text, self.ca = authority(self.folder, "sandbox")
        _, self.roots = authority(self.folder, "roots")
        self.lifeline = os.pipe()
        self.counters = os.open(self.folder / "limits", os.O_RDWR | os.O_CREAT, 0o600)
        self.start()
        return self

    def make_network(self):
        """Our namespace is the host's; a child holds the internet's, in which threads of ours serve."""
        ip("link", "set", "lo", "up")
        holder = subprocess.Popen(WITH_US + ["unshare", "-n", "sleep", "600"])
        self.children.append(holder)
        while os.readlink(f"/proc/{holder.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
            time.sleep(0.01)
        self.internet = holder.pid
        ip("link", "add", "out", "type", "veth", "peer", "name", "in", "netns", str(holder.pid))
        ip("addr", "add", f"{INTERNET}.1/24", "dev", "out")
        ip("link", "set", "out", "up")
        ip("link", "set", "lo", "up", namespace=holder.pid)
        ip("addr", "add", f"{ORIGIN}/24", "dev", "in", namespace=holder.pid)
        ip("addr", "add", f"{NAME_SERVER}/24", "dev", "in", namespace=holder.pid)
        ip("link", "set", "in", "up", namespace=holder.pid)
        self.dns = self.there(lambda: NameServer(NAME_SERVER))
        self.dns.start()

    def there(self, make):
        """make() in the internet's namespace: sockets that it opens stay there."""
        out = []

        def run():
            own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
            fd = os.open(f"/proc/{self.internet}/ns/net", os.O_RDONLY)
            set_namespace(fd)
            out.append(make())
            os.close(fd)
            os.close(own)
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        return out[0]

    def start_origin(self, *command):
        """A program in the internet's namespace."""
        child = subprocess.Popen(WITH_US + ["nsenter", "-n", "-t", str(self.internet), "--"] + list(command), stdout=subprocess.PIPE, text=True)
        self.children.append(child)
        return child

    def spawn(self, program, words, fds):
        """fds: option -> fd, which the child gets under the same number."""
        command = [str(self.build / program), "--name", "box", "--unjailed", "--lifeline-fd", str(self.lifeline[0])] + words
        for option, fd in fds.items():
            command += [option, str(fd)]
        child = subprocess.Popen(command, pass_fds=[self.lifeline[0]] + list(fds.values()), env=dict(os.environ))
        self.children.append(child)
        return child

    def start(self):
        self.streams, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.audit, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        policy = memfd("policy", bundle(self.documents, self.tier))
        self.audit_writer = writer
        self.proxy = self.spawn("sandbox-proxy", [], {
            "--streams-fd": theirs.fileno(), "--policy-fd": policy, "--ca-fd": memfd("ca", self.ca_text),
            "--audit-fd": writer.fileno(), "--control-fd": control.fileno(), "--counters-fd": self.counters})
        self.keep += [theirs, control]
        self.injectors = {}
        self.add_injector("", policy)
        for binding, (name, value) in self.secrets.items():
            self.add_injector(binding, policy, name, value)

    def add_injector(self, binding, policy, name=None, value=None):
        ours, channel = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        control, control_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        words = ["--dns", NAME_SERVER, "--trust-file", str(self.roots)] + self.injector_words
        fds = {"--channel-fd": channel.fileno(), "--policy-fd": policy, "--control-fd": control_end.fileno(), "--audit-fd": self.audit_writer.fileno()}
        if binding:
            words += ["--binding", binding, "--secret-name", name]
            fds["--secret-fd"] = memfd("secret", value.encode())
            os.lseek(fds["--secret-fd"], 0, 0)
        self.injectors[binding] = (self.spawn("sandbox-injector", words, fds), control)
        send_fd(self.control, bytes([CONTROL_INJECTOR, 0, 0, 0]) + binding.encode(), ours.fileno())
        for end in (channel, ours, control_end):
            end.close()

    def restart(self, how):
        """The host's processes again, as in the sandbox's next run: what they had is gone but for the file of limits."""
        for child in [self.proxy] + [injector for injector, _ in self.injectors.values()]:
            child.send_signal(how)
            child.wait(30)
        self.start()

    def connect(self, host, port, kind=EGRESS_CAPTURED):
        """A stream as the guest's agent opens it, after its head was answered: (socket, verdict, texts)."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        send_fd(self.streams, b"\x01", theirs.fileno())
        theirs.close()
        name = host.encode()
        ours.settimeout(60)
        ours.sendall(struct.pack("<BBHH", 1, kind, port, len(name)) + name)
        return (ours,) + read_answer(ours)

    def events(self):
        """What was written for the audit log so far."""
        out = []
        self.audit.settimeout(0.3)
        try:
            while True:
                out.append(read_event(self.audit.recv(8192)))
        except TimeoutError:
            return out

    def __exit__(self, *_):
        os.close(self.lifeline[1])
        for child in self.children:
            child.terminate()
        for child in self.children:
            try:
                child.wait(30)
            except subprocess.TimeoutExpired:
                child.kill()
            # Orderly ends, so that sanitizers have had their say; killed ones were killed by a test.
            if str(self.build) in child.args[0] and child.returncode not in (0, -9):
                raise AssertionError(f"{child.args[0]} ended with {child.returncode}")
        self.folder_object.cleanup()


def set_namespace(fd):
    import ctypes
    if ctypes.CDLL(None, use_errno=True).setns(fd, 0x40000000) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def send_fd(where, data, fd):
    where.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])


def read_exactly(stream, count):
    out = b""
    while len(out) < count:
        piece = stream.recv(count - len(out))
        if not piece:
            raise EOFError
        out += piece
    return out


def read_answer(stream):
    """guest-agent/protocol/egress.h's answer: (verdict, [rule, reason, command])."""
    _, verdict, length = struct.unpack("<BBH", read_exactly(stream, 4))
    body, texts, at = read_exactly(stream, length), [], 8
    while at < len(body):
        size = struct.unpack_from("<H", body, at)[0]
        texts.append(body[at + 2:at + 2 + size].decode())
        at += 2 + size
    return verdict, texts


def read_event(message):
    """vmm/supervisor/audit/audit_event.h"""
    _, kind, tier, decision, status, _, count, _, sent, received, duration = struct.unpack_from("<BBBBHHIQQQQ", message)
    event = {"kind": kind, "tier": tier, "decision": decision, "status": status, "count": count, "sent": sent, "received": received, "duration_us": duration}
    at = struct.calcsize("<BBBBHHIQQQQ")
    for name in ("rule", "policy", "secret", "method", "host", "path", "detail"):
        size = struct.unpack_from("<H", message, at)[0]
        event[name] = message[at + 2:at + 2 + size].decode("latin-1")
        at += 2 + size
    return event


def https(rig, stream, name, protocols=("http/1.1",)):
    """TLS over a stream, as a client that believes the sandbox's CA."""
    context = ssl.create_default_context(cafile=str(rig.ca))
    context.set_alpn_protocols(list(protocols))
    # Python's sockets of the Unix family do TLS as others do.
    return context.wrap_socket(stream, server_hostname=name)


def bridge(rig, host, port, kind=EGRESS_CAPTURED):
    """A port of our own loopback that leads to streams for host and port (or of that kind): for programs that connect by TCP."""
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def serve():
        while True:
            client, _ = listener.accept()
            stream, verdict, _ = rig.connect(host, port, kind)
            if verdict != ACCEPTED:
                client.close()
                continue
            stream.settimeout(None)
            for pair in ((client, stream), (stream, client)):
                threading.Thread(target=pump, args=pair, daemon=True).start()
    threading.Thread(target=serve, daemon=True).start()
    return listener.getsockname()[1]
