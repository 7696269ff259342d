#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test: limit=400
# The image `host`: this machine's own tools in the guest, of /etc a positive list, and nothing that is written there stays.
. "$TREE/tests/lib/sandbox.bash"

folder=$(project image)
cd "$folder"
export CANARY=of-the-host
mkdir -p "$SCRATCH/else where/bin"
PATH="$SCRATCH/else where/bin:$folder/bin:$PATH" start image "$folder" --memory 512M -e GIVEN='a value' 2>said
contains "what of PATH the guest lacks is named" "$(cat said)" "$SCRATCH/else where/bin"
attempt "what it has is named too" grep -qE '/usr|image/bin' said

note "tools"
printf '#include <stdio.h>\nint main(void) { puts("compiled"); return 0; }\n' >hello.c
equal "cc, make" compiled "$(inside image 'cc -O1 -o hello hello.c && ./hello')"
printf 'all:\n\t@echo made by $(MAKE_VERSION)\n' >Makefile
contains "make" "$(inside image make)" "made by"
contains "git" "$(inside image 'git --version')" "git version"
equal "python3" "2 ok" "$(inside image 'python3 -c "import json, ssl, sqlite3; print(1 + 1, json.loads(\"[\\\"ok\\\"]\")[0])"')"
equal "node" "3 linux" "$(inside image 'node -e "console.log(1 + 2, process.platform)"')"
contains "npm" "$(inside image 'npm --version')" .
contains "perl" "$(inside image 'perl -e "print qq(perl \$^V)"')" "perl v"
equal "links of /" "usr/bin usr/lib usr/sbin" "$(inside image 'echo $(readlink /bin /lib /sbin)')"
equal "alternatives: awk, cc" "ok ok" "$(inside image 'awk "BEGIN { print \"ok\" }"; [ -x "$(readlink -f "$(command -v cc)")" ] && echo ok' | xargs)"
equal "dpkg knows what is installed" "install ok installed" "$(inside image 'dpkg-query -W -f "\${Status}" bash')"
equal "locale" "é 1" "$(inside image 'LC_ALL=C.UTF-8 bash -c "x=é; echo \$x \${#x}"')"
equal "the right zone" "$(date +%z)" "$(inside image 'date +%z')"
contains "certificates" "$(inside image 'ls -L /etc/ssl/certs')" ca-certificates.crt

note "the user"
equal "id" "1000 sandbox /home/sandbox" "$(inside image 'echo $(id -u) $(id -un) $HOME')"
equal "shell" /bin/bash "$(inside image 'getent passwd sandbox | cut -d: -f7')"
equal "home is its own" ok "$(inside image 'touch ~/x && mkdir -p ~/.cache/y && [ "$(stat -c %U ~)" = sandbox ] && echo ok')"
equal "/tmp" "1777 ok" "$(inside image 'stat -c %a /tmp; touch /tmp/x && echo ok' | xargs)"
if command -v sudo >/dev/null; then
	equal "sudo" root "$(inside image 'sudo -n id -un')"
	equal "sudo in a pipe" "0 ok" "$(inside image 'echo ok | sudo -n sh -c "id -u; cat"' | xargs)"
fi
equal "no other account of the host" "" "$(inside image 'cut -d: -f1 /etc/passwd' | grep -vxE "$(printf 'root|sandbox|nobody|daemon|bin|sys|sync|games|man|lp|mail|news|uucp|proxy|www-data|backup|list|irc|gnats|_apt|sshd|systemd.*|messagebus')")"
attempt "another one's password" inside image 'cat /etc/shadow 2>/dev/null'

note "environment"
equal "the host's variables" absent "$(inside image 'echo ${CANARY-absent}')"
equal "-e of start" "a value" "$(inside image 'echo $GIVEN')"
equal "names of all variables" "" "$(inside image 'env -0 | cut -z -d= -f1 | tr "\0" "\n"' |
	grep -vxE 'GIVEN|HOME|PATH|USER|LOGNAME|SHELL|LANG|PWD|TERM|SHLVL|OLDPWD|_|SANDBOX.*|TZ|XDG_.*|HOSTNAME|MAIL|TMPDIR|EDITOR|(HTTPS?|NO)_PROXY|(https?|no)_proxy|NODE_EXTRA_CA_CERTS|SSL_CERT_FILE|CURL_CA_BUNDLE|GIT_SSL_CAINFO|REQUESTS_CA_BUNDLE|PIP_CERT|CARGO_HTTP_CAINFO|npm_config_cafile|GRPC_DEFAULT_SSL_ROOTS_FILE_PATH')"
contains "of the sandbox" "$(inside image 'ls /run/sandbox')" instance
equal "instance" "$(data image instance)" "$(inside image 'cat /run/sandbox/instance')"
equal "tier" builder "$(inside image 'cat /run/sandbox/tier')"

note "/etc by positive list"
inside image 'cd /etc; find . -maxdepth 1 -mindepth 1 | sort' >etc
for name in ssh environment profile.d machine-id npmrc pip.conf shadow- passwd- cron.d crontab fstab; do
	grep -qx "./$name" etc && fail "/etc/$name of the host is in the guest"
done
equal "gitconfig is the agent's own" "[core] checkStat = minimal" "$(inside image 'cat /etc/gitconfig' | xargs)"
equal "the host's name is not" "" "$(inside image 'grep -rlF testbed /etc/hostname /etc/hosts 2>/dev/null')"

note "written, and gone"
inside_root image 'echo x >/usr/bin/new-tool; chmod 755 /usr/bin/new-tool; rm /usr/bin/perl; echo "# x" >>/etc/services; mkdir /opt/mine /var/lib/mine; echo x >/root/x'
equal "in the guest" "no ok" "$(inside image '[ -e /usr/bin/perl ] && echo yes || echo no; [ -x /usr/bin/new-tool ] && echo ok' | xargs)"
[ ! -e /usr/bin/new-tool ] || fail "the host's /usr was written"
[ -e /usr/bin/perl ] || fail "the host's perl is gone"
before=$(data image instance)
ctl restart image --grace 5s </dev/null
equal "gone" "yes no no no" "$(inside_root image 'for f in /usr/bin/perl /usr/bin/new-tool /opt/mine /root/x; do [ -e $f ] && echo yes || echo no; done' | xargs)"
equal "the workspace is not" compiled "$(inside image ./hello)"
attempt "the same instance id" test "$before" = "$(data image instance)"
attempt "the share itself" inside_root image 'mount | grep -E "^usr " | grep -v "[(,]ro[,)]"'
