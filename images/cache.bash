# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# images/cache.bash: what every script under images/ does with the cache. Sourced, never run.
#
# Everything that is fetched or built lands under $XDG_CACHE_HOME/sandboxctl, in a folder that is named after the
# digest of its inputs or after what it is. A folder appears there in one rename, complete or not at all; whoever makes
# it holds a lock meanwhile, so that any number of callers may ask for the same thing at once and one of them works.
# Nothing here needs root, and nothing is installed.

CACHE_ROOT=${XDG_CACHE_HOME:-${HOME:?HOME is not set}/.cache}/sandboxctl

# say TEXT: progress, for a human; stdout is kept for the one line that callers read.
say() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
}

# fail TEXT: the end, with the thing that is wrong and the way out in TEXT.
fail() {
	printf 'error: %s\n' "$*" >&2
	exit 1
}

# leave_root SCRIPT ARGUMENTS...: under sudo the caches, the build folder and the sandboxes are those of the user who called,
# not root's: goes on there with SCRIPT. Returns where there is nobody to go back to.
leave_root() {
	if [ "$(id -u)" -eq 0 ] && [ "${SUDO_UID:-0}" -ne 0 ]; then
		exec sudo -u "#$SUDO_UID" -H "$@"
	fi
}

# need PROGRAM PACKAGE: PROGRAM has to be there.
need() {
	command -v "$1" >/dev/null || PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null ||
		fail "program $1 is missing: apt-get install $2 (images/setup-host installs all that is needed)"
}

# cache_lock NAME: waits until this process alone works on NAME; held until the script ends.
cache_lock() {
	mkdir -p "$CACHE_ROOT/lock"
	exec {cache_lock_fd}>"$CACHE_ROOT/lock/$1"
	flock "$cache_lock_fd"
}

# cache_stage FOLDER: makes an empty folder beside FOLDER (one file system, so that a rename is enough) and prints it.
# What an interrupted run left there goes first: the lock says that nobody is at it.
cache_stage() {
	local stage=$1.new
	rm -rf "$stage"
	mkdir -p "$stage"
	printf '%s\n' "$stage"
}

# cache_publish STAGE FOLDER: from here on FOLDER is what STAGE was.
cache_publish() {
	rm -rf "$2"
	mv -T "$1" "$2"
}

# cache_point LINK TARGET: LINK names TARGET, at no moment nothing.
cache_point() {
	ln -sfn "$2" "$1.new"
	mv -T "$1.new" "$1"
}

# digest: sha256 of stdin, short enough for a folder's name.
digest() {
	local sum
	sum=$(sha256sum)
	printf '%.16s\n' "$sum"
}

# package_field PACKAGE FIELD: what the package manager's index says of its candidate; nothing when it has none.
package_field() {
	apt-cache show --no-all-versions "$1" 2>/dev/null | awk -v field="$2:" '$1 == field { print $2; exit }'
}

# package_download PACKAGE FOLDER: the package's file, in FOLDER, never installed; prints its path.
package_download() {
	local log=$2/download.log file
	if ! (cd "$2" && apt-get download -q "$1" >"$log" 2>&1); then
		fail "package $1 cannot be downloaded: $(grep -m1 '^E:' "$log" || tail -n1 "$log"). With a network, run" \
			"'apt-get update' and try again; without one, copy $CACHE_ROOT from a machine that has it"
	fi
	rm -f "$log"
	file=$(find "$2" -maxdepth 1 -name "${1}_*.deb" | head -n1)
	[ -n "$file" ] || fail "package $1: apt-get download left no file in $2"
	printf '%s\n' "$file"
}
