#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# cppcheck over the product's sources. Suppressed with reasons: see beside each.
set -euo pipefail
cd "$(dirname "$0")/../.."
# uninitvar: does not read our macros; gcc and the sanitizers judge that. invalidFunctionArg: its table forbids mmap's fd -1.
# readdirCalled, getpwuidCalled: one reader, one thread. memleak, resourceLeak: it does not know the cleanup attribute; LeakSanitizer judges that. normalCheckLevelMaxBranches: only says that it looked less deep; unusedStructMember: wire structs; unknownMacro: cleanup
# attributes; preprocessorErrorDirective: seccomp.h asks for a compiler.
cppcheck --quiet --error-exitcode=1 --enable=warning,portability --std=c11 --inline-suppr -j2 -I . \
	--suppress=uninitvar --suppress=invalidFunctionArg --suppress=readdirCalled --suppress=getpwuidCalled --suppress=memleak --suppress=resourceLeak --suppress=normalCheckLevelMaxBranches --suppress=unusedStructMember --suppress=unknownMacro \
	--suppress=preprocessorErrorDirective --suppress='*:/usr/include/*' \
	-D__x86_64__=1 -D_GNU_SOURCE=1 --library=posix vmm guest-agent images policy
echo "cppcheck: clean"
