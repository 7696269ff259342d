# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 by hand over streams of egress_rig.py, an origin for it, and how checks are run."""
import pathlib
import time

from tests.lib.egress_rig import ACCEPTED, ORIGIN, https, leaf


def request(stream, method, target, host, headers=(), body=None, close=True):
    head = [f"{method} {target} HTTP/1.1", f"Host: {host}"] + list(headers)
    if body is not None:
        head.append(f"Content-Length: {len(body)}")
    if close:
        head.append("Connection: close")
    stream.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + (body or b""))


def response(stream, method="GET"):
    """(status, headers in lower case, body); of a chunked one the trailers' text as a header."""
    reader = stream.makefile("rb", buffering=0)

    def line():
        out = b""
        while not out.endswith(b"\r\n"):
            byte = reader.read(1)
            if not byte:
                raise EOFError(out)
            out += byte
        return out[:-2].decode()

    def exactly(count):
        out = b""
        while len(out) < count:
            piece = reader.read(count - len(out))
            if not piece:
                raise EOFError(out)
            out += piece
        return out
    status, headers = int(line().split()[1]), {}
    while text := line():
        name, value = text.split(":", 1)
        headers[name.lower()] = value.strip()
    if method == "HEAD" or status in (101, 204, 304):
        return status, headers, b""
    if "content-length" in headers:
        return status, headers, exactly(int(headers["content-length"]))
    body = b""
    if headers.get("transfer-encoding") == "chunked":
        while size := int(line(), 16):
            body += exactly(size)
            line()
        while text := line():
            headers["trailers"] = text
        return status, headers, body
    while piece := reader.read(65536):
        body += piece
    return status, headers, body


def ask(rig, target, host="api.test", port=443, method="GET", **more):
    stream, verdict, texts = rig.connect(host, port)
    assert verdict == ACCEPTED, (verdict, texts)
    if port == 443:
        stream = https(rig, stream, host)
    request(stream, method, target, more.pop("authority", host), **more)
    out = response(stream, method)
    stream.close()
    return out


def start_origin(rig, names, script="origin.js", *words):
    rig.dns.names.update({name: [ORIGIN] for name in names})
    certificate, key = leaf(rig.folder, "roots", *names)
    origin = rig.start_origin("node", str(pathlib.Path(__file__).resolve().parent / script), ORIGIN, str(certificate), str(key), *words)
    assert origin.stdout.readline() == "ready\n"


def run(rig, *checks):
    for check in checks:
        begun = time.monotonic()
        check(rig)
        print(f"ok {check.__name__} ({time.monotonic() - begun:.1f} s)", flush=True)
