/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * H6: guest bytes on their way to the host's terminal.
 *
 * Theory of operation. A small state machine reads bytes as a terminal would and lets through what full-screen programs
 * need; everything else is left out. It is an allow-list: a sequence that is not known here does not pass. Left out are
 * every OSC (title, icon, hyperlink 8, clipboard 52, colour queries), DCS, APC, PM and SOS strings, C1 controls
 * (as bytes and as U+0080-009F), bidi controls (U+061C, 200E, 200F, 202A-202E, 2066-2069), ENQ, window and title
 * reports (CSI t), screen checksums, printing, keyboard modes that would outlive the session, and every query whose answer the
 * terminal would type, but cursor position (CSI 6 n), status (CSI 5 n) and DA1 (CSI c), which vim and readline need.
 * Invalid UTF-8 becomes '?'. Sequences and characters may be split over any chunks; an unfinished one is held back.
 *
 * Modes: SCREEN for a live terminal (above); LOG for stored output (text, line ends, colours and erase-in-line: no
 * queries, no modes, no cursor movement); TEXT for a field (no escape sequence at all, no line ends).
 *
 * A SCREEN filter remembers which modes are on, so that terminal_filter_reset() undoes those and no others.
 *
 * Pure: no I/O, no heap. Sources: ECMA-48, DEC VT520 manual, xterm's ctlseqs.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TERMINAL_FILTER_SEQUENCE_MAX 96 /* a CSI longer than this is left out */
#define TERMINAL_FILTER_STRING_MAX                                                                 \
	(1u << 20) /* an OSC or DCS without an end swallows this much at most */
#define TERMINAL_FILTER_RESET_MAX 512

enum terminal_filter_mode { TERMINAL_FILTER_SCREEN, TERMINAL_FILTER_LOG, TERMINAL_FILTER_TEXT };

enum terminal_filter_state {
	TERMINAL_GROUND,
	TERMINAL_ESCAPE, /* after ESC and its intermediates */
	TERMINAL_CSI,
	TERMINAL_CSI_IGNORE, /* too long: swallowed up to its final byte */
	TERMINAL_STRING, /* OSC, DCS, SOS, PM, APC or a title: swallowed */
	TERMINAL_STRING_ESCAPE, /* ESC inside a string */
	TERMINAL_UTF8, /* inside a character */
};

struct terminal_filter {
	enum terminal_filter_mode mode;
	enum terminal_filter_state state;
	bool string_is_osc; /* BEL ends it */
	bool mute; /* nothing that makes the terminal send bytes: queries, mouse and focus reports */
	bool guarded_utf8; /* the terminal is not UTF-8: characters holding bytes 80-9F become '?' */
	uint8_t held[TERMINAL_FILTER_SEQUENCE_MAX];
	size_t held_len;
	size_t utf8_need; /* bytes of the whole character */
	size_t string_len;
	uint32_t modes_on; /* bit per entry of the table of private modes */
};

void terminal_filter_init(
	struct terminal_filter *f, enum terminal_filter_mode mode, bool utf8_terminal);

/* Nobody but a shell reads what the terminal sends: the guest must not write there. After terminal_filter_init(). */
static inline void terminal_filter_mute(struct terminal_filter *f)
{
	f->mute = true;
}

/* What out must hold for len bytes of input. */
#define TERMINAL_FILTER_OUT_SIZE(len) ((len) + TERMINAL_FILTER_SEQUENCE_MAX)
/* Filters data[0..len) into out; gives the number of bytes written. */
size_t terminal_filter_run(
	struct terminal_filter *f, const uint8_t *data, size_t len, uint8_t *out);

/* The bytes that bring the terminal back: colours, character sets and the modes that are on. Gives their number. */
size_t terminal_filter_reset(
	const struct terminal_filter *f, char out[static TERMINAL_FILTER_RESET_MAX]);

/* One field in TEXT mode, cut at size - 1 bytes and ended by NUL. Gives out. */
const char *terminal_filter_text(const char *text, char *out, size_t size);
