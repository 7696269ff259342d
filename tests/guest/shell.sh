#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test: limit=400 takes=80
# What a person at a terminal sees: shell, job control, resize, full-screen programs, attach and detach; the terminal afterwards.
. "$TREE/tests/lib/sandbox.bash"
. "$TREE/tests/lib/terminal.bash"

folder=$(project shell)
cd "$folder"
seq -f 'line %g' 500 >long.txt
git init -q . && git add . && git -c user.name=t -c user.email=t@t commit -qm first
sed -i 's/^line 250$/line two hundred and fifty/' long.txt

start shell "$folder" -t -- bash --norc
ctl_q=$(printf %q "$SANDBOXCTL")

# settings NAME: of the terminal itself.
settings() {
	term_type "$1" "clear; stty -g | tr : '\n' | cksum; echo d''one"
	term_wait "$1" 20 '^done$' >&2
	term_screen "$1" | head -n1
}

note "a shell"
term_open one 80 24 "$ctl_q shell shell; echo left with \$?"
term_wait one 60 'sandbox.*\$ *$'
term_type one "PS1='guest> '; cd /workspace; clear"
term_wait one 20 '^guest> *$'
term_type one "tty; stty size; echo \$TERM"
term_wait one 20 '^/dev/pts/[0-9]+$'
term_wait one 20 '^24 80$'
term_resize one 100 30
term_type one "stty size"
term_wait one 20 '^30 100$'
term_type one "bash -c 'trap \"echo WINCH came\" WINCH; echo waits; while :; do sleep 0.2; done'"
term_wait one 20 '^waits$'
term_resize one 80 24
term_wait one 20 '^WINCH came$'

note "ctrl-c"
term_keys one C-c
term_type one "clear; sleep 300; echo ended with \$?"
sleep 1.5
term_keys one C-c
term_wait one 20 '^\^C'
term_type one "echo still here"
term_wait one 20 '^still here$'

note "job control"
term_type one "clear; sleep 301"
sleep 1
term_keys one C-z
term_wait one 20 'Stopped +sleep 301'
term_type one "bg; jobs"
term_wait one 20 'Running +sleep 301'
term_type one "fg"
sleep 1
term_keys one C-c
term_type one "clear; sleep 0.5 & wait; jobs; echo no jobs"
term_wait one 20 '^no jobs$'
term_keys one C-d
term_wait one 20 '^left with 0$'

note "full-screen programs"
term_type one "clear; $ctl_q exec shell -t -- vim -N -u NONE --noplugin -c 'set nocompatible laststatus=2 ruler' long.txt"
term_wait one 60 '^line 1 *$'
equal "vim fills the terminal" "line 22" "$(term_screen one | sed -n 22p | sed 's/ *$//')"
term_wait one 20 '^long.txt +.*1,1'
term_keys one G
term_wait one 20 '^line 500'
term_keys one i
term_wait one 20 '^-- INSERT --'
term_resize one 100 40
term_wait one 20 '^line 463 *$'
term_keys one Escape
term_type one ":q!"
term_wait one 20 '^host> *$'
term_resize one 80 24
term_type one "clear; $ctl_q exec shell -t -- less long.txt"
term_wait one 60 '^line 1$'
equal "less fills the terminal" "line 23" "$(term_screen one | sed -n 23p)"
term_keys one /
term_type one "line two"
term_wait one 20 '^line two hundred and fifty$'
term_keys one q
term_wait one 20 '^host> *$'
term_type one "clear; $ctl_q exec shell -t -- git -c color.ui=always diff"
term_wait one 60 '^\+line two hundred and fifty$'
equal "git's colours" yes "$(term capture-pane -e -p -t one | grep -q $'\e\[32m+' && echo yes)"
term_type one "q"
term_type one "clear; $ctl_q exec shell -t -- git -c core.pager='less -+F -+X' log"
term_wait one 60 '^ +first$'
term_wait one 20 'END'
term_keys one q
term_wait one 20 '^host> *$'
term_open two 80 24 true
equal "the terminal's settings are those of a new one" "$(settings two)" "$(settings one)"

note "attach, detach, attach again"
term_type one "clear; $ctl_q attach shell; echo back with \$?"
sleep 2
term_type one "PS1='main> '; clear"
term_wait one 30 '^main> *$'
term_type one 'i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo count $i; sleep 0.25; done'
term_wait one 20 '^count 3$'
term_keys one C-p C-q
term_wait one 20 '^back with 0$'
equal "it goes on" true "$(data shell session_running)"
sleep 2
# start, on one that runs, attaches.
term_type one "clear; $ctl_q start shell; echo back again with \$?"
term_wait one 20 '^count [1-9][0-9]$'
term_keys one C-p C-q
term_wait one 20 '^back again with 0$'
note "two at one command; a client that is killed"
term_type one "clear; $ctl_q attach shell; echo back once more with \$?"
term_type two "clear; $ctl_q attach shell"
term_wait one 20 '^count [1-9][0-9]+$'
term_wait two 20 '^count [1-9][0-9]+$'
term kill-session -t two
sleep 1
equal "it goes on" true "$(data shell session_running)"
term_keys one C-c
term_type one "echo not counting"
term_wait one 20 '^not counting$'
note "a client that is killed takes its command along"
term_open three 80 24 "$ctl_q exec shell -t -- sleep 302"
until_true 30 "it runs" inside shell 'pgrep -f "^sleep 302"'
term kill-session -t three
until_true 30 "it ended with its terminal" inside shell '! pgrep -f "^sleep 302"'

note "no terminal where there is none"
equal "no tty" "not a tty" "$(echo tty | ctl shell shell)"
equal "a shell reads commands" "3" "$(echo 'echo $((1+2))' | ctl shell shell)"

note "the main command's end is the machine's"
term_type one "exit 5"
term_wait one 30 '^back once more with 5$'
contains "the log" "$(ctl logs shell)" "count 3"
until_true 30 "it has stopped" is shell state stopped
equal "its exit code is kept" 5 "$(data shell exit_code)"

note "run, and what it leaves"
term_type one "clear; $ctl_q run brief --kernel minimal --memory 128M --cpus 1 -- bash --norc; echo run left with \$?"
sandboxes+=(brief)
term_wait one 60 '^bash.*\$ *$'
term_type one "tty; exit 3"
term_wait one 20 '^/dev/pts/[0-9]+$'
term_wait one 40 '^run left with 3$'
attempt "run left it" eval 'ctl ls -q | grep -qx brief'
term_open four 80 24 "$ctl_q run brief --kernel minimal --memory 128M --cpus 1 -- sleep 303"
until_true 60 "it runs" eval '[ "$(data brief state 2>/dev/null)" = running ] && inside brief "pgrep -x sleep" >/dev/null'
term kill-session -t four
until_true 40 "its terminal's end is run's, and the sandbox's" eval '! ctl ls -q | grep -qx brief'
