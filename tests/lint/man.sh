#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# man.sh SANDBOXCTL: every verb and option of the command table stands in the man page, and no option that is in no table.
set -euo pipefail
cd "$(dirname "$0")/../.."
page=docs/man/sandboxctl.1.scd
bad=0

while read -r verb option; do
	if [ -z "$option" ]; then
		grep -qE "^## (.*, )?$verb( |,|$)" "$page" || { echo "man: verb $verb is not in $page" >&2; bad=1; }
	elif ! grep -qF -- "*$option*" "$page"; then
		echo "man: $verb $option is not in $page" >&2
		bad=1
	fi
done < <("$1" completion table)

while read -r option; do
	"$1" completion table | grep -qE -- " $option\$" || { echo "man: $option is in $page and in no table" >&2; bad=1; }
done < <(grep -oE '\*--[a-z-]+\*' "$page" | tr -d '*' | sort -u)

[ $bad -eq 0 ] && echo "man: the page and the table agree"
exit $bad
