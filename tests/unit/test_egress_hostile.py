#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Upstreams that give a credential back where it is easily overlooked, guests that bring their own where it is, and a proxy that was taken
over, at the host's processes of egress (E13, E14, E22). As test_egress.py. Usage: test_egress_hostile.py BUILD"""
import array
import base64
import gzip
import os
import pathlib
import socket
import ssl
import struct
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from tests.lib.egress_http import *  # noqa: E402,F403
from tests.lib.egress_rig import *  # noqa: E402,F403

# All of it may stand in a field's name.
SECRET = "s3cr3t-Value.42_x"
POLICY = {
    "version": 1,
    "rules": [{"id": "api", "action": "allow", "host": ["api.test", "open.test"], "websocket": True}],
    "bindings": [{"id": "token", "secret": "api", "host": "api.test", "methods": ["GET", "POST"], "paths": "/**", "scheme": "bearer"}],
}
OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
asked = []  # whole requests, as they came
waiting, spoken = threading.Event(), threading.Event()


def frame(payload, opcode=1, last=True, reserved=0):
    size = len(payload)
    head = struct.pack(">BB", (0x80 if last else 0) | reserved | opcode, size) if size < 126 else struct.pack(">BBH", (0x80 if last else 0) | reserved | opcode, 126, size)
    return head + payload


def read_head(stream):
    text = b""
    while not text.endswith(b"\r\n\r\n"):
        byte = stream.recv(1)
        if not byte:
            return None
        text += byte
    return text


def answer(stream):
    head = read_head(stream)
    if not head:
        return
    if b"transfer-encoding: chunked" in head:
        while not head.endswith(b"0\r\n\r\n") and not (b"\r\n0\r\n" in head and head.endswith(b"\r\n\r\n")):
            head += stream.recv(1)
    elif b"content-length: " in head:
        head += read_exactly(stream, int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
    asked.append(head)
    path = head.split(b" ")[1].decode()
    secret = head.split(b"authorization: Bearer ")[1].split(b"\r\n")[0] if b"authorization: " in head else b"none"
    upgrade = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n"
    if path == "/name":
        stream.sendall(OK + b"X-" + secret + b": 1\r\nContent-Length: 2\r\n\r\nok")
    elif path == "/hints":
        stream.sendall(b"HTTP/1.1 103 Early Hints\r\nSet-Cookie: a=b\r\nX-Echo: " + secret + b"\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nok")
    elif path == "/flood":
        try:
            for _ in range(300):
                stream.sendall(b"HTTP/1.1 103 Early Hints\r\nX-Filler: " + b"x" * 1000 + b"\r\n\r\n")
            stream.sendall(OK + b"Content-Length: 2\r\n\r\nok")
        except OSError:
            pass
    elif path == "/hidden":
        body = gzip.compress(secret * 3)
        stream.sendall(OK + b"Connection: content-encoding\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    elif path == "/grpc":
        body = gzip.compress(secret * 3)
        body = b"\x01" + struct.pack(">I", len(body)) + body
        stream.sendall(OK + b"Content-Type: application/grpc\r\nGrpc-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    elif path == "/bare-grpc":
        body = gzip.compress(secret * 3)
        body = b"\x01" + struct.pack(">I", len(body)) + body
        stream.sendall(OK + b"Content-Type: application/grpc\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    elif path == "/talk":
        stream.sendall(OK + b"Content-Type: application/grpc+proto\r\nTransfer-Encoding: chunked\r\n\r\n")
        for text in (b"yes", b"", b"it is " + secret, b"bye " + secret[:5]):
            message = b"\0" + struct.pack(">I", len(text)) + text
            for piece in (message[:3], message[3:-2], message[-2:]):
                if piece:
                    stream.sendall(b"%x\r\n" % len(piece) + piece + b"\r\n")
            spoken.wait(60)
            spoken.clear()
        stream.sendall(b"0\r\n\r\n")
    elif path == "/trailers":
        stream.sendall(OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-" + secret + b": " + secret + b"\r\n\r\n")
    elif path == "/stays":
        stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        answer(stream)
    elif path == "/acts":
        pass  # and says nothing
    elif path == "/later":
        waiting.wait(60)
        stream.sendall(OK + b"X-Echo: " + secret + b"\r\nContent-Length: %d\r\n\r\n" % len(secret) + secret)
    elif path == "/socket":
        stream.sendall(upgrade + b"X-Echo: " + secret + b"\r\nSet-Cookie: a=" + secret + b"\r\n\r\n")
        stream.sendall(frame(b"your token: " + secret))
        stream.sendall(frame(b"bye " + secret[:1]))  # may be the beginning of more, but its message is over
        assert stream.recv(1) == b"!"
        for at in range(len(secret)):
            stream.sendall(frame(secret[at:at + 1], opcode=0 if at else 2, last=False))
            if at == 3:
                stream.sendall(frame(base64.b64encode(secret), opcode=9))
        stream.sendall(frame(b"", opcode=0) + frame(b"x" * 300 + secret + b"y" * 300) + frame(secret, opcode=8))
    elif path == "/packed":
        stream.sendall(upgrade + b"\r\n" + frame(secret, reserved=0x40))
    elif path == "/extended":
        stream.sendall(upgrade + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
    else:
        stream.sendall(OK + b"Content-Length: 2\r\n\r\nok")


def serve(rig, names):
    rig.dns.names.update({name: [ORIGIN] for name in names})
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*leaf(rig.folder, "roots", *names))

    def one(client):
        try:
            with context.wrap_socket(client, server_side=True) as stream:
                answer(stream)
        except OSError:
            pass

    def make():
        server = socket.create_server((ORIGIN, 443))

        def accept():
            while True:
                threading.Thread(target=one, args=(server.accept()[0],), daemon=True).start()
        threading.Thread(target=accept, daemon=True).start()
    rig.there(make)


def everything(stream):
    out = b""
    try:
        while piece := stream.recv(65536):
            out += piece
    except OSError:
        pass
    return out


def tls(rig, host="api.test"):
    stream, verdict, texts = rig.connect(host, 443)
    assert verdict == ACCEPTED, texts
    return https(rig, stream, host)


def leaks(text):
    text = text.lower()
    return any(form in text for form in (SECRET.lower().encode(), base64.b64encode(SECRET.encode())[:-3].lower()))


def echoes_in_heads(rig):
    """E14: names of fields, interim answers, trailers."""
    for path in ("/name", "/hints", "/trailers"):
        stream = tls(rig)
        request(stream, "GET", path, "api.test")
        text = everything(stream)
        assert b"ok" in text and b" 200 " in text, (path, text)
        assert not leaks(text) and b"set-cookie" not in text, (path, text)


def codings_that_hide(rig):
    """E14: what Connection took out is what the body is in all the same; and a message may be coded by itself."""
    for path in ("/hidden", "/grpc"):
        status, _, body = ask(rig, path, headers=["Grpc-Accept-Encoding: gzip", "Content-Type: application/grpc+x"] if path == "/grpc" else [])
        assert status != 200 or b"ok" not in body, (path, status)
        assert b"\x1f\x8b" not in body, (path, body)
    assert b"grpc-accept-encoding" not in asked[-1], asked[-1]
    stream = tls(rig)
    request(stream, "GET", "/bare-grpc", "api.test")
    assert b"\x1f\x8b" not in everything(stream), "nor where nothing says so but the message itself"
    status, _, body = ask(rig, "/grpc", host="open.test", headers=["Grpc-Accept-Encoding: gzip"])
    assert status == 200 and b"\x1f\x8b" in body and b"grpc-accept-encoding" in asked[-1], "where no secret is, nothing is looked for"


def messages(rig):
    """E14: a message that is whole waits for no next one, whatever it ends with."""
    stream = tls(rig)
    request(stream, "GET", "/talk", "api.test")
    assert b" 200 " in read_head(stream)
    stream.settimeout(5)
    for want in (b"yes", b"", b"it is " + b"*" * len(SECRET), b"bye " + SECRET[:5].encode()):
        want, got = b"\0" + struct.pack(">I", len(want)) + want, b""
        while len(got) < len(want):
            line = b""
            while not line.endswith(b"\r\n"):
                line += read_exactly(stream, 1)
            got += read_exactly(stream, int(line, 16))
            read_exactly(stream, 2)
        assert got == want, (got, want)
        spoken.set()
    stream.close()


def upgrade(rig, path):
    stream = tls(rig)
    request(stream, "GET", path, "api.test", close=False, headers=[
        "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Extensions: permessage-deflate", "Sec-WebSocket-Key: eA=="])
    return stream


def websocket(rig):
    """E14: messages of a WebSocket, whatever frames they are cut into; what is whole comes at once."""
    size = len(SECRET)
    stream = upgrade(rig, "/socket")
    head = read_head(stream)
    assert b" 101 " in head and not leaks(head) and b"set-cookie" not in head, head
    assert b"extensions" not in asked[-1].lower(), asked[-1]
    assert read_exactly(stream, 14 + size) == frame(b"your token: " + b"*" * size)
    assert read_exactly(stream, 7) == frame(b"bye s"), "a message that is whole waits for nothing"
    stream.sendall(b"!")
    want = b""
    for at in range(size):
        want += frame(b"*", opcode=0 if at else 2, last=False)
        if at == 3:
            ping = base64.b64encode(SECRET.encode())
            want += b"PING"
    before, after = want.split(b"PING")
    assert read_exactly(stream, len(before)) == before
    got = read_exactly(stream, len(ping) + 2)
    assert got[:2] == frame(ping, opcode=9)[:2] and got.count(b"*") > 20, got
    want = after + frame(b"", opcode=0) + frame(b"x" * 300 + b"*" * size + b"y" * 300) + frame(b"*" * size, opcode=8)
    assert read_exactly(stream, len(want)) == want
    stream.close()
    stream = upgrade(rig, "/")
    assert b" 502 " in read_head(stream), "a plain answer opens no WebSocket"
    stream = upgrade(rig, "/packed")
    read_head(stream)
    assert everything(stream) == b"", "compressed, and nobody asked for it"
    stream = upgrade(rig, "/extended")
    assert b" 502 " in read_head(stream)


def a_fresh_secret(rig):
    """E14: an answer that comes after the secret was changed has the one in it that it was asked with."""
    stream = tls(rig)
    request(stream, "GET", "/later", "api.test")
    while not any(b"/later" in head for head in asked):
        time.sleep(0.05)
    out, into = os.pipe()
    os.write(into, b"another-Value/43")
    os.close(into)
    rig.injectors["token"][1].sendmsg([bytes([CONTROL_SECRET, 0, 0, 0])], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [out]))])
    os.close(out)
    for _ in range(100):
        ask(rig, "/")
        if b"another-Value/43" in asked[-1]:
            break
        time.sleep(0.05)
    assert b"another-Value/43" in asked[-1], asked[-1]
    waiting.set()
    text = everything(stream)
    assert b"*" * len(SECRET) in text and not leaks(text), text


def credentials_in_trailers(rig):
    """E13, E15: the guest's own have no other way in."""
    for host in ("api.test", "open.test"):
        stream = tls(rig, host)
        stream.sendall(f"POST /in HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Api-Key: mine\r\nPrivate-Token: mine\r\nX-Sum: 1\r\n\r\n".encode())
        assert b" 200 " in everything(stream)
        assert b"mine" not in asked[-1] and b"x-sum: 1" in asked[-1], asked[-1]


def nothing_is_asked_twice(rig):
    """An upstream that hangs up may have acted on what it was asked: only what changes nothing is asked again."""
    for method, times in (("POST", 1), ("GET", 2)):
        assert ask(rig, "/stays")[0] == 200
        asked.clear()
        status, _, _ = ask(rig, "/acts", method=method, body=b"" if method == "POST" else None)
        assert status == 502 and sum(b"/acts" in head for head in asked) == times, (method, status, asked)


def interim_floods(rig):
    """E11: an upstream that never comes to its answer is left, and costs little."""
    stream = tls(rig)
    request(stream, "GET", "/flood", "api.test")
    text = everything(stream)
    assert text.count(b" 103 ") <= 64 and b" 200 " not in text, len(text)


def text(value):
    return struct.pack("<H", len(value) + 1) + value + b"\0"


def a_rogue_proxy(rig):
    """E22, E24: fields that would make two requests of one, or another's."""
    ours, channel = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    fds = {"--channel-fd": channel.fileno(), "--policy-fd": memfd("policy", bundle(rig.documents)), "--audit-fd": rig.audit_writer.fileno(), "--secret-fd": memfd("secret", SECRET.encode())}
    os.lseek(fds["--secret-fd"], 0, 0)
    rig.spawn("sandbox-injector", ["--dns", NAME_SERVER, "--trust-file", str(rig.roots), "--binding", "token", "--secret-name", "api"], fds)
    channel.close()
    ours.settimeout(60)
    fields = [(b"host", b"evil.test"), (b"transfer-encoding", b"chunked"), (b"content_length", b"7"), (b"connection", b"authorization"), (b"x-http-method-override", b"DELETE"), (b"x-fine", b"1")]
    payload = struct.pack("<BH", 1, 443) + text(b"api.test") + bytes([1]) + text(b"POST") + text(b"/rogue") + struct.pack("<QH", 5, len(fields))
    payload += b"".join(text(name) + text(value) for name, value in fields)
    ours.sendall(struct.pack("<BBHII", 1, 0, 0, 1, len(payload)) + payload + struct.pack("<BBHII", 32, 0, 0, 1, 5) + b"0\r\n\r\n")
    read_exactly(ours, 12)
    head = next(head for head in asked if b"/rogue" in head)
    assert head.count(b"host: ") == 1 and b"evil" not in head and b"x-fine: 1" in head, head
    for name in (b"transfer-encoding", b"content_length", b"connection", b"override"):
        assert name not in head, head


def main():
    in_namespace()
    with Rig(sys.argv[1], [(POLICY_LAYER_COMMAND, POLICY)], {"token": ("api", SECRET)}) as rig:
        serve(rig, ["api.test", "open.test"])
        run(rig, echoes_in_heads, codings_that_hide, messages, websocket, credentials_in_trailers, nothing_is_asked_twice, interim_floods, a_rogue_proxy, a_fresh_secret)


main()
