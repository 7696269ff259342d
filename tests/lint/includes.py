#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares #include lines with the table of docs/architecture.md: which folder may stand on which, and which file alone
may include a third-party library."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

# folder -> the folders whose headers it may include, itself always
MAY_INCLUDE = {
    "vmm/base": [],
    "vmm/jail": ["vmm/base"],
    "guest-agent/protocol": ["vmm/base"],
    "guest-agent/egress": ["vmm/base", "guest-agent/protocol"],
    "guest-agent": ["vmm/base", "guest-agent/protocol", "guest-agent/egress"],
    "vmm/machine": ["vmm/base", "vmm/jail", "vmm/virtio", "vmm/devices", "vmm/share"],
    "vmm/virtio": ["vmm/base", "vmm/machine"],
    "vmm/share": ["vmm/base"],
    "vmm/devices": ["vmm/base", "vmm/machine", "vmm/virtio", "vmm/share"],
    "vmm/link": ["vmm/base", "vmm/jail", "guest-agent/protocol", "vmm/devices"],
    "images": ["vmm/base", "vmm/jail"],
    "policy": ["vmm/base"],
    "vsock-proxy": ["vmm/base", "vmm/jail", "policy", "guest-agent/protocol", "vmm/supervisor"],
    "vmm/supervisor": ["vmm/base", "vmm/jail", "vmm/link", "vmm/share", "guest-agent/protocol", "images", "policy", "vsock-proxy"],
    "vmm/sandboxctl": ["vmm/base", "vmm/jail", "vmm/share", "vmm/supervisor", "guest-agent/protocol", "images", "policy"],
}

# Of some folders only these headers, each with its reason.
ALSO = {
    "vmm/link": {"vmm/devices": {"vmm/devices/vsock_broker.h"}},  # the messages by which streams change hands
    # What it says to proxy and injectors: control messages, a policy's bundle, the sandbox's CA; what all jailed processes begin with.
    "vmm/supervisor": {"vsock-proxy": {"vsock-proxy/bundle.h", "vsock-proxy/ca.h", "vsock-proxy/egress_control.h", "vsock-proxy/locked.h", "vsock-proxy/policy_digest.h", "vsock-proxy/process.h"}},
    # What an event is, as a message to the audit log's writer, and how it is sent.
    "vsock-proxy": {"vmm/supervisor": {"vmm/supervisor/audit/audit_event.h", "vmm/supervisor/audit/audit_sender.h"}},
}

# third-party header (regular expression) -> the only files or folders that may include it
LIBRARY = {
    r"jansson\.h": ["vmm/supervisor", "vmm/sandboxctl", "policy/reader.c", "images"],
    r"glib(/|\.h)|gio/": ["vmm/supervisor", "vmm/sandboxctl"],
    r"openssl/": ["images", "vmm/supervisor", "vsock-proxy/ca.c", "vsock-proxy/policy_digest.c", "vsock-proxy/tls_client.c", "vsock-proxy/tls_server.c", "vsock-proxy/tls_session.c"],
    r"seccomp\.h": ["vmm/jail"],
    r"cap-ng\.h": ["vmm/jail/caps.c"],
    r"linux/kvm\.h": ["vmm/machine", "vmm/jail/seccomp_vmm.c"],
    r"(lzma|zstd|zlib|lz4|lz4frame|brotli/.*)\.h": ["images/kernel", "images", "vsock-proxy/unmask.c"],
    r"libvirt/|guestfs\.h|netlink/": [],
    r"ares\.h": ["vsock-proxy/resolver.c"],
    r"libpsl\.h": ["policy/match.c"],
    r"nghttp2/": ["vsock-proxy/h2.c"],
    r"cmocka\.h": ["tests"],
}


def folder_of(path):
    for folder in sorted(MAY_INCLUDE, key=len, reverse=True):
        if path.startswith(folder + "/"):
            return folder
    return None


def complain(path, line, text):
    print(f"{path}:{line}: {text}", file=sys.stderr)
    return 1


def check_ours(path, line, folder, header):
    target = folder_of(header)
    if target is None:
        return complain(path, line, f"{header}: includes are written from the root: \"vmm/base/bytes.h\"")
    if folder is None or target == folder or header.startswith("tests/"):
        return 0
    if target not in MAY_INCLUDE[folder]:
        return complain(path, line, f"{folder} may not stand on {target} ({header})")
    allowed = ALSO.get(folder, {}).get(target)
    if allowed is not None and header not in allowed:
        return complain(path, line, f"{folder} may include of {target} only {', '.join(sorted(allowed))}")
    return 0


def check_library(path, line, header):
    for pattern, owners in LIBRARY.items():
        if re.match(pattern, header) and not any(path == o or path.startswith(o + "/") for o in owners + ["tests"]):
            return complain(path, line, f"<{header}> belongs to {', '.join(owners) or 'nobody yet'}")
    return 0


def check_file(path):
    name = str(path.relative_to(ROOT))
    folder = folder_of(name)
    bad = 0
    for number, text in enumerate(path.read_text(errors="replace").splitlines(), 1):
        ours = re.match(r'\s*#\s*include\s+"([^"]+)"', text)
        theirs = re.match(r"\s*#\s*include\s+<([^>]+)>", text)
        if ours and not ours.group(1).startswith("tests/"):
            bad += check_ours(name, number, folder, ours.group(1))
        elif theirs:
            bad += check_library(name, number, theirs.group(1))
    return bad


def main():
    files = [p for top in ("vmm", "guest-agent", "images", "policy", "vsock-proxy", "tests")
             for p in sorted((ROOT / top).rglob("*.[ch]"))]
    bad = sum(check_file(p) for p in files)
    print(f"includes: {len(files)} files, {bad} against the table")
    return 1 if bad else 0


sys.exit(main())
