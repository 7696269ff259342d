#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# images/: kernel/fetch with a stand-in for the package manager, and initramfs/build on a kernel made for it.
set -euo pipefail
images=$(readlink -f "$(dirname "$0")/../../images")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export XDG_CACHE_HOME=$work/cache
kernels=$XDG_CACHE_HOME/sandboxctl/kernels

check() {
	local words=$1
	shift
	"$@" || { echo "not so: $words ($*)"; exit 1; }
}

same() {
	[ "$1" = "$2" ] || { printf 'expected <%s>, got <%s>\n' "$2" "$1"; return 1; }
}

# A package as the distribution makes them: a kernel, its configuration, modules, one of them compressed.
make_package() {
	local root=$work/root release=6.1.0-9-amd64
	local tree=$root/lib/modules/$release
	mkdir -p "$root/DEBIAN" "$root/boot" "$tree/kernel/net" "$work/bin"
	echo kernel >"$root/boot/vmlinuz-$release"
	echo CONFIG_X=y >"$root/boot/config-$release"
	echo nine >"$tree/kernel/net/9p.ko"
	echo net | xz >"$tree/kernel/net/9pnet.ko.xz"
	echo over >"$tree/kernel/net/overlay.ko"
	echo fuse >"$tree/kernel/net/fuse.ko"
	echo redir >"$tree/kernel/net/nft_redir.ko"
	echo tables >"$tree/kernel/net/nf_tables.ko"
	echo 'kernel/drivers/virtio/virtio_mmio.ko' >"$tree/modules.builtin"
	cat >"$root/DEBIAN/control" <<-CONTROL
		Package: linux-image-$release
		Version: 6.1.9-1
		Architecture: amd64
		Maintainer: nobody <nobody@example.org>
		Description: a kernel
	CONTROL
	dpkg-deb --root-owner-group -b "$root" "$work/linux-image-${release}_6.1.9-1_amd64.deb" >/dev/null
}

# The network can be taken away by removing $work/network.
make_package_manager() {
	cat >"$work/bin/apt-cache" <<-'STUB'
		#!/bin/sh
		case "$*" in
		"depends linux-image-amd64") echo "  Depends: linux-image-6.1.0-9-amd64" ;;
		show*linux-image-6.1.0-9-amd64) printf 'Version: 6.1.9-1\nSHA256: abc\n' ;;
		*) exit 100 ;;
		esac
	STUB
	cat >"$work/bin/apt-get" <<-STUB
		#!/bin/sh
		[ -e "$work/network" ] || { echo "E: no network" >&2; exit 100; }
		echo download >>"$work/downloads"
		cp "$work"/*.deb .
	STUB
	# Real depmod reads real modules; these are words.
	cat >"$work/bin/depmod" <<-'STUB'
		#!/bin/sh
		cat >"$2/lib/modules/$3/modules.dep" <<-DEP
			kernel/net/9pnet.ko.xz:
			kernel/net/9p.ko: kernel/net/9pnet.ko.xz
			kernel/net/overlay.ko:
			kernel/net/fuse.ko: kernel/net/nf_tables.ko
			kernel/net/nf_tables.ko:
			kernel/net/nft_redir.ko: kernel/net/nf_tables.ko
		DEP
	STUB
	chmod +x "$work"/bin/*
	touch "$work/network"
}

test_fetch() {
	local i words
	rm "$work/network"
	words=$("$images/kernel/fetch" 2>&1) && return 1
	check "offline is an error that names the way out" grep -q "no network.*apt-get update" <<<"$words"
	touch "$work/network"
	for i in 1 2 3; do
		"$images/kernel/fetch" 2>/dev/null >"$work/fetched.$i" &
	done
	wait
	check "all callers get the folder" same "$(cat "$work/fetched.3")" "$kernels/debian-6.1-generic"
	check "only one of them downloads" same "$(wc -l <"$work/downloads")" 1
	check "the version is the kernel's" same "$(cat "$kernels/debian-6.1-generic/version")" 6.1.0-9-amd64
	check "the kernel is there" test -s "$kernels/debian-6.1-generic/vmlinuz"
	rm "$work/network"
	check "what is there needs no network" "$images/kernel/fetch" generic 6.1 >/dev/null
	words=$("$images/kernel/fetch" desktop 2>&1) && return 1
	check "a wrong flavour is named" grep -q desktop <<<"$words"
}

# inside FILE NAME: a file of the archive.
inside() {
	cpio -i --quiet --to-stdout "$2" <"$1"
}

# A kernel that lies in a project is the project's word.
test_foreign_kernel() {
	local foreign=$work/project/debian-6.1-generic own theirs
	mkdir -p "$foreign/modules"
	echo secret >"$work/secret"
	cp "$work/secret" "$work/overlay.ko"
	echo stranger >"$work/agent"
	: >"$foreign/modules/modules.builtin"
	ln -s ../../../secret "$foreign/modules/overlay.ko"
	for entry in overlay.ko: ../../../overlay.ko: "$work/overlay.ko:"; do
		echo "$entry" >"$foreign/modules/modules.dep"
		if own=$("$images/initramfs/build" --kernel "$foreign" --agent "$work/agent" 2>"$work/words"); then
			echo "a file outside of the kernel's folder went into its initramfs: $entry"
			return 1
		fi
		check "it is named" grep -q "modules/.*overlay.ko is no file in its folder" "$work/words"
	done
	check "nothing of it stays" test -z "$(grep -rl secret "$XDG_CACHE_HOME/sandboxctl/initramfs")"
	# One that gives itself out for the distribution's, before that one has an initramfs with this agent.
	rm "$foreign/modules/overlay.ko"
	echo theirs >"$foreign/modules/overlay.ko"
	echo overlay.ko: >"$foreign/modules/modules.dep"
	cp "$kernels/debian-6.1-generic/package" "$foreign/package"
	theirs=$("$images/initramfs/build" --kernel "$foreign" --agent "$work/agent")
	own=$("$images/initramfs/build" --kernel debian-6.1-generic --agent "$work/agent")
	check "it has its own" same "$(inside "$theirs" modules/overlay.ko)" theirs
	check "and no other gets it" same "$(inside "$own" modules/overlay.ko)" over
}

test_initramfs() {
	local first second
	echo agent >"$work/agent"
	first=$("$images/initramfs/build" --kernel debian-6.1-generic --agent "$work/agent")
	check "init is the agent" same "$(inside "$first" init)" agent
	check "modules follow what they need" same "$(inside "$first" modules/order)" $'9pnet.ko\n9p.ko\noverlay.ko'
	check "what captures has its own list" same "$(inside "$first" modules/egress)" $'nf_tables.ko\nnft_redir.ko'
	check "the others wait" same "$(inside "$first" modules/later)" fuse.ko
	check "compressed modules are unpacked" same "$(inside "$first" modules/9pnet.ko)" net
	check "missing ones are told" grep -qx ext4 "$(dirname "$first")/missing"
	check "built-in ones are not missing" test -z "$(grep -x virtio_mmio "$(dirname "$first")/missing")"
	cp "$first" "$work/first"
	rm -rf "$XDG_CACHE_HOME/sandboxctl/initramfs"
	sleep 1
	second=$(umask 077 && "$images/initramfs/build" --kernel "$kernels/debian-6.1-generic" --agent "$work/agent")
	check "the same inputs give the same name" same "$second" "$first"
	check "the same inputs give the same bytes" cmp "$work/first" "$second"
	echo other >"$work/agent"
	second=$("$images/initramfs/build" --kernel debian-6.1-generic --agent "$work/agent")
	check "another agent gives another name" test "$first" != "$second"
	mkdir "$kernels/built-in"
	second=$("$images/initramfs/build" --kernel built-in --agent "$work/agent")
	check "a kernel without modules has an empty order" same "$(inside "$second" modules/order)" ""
	first=$second
	echo package >"$kernels/built-in/package"
	mkdir "$work/no-modules"
	second=$("$images/initramfs/build" --kernel built-in --agent "$work/agent")
	check "all kernels without modules have one" same "$second $("$images/initramfs/build" --kernel "$work/no-modules" --agent "$work/agent")" \
		"$first $first"
}

# Old files go, those used last stay.
test_pruning() {
	local i used
	for i in $(seq 40); do
		mkdir "$XDG_CACHE_HOME/sandboxctl/initramfs/old$i"
		touch -d "2020-01-01 00:$i" "$XDG_CACHE_HOME/sandboxctl/initramfs/old$i/used"
	done
	used=$("$images/initramfs/build" --kernel built-in --agent "$work/agent")
	echo newest >"$work/agent"
	"$images/initramfs/build" --kernel built-in --agent "$work/agent" >/dev/null
	check "as many stay as were meant to" same "$(find "$XDG_CACHE_HOME/sandboxctl/initramfs" -mindepth 1 -maxdepth 1 | wc -l)" 32
	check "what was used stays" test -e "$used"
	check "the oldest is gone" test ! -e "$XDG_CACHE_HOME/sandboxctl/initramfs/old1"
	# Another user's, in a cache that lies over theirs.
	mkdir "$work/stuck"
	printf '#!/bin/sh\ncase $* in *old*) exit 1 ;; esac\nexec /bin/rm "$@"\n' >"$work/stuck/rm"
	chmod +x "$work/stuck/rm"
	echo newer >"$work/agent"
	PATH=$work/stuck:$PATH "$images/initramfs/build" --kernel built-in --agent "$work/agent" >/dev/null || check "what cannot go is left" false
}

# Under sudo only the packages are root's business: kernel, build and sandboxes are the caller's.
test_quickstart_under_sudo() {
	local tree=$work/tree/images
	mkdir -p "$tree" "$work/sudo"
	cp "$images/quickstart" "$images"/*.bash "$tree"
	printf '#!/bin/sh\necho setup-host "$@"\n' >"$tree/setup-host"
	printf '#!/bin/sh\necho sudo "$@"\n' >"$work/sudo/sudo"
	printf '#!/bin/sh\necho 0\n' >"$work/sudo/id"
	chmod +x "$tree/setup-host" "$work/sudo"/*
	check "quickstart goes back to its caller" same "$(PATH=$work/sudo:$PATH SUDO_UID=1234 "$tree/quickstart")" \
		"setup-host --packages-only"$'\n'"sudo -u #1234 -H $tree/quickstart"
}

make_package
make_package_manager
export PATH=$work/bin:$PATH
test_fetch
test_initramfs
test_foreign_kernel
test_pruning
test_quickstart_under_sudo
