#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test: limit=200 user=root takes=20
# A host that slept, or whose clock was set: the guest has the right time soon after, and no age or time limit is told by it.
. "$TREE/tests/lib/sandbox.bash"

[ "${TESTBED:-}" = 1 ] || { echo "only a testbed's clock is set"; exit 77; }

# apart: seconds between the host's clock and the guest's.
apart() {
	local inside
	inside=$(inside clock 'date +%s')
	echo $((inside - $(date +%s)))
}

near() {
	local seconds
	seconds=$(apart)
	[ "${seconds#-}" -le 2 ]
}

start clock "$(project clock)" --timeout 1h
until_true 20 "the time at first" near
for step in '+3 hours' '-3 hours'; do
	date -s "$step" >/dev/null
	until_true 30 "the time after $step" near
	[ "$(data clock uptime_s)" -lt 600 ] || fail "an age of $(data clock uptime_s) s"
	equal "its state" running "$(data clock state)"
done
