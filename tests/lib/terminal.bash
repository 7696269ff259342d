# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# For tests of what a person sees: a terminal of a known size (tmux, with a server of its own), typed into and read as text.
# After `. "$TREE/tests/lib/sandbox.bash"`. Every terminal is closed when the test ends.

# term_open NAME COLUMNS ROWS COMMAND: COMMAND (shell text) in a new terminal; what it leaves there can be read until term_close.
term_open() {
	term new-session -d -s "$1" -x "$2" -y "$3" "exec env -u TMUX -u TMUX_PANE bash --norc --noprofile"
	term_type "$1" "PS1='host> '; clear"
	term_wait "$1" 10 '^host> *$'
	term_type "$1" "$4"
}

# term ARGS...: tmux, with a server of its own.
term() {
	tmux -S "$SCRATCH/tmux" -f /dev/null "$@"
}

# term_type NAME TEXT: TEXT and Return.
term_type() {
	term send-keys -t "$1" -l "$2"
	term send-keys -t "$1" Enter
}

# term_keys NAME KEY...: keys by tmux's names: C-c, Escape, q.
term_keys() {
	local name=$1
	shift
	term send-keys -t "$name" "$@"
}

# term_resize NAME COLUMNS ROWS
term_resize() {
	term resize-window -t "$1" -x "$2" -y "$3"
}

# term_screen NAME: the lines on it, as text.
term_screen() {
	term capture-pane -p -t "$1"
}

# term_shows NAME PATTERN: whether a line on it matches PATTERN (grep -E).
term_shows() {
	term_screen "$1" | grep -qE -- "$2"
}

# term_wait NAME SECONDS PATTERN: until a line matches.
term_wait() {
	local end=$((SECONDS + $2))
	until term_shows "$1" "$3"; do
		if [ $SECONDS -ge $end ]; then
			term_screen "$1" >&2
			fail "terminal $1: no line like '$3' within $2 seconds"
			return 0
		fi
		sleep 0.2
	done
}

clean_up 'tmux -S "$SCRATCH/tmux" kill-server 2>/dev/null'
