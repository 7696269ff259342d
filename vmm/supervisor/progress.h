/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * How a start is followed: sandbox-supervisor reads its spec from one inherited fd (JSON, from its start) and writes lines
 * of JSON to another: {"stage": WORD, "text": TEXT} as it goes, then one last {"ok": true, "data": status} or an error as
 * control.h has it, with its stage; then it closes the pipe. A reader that goes away before that cancels the start.
 */
#define PROGRESS_SPEC_FD 3
#define PROGRESS_FD	 4
