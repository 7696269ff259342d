/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/terminal_filter.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/array.h"

#define ESC	       0x1b
#define BEL	       0x07
#define CAN	       0x18
#define SUB	       0x1a
#define PARAMETERS_MAX 16

/* DECSET modes that pass, and what turns them off again. */
struct private_mode {
	unsigned int number;
	const char *undo; /* NULL: nothing to undo */
};

static const struct private_mode private_modes[] = {
	{ 1, "\033[?1l" }, /* application cursor keys */
	{ 5, "\033[?5l" }, /* reverse video */
	{ 6, "\033[?6l" }, /* origin */
	{ 7, NULL }, /* wrap; handled below: off is the odd state */
	{ 9, "\033[?9l" }, /* X10 mouse */
	{ 12, NULL }, /* blinking cursor */
	{ 25, NULL }, /* cursor; handled below */
	{ 47, "\033[?47l" }, /* alternate screen, three ways */
	{ 66, "\033>" }, /* application keypad */
	{ 69, "\033[?69l" }, /* left and right margins */
	{ 1000, "\033[?1000l" }, /* mouse: clicks, drags, all motion, focus, and their encodings */
	{ 1002, "\033[?1002l" }, { 1003, "\033[?1003l" }, { 1004, "\033[?1004l" },
	{ 1005, "\033[?1005l" }, { 1006, "\033[?1006l" }, { 1007, "\033[?1007l" },
	{ 1015, "\033[?1015l" }, { 1034, NULL }, /* readline sends it at start */
	{ 1047, "\033[?1047l" }, { 1048, NULL }, /* save and restore the cursor */
	{ 1049, "\033[?1049l" }, { 2004, "\033[?2004l" }, /* bracketed paste */
	{ 2026, "\033[?2026l" }, /* synchronised output */
};

/* Bits of modes_on beyond the table: states that other sequences set. */
#define MODE_WRAP_OFF	   (1u << 24)
#define MODE_CURSOR_HIDDEN (1u << 25)
#define MODE_KEYPAD	   (1u << 26)
#define MODE_INSERT	   (1u << 27)
#define MODE_MARGINS	   (1u << 28)
#define MODE_CURSOR_STYLE  (1u << 29)

static_assert(ARRAY_SIZE(private_modes) <= 24, "modes_on has 24 bits for the table");

struct sink {
	uint8_t *out;
	size_t len;
};

static void put(struct sink *s, const void *data, size_t len)
{
	memcpy(s->out + s->len, data, len);
	s->len += len;
}

static void put_byte(struct sink *s, uint8_t byte)
{
	s->out[s->len++] = byte;
}

void terminal_filter_init(
	struct terminal_filter *f, enum terminal_filter_mode mode, bool utf8_terminal)
{
	*f = (struct terminal_filter){ .mode = mode, .guarded_utf8 = !utf8_terminal };
}

static void set_mode_bit(struct terminal_filter *f, uint32_t bit, bool on)
{
	f->modes_on = on ? f->modes_on | bit : f->modes_on & ~bit;
}

static bool hold(struct terminal_filter *f, uint8_t byte)
{
	if (f->held_len >= sizeof(f->held))
		return false;
	f->held[f->held_len++] = byte;
	return true;
}

static void go(struct terminal_filter *f, enum terminal_filter_state state)
{
	f->state = state;
	if (state == TERMINAL_GROUND)
		f->held_len = 0;
}

/* C0 controls that pass, in the ground state and inside a sequence (where a terminal obeys them at once). */
static bool control_passes(const struct terminal_filter *f, uint8_t byte)
{
	switch (f->mode) {
	case TERMINAL_FILTER_TEXT:
		return false;
	case TERMINAL_FILTER_LOG:
		return byte == '\t' || byte == '\n' || byte == '\r';
	case TERMINAL_FILTER_SCREEN:
		return byte >= 0x07 && byte <= 0x0f; /* BEL BS HT LF VT FF CR SO SI */
	}
	return false;
}

/*
 * CSI
 */

/* held is ESC [ prefix? parameters intermediates final. Cut into its parts. */
struct csi {
	char prefix; /* one of < = > ? or 0 */
	const uint8_t *parameters;
	size_t parameters_len;
	char intermediate; /* 0: none, 1: more than one */
	char final;
};

static struct csi csi_of(const struct terminal_filter *f)
{
	const uint8_t *p = f->held + 2, *end = f->held + f->held_len - 1;
	struct csi c = { .final = (char)*end };

	if (p < end && *p >= 0x3c && *p <= 0x3f)
		c.prefix = (char)*p++;
	c.parameters = p;
	while (p < end && *p >= 0x30 && *p <= 0x3f)
		p++;
	c.parameters_len = (size_t)(p - c.parameters);
	if (p < end)
		c.intermediate = end - p == 1 ? (char)*p : 1;
	return c;
}

/* Numbers between semicolons; an empty one is 0. False where anything else is there or they are too many. */
static bool csi_numbers(const struct csi *c, unsigned int *numbers, size_t *ret_count)
{
	size_t count = 0;
	unsigned int v = 0;

	for (size_t i = 0; i <= c->parameters_len; i++) {
		uint8_t byte = i < c->parameters_len ? c->parameters[i] : ';';

		if (byte == ';') {
			if (count >= PARAMETERS_MAX)
				return false;
			numbers[count++] = v;
			v = 0;
		} else if (byte >= '0' && byte <= '9') {
			v = v > 100000 ? v : v * 10 + (unsigned int)(byte - '0');
		} else {
			return false;
		}
	}
	*ret_count = count;
	return true;
}

static void note_private_mode(struct terminal_filter *f, size_t index, bool on)
{
	switch (private_modes[index].number) {
	case 7:
		set_mode_bit(f, MODE_WRAP_OFF, !on);
		break;
	case 25:
		set_mode_bit(f, MODE_CURSOR_HIDDEN, !on);
		break;
	default:
		set_mode_bit(f, 1u << index, on);
		break;
	}
}

static bool private_mode_find(unsigned int number, size_t *ret_index)
{
	for (size_t i = 0; i < ARRAY_SIZE(private_modes); i++) {
		if (private_modes[i].number == number) {
			*ret_index = i;
			return true;
		}
	}
	return false;
}

/* Modes in which the terminal sends what nobody typed. */
static bool reports(unsigned int mode)
{
	return mode == 9 || (mode >= 1000 && mode < 1034);
}

/* CSI ? modes h or l: written anew with the modes that pass. */
static void csi_private_modes(struct terminal_filter *f, const struct csi *c, struct sink *s)
{
	unsigned int numbers[PARAMETERS_MAX];
	bool on = c->final == 'h', any = false;
	size_t count, index;

	if (!csi_numbers(c, numbers, &count))
		return;
	for (size_t i = 0; i < count; i++) {
		char text[16];

		if (!private_mode_find(numbers[i], &index) || (f->mute && reports(numbers[i])))
			continue;
		note_private_mode(f, index, on);
		put(s, text,
			(size_t)snprintf(
				text, sizeof(text), "%s%u", any ? ";" : "\033[?", numbers[i]));
		any = true;
	}
	if (any)
		put_byte(s, (uint8_t)c->final);
}

/* CSI h, l: insert mode alone (others lock the keyboard or change what Enter sends). */
static bool csi_ansi_mode(struct terminal_filter *f, const struct csi *c)
{
	if (c->parameters_len != 1 || c->parameters[0] != '4')
		return false;
	set_mode_bit(f, MODE_INSERT, c->final == 'h');
	return true;
}

static bool csi_query_passes(const struct terminal_filter *f, const struct csi *c)
{
	if (f->mute)
		return false;
	if (c->final == 'n')
		return c->parameters_len == 1 &&
		       (c->parameters[0] == '5' || c->parameters[0] == '6');
	return c->parameters_len == 0 || (c->parameters_len == 1 && c->parameters[0] == '0');
}

static bool csi_plain_passes(struct terminal_filter *f, const struct csi *c)
{
	unsigned int numbers[PARAMETERS_MAX];
	size_t count;

	switch (c->final) {
	case 'm':
		return true;
	case 'n':
	case 'c':
		return csi_query_passes(f, c);
	case 'h':
	case 'l':
		return csi_ansi_mode(f, c);
	case 'r':
		set_mode_bit(f, MODE_MARGINS, c->parameters_len > 0);
		return csi_numbers(c, numbers, &count);
	case 'T': /* with five parameters it starts a mouse mode that waits for an answer */
		return csi_numbers(c, numbers, &count) && count == 1;
	default:
		return strchr("@ABCDEFGHIJKLMPSXZ`abdefgsu", c->final) &&
		       csi_numbers(c, numbers, &count);
	}
}

/* Whether the whole sequence passes as it is. */
static bool csi_passes(struct terminal_filter *f, const struct csi *c)
{
	if (f->mode == TERMINAL_FILTER_TEXT)
		return false;
	if (f->mode == TERMINAL_FILTER_LOG)
		return !c->prefix && !c->intermediate && (c->final == 'm' || c->final == 'K');
	if (!c->prefix && !c->intermediate)
		return csi_plain_passes(f, c);
	if (c->prefix == '?' && !c->intermediate)
		return c->final == 'J' || c->final == 'K';
	if (c->prefix)
		return false;
	if (c->intermediate == ' ' && c->final == 'q') {
		set_mode_bit(f, MODE_CURSOR_STYLE, true);
		return true;
	}
	return c->intermediate == '!' && c->final == 'p' && c->parameters_len == 0;
}

static void csi_end(struct terminal_filter *f, struct sink *s)
{
	struct csi c = csi_of(f);

	if (f->mode == TERMINAL_FILTER_SCREEN && c.prefix == '?' && !c.intermediate &&
		(c.final == 'h' || c.final == 'l'))
		csi_private_modes(f, &c, s);
	else if (csi_passes(f, &c))
		put(s, f->held, f->held_len);
	go(f, TERMINAL_GROUND);
}

/*
 * ESC
 */
static void start_escape(struct terminal_filter *f)
{
	f->held_len = 0;
	hold(f, ESC);
	f->state = TERMINAL_ESCAPE;
}

static void start_string(struct terminal_filter *f, bool osc)
{
	f->string_is_osc = osc;
	f->string_len = 0;
	go(f, TERMINAL_GROUND);
	f->state = TERMINAL_STRING;
}

/* ESC final, with no intermediate. */
static bool escape_passes(struct terminal_filter *f, uint8_t byte)
{
	if (byte == '=' || byte == '>')
		set_mode_bit(f, MODE_KEYPAD, byte == '=');
	if (byte == 'c')
		f->modes_on = 0;
	return strchr("78=>DEHMNOcno|}~", byte) != NULL;
}

/* ESC intermediate final: character sets and DECALN; never the ones that turn UTF-8 off or 8-bit controls on. */
static bool escape_with_intermediate_passes(const struct terminal_filter *f)
{
	return f->held_len == 2 && strchr("()*+-./#", f->held[1]) != NULL;
}

static void escape_final(struct terminal_filter *f, uint8_t byte, struct sink *s)
{
	bool passes =
		f->held_len == 1 ? escape_passes(f, byte) : escape_with_intermediate_passes(f);

	if (passes && f->mode == TERMINAL_FILTER_SCREEN) {
		put(s, f->held, f->held_len);
		put_byte(s, byte);
	}
	go(f, TERMINAL_GROUND);
}

static void escape_first(struct terminal_filter *f, uint8_t byte, struct sink *s)
{
	switch (byte) {
	case '[':
		hold(f, byte);
		f->state = TERMINAL_CSI;
		break;
	case ']':
		start_string(f, true);
		break;
	case 'P':
	case 'X':
	case '^':
	case '_':
	case 'k': /* screen's title */
		start_string(f, false);
		break;
	default:
		escape_final(f, byte, s);
		break;
	}
}

static void ground_byte(struct terminal_filter *f, uint8_t byte, struct sink *s);

/* Bytes that act the same inside any sequence. True if byte was one of them. */
static bool sequence_control(struct terminal_filter *f, uint8_t byte, struct sink *s)
{
	if (byte == ESC) {
		start_escape(f);
	} else if (byte == CAN || byte == SUB) {
		go(f, TERMINAL_GROUND);
	} else if (byte >=
		   0x7f) { /* not part of any sequence: it ends the sequence and is read anew */
		go(f, TERMINAL_GROUND);
		ground_byte(f, byte, s);
	} else if (byte < 0x20) {
		if (control_passes(f, byte))
			put_byte(s, byte);
	} else {
		return false;
	}
	return true;
}

static void escape_byte(struct terminal_filter *f, uint8_t byte, struct sink *s)
{
	if (sequence_control(f, byte, s))
		return;
	if (byte < 0x30) {
		if (!hold(f, byte))
			go(f, TERMINAL_GROUND);
	} else if (f->held_len == 1) {
		escape_first(f, byte, s);
	} else {
		escape_final(f, byte, s);
	}
}

static void csi_byte(struct terminal_filter *f, uint8_t byte, struct sink *s)
{
	if (sequence_control(f, byte, s))
		return;
	if (f->state == TERMINAL_CSI && !hold(f, byte))
		f->state = TERMINAL_CSI_IGNORE;
	if (byte < 0x40)
		return;
	if (f->state == TERMINAL_CSI)
		csi_end(f, s);
	else
		go(f, TERMINAL_GROUND);
}

static void string_byte(struct terminal_filter *f, uint8_t byte)
{
	f->state = TERMINAL_STRING;
	if (byte == ESC)
		f->state = TERMINAL_STRING_ESCAPE;
	else if (byte == CAN || byte == SUB || (byte == BEL && f->string_is_osc) ||
		 ++f->string_len > TERMINAL_FILTER_STRING_MAX)
		go(f, TERMINAL_GROUND);
}

/* After ESC in a string: a backslash ends it; anything else begins a sequence of its own, as in a terminal. */
static void string_escape_byte(struct terminal_filter *f, uint8_t byte, struct sink *s)
{
	if (byte == '\\') {
		go(f, TERMINAL_GROUND);
		return;
	}
	start_escape(f);
	escape_byte(f, byte, s);
}

/*
 * UTF-8
 */
static size_t utf8_length(uint8_t lead)
{
	if (lead >= 0xc2 && lead <= 0xdf)
		return 2;
	if (lead >= 0xe0 && lead <= 0xef)
		return 3;
	if (lead >= 0xf0 && lead <= 0xf4)
		return 4;
	return 0; /* a stray continuation, an overlong lead or beyond U+10FFFF */
}

/* RFC 3629: the second byte's range depends on the first. */
static bool utf8_second_valid(uint8_t lead, uint8_t second)
{
	switch (lead) {
	case 0xe0:
		return second >= 0xa0 && second <= 0xbf;
	case 0xed:
		return second >= 0x80 && second <= 0x9f;
	case 0xf0:
		return second >= 0x90 && second <= 0xbf;
	case 0xf4:
		return second >= 0x80 && second <= 0x8f;
	default:
		return second >= 0x80 && second <= 0xbf;
	}
}

static uint32_t utf8_value(const uint8_t *p, size_t len)
{
	uint32_t v = p[0] & (0xffu >> (len + 1));

	for (size_t i = 1; i < len; i++)
		v = v << 6 | (p[i] & 0x3fu);
	return v;
}

/* Not shown at all: C1, bidi, and line and paragraph separators, tags and other invisible carriers of text. */
static bool character_hidden(uint32_t c)
{
	return (c >= 0x80 && c <= 0x9f) || c == 0x061c || c == 0x200e || c == 0x200f ||
	       (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff ||
	       (c >= 0xfff9 && c <= 0xfffb) || (c >= 0xe0000 && c <= 0xe007f);
}

static bool has_c1_byte(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i] >= 0x80 && p[i] <= 0x9f)
			return true;
	return false;
}

static void character_end(struct terminal_filter *f, struct sink *s)
{
	uint32_t c = utf8_value(f->held, f->held_len);

	if (f->guarded_utf8 && has_c1_byte(f->held, f->held_len))
		put_byte(s, '?');
	else if (!character_hidden(c))
		put(s, f->held, f->held_len);
	go(f, TERMINAL_GROUND);
}

static void utf8_byte(struct terminal_filter *f, uint8_t byte, struct sink *s)
{
	bool valid = f->held_len == 1 ? utf8_second_valid(f->held[0], byte) : (byte & 0xc0) == 0x80;

	if (!valid) {
		put_byte(s, '?');
		go(f, TERMINAL_GROUND);
		ground_byte(f, byte, s);
		return;
	}
	hold(f, byte);
	if (f->held_len == f->utf8_need)
		character_end(f, s);
}

static void ground_byte(struct terminal_filter *f, uint8_t byte, struct sink *s)
{
	if (byte == ESC) {
		start_escape(f);
	} else if (byte < 0x20) {
		if (control_passes(f, byte))
			put_byte(s, byte);
		else if (f->mode == TERMINAL_FILTER_TEXT)
			put_byte(s, '?');
	} else if (byte < 0x7f) {
		put_byte(s, byte);
	} else if (byte >= 0x80 && utf8_length(byte)) {
		f->held_len = 0;
		hold(f, byte);
		f->utf8_need = utf8_length(byte);
		f->state = TERMINAL_UTF8;
	} else if (byte > 0x9f) {
		put_byte(s, '?');
	}
}

static void filter_byte(struct terminal_filter *f, uint8_t byte, struct sink *s)
{
	switch (f->state) {
	case TERMINAL_GROUND:
		ground_byte(f, byte, s);
		break;
	case TERMINAL_ESCAPE:
		escape_byte(f, byte, s);
		break;
	case TERMINAL_CSI:
	case TERMINAL_CSI_IGNORE:
		csi_byte(f, byte, s);
		break;
	case TERMINAL_STRING:
		string_byte(f, byte);
		break;
	case TERMINAL_STRING_ESCAPE:
		string_escape_byte(f, byte, s);
		break;
	case TERMINAL_UTF8:
		utf8_byte(f, byte, s);
		break;
	}
}

size_t terminal_filter_run(struct terminal_filter *f, const uint8_t *data, size_t len, uint8_t *out)
{
	struct sink s = { .out = out };

	for (size_t i = 0; i < len; i++)
		filter_byte(f, data[i], &s);
	return s.len;
}

struct undo {
	uint32_t bit;
	const char *text;
};

static const struct undo undos[] = {
	{ MODE_WRAP_OFF, "\033[?7h" },
	{ MODE_CURSOR_HIDDEN, "\033[?25h" },
	{ MODE_KEYPAD, "\033>" },
	{ MODE_INSERT, "\033[4l" },
	{ MODE_MARGINS, "\0337\033[r\0338" },
	{ MODE_CURSOR_STYLE, "\033[0 q" },
};

static void append(char *out, size_t *len, const char *text)
{
	size_t n = strlen(text);

	if (*len + n < TERMINAL_FILTER_RESET_MAX) {
		memcpy(out + *len, text, n);
		*len += n;
	}
}

size_t terminal_filter_reset(
	const struct terminal_filter *f, char out[static TERMINAL_FILTER_RESET_MAX])
{
	size_t len = 0;

	for (size_t i = 0; i < ARRAY_SIZE(undos); i++)
		if (f->modes_on & undos[i].bit)
			append(out, &len, undos[i].text);
	for (size_t i = 0; i < ARRAY_SIZE(private_modes); i++)
		if ((f->modes_on & 1u << i) && private_modes[i].undo)
			append(out, &len, private_modes[i].undo);
	append(out, &len, "\017\033(B\033[0m"); /* first character set, ASCII, no colours */
	return len;
}

const char *terminal_filter_text(const char *text, char *out, size_t size)
{
	struct terminal_filter f;
	struct sink s = { .out = (uint8_t *)out };

	terminal_filter_init(&f, TERMINAL_FILTER_TEXT, true);
	while (*text && s.len + 8 < size)
		filter_byte(&f, (uint8_t)*text++, &s);
	out[s.len] = '\0';
	return out;
}
