#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Usage: proxy.py BUILD [--parts memory,rows,latency,bulk] [--only ROWS] [--rounds N] [--seconds S] [--with ours,nginx,squid,mitmproxy]

Requests per second, added latency, bulk and memory of sandbox-proxy with its injectors, beside nginx as a TLS reverse proxy that adds a
header, squid with ssl-bump and mitmproxy: between network namespaces made here (tests/lib/egress_rig.py), all in front of the
same origin, asked by the same client (load.c), in turns. One processor is the proxy's, whatever its processes are; the other is the
client's and the origin's. Results as one JSON object on stdout, which proxy_table.py reads."""
import argparse
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from tests.lib.egress_rig import INTERNET, ORIGIN, Rig, in_namespace, leaf  # noqa: E402

NAME = "api.test"
PLAIN = "plain.test"
HOST = f"{INTERNET}.1"
SECRET = "s3cr3t-Value/42+x-0123456789abcdef"
MIB = 1 << 20
BULK = 256 * MIB
PROXY_CPU, OTHERS_CPU = "0", "1"
POLICY = {
    "version": 1,
    "rules": [{"id": "origin", "action": "allow", "host": [NAME, PLAIN]}],
    "bindings": [{"id": "token", "secret": "api", "host": NAME, "methods": ["GET", "PUT"], "paths": ["/**"], "scheme": "bearer"}],
}
NEEDED = {"nginx": ("nginx", "nginx"), "squid": ("/usr/lib/squid/security_file_certgen", "squid-openssl"), "mitmproxy": ("mitmdump", "mitmproxy")}

# row: what the client is told. Rows of new connections are shorter, since each leaves ports behind.
ROWS = {}
for http, words in (("h1", ["--connections", "8"]), ("h2", ["--http2", "--connections", "2", "--streams", "4"])):
    for size, more in (("small", ["--path", "/small", "--body", "200"]), ("1 MiB", ["--path", "/large", "--body", str(MIB)])):
        ROWS[f"{http}, {size}, keep-alive"] = words + more
        ROWS[f"{http}, {size}, new connections"] = (["--http2"] if http == "h2" else []) + ["--connections", "8", "--renew"] + more

ORIGIN_CONF = """
daemon off; worker_processes 1; pid {folder}/origin.pid; error_log {folder}/origin.log error; user root;
events {{ worker_connections 4096; }}
http {{
    access_log off; keepalive_requests 100000000; keepalive_timeout 600; open_file_cache max=100; sendfile on; tcp_nopush on;
    client_body_temp_path {folder}/origin-body; client_max_body_size 0; default_type application/octet-stream;
    server {{
        listen {address}:443 ssl http2 backlog=4096; root {folder}/www; http2_max_concurrent_streams 128;
        http2_chunk_size 16k;
        ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_protocols TLSv1.3; ssl_ecdh_curve X25519;
        # Answered when all of it was read.
        location = /upload {{ proxy_pass http://127.0.0.1:81; client_body_buffer_size 257m; proxy_http_version 1.1; }}
    }}
    server {{ listen 127.0.0.1:81; location / {{ return 200 "ok"; }} }}
}}
"""

NGINX_CONF = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log error; user root;
events {{ worker_connections 8192; }}
http {{
    access_log off; keepalive_requests 100000000; keepalive_timeout 600; client_max_body_size 0;
    client_body_temp_path {folder}/nginx-body; proxy_temp_path {folder}/nginx-temp;
    upstream origin {{ server {address}:443; keepalive 64; keepalive_requests 100000000; }}
    server {{
        listen {host}:8443 ssl http2 backlog=4096;
        ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_protocols TLSv1.3; ssl_ecdh_curve X25519;
        location / {{
            proxy_pass https://origin; proxy_http_version 1.1; proxy_buffering off; proxy_request_buffering off;
            proxy_set_header Connection ""; proxy_set_header Host {name}; proxy_set_header Authorization "Bearer {secret}";
            proxy_ssl_verify on; proxy_ssl_trusted_certificate {roots}; proxy_ssl_name {name}; proxy_ssl_server_name on;
            proxy_ssl_protocols TLSv1.3; proxy_ssl_session_reuse on;
        }}
    }}
}}
"""

SQUID_CONF = """
http_port {host}:3128 ssl-bump generate-host-certificates=on dynamic_cert_mem_cache_size=4MB tls-cert={folder}/squid-ca.pem options=NO_SSLv3
sslcrtd_program /usr/lib/squid/security_file_certgen -s {folder}/squid-certs -M 4MB
sslcrtd_children 1 startup=1 idle=1
acl step1 at_step SslBump1
ssl_bump peek step1
ssl_bump bump all
http_access allow all
request_header_access Authorization deny all
request_header_add Authorization "Bearer {secret}" all
tls_outgoing_options cafile={roots}
cache deny all
memory_pools on
hosts_file {folder}/hosts
access_log none
cache_log {folder}/squid.log
cache_store_log none
pid_filename {folder}/squid.pid
coredump_dir {folder}
shutdown_lifetime 0 seconds
pinger_enable off
max_filedescriptors 8192
visible_hostname squid.test
server_persistent_connections on
client_persistent_connections on
buffered_logs on
"""


def pinned(cpu, *command):
    return ["taskset", "-c", cpu] + list(command)


def listens(address, port, child, log):
    for _ in range(300):
        try:
            socket.create_connection((address, port), 1).close()
            return
        except OSError:
            if child.poll() is not None:
                break
            time.sleep(0.1)
    raise SystemExit(f"bench proxy: nothing listens on {address}:{port}; see {log}:\n" + (log.read_text()[-2000:] if log.exists() else ""))


class Contender:
    """One proxy: its processes, and the client's words that lead through it."""

    def __init__(self, name, pids, way, trust, host=NAME):
        self.name, self.roots_of, self.way, self.trust, self.host = name, pids, way, trust, host

    def pids(self):
        """With children, for nginx's worker and squid's helpers."""
        found = list(self.roots_of)
        for pid in found:
            for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
                found += [int(word) for word in task.read_text().split()]
        return found

    def cpu(self):
        """Seconds used so far by all its processes."""
        ticks = 0
        for pid in self.pids():
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory(self):
        """KiB private and dirty, by process."""
        out = {}
        for pid in self.pids():
            text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
            out[f"{pathlib.Path(f'/proc/{pid}/comm').read_text().strip()} {pid}"] = int(text.split("Private_Dirty:")[1].split()[0])
        return out


class Bench(Rig):
    def __init__(self, build):
        super().__init__(build, [(0, POLICY)], {"token": ("api", SECRET)})
        self.load, self.contenders = self.build / "tests/bench/load", {}

    def prepare(self, wanted):
        www = self.folder / "www"
        www.mkdir()
        (www / "small").write_bytes(b"a small body, as an API may answer it.\n" * 5 + b"12345")
        (www / "large").write_bytes(os.urandom(MIB))
        (www / "bulk").write_bytes(os.urandom(MIB) * (BULK // MIB))
        for name in "net.ipv4.tcp_tw_reuse=1", "net.ipv4.ip_local_port_range=1024 65535", "net.core.somaxconn=4096":
            for where in [[], ["nsenter", "-n", "-t", str(self.internet)]]:
                subprocess.run(where + ["sysctl", "-qw", name], check=False, stderr=subprocess.DEVNULL)
        certificate, key = leaf(self.folder, "roots", NAME, PLAIN)
        self.dns.names.update({NAME: [ORIGIN], PLAIN: [ORIGIN]})
        self.values = {"folder": self.folder, "address": ORIGIN, "host": HOST, "certificate": certificate, "key": key, "roots": self.roots,
                       "name": NAME, "secret": SECRET}
        (self.folder / "origin.conf").write_text(ORIGIN_CONF.format(**self.values))
        self.origin = self.start_origin(*pinned(OTHERS_CPU, "nginx", "-c", str(self.folder / "origin.conf")))
        listens(ORIGIN, 443, self.origin, self.folder / "origin.log")
        self.contenders["direct"] = Contender("direct", [], ["--way", "direct", "--to", f"{ORIGIN}:443"], self.roots)
        for name in wanted:
            getattr(self, "start_" + name)()
            print(f"bench proxy: {name} is up", file=sys.stderr)

    def child(self, *command, **more):
        child = subprocess.Popen(["setpriv", "--pdeathsig", "KILL"] + pinned(PROXY_CPU, *command), stdout=subprocess.DEVNULL, **{"stderr": subprocess.DEVNULL} | more)
        self.children.append(child)
        return child

    def start_ours(self):
        pids = [self.proxy.pid] + [injector.pid for injector, _ in self.injectors.values()]
        for pid in pids:
            subprocess.run(["taskset", "-a", "-p", "-c", PROXY_CPU, str(pid)], check=True, stdout=subprocess.DEVNULL)
        way = ["--way", "stream", "--streams-fd", str(self.streams.fileno())]
        self.contenders["ours, binding"] = Contender("ours, binding", pids, way, self.ca)
        self.contenders["ours, none"] = Contender("ours, none", pids, way, self.ca, PLAIN)

    def start_nginx(self):
        (self.folder / "nginx.conf").write_text(NGINX_CONF.format(**self.values))
        child = self.child("nginx", "-c", str(self.folder / "nginx.conf"))
        listens(HOST, 8443, child, self.folder / "nginx.log")
        self.contenders["nginx"] = Contender("nginx", [child.pid], ["--way", "direct", "--to", f"{HOST}:8443"], self.roots)

    def start_squid(self):
        (self.folder / "squid-ca.pem").write_bytes(self.ca_text)
        (self.folder / "hosts").write_text(f"{ORIGIN} {NAME} {PLAIN}\n")
        (self.folder / "squid.conf").write_text(SQUID_CONF.format(**self.values))
        subprocess.run(["/usr/lib/squid/security_file_certgen", "-c", "-s", str(self.folder / "squid-certs"), "-M", "4MB"], check=True,
                       stdout=subprocess.DEVNULL)
        # It refuses to be root, which is what we are here.
        child = self.child("unshare", "--user", "--map-user=1000", "--map-group=1000", "squid", "-N", "-f", str(self.folder / "squid.conf"))
        listens(HOST, 3128, child, self.folder / "squid.log")
        self.contenders["squid"] = Contender("squid", [child.pid], ["--way", "connect", "--to", f"{HOST}:3128"], self.ca)

    def start_mitmproxy(self):
        home = self.folder / "mitmproxy"
        home.mkdir()
        (home / "mitmproxy-ca.pem").write_bytes(self.ca_text)
        child = self.child("mitmdump", "-q", "--listen-host", HOST, "--listen-port", "8080", "--set", f"confdir={home}", "--set",
                           f"ssl_verify_upstream_trusted_ca={self.roots}", "--set", "stream_large_bodies=64k", "--set", "block_global=false", "--set",
                           f"modify_headers=/~q/Authorization/Bearer {SECRET}", stderr=open(self.folder / "mitmproxy.log", "w"))
        listens(HOST, 8080, child, self.folder / "mitmproxy.log")
        self.contenders["mitmproxy"] = Contender("mitmproxy", [child.pid], ["--way", "connect", "--to", f"{HOST}:8080"], self.ca)

    def command(self, contender, words):
        # mitmproxy asks the system's resolver, which knows no such name: its CONNECT is for the address.
        more = ["--connect-to", ORIGIN] if contender.name == "mitmproxy" else []
        return pinned(OTHERS_CPU, str(self.load), "--name", contender.host, "--trust", str(contender.trust)) + contender.way + more + words

    def ask(self, contender, words):
        before = contender.cpu()
        done = subprocess.run(self.command(contender, words), pass_fds=[self.streams.fileno()], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=120)
        if done.returncode == 3:
            return None  # it does not speak HTTP/2
        if done.returncode != 0:
            print(f"bench proxy: {contender.name} {' '.join(words)}: {done.stderr}", file=sys.stderr)
            return {"error": done.stderr.strip()}
        result = json.loads(done.stdout)
        result["cpu"] = contender.cpu() - before
        result["rate"] = result["requests"] / result["seconds"]
        return result


def drain_audit(bench):
    """In a process of its own: the supervisor's part, which is on the other processor as the origin is."""
    pid = os.fork()
    if pid == 0:
        os.sched_setaffinity(0, {int(OTHERS_CPU)})
        while bench.audit.recv(65536):
            pass
        os._exit(0)
    return pid


def turns(bench, rows, rounds, seconds):
    found = {row: {name: [] for name in bench.contenders} for row in rows}
    for row in rows:
        for turn in range(rounds):
            for contender in bench.contenders.values():
                result = bench.ask(contender, ROWS[row] + ["--seconds", str(seconds)])
                if result and "error" not in result:
                    found[row][contender.name].append(result)
        print(row + ": " + ", ".join(f"{name} {median(results, 'rate'):.0f}" for name, results in found[row].items() if results), file=sys.stderr, flush=True)
    return found


def median(results, key):
    return statistics.median(r[key] for r in results) if results else 0


def latency(bench, rounds, seconds):
    found = {}
    sizes = (("small", ["--path", "/small"]), ("1 MiB", ["--path", "/large", "--body", str(MIB)]))
    for http in ("h1", "h2"):
        for row, words in [(f"{http}, {size}, {kept}", words + more) for size, words in sizes for kept, more in (("keep-alive", []), ("new connections", ["--renew"]))]:
            found[row] = {name: [] for name in bench.contenders}
            for turn in range(rounds):
                for contender in bench.contenders.values():
                    result = bench.ask(contender, words + (["--http2"] if http == "h2" else []) + ["--seconds", str(seconds)])
                    if result and "error" not in result:
                        found[row][contender.name].append(result)
            print("latency " + row + ": " + ", ".join(f"{name} {median(results, 'p50_us'):.0f}/{median(results, 'p99_us'):.0f}" for name, results in found[row].items()
                                                  if results), file=sys.stderr, flush=True)
    return found


def bulk(bench, rounds, only):
    found = {}
    for row, words in (("download", ["--path", "/bulk", "--body", str(BULK)]), ("upload", ["--path", "/upload", "--body", "2", "--upload", str(BULK)])):
        for http in ("h1", "h2") if not only or only in row else ():
            here = found[f"{row}, {http}"] = {name: [] for name in bench.contenders}
            for turn in range(rounds):
                for contender in bench.contenders.values():
                    if contender.name == "mitmproxy" and turn:
                        continue
                    result = bench.ask(contender, words + (["--http2"] if http == "h2" else []) + ["--requests", "1", "--seconds", "60"])
                    if result and "error" not in result and result["requests"]:
                        result["rate"] = BULK * result["requests"] / MIB / result["seconds"]
                        here[contender.name].append(result)
            print(f"bulk {row}, {http}, MiB/s: " + ", ".join(f"{name} {median(results, 'rate'):.0f}" for name, results in here.items() if results),
                  file=sys.stderr, flush=True)
    return found


def memory(bench, connections):
    """Idle, with so many connections that each had one answer, and after they have gone."""
    found = {}
    for contender in bench.contenders.values():
        # mitmproxy does not hold so many, and squid has no HTTP/2 towards its clients.
        if contender.name in ("direct", "ours, none", "mitmproxy"):
            continue
        for http in [[]] if contender.name == "squid" else ([], ["--http2"]):
            here = found[contender.name + (", h2" if http else ", h1")] = {"before": contender.memory()}
            holder = subprocess.Popen(bench.command(contender, http + ["--connections", str(connections), "--hold"]), pass_fds=[bench.streams.fileno()],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            line = holder.stdout.readline()
            here["held"] = json.loads(line)["held"] if line else 0
            time.sleep(0.5)
            here["with"] = contender.memory()
            holder.stdin.close()
            holder.wait(30)
            time.sleep(2)
            here["after"] = contender.memory()
            print(f"memory {contender.name} {http}: {here}", file=sys.stderr, flush=True)
    return found


def main():
    words = argparse.ArgumentParser()
    words.add_argument("build")
    words.add_argument("--with", dest="wanted", default="ours,nginx,squid,mitmproxy")
    words.add_argument("--parts", default="memory,rows,latency,bulk")
    words.add_argument("--only", help="rows that have this in their name")
    words.add_argument("--rounds", type=int, default=2)
    words.add_argument("--seconds", type=float, default=0.8)
    words = words.parse_args()
    wanted = words.wanted.split(",")
    lacking = [package for name, (program, package) in NEEDED.items() if name in wanted + ["nginx"] and not shutil.which(program)]
    if lacking:
        raise SystemExit(f"bench proxy: missing: {' '.join(lacking)} (images/setup-host --bench)")
    in_namespace()
    rows = [row for row in ROWS if not words.only or words.only in row]
    with Bench(words.build) as bench:
        bench.prepare(wanted)
        drain = drain_audit(bench)
        try:
            result = {}
            parts = words.parts.split(",")
            if "memory" in parts:
                result["memory"] = memory(bench, 1000)
            if "rows" in parts:
                result["rows"] = turns(bench, rows, words.rounds, words.seconds)
            if "latency" in parts:
                result["latency"] = latency(bench, words.rounds, words.seconds)
            if "bulk" in parts:
                result["bulk"] = bulk(bench, words.rounds, words.only)
        finally:
            os.kill(drain, 9)
            os.waitpid(drain, 0)
    print(json.dumps(result))


main()
