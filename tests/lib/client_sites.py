#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""client_sites.py TREE: what services.js serves to real clients: a git repository, registries of npm, pip, cargo and go with a
package `tiny` each, an apt repository with a package of that name. Made here, whole."""
import base64
import hashlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import zipfile

TOKEN = "ghx_The-Token/42+x"  # of private repositories
REPOSITORY_BYTES = 1200000


def put(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def tar(files):
    """files: name -> text; gzipped."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text), 0o644
            archive.addfile(entry, io.BytesIO(text.encode()))
    return out.getvalue()


def zipped(files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return out.getvalue()


def git(*words, at):
    identity = {"GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@test", "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@test"}
    subprocess.run(["git", "-C", str(at)] + list(words), check=True, stdout=subprocess.DEVNULL, env={"PATH": os.environ["PATH"], **identity})


def repository(bare, files):
    """A bare repository that takes pushes, with one commit."""
    work = bare.with_suffix(".work")
    for name, data in files.items():
        put(work / name, data)
    bare.mkdir(parents=True)
    git("init", "-q", "--bare", "-b", "main", at=bare)
    git("config", "http.receivepack", "true", at=bare)
    git("init", "-q", "-b", "main", at=work)
    git("add", "-A", at=work)
    git("commit", "-qm", "one", at=work)
    git("push", "-q", str(bare), "main", at=work)


def npm(site):
    for name, needs, text in (("tiny", {"@scope/leaf": "^1.0.0"}, "module.exports = 'tiny and ' + require('@scope/leaf');\n"),
                              ("@scope/leaf", {}, "module.exports = 'leaf';\n")):
        package = {"name": name, "version": "1.0.0", "main": "index.js", "dependencies": needs}
        data = tar({"package/package.json": json.dumps(package), "package/index.js": text})
        stem = f"{name.split('/')[-1]}-1.0.0.tgz"
        put(site / name / "-" / stem, data)
        package["dist"] = {"tarball": f"https://npm.test/{name}/-/{stem}", "shasum": hashlib.sha1(data).hexdigest(),
                           "integrity": "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()}
        put(site / name / "index.json", json.dumps({"name": name, "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": package}}))


def pip(site):
    data = zipped({"tiny/__init__.py": "said = 'tiny of pip'\n",
                   "tiny-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
                   "tiny-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
                   "tiny-1.0.dist-info/RECORD": "tiny/__init__.py,,\ntiny-1.0.dist-info/METADATA,,\ntiny-1.0.dist-info/WHEEL,,\ntiny-1.0.dist-info/RECORD,,\n"})
    name = "tiny-1.0-py3-none-any.whl"
    put(site / "files" / name, data)
    digest = hashlib.sha256(data).hexdigest()
    put(site / "simple" / "tiny" / "index.html", f'<!DOCTYPE html><html><body><a href="/files/{name}#sha256={digest}">{name}</a></body></html>\n')


def apt(site):
    stage = site.with_name("apt.stage")
    put(stage / "DEBIAN" / "control", "Package: tiny\nVersion: 1.0\nArchitecture: all\nMaintainer: t <t@test>\nDescription: tiny\n")
    put(stage / "usr/share/tiny/said", "tiny of apt\n")
    site.mkdir(parents=True)
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", str(stage), str(site / "tiny_1.0_all.deb")], check=True, stdout=subprocess.DEVNULL)
    data = (site / "tiny_1.0_all.deb").read_bytes()
    put(site / "Packages", (stage / "DEBIAN" / "control").read_text() + f"Filename: ./tiny_1.0_all.deb\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n")


def cargo(site, index):
    data = tar({"tiny-1.0.0/Cargo.toml": '[package]\nname = "tiny"\nversion = "1.0.0"\nedition = "2018"\n', "tiny-1.0.0/src/lib.rs": "pub const SAID: u8 = 1;\n"})
    put(site / "tiny" / "1.0.0" / "download", data)
    entry = {"name": "tiny", "vers": "1.0.0", "deps": [], "cksum": hashlib.sha256(data).hexdigest(), "features": {}, "yanked": False}
    # Both kinds of index: as a repository, and file by file (sparse).
    files = {"config.json": json.dumps({"dl": "https://cargo.test/{crate}/{version}/download"}), "ti/ny/tiny": json.dumps(entry) + "\n"}
    repository(index, files)
    for name, text in files.items():
        put(site / "sparse" / name, text)


def go(site):
    at, module = site / "example.test" / "tiny" / "@v", "module example.test/tiny\n"
    put(at / "list", "v1.0.0\n")
    put(at / "v1.0.0.info", json.dumps({"Version": "v1.0.0", "Time": "2026-01-01T00:00:00Z"}))
    put(at / "v1.0.0.mod", module)
    put(at / "v1.0.0.zip", zipped({"example.test/tiny@v1.0.0/go.mod": module, "example.test/tiny@v1.0.0/tiny.go": "package tiny\n"}))


def main():
    tree = pathlib.Path(sys.argv[1])
    repository(tree / "git.test" / "repo.git", {"README": "a repository\n", "large": os.urandom(REPOSITORY_BYTES)})
    repository(tree / "git.test" / "mine" / "private.git", {"README": "a private repository\n"})
    put(tree / "token", TOKEN)
    npm(tree / "npm.test")
    pip(tree / "pip.test")
    apt(tree / "apt.test")
    cargo(tree / "cargo.test", tree / "git.test" / "index.git")
    go(tree / "go.test")
    put(tree / "api.test" / "said", "said by the api\n")
    put(tree / "api.test" / "page.html", "<!DOCTYPE html><title>x</title><p id=p>no script</p><script>document.getElementById('p').textContent = 'a page ' + (6 * 7); fetch('/script-said-' + (6 * 7))</script>\n")
    (tree / "asked").touch()


if __name__ == "__main__":
    main()
