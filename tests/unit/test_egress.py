#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""sandbox-proxy and sandbox-injector together, between a guest that is this program and an internet made here (tests/lib/egress_rig.py).
What each module promises by itself is in its own test; this is what only both together can be seen doing. Usage: test_egress.py BUILD"""
import base64
import hashlib
import json
import os
import pathlib
import random
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from tests.lib.egress_http import *  # noqa: E402,F403
from tests.lib.egress_rig import *  # noqa: E402,F403

SECRET = "s3cr3t-Value/42+x"
POLICY = {
    "version": 1,
    "rules": [
        {"id": "api", "action": "allow", "host": "api.test", "port": [80, 443], "methods": ["GET", "POST", "HEAD"], "paths": ["/v1/**"], "websocket": True},
        {"id": "small", "action": "allow", "host": "small.test", "request_bytes_max": 1000},
        {"id": "limited", "action": "allow", "host": "limited.test"},
        {"id": "inside", "action": "allow", "host": ["rebind.test", "inside.test", "loop.test"]},
        {"id": "raw", "action": "allow", "host": "raw.test", "protocol": "tcp", "port": 7000},
        {"id": "blind", "action": "allow", "host": "blind.test", "protocol": "tls"},
        {"id": "bad", "action": "allow", "host": "untrusted.test"},
    ],
    "bindings": [{"id": "token", "secret": "api", "host": "api.test", "methods": ["GET", "POST"], "paths": ["/v1/**"], "scheme": "bearer"}],
    "limits": [{"id": "two", "host": "limited.test", "requests_per_hour": 2}],
}


def allowed_and_denied(rig):
    status, headers, body = ask(rig, "/v1/x?q=1", headers=["X-Mine: 1"])
    seen = json.loads(body)
    assert status == 200 and seen["url"] == "/v1/x?q=1" and seen["headers"]["x-mine"] == "1", body
    assert seen["version"] == "2.0", "upstream speaks HTTP/2 where it can"
    status, headers, body = ask(rig, "/v2/x")
    denial = json.loads(body)
    assert status == 403 and denial["error"] == "denied" and denial["reason"] == "path" and denial["rule"] == "api", body
    assert denial["command"].startswith("sandboxctl policy allow "), denial
    assert headers["proxy-status"].startswith("sandboxctl; error=http_request_denied"), headers
    assert ask(rig, "/v1/x", method="DELETE")[0] == 403
    assert ask(rig, "/", host="nobody.test")[0] == 403
    assert rig.connect("nobody.test", 22)[1] == 2, "no HTTP is spoken there: the connection is denied"
    assert not [n for n, _ in rig.dns.asked if n == "nobody.test"], "E7: nobody asked for what is denied"


def credentials(rig):
    """E13, E14, E15"""
    _, _, body = ask(rig, "/v1/x?api_key=mine&a=b", headers=["Authorization: Bearer guest", "Cookie: a=b", "X_Api_Key: k"])
    seen = json.loads(body)
    assert "guest" not in body.decode() and "cookie" not in seen["headers"] and "x_api_key" not in seen["headers"], body
    assert seen["url"] == "/v1/x?a=b" and SECRET not in body.decode(), seen
    assert set(seen["headers"]["authorization"]) <= set("Bearer *"), "what came back is masked"
    for query in ("", "?step=3", "?as=gzip", "?as=deflate&step=5", "?as=br", "?as=br&step=3", "?as=zstd", "?as=zstd&step=3"):
        status, headers, body = ask(rig, "/v1/echo" + query)
        assert status == 200, (query, status, body)
        text = body.decode() + json.dumps(headers)
        for form in (SECRET, base64.b64encode(SECRET.encode()).decode(), SECRET.encode().hex(), json.dumps(SECRET), "42%2Bx"):
            assert form not in text, (query, form, text)
        assert body.count(b"*") > 50 and "set-cookie" not in headers, (query, headers, body)
    for unmaskable in ("unknown", "range"):
        status, _, body = ask(rig, f"/v1/echo?as={unmaskable}")
        assert status == 502 and b"could not be looked for" in body, (unmaskable, status, body)
    status, headers, body = ask(rig, "/v1/echo?as=trailers", headers=["TE: trailers"])
    assert status == 200 and SECRET not in json.dumps(headers) and "*" in headers.get("trailers", "*"), headers
    status, headers, _ = ask(rig, "/v1/redirect")
    assert status == 302 and headers["location"] == "https://elsewhere.test/", "handed to the guest"
    # Plain text carries no credential.
    status, _, body = ask(rig, "/v1/x", port=80)
    assert status == 200 and "authorization" not in json.loads(body)["headers"], body


def one_host_a_connection(rig):
    """E4, E9"""
    stream, _, _ = rig.connect("api.test", 443)
    stream = https(rig, stream, "api.test")
    request(stream, "GET", "/v1/x", "api.test", close=False)
    assert response(stream)[0] == 200
    request(stream, "GET", "/v1/x", "evil.test", close=False)
    assert response(stream)[0] == 421
    for target, want in (("evil.test:443", 421), ("api.test:443", 400)):
        request(stream, "CONNECT", target, target, close=False)
        assert response(stream)[0] == want
    stream.close()
    assert ask(rig, "http://api.test/v1/x", port=80)[0] == 400, "an absolute form names another proxy's business"
    for name in ("evil.test", None):
        stream, verdict, _ = rig.connect("api.test", 443)
        context = ssl.create_default_context(cafile=str(rig.ca))
        context.check_hostname = False
        try:
            context.wrap_socket(stream, server_hostname=name)
            raise AssertionError(f"TLS for {name} was served")
        except (ssl.SSLError, ConnectionError, EOFError, OSError):
            pass


def smuggling(rig):
    """E10, E12: refused before anybody upstream hears of it."""
    for bad in (b"GET /v1/x HTTP/1.1\r\nHost: api.test\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                b"GET /v1/x HTTP/1.1\nHost: api.test\n\n", b"GET /v1/x HTTP/1.1\r\nHost: api.test\r\nHost: evil.test\r\n\r\n",
                b"GET /v1/../v2 HTTP/1.1\r\nHost: api.test\r\n\r\n", b"GET /v1/%2e%2e/v2 HTTP/1.1\r\nHost: api.test\r\n\r\n",
                b"GET /v1/x HTTP/1.1\r\nHost: api.test\r\n folded: 1\r\n\r\n"):
        stream, _, _ = rig.connect("api.test", 443)
        stream = https(rig, stream, "api.test")
        stream.sendall(bad)
        status, _, body = response(stream)
        assert status in (400, 403), (bad, status)
        assert json.loads(body)["error"] == "denied"
        stream.close()


def addresses(rig):
    """E5, E6: what a name resolves to is judged at each connect, whatever the policy allows."""
    turn = []
    rig.dns.names["rebind.test"] = lambda: [ORIGIN] if not turn and not turn.append(1) else ["127.0.0.1"]
    ip("route", "add", "10.1.2.0/24", "via", ORIGIN)  # there is a way, and the policy names no private range
    for name, address, reason in (("inside.test", "10.1.2.3", "private"), ("loop.test", "127.0.0.1", "forbidden")):
        rig.dns.names[name] = [address]
        status, _, body = ask(rig, "/", host=name)
        assert status == 403 and json.loads(body)["reason"] == reason, (name, body)
    rig.dns.names["loop.test"] = [f"{INTERNET}.1"]  # the host's own, by its kernel
    time.sleep(1.2)
    status, _, body = ask(rig, "/", host="loop.test")
    assert status == 403 and json.loads(body)["reason"] == "forbidden", body


def bodies(rig):
    data = os.urandom(3 << 20)
    _, _, body = ask(rig, "/v1/put", method="POST", body=data)
    seen = json.loads(body)
    assert seen["size"] == len(data) and seen["sha256"] == hashlib.sha256(data).hexdigest()
    _, _, body = ask(rig, f"/v1/large?size={5 << 20}")
    assert len(body) == 5 << 20
    status, _, body = ask(rig, "/", host="small.test", method="POST", body=b"x" * 2000)
    assert status == 413, (status, body)
    begun = time.monotonic()
    stream, _, _ = rig.connect("api.test", 443)
    stream = https(rig, stream, "api.test")
    request(stream, "GET", "/v1/events", "api.test")
    first = stream.recv(65536)
    while b"data: 1" not in first:
        piece = stream.recv(65536)
        assert piece, first
        first += piece
    assert b"data: 3" not in first, "server-sent events are not held back"
    assert time.monotonic() - begun < 30
    stream.close()


def a_slow_reader_costs_little(rig):
    """A guest that asks for much and reads nothing: back-pressure up to the origin."""
    stream, _, _ = rig.connect("api.test", 443)
    stream = https(rig, stream, "api.test")
    request(stream, "GET", f"/v1/large?size={256 << 20}", "api.test")
    time.sleep(2)
    for child in (rig.proxy, rig.injectors["token"][0]):
        status = pathlib.Path(f"/proc/{child.pid}/status").read_text()
        rss = int(status.split("VmRSS:")[1].split()[0])
        assert rss < 400 << 10, f"{rss} KiB in {child.args[0]}"  # sanitizers keep a lot, 256 MiB of a body would show
    stream.close()


def limits(rig):
    for want in (200, 200, 429):
        status, headers, body = ask(rig, "/", host="limited.test")
        assert status == want, (status, body)
    denial = json.loads(body)
    assert denial["lifts_at"] > time.time() and int(headers["retry-after"]) > 0, (denial, headers)


def tunnels(rig):
    def serve():
        server = socket.create_server((ORIGIN, 7000))

        def run():
            while True:
                client, _ = server.accept()
                client.sendall(b"hello ")  # a server that speaks first
                while data := client.recv(4096):
                    client.sendall(data)
                client.close()
        threading.Thread(target=run, daemon=True).start()
    rig.there(serve)
    stream, verdict, texts = rig.connect("raw.test", 7000)
    assert verdict == ACCEPTED, texts
    stream.sendall(b"world")
    assert read_exactly(stream, 11) == b"hello world"
    stream.shutdown(socket.SHUT_WR)
    assert stream.recv(1) == b""
    assert rig.connect("raw.test", 7001)[1] == 2
    # An opaque TLS rule: the upstream's own certificate comes through.
    stream, verdict, _ = rig.connect("blind.test", 443)
    context = ssl.create_default_context(cafile=str(rig.roots))
    stream = context.wrap_socket(stream, server_hostname="blind.test")
    request(stream, "GET", "/v1/x", "blind.test")
    assert response(stream)[0] == 200


def as_a_proxy(rig):
    """CONNECT and absolute-form requests to the guest's proxy port."""
    stream, verdict, _ = rig.connect("", 0, EGRESS_PROXY)
    stream.sendall(b"CONNECT api.test:443 HTTP/1.1\r\nHost: api.test:443\r\n\r\n")
    assert read_exactly(stream, 12) == b"HTTP/1.1 200"
    while read_exactly(stream, 1) != b"\n" or read_exactly(stream, 2) != b"\r\n":
        pass
    stream = https(rig, stream, "api.test")
    request(stream, "GET", "/v1/x", "api.test")
    assert response(stream)[0] == 200
    stream, _, _ = rig.connect("", 0, EGRESS_PROXY)
    request(stream, "GET", "http://api.test/v1/x", "api.test")
    assert response(stream)[0] == 200
    stream, _, _ = rig.connect("", 0, EGRESS_PROXY)
    stream.sendall(b"CONNECT nobody.test:22 HTTP/1.1\r\nHost: nobody.test:22\r\n\r\n")
    status, headers, body = response(stream)
    assert status == 403 and json.loads(body)["reason"] == "no-rule" and "proxy-status" in headers, body


def websocket(rig):
    """Also to an origin that speaks HTTP/2, where it would take no WebSocket, and that was spoken to so just before."""
    ask(rig, "/v1/before")
    for port in (80, 443):
        stream, _, _ = rig.connect("api.test", port)
        if port == 443:
            stream = https(rig, stream, "api.test")
        request(stream, "GET", "/v1/socket", "api.test", close=False, headers=[
            "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + base64.b64encode(b"0" * 16).decode()])
        status, headers, _ = response(stream)
        assert status == 101 and headers["upgrade"] == "websocket" and "sec-websocket-accept" in headers, (port, status, headers)
        stream.sendall(b"\x81\x05frame")
        assert read_exactly(stream, 7) == b"\x81\x05frame"
        stream.close()
    stream, _, _ = rig.connect("limited.test", 80)
    request(stream, "GET", "/", "limited.test", headers=["Connection: Upgrade", "Upgrade: websocket"])
    assert response(stream)[0] == 403, "only where a rule says so"


def http2(rig):
    """A client of HTTP/2, many requests at once on one connection, one of them for another host."""
    port = bridge(rig, "api.test", 443)
    script = """
const http2 = require('http2'), tls = require('tls'), fs = require('fs');
const session = http2.connect('https://api.test', { createConnection: () => tls.connect({ port: %d, host: '127.0.0.1', servername: 'api.test', ca: fs.readFileSync('%s'), ALPNProtocols: ['h2'] }) });
let left = 21;
const done = () => { if (!--left) session.close(); };
for (let i = 0; i < 20; i++) {
	const request = session.request({ ':path': '/v1/n' + i, ':method': 'POST' });
	let status, body = '';
	request.on('response', (h) => { status = h[':status']; });
	request.on('data', (d) => { body += d; });
	request.on('end', () => { if (status !== 200 || JSON.parse(body).size !== 100000 || JSON.parse(body).url !== '/v1/n' + i) { console.log(status, body); process.exit(1); } done(); });
	request.end(Buffer.alloc(100000, 98));
}
const other = session.request({ ':path': '/v1/x', ':authority': 'evil.test' });
other.on('response', (h) => { if (h[':status'] !== 421) { console.log('authority', h); process.exit(1); } });
other.on('end', done); other.resume(); other.end();
session.on('error', (e) => { console.log(e); process.exit(1); });
setTimeout(() => { console.log('time is over'); process.exit(1); }, 60000).unref();
""" % (port, rig.ca)
    subprocess.run(["node", "-e", script], check=True, timeout=90)


def untrusted(rig):
    """A certificate that does not verify is an error of the upstream's, and nothing was sent to it."""
    status, _, body = ask(rig, "/", host="untrusted.test")
    assert status == 502 and b"certificate" in body, (status, body)


def reports(rig):
    stream, verdict, _ = rig.connect("", 0, EGRESS_REPORTS)
    assert verdict == ACCEPTED
    time.sleep(0.2)
    ask(rig, "/v2/told")
    verdict, texts = read_answer(stream)
    assert verdict == 2 and texts[0] == "api" and "https://api.test/v2/told" in texts[1], texts
    stream.close()


def recorded(rig):
    events = rig.events()
    assert any(e["decision"] == 1 and e["secret"] == "api" and e["path"] == "/v1/x" and e["status"] == 200 for e in events), events[:5]
    assert any(e["decision"] == 2 and e["path"] == "/v2/x" and e["rule"] == "api" for e in events)
    assert any(e["decision"] == 2 and e["detail"] == "forbidden" for e in events), "the injector tells too"
    assert all("?" not in e["path"] and len(e["policy"]) == 64 for e in events)
    assert SECRET not in json.dumps(events)


def a_new_policy(rig):
    """Reloaded at once, in the proxy and in the injectors; a bad one is refused."""
    new = json.loads(json.dumps(POLICY))
    new["blocked_hosts"] = "limited.test"
    new["rules"].append({"id": "late", "action": "allow", "host": "late.test"})
    rig.dns.names["late.test"] = [ORIGIN]
    assert ask(rig, "/", host="late.test")[0] == 403
    for documents in ([(POLICY_LAYER_COMMAND, new)], [(POLICY_LAYER_COMMAND, "{}")]):
        fd = memfd("policy", bundle(documents))
        for _, control in rig.injectors.values():
            send_fd(control, bytes([CONTROL_POLICY, 0, 0, 0]), fd)
        send_fd(rig.control, bytes([CONTROL_POLICY, 0, 0, 0]), fd)
    time.sleep(0.5)
    assert ask(rig, "/", host="late.test")[0] == 200
    assert ask(rig, "/", host="limited.test")[0] == 403


def a_killed_injector(rig):
    stream, _, _ = rig.connect("api.test", 443)
    stream = https(rig, stream, "api.test")
    request(stream, "GET", "/v1/events", "api.test", close=False)
    stream.recv(65536)
    rig.injectors["token"][0].send_signal(signal.SIGKILL)
    try:  # what was under way breaks off, visibly
        data = b""
        while piece := stream.recv(65536):
            data += piece
        assert b"0\r\n\r\n" not in data
    except (ssl.SSLError, ConnectionError):
        pass
    status, _, body = ask(rig, "/v1/x")
    assert status == 503 and b"replaced" in body, (status, body)
    rig.add_injector("token", memfd("policy", bundle(rig.documents)), "api", SECRET)
    time.sleep(0.5)
    assert ask(rig, "/v1/x")[0] == 200


def hostile_bytes(rig):
    """Whatever a guest says on a stream, the proxy goes on serving the others (V7's idea, E11)."""
    rng = random.Random(1)
    heads = [b"", b"\x00", b"\x01\x01\xff\xff\xff\xff", b"\x01\x09\x00\x00\x00\x00", os.urandom(300)]
    good = struct.pack("<BBHH", 1, EGRESS_CAPTURED, 443, 8) + b"api.test"
    proxy = struct.pack("<BBHH", 1, EGRESS_PROXY, 0, 0)
    heads += [good + b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(600), good + b"GET " + b"a" * 70000, good + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + os.urandom(100),
              proxy + b"CONNECT " + b"x" * 30000, proxy + b"CONNECT [::1]:22 HTTP/1.1\r\nHost: x\r\n\r\n", proxy + os.urandom(1000)]
    heads += [good[:rng.randrange(len(good))] for _ in range(20)] + [rng.randbytes(rng.randrange(1, 2000)) for _ in range(50)] + [good + rng.randbytes(rng.randrange(1, 2000)) for _ in range(50)]
    for head in heads:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        send_fd(rig.streams, b"\x01", theirs.fileno())
        theirs.close()
        try:
            ours.sendall(head)
            if rng.random() < 0.5:
                ours.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        rig.keep.append(ours)
    rig.streams.send(b"\x02")  # what no link says
    send_fd(rig.streams, b"\x02\x03", rig.lifeline[0])
    # HTTP/2 frames that break the rules, after an honest handshake: resets, settings and pings without end.
    for frame in (b"\x00\x00\x00\x04\x00\x00\x00\x00\x00", b"\x00\x00\x08\x06\x00\x00\x00\x00\x00" + b"x" * 8, b"\x00\x00\x04\x03\x00\x00\x00\x00\x01\x00\x00\x00\x08"):
        stream, _, _ = rig.connect("api.test", 443)
        stream = https(rig, stream, "api.test", ("h2",))
        stream.settimeout(2)  # who reads no answers is not read from either
        try:
            stream.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
            for _ in range(2000):
                stream.sendall(frame)
        except OSError:
            pass
        stream.close()
    assert rig.proxy.poll() is None, f"the proxy ended: {rig.proxy.returncode}"
    assert ask(rig, "/v1/x")[0] == 200


def text(value):
    return struct.pack("<H", len(value) + 1) + value + b"\0"


def record(kind, stream, payload):
    return struct.pack("<BBHII", kind, 0, 0, stream, len(payload)) + payload


def ask_injector(rig, host, path=b"/v1/x", method=b"GET", port=443, secure=1, stream=1):
    payload = struct.pack("<BH", 1, port) + text(host) + bytes([secure]) + text(method) + text(path) + struct.pack("<QH", 0, 0)
    return record(1, stream, payload)


def a_rogue_proxy(rig):
    """E22: who speaks to an injector gets what policy gives the guest, and no more."""
    policy = memfd("policy", bundle(rig.documents))

    def injector(binding, *secret):
        rig.add_injector(binding, policy, *secret)  # the proxy is told of one, too; this one's channel is ours
        ours, channel = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        words, fds = ["--dns", NAME_SERVER, "--trust-file", str(rig.roots)], {"--channel-fd": channel.fileno(), "--policy-fd": policy, "--audit-fd": rig.audit_writer.fileno()}
        if binding:
            words += ["--binding", binding, "--secret-name", secret[0]]
            fds["--secret-fd"] = memfd("secret", secret[1].encode())
            os.lseek(fds["--secret-fd"], 0, 0)
        child = rig.spawn("sandbox-injector", words, fds)
        channel.close()
        ours.settimeout(60)
        return child, ours
    for binding, secret, asked in (("", (), ask_injector(rig, b"nobody.test")),  # what no rule allows
                                   ("", (), ask_injector(rig, b"api.test")),  # what is another injector's
                                   ("token", ("api", SECRET), ask_injector(rig, b"small.test")),  # a host that is not this binding's
                                   ("token", ("api", SECRET), ask_injector(rig, b"api.test", path=b"/v2/x"))):
        child, channel = injector(binding, *secret)
        channel.sendall(asked)
        head = read_exactly(channel, 12)
        assert head[0] == 18, f"{binding or 'open'} did not deny {asked}: {head}"
        channel.close()
        child.wait(30)
    for bad in (os.urandom(64), ask_injector(rig, b"api.test\r\nx"), ask_injector(rig, b"API.test"), ask_injector(rig, b"api.test", path=b"/v1/../v2"),
                ask_injector(rig, b"api.test", method=b"GE T"), record(1, 0, b""), record(32, 7, b"x"), record(1, 1, b"") * 2,
                ask_injector(rig, b"nobody.test", stream=5) + ask_injector(rig, b"nobody.test", stream=5)):
        child, channel = injector("token", "api", SECRET)
        channel.sendall(bad)
        data = b""
        try:
            while piece := channel.recv(4096):
                data += piece
        except ConnectionError:
            pass
        assert child.wait(30) == 0 and SECRET.encode() not in data and (not data or data[0] == 18), (bad, child.returncode, data)
    time.sleep(0.5)


def no_audit_no_egress(rig):
    """H7: with its log's writer gone, nothing passes."""
    rig.audit.close()
    ask(rig, "/v2/x")  # the first event that cannot be told
    status, _, body = ask(rig, "/v1/x")
    assert status == 503 and b"audit log" in body, (status, body)


def main():
    in_namespace()
    with Rig(sys.argv[1], [(POLICY_LAYER_COMMAND, POLICY)], {"token": ("api", SECRET)}) as rig:
        names = ["api.test", "small.test", "limited.test", "rebind.test", "raw.test", "blind.test", "untrusted.test", "late.test"]
        rig.dns.names["untrusted.test"] = [ORIGIN]
        start_origin(rig, [n for n in names if n != "untrusted.test"])
        run(rig, allowed_and_denied, credentials, one_host_a_connection, smuggling, addresses, bodies, a_slow_reader_costs_little, limits,
            tunnels, as_a_proxy, websocket, http2, untrusted, reports, recorded, hostile_bytes, a_rogue_proxy, a_new_policy, a_killed_injector, no_audit_no_egress)
        for name, child in [("proxy", rig.proxy)]:
            assert child.poll() is None, f"{name} ended: {child.returncode}"


main()
