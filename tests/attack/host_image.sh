#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test: limit=600 user=root takes=100
# S11: canaries in every place of this machine that the image `host` could show, for a sandbox of an ordinary user and one of
# root's. They are planted, so only where the machine is thrown away afterwards: in the testbed.
set -euo pipefail
. "$TREE/tests/lib/sandbox.bash"

[ "${TESTBED:-}" = 1 ] || {
	echo "plants files in /etc and /usr: in the testbed only"
	exit 77
}
"$TREE/tests/testbed/as-dev" true
canary=canary-$RANDOM$RANDOM

# plant PATH MODE [OWNER]
plant() {
	mkdir -p "$(dirname "$1")"
	echo "$canary" >"$1"
	chmod "$2" "$1"
	chown "${3:-0:0}" "$1"
}

# What everybody may read and belongs to nobody else all the same: left out by name.
for path in /etc/npmrc /etc/pip.conf /etc/gitconfig /etc/environment /etc/profile.d/canary.sh /etc/machine-id /etc/apt/auth.conf \
	/etc/apt/auth.conf.d/canary.conf /etc/apt/apt.conf.d/99canary /etc/ssh/ssh_host_canary_key.pub /etc/cron.d/canary /etc/fstab /etc/netrc \
	/etc/docker/daemon.json /etc/NetworkManager/system-connections/canary /etc/wireguard/canary.conf /etc/canary.conf /opt/canary/token \
	/root/canary /home/canary/token /var/lib/canary/token /srv/canary /var/lib/canary2; do
	plant "$path" 644
done
# What a stranger may not read: by mode. A sandbox's files are its user's (dev's, 1001): that she could is no reason either.
plant /usr/share/canary-closed 600
plant /usr/share/canary-group 640 0:1001
plant /usr/share/canary-owned 600 1001:1001
mkdir -p /usr/share/canary-folder/inner
plant /usr/share/canary-folder/inner/open 644
chmod 750 /usr/share/canary-folder
chown 1001:1001 /usr/share/canary-folder
plant /etc/ssl/certs/canary-closed.pem 600 1001:1001
plant /etc/alternatives/canary-group 640 0:1001
plant /var/lib/dpkg/canary-owned 600 1001:1001
# And what is to be seen.
plant /usr/share/canary-open 644
plant /etc/ssl/certs/canary-open.pem 644

# look WHO EXEC...: EXEC runs a shell script in the guest as its root.
look() {
	local who=$1
	shift
	equal "$who: what everybody may read is there" "$canary" "$("$@" 'cat /usr/share/canary-open')"
	equal "$who: a certificate is there" "$canary" "$("$@" 'cat /etc/ssl/certs/canary-open.pem')"
	for path in /usr/share/canary-closed /usr/share/canary-group /usr/share/canary-owned /usr/share/canary-folder/inner/open \
		/var/lib/dpkg/canary-owned /etc/ssl/certs/canary-closed.pem /etc/alternatives/canary-group; do
		attempt "S11 $who: $path" "$@" "grep -q . $path"
		attempt "S11 $who: $path, after a chmod" "$@" "chmod 644 $path; chmod 755 $(dirname "$path"); grep -q . $path"
	done
	# All places with plants; dpkg's file lists are thousands, and none was planted among them.
	equal "S11 $who: canaries in the guest, of those with a name" "" \
		"$("$@" "grep -rlsI --exclude-dir=info $canary /etc /opt /root /home /var /srv /usr/share/canary* /mnt /media /run" |
			grep -vxE '/etc/ssl/certs/canary-open.pem|/usr/share/canary-open' || true)"
	equal "S11 $who: /opt" "" "$("$@" 'ls /opt 2>/dev/null')"
	attempt "S11 $who: the machine's id" "$@" "grep -q $canary /etc/machine-id"
}

note "a sandbox of an ordinary user"
install -d -o 1001 -g 1001 "$SCRATCH/dev"
export CGROUP=/sys/fs/cgroup/t-host-image
dev() {
	"$TREE/tests/testbed/as-dev" "$(printf '%q ' "$SANDBOXCTL" "$@") </dev/null"
}
clean_up 'dev rm --force ofdev >/dev/null 2>&1'
dev start ofdev --fresh --no-attach --workspace "$SCRATCH/dev" --kernel "$KERNEL" --cpus 1 --memory 256M
in_dev() {
	dev exec ofdev --user root -- sh -c "$1"
}
look dev in_dev
dev rm --force ofdev

note "a sandbox that root starts, in a folder of hers"
install -d -o 1001 -g 1001 "$SCRATCH/root"
start ofroot "$SCRATCH/root"
in_root() {
	inside_root ofroot "$1" </dev/null
}
look root in_root
note "S1, S11: the raw share, without the overlay over it"
attempt "S11: mounted again" in_root "mkdir -p /tmp/m && mount -t 9p -o trans=virtio,version=9p2000.L usr /tmp/m && grep -rq . /tmp/m/share/canary-owned"
echo "host image: held"
