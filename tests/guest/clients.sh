#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test: user=root limit=700 takes=225
# Real clients in a guest, unmodified, told nothing but an address: curl, node, wget (64 MiB), git, npm, pip, apt, a static binary, ssh,
# and what is no HTTP.
. "$TREE/tests/lib/clients.bash"

cat >"$folder/static.c" <<-'EOC'
	#include <netdb.h>
	#include <stdio.h>
	#include <string.h>
	#include <sys/socket.h>
	#include <unistd.h>
	int main(void)
	{
		const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
		const char *ask = "GET /said HTTP/1.0\r\nHost: api.test\r\n\r\n";
		struct addrinfo *found;
		char text[4096];
		ssize_t n;
		int fd, r = getaddrinfo("api.test", "80", &hints, &found);

		if (r != 0)
			return printf("getaddrinfo: %s\n", gai_strerror(r)), 1;
		fd = socket(found->ai_family, SOCK_STREAM, 0);
		if (connect(fd, found->ai_addr, found->ai_addrlen) != 0 || write(fd, ask, strlen(ask)) < 0)
			return perror("connect"), 1;
		while ((n = read(fd, text, sizeof(text))) > 0)
			fwrite(text, 1, (size_t)n, stdout);
		return n < 0;
	}
EOC
# musl's own resolver, and glibc's that loads nothing.
musl-gcc -static -o "$folder/static-musl" "$folder/static.c"
gcc -static -o "$folder/static-glibc" "$folder/static.c" 2>/dev/null
cat >"$folder/opaque.py" <<-'EOP'
	import socket, sys
	with socket.create_connection((sys.argv[1], 2222), 60) as s:
	    said = s.makefile("rwb")
	    print("it began:", said.readline())
	    said.write(b"\x00\xff no HTTP\n"); said.flush()
	    s.shutdown(socket.SHUT_WR)
	    print("it answered:", said.read())
EOP
# No two blocks are alike.
python3 -c "
import os, sys
block = os.urandom(1 << 20)
for i in range(64):
    sys.stdout.buffer.write(i.to_bytes(8, 'big') + block[8:])" >"$site/api.test/large"
needs curl wget git node npm
begin --memory 512M

note "curl, node"
says "curl over HTTP/2" "said by the api"$'\n'"over 2" 'curl -sS -w "over %{http_version}" https://api.test/said'
says "curl over HTTP/1.1" "said by the api"$'\n'"over 1.1" 'curl -sS --http1.1 -w "over %{http_version}" https://api.test/said'
says "node's fetch" "said by the api" 'node -e "fetch(\"https://api.test/said\").then(r => r.text()).then(console.log)"'

note "wget: 64 MiB, by processes that stay small"
# kib PID FIELD: of /proc/PID/status
kib() {
	awk -v field="$2:" '$1 == field { print $2 }' "/proc/$1/status"
}
declare -A resident
for pid in $(pgrep -f 'sandbox-(proxy|injector) --name clients '); do
	echo 5 >"/proc/$pid/clear_refs" # the peak begins anew
	resident[$pid]=$(kib "$pid" VmRSS)
done
[ "${#resident[@]}" -ge 3 ] || fail "a proxy and two injectors: ${resident[*]}"
begun=$SECONDS
says "wget" "$(sha256sum <"$site/api.test/large")" 'wget -q -O - https://api.test/large | sha256sum'
note "it took $((SECONDS - begun)) s"
for pid in "${!resident[@]}"; do
	peak=$(kib "$pid" VmHWM)
	note "$(cat "/proc/$pid/comm"): ${resident[$pid]} KiB before, $peak KiB at most"
	[ $((peak - resident[$pid])) -lt 8192 ] || fail "64 MiB through $(cat "/proc/$pid/comm"): it grew from ${resident[$pid]} to $peak KiB"
done
rm "$site/api.test/large"

note "git"
says "clone" "" 'cd /tmp && git clone -q https://git.test/repo.git && cd repo && git fsck && test "$(stat -c %s large)" = 1200000'
# more than git sends in one piece of a known length
says "push" "" 'cd /tmp/repo && git config user.email a@test && git config user.name a &&
	head -c 1200000 /dev/urandom >more && git add -A && git commit -qm two && git push -q origin main'
equal "what was pushed" two "$(git -c safe.directory='*' -C "$site/git.test/repo.git" log -1 --format=%s main)"
says "fetch" "" 'cd /tmp && git clone -q --depth 1 https://git.test/repo.git again && cmp repo/more again/more && cd again && git fetch -q --unshallow'

# with a token that is on the host only (E14, E15)
says "a private repository" "" 'cd /tmp && git clone -q https://git.test/mine/private.git && cd private && git config user.email a@test && git config user.name a &&
	echo >>README && git commit -qam two && git push -q origin main && git fetch -q'
equal "what was pushed there" two "$(git -c safe.directory='*' -C "$site/git.test/mine/private.git" log -1 --format=%s main)"
attempt "E14: the token in the guest" inside_root clients "grep -rlF '$(cat "$site/token")' /run /tmp /etc /home /root /workspace"

note "npm"
says "npm install" "tiny and leaf" 'mkdir /tmp/npm && cd /tmp/npm && echo "{}" >package.json && echo registry=https://npm.test/ >.npmrc &&
	npm install --no-update-notifier tiny && node -e "console.log(require(\"tiny\"))"'

note "pip"
says "pip install" "tiny of pip" 'cd /tmp && python3 -m pip install -q --disable-pip-version-check --index-url https://pip.test/simple/ --target /tmp/pip tiny &&
	PYTHONPATH=/tmp/pip python3 -c "import tiny; print(tiny.said)"'

note "apt"
for scheme in http https; do
	says "apt-get over $scheme" "tiny of apt" "sudo sh -c 'rm -f /etc/apt/sources.list.d/*; echo deb [trusted=yes] $scheme://apt.test/ ./ >/etc/apt/sources.list' &&
		sudo apt-get -q update && cd /tmp && apt-get -q download tiny && sudo apt-get -q install -y --reinstall tiny && cat /usr/share/tiny/said"
done

note "a static binary"
for libc in musl glibc; do
	says "static, $libc" "said by the api" "./static-$libc"
done

note "what is no HTTP"
says "a rule for tcp" "it answered: b'\\x00\\xff no HTTP\\n'" 'python3 opaque.py ssh.test'
says "a rule for ssh: the server's banner" "remote software version banner" 'ssh -v -o BatchMode=yes -o ConnectTimeout=60 -p 2222 git.test true 2>&1 | tail -n 20'
