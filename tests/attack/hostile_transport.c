/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest kernel that speaks vsock and 9P with its own tongue: forged packets, lies about sizes and credit, names that no kernel
 * would send. Claims V2, V3, V7, V8, V9, S1, S2, S8. Like hostile_kernel.c; the host's side is tests/attack/transport.py.
 */
#include "tests/attack/bare_guest.h"

enum { P9 = 9, VSOCK = 19 };
enum { RX, TX };
enum { REQUEST = 1, RESPONSE, RST, SHUTDOWN, RW, CREDIT_UPDATE, CREDIT_REQUEST };
enum { ECHO_PORT = 5000, DEAF_PORT = 5001 };

#define GUEST_CID 3
#define RX_SIZE	  8192u
#define SPARE_FID (1u << 20)
#define OUT	  (buffer) /* what is sent */
#define IN	  (buffer + 262144) /* what comes back */

/* -- vsock */

struct packet {
	uint64_t src_cid, dst_cid;
	uint32_t src_port, dst_port, len;
	uint16_t type, op;
	uint32_t flags, buf_alloc, fwd_cnt;
} __attribute__((packed));

static uint16_t rx_seen; /* used entries that were looked at */

static void give_rx(struct device *d, uint16_t slot)
{
	d->rings[RX].desc[slot] = (struct desc){ at(IN) + slot * RX_SIZE, RX_SIZE, F_WRITE, 0 };
	offer(d, RX, slot);
}

static bool start_vsock(struct device *d)
{
	if (!start(d))
		return false;
	rx_seen = 0;
	for (uint16_t i = 0; i < 8; i++)
		give_rx(d, i);
	return true;
}

/* The next packet's head, or NULL where none comes. Its buffer is given back at once. */
static const struct packet *receive(struct device *d, unsigned int polls)
{
	static struct packet head;
	struct ring *r = &d->rings[RX];

	for (unsigned int i = 0; i < polls && r->used_idx == rx_seen; i++)
		__asm__ volatile("pause");
	if (r->used_idx == rx_seen)
		return NULL;
	uint16_t slot = (uint16_t)r->used[rx_seen++ % QUEUE].id;

	memcpy(&head, IN + slot * RX_SIZE, sizeof(head));
	give_rx(d, slot);
	return &head;
}

static struct packet packet(uint16_t op, uint32_t src_port, uint32_t dst_port)
{
	return (struct packet){ .src_cid = GUEST_CID,
		.dst_cid = 2,
		.src_port = src_port,
		.dst_port = dst_port,
		.type = 1,
		.op = op,
		.buf_alloc = 65536 };
}

/* The head in OUT and `payload` bytes behind it, in one descriptor. */
static bool send(struct device *d, const struct packet *p, uint32_t payload)
{
	memcpy(OUT, p, sizeof(*p));
	d->rings[TX].desc[0] = (struct desc){ at(OUT), sizeof(*p) + payload, 0, 0 };
	offer(d, TX, 0);
	return wait_used(d, TX);
}

/* The answer with this op to that guest port; others are passed over. */
static bool expect(struct device *d, uint16_t op, uint32_t guest_port)
{
	const struct packet *p;

	for (unsigned int i = 0; i < 4096; i++) {
		p = receive(d, POLLS / 3);
		if (!p)
			return false;
		if (p->op == op && p->dst_port == guest_port)
			return p->src_cid == 2 && p->dst_cid == GUEST_CID;
	}
	return false;
}

static bool silent(struct device *d)
{
	return receive(d, 200000) == NULL;
}

static bool connect(struct device *d, uint32_t guest_port, uint32_t port)
{
	struct packet p = packet(REQUEST, guest_port, port);

	return send(d, &p, 0) && expect(d, RESPONSE, guest_port);
}

static bool echoes(struct device *d, uint32_t guest_port)
{
	struct packet p = packet(RW, guest_port, ECHO_PORT);

	p.len = 100;
	return connect(d, guest_port, ECHO_PORT) && send(d, &p, 100) && expect(d, RW, guest_port);
}

static bool vsock_split_head(void)
{
	struct device *d = find(VSOCK, 0);
	struct desc *table = (struct desc *)(buffer + 65536);
	struct packet p = packet(REQUEST, 700, ECHO_PORT);

	if (!start_vsock(d))
		return false;
	memcpy(OUT, &p, sizeof(p));
	for (uint16_t i = 0; i < 15; i++)
		table[i] = (struct desc){ at(OUT) + i * 3u, i == 14 ? 2 : 3,
			(uint16_t)(i == 14 ? 0 : F_NEXT), (uint16_t)(i + 1) };
	d->rings[TX].desc[0] = (struct desc){ at(table), 15 * sizeof(struct desc), F_INDIRECT, 0 };
	offer(d, TX, 0);
	return wait_used(d, TX) && expect(d, RESPONSE, 700);
}

static bool vsock_forged_addresses(void)
{
	static const uint64_t sources[] = { 0, 1, 2, 4, UINT32_MAX, UINT64_MAX, 1ull << 32 | 3 };
	struct device *d = find(VSOCK, 0);
	struct packet p;

	if (!start_vsock(d))
		return false;
	for (unsigned int i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		p = packet(REQUEST, 800 + i, ECHO_PORT);
		p.src_cid = sources[i];
		if (!send(d, &p, 0) || !silent(d))
			return false;
	}
	/* To others than the host; of another type; for streams that are nobody's: RST, and nothing else. */
	for (unsigned int i = 0; i < 8; i++) {
		p = packet(REQUEST, 820 + i, ECHO_PORT);
		if (i < 4)
			p.dst_cid = sources[i == 2 ? 6 : i];
		else if (i == 4)
			p.type = 2;
		else
			p.op = (uint16_t)(i == 5 ? RW : i == 6 ? RESPONSE : 0xffff);
		if (!send(d, &p, 0))
			return false;
		const struct packet *answer = receive(d, POLLS / 3);

		if (!answer || answer->op != RST)
			return false;
	}
	/* A second REQUEST for a stream that is open ends that one. */
	if (!connect(d, 900, ECHO_PORT))
		return false;
	p = packet(REQUEST, 900, ECHO_PORT);
	return send(d, &p, 0) && expect(d, RST, 900) && echoes(d, 901);
}

static bool vsock_refused_port(void)
{
	struct device *d = find(VSOCK, 0);
	struct packet p = packet(REQUEST, 1000, 22);

	return start_vsock(d) && send(d, &p, 0) && expect(d, RST, 1000);
}

/* More than was allowed, to a reader that takes nothing: the stream is ended, and never more kept than was promised. */
static bool vsock_credit_ignored(void)
{
	struct device *d = find(VSOCK, 0);
	struct packet p = packet(RW, 1100, DEAF_PORT);

	if (!start_vsock(d) || !connect(d, 1100, DEAF_PORT))
		return false;
	p.len = 60000;
	for (unsigned int i = 0; i < 64; i++) {
		const struct packet *answer;

		if (!send(d, &p, 60000))
			return false;
		answer = receive(d, 2000);
		if (answer && answer->op == RST)
			return echoes(d, 1101);
	}
	return expect(d, RST, 1100) && echoes(d, 1101);
}

static bool vsock_credit_lies(void)
{
	static const uint32_t lies[][2] = { { UINT32_MAX, 0 }, { 0, UINT32_MAX }, { 0, 0 },
		{ 1, 1u << 31 }, { UINT32_MAX, UINT32_MAX }, { 65536, 0x7fffffff } };
	struct device *d = find(VSOCK, 0);

	if (!start_vsock(d))
		return false;
	for (unsigned int i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct packet p = packet(REQUEST, 1200 + i, ECHO_PORT);

		p.buf_alloc = lies[i][0];
		p.fwd_cnt = lies[i][1];
		if (!send(d, &p, 0) || !expect(d, RESPONSE, 1200 + i))
			return false;
		for (unsigned int n = 0; n < 20; n++) {
			p.op = (uint16_t)(n & 1 ? RW : CREDIT_UPDATE);
			p.len = n & 1 ? 3000 : 0;
			p.fwd_cnt = pick(UINT32_MAX);
			if (!send(d, &p, p.len))
				return false;
			receive(d, 100);
		}
	}
	while (!silent(d))
		;
	return echoes(d, 1250);
}

static bool vsock_size_lies(void)
{
	struct device *d = find(VSOCK, 0);
	struct packet p;

	for (unsigned int i = 0; i < 5; i++) {
		if (!start_vsock(d))
			return false;
		p = packet(i & 1 ? RW : REQUEST, 1300, ECHO_PORT);
		p.len = i < 2 ? UINT32_MAX : 1001;
		memcpy(OUT, &p, sizeof(p));
		/* Less than it says; then less than a head; then nothing that can be read; then rx too small for a head. */
		d->rings[TX].desc[0] = (struct desc){ at(OUT), i == 3 ? 43 : 1000,
			(uint16_t)(i == 4 ? F_WRITE : 0), 0 };
		offer(d, TX, 0);
		if (!wait_broken(d))
			return false;
	}
	if (!start(d))
		return false;
	rx_seen = 0;
	d->rings[RX].desc[0] = (struct desc){ at(IN), 43, F_WRITE, 0 };
	offer(d, RX, 0);
	p = packet(REQUEST, 1301, ECHO_PORT);
	send(d, &p, 0);
	return wait_broken(d) && start_vsock(d) && echoes(d, 1302);
}

/* Streams beyond any table, with nowhere to put the answers; then requests for credit without end. */
static bool vsock_floods(void)
{
	struct device *d = find(VSOCK, 0);
	struct packet p;

	if (!start(d))
		return false;
	for (unsigned int i = 0; i < 3000; i++) {
		p = packet(REQUEST, 10000 + i, DEAF_PORT);
		if (!send(d, &p, 0))
			return false;
	}
	for (unsigned int i = 0; i < 3000; i++) {
		p = packet(RW, 50000 + i, 1);
		if (!send(d, &p, 0))
			return false;
	}
	if (!start_vsock(d) || !connect(d, 1400, ECHO_PORT))
		return false;
	for (unsigned int i = 0; i < 3000; i++) {
		p = packet(CREDIT_REQUEST, 1400, ECHO_PORT);
		if (!send(d, &p, 0))
			return false;
		receive(d, 1);
	}
	while (!silent(d))
		;
	return echoes(d, 1401);
}

static bool vsock_garbage(void)
{
	struct device *d = find(VSOCK, 0);

	if (!start_vsock(d))
		return false;
	for (unsigned int i = 0; i < 3000; i++) {
		struct packet p = packet((uint16_t)pick(10), 1500 + pick(4), ECHO_PORT + pick(3));

		p.len = pick(3) ? pick(4096) : 0;
		p.flags = pick(8);
		p.buf_alloc = pick(2) ? pick(UINT32_MAX) : 65536;
		p.fwd_cnt = pick(2) ? pick(UINT32_MAX) : 0;
		if (!pick(20))
			p.dst_cid = pick(5);
		if (!send(d, &p, p.len))
			return false;
		receive(d, 1);
	}
	return start_vsock(d) && echoes(d, 1600);
}

/* -- 9P */

enum {
	RLERROR = 7,
	TLOPEN = 12,
	TLCREATE = 14,
	TSYMLINK = 16,
	TMKNOD = 18,
	TRENAME = 20,
	TGETATTR = 24,
	TXATTRWALK = 30,
	TXATTRCREATE = 32,
	TREADDIR = 40,
	TLINK = 70,
	TMKDIR = 72,
	TRENAMEAT = 74,
	TUNLINKAT = 76,
	TVERSION = 100,
	TATTACH = 104,
	TFLUSH = 108,
	TWALK = 110,
	TREAD = 116,
	TWRITE = 118,
	TCLUNK = 120
};

struct name {
	const char *bytes;
	uint16_t len;
};

#define NAME(text)                                                                                 \
	(struct name)                                                                              \
	{                                                                                          \
		text, sizeof(text) - 1                                                             \
	}

static char long_name[300];
static const struct name bad_names[] = { { "..", 2 }, { ".", 1 }, { "", 0 }, { "/", 1 },
	{ "a/b", 3 }, { "/etc", 4 }, { "../outside", 10 }, { "a\0b", 3 }, { "\0", 1 },
	{ "..\0", 3 }, { "sub/../../outside", 17 }, { long_name, 256 }, { long_name, 300 } };

#define BAD_NAMES (sizeof(bad_names) / sizeof(bad_names[0]))

static uint32_t out_len;

static void put(uint64_t value, unsigned int bytes)
{
	for (unsigned int i = 0; i < bytes; i++)
		OUT[out_len++] = (uint8_t)(value >> 8 * (i & 7));
}

static void put_name(struct name name)
{
	put(name.len, 2);
	memcpy(OUT + out_len, name.bytes, name.len);
	out_len += name.len;
}

static void begin(uint8_t type)
{
	out_len = 4;
	put(type, 1);
	put(1, 2);
}

/* What was begun, with that size in its head; gives the answer's type, 0 where the device broke. */
static uint8_t call_sized(struct device *d, uint32_t size, uint32_t room)
{
	struct ring *r = d->rings;

	for (unsigned int i = 0; i < 4; i++)
		OUT[i] = (uint8_t)(size >> 8 * i);
	memset(IN, 0, 16);
	r->desc[0] = (struct desc){ at(OUT), out_len, F_NEXT, 1 };
	r->desc[1] = (struct desc){ at(IN), room, F_WRITE, 0 };
	offer(d, 0, 0);
	return wait_used(d, 0) ? IN[4] : 0;
}

static uint8_t call(struct device *d)
{
	return call_sized(d, out_len, 65536);
}

static bool start_p9(struct device *d)
{
	if (!start(d))
		return false;
	begin(TVERSION);
	put(65536, 4);
	put_name(NAME("9P2000.L"));
	if (call(d) != TVERSION + 1)
		return false;
	begin(TATTACH);
	put(0, 4);
	put(UINT32_MAX, 4);
	put_name(NAME("root"));
	put_name(NAME(""));
	put(0, 4);
	return call(d) == TATTACH + 1;
}

/* From fid to newfid by up to two names. How many were walked, -1 for an error. */
static int walk(
	struct device *d, uint32_t fid, uint32_t newfid, const struct name *names, uint16_t count)
{
	begin(TWALK);
	put(fid, 4);
	put(newfid, 4);
	put(count, 2);
	for (uint16_t i = 0; i < count; i++)
		put_name(names[i]);
	return call(d) == TWALK + 1 ? IN[7] : -1;
}

static bool clunk(struct device *d, uint32_t fid)
{
	begin(TCLUNK);
	put(fid, 4);
	return call(d) == TCLUNK + 1;
}

static bool lopen(struct device *d, uint32_t fid, uint32_t flags)
{
	begin(TLOPEN);
	put(fid, 4);
	put(flags, 4);
	return call(d) == TLOPEN + 1;
}

static bool p9_works(struct device *d)
{
	if (walk(d, 0, SPARE_FID, (struct name[]){ NAME("file") }, 1) != 1 ||
		!lopen(d, SPARE_FID, 0))
		return false;
	begin(TREAD);
	put(SPARE_FID, 4);
	put(0, 8);
	put(100, 4);
	return call(d) == TREAD + 1 && IN[11] == 'd' && clunk(d, SPARE_FID);
}

static bool p9_names_walked(void)
{
	struct device *d = find(P9, 0);
	uint8_t root[13];

	if (!start_p9(d))
		return false;
	memcpy(root, IN + 7, 13);
	for (unsigned int i = 1; i < BAD_NAMES; i++)
		if (walk(d, 0, 1, &bad_names[i], 1) >= 0)
			return false;
	/* `..` of the root is the root; of a folder in it, the root as well. */
	for (unsigned int i = 0; i < 2; i++) {
		const struct name names[] = { NAME("sub"), NAME(".."), NAME(".."), NAME("..") };

		if (walk(d, 0, 1, i ? names : names + 1, (uint16_t)(i ? 4 : 3)) != (i ? 4 : 3))
			return false;
		for (unsigned int n = 0; n < 13; n++)
			if ((IN + 9 + 13 * (i ? 3 : 2))[n] != root[n])
				return false;
		clunk(d, 1);
	}
	/* Links lead nowhere by themselves, whoever asks for what is behind them. */
	const struct name link[] = { NAME("absolute"), NAME("secret") };
	const struct name relative[] = { NAME("relative"), NAME("secret") };
	const struct name magic[] = { NAME("magic"), NAME("passwd") };

	if (walk(d, 0, 1, link, 2) > 1 || walk(d, 0, 2, relative, 2) > 1 ||
		walk(d, 0, 3, magic, 2) > 1 || walk(d, 0, 5, link, 1) != 1)
		return false;
	return !lopen(d, 5, 0) && !lopen(d, 5, 1) && !lopen(d, 5, 01001) && p9_works(d);
}

static void put_made(uint8_t type, struct name name)
{
	begin(type);
	put(0, 4);
	if (type == TRENAME || type == TLINK)
		put(2, 4);
	put_name(name);
	switch (type) {
	case TLCREATE:
		put(0102, 4);
		put(0644, 4);
		put(0, 4);
		break;
	case TSYMLINK:
		put_name(NAME("/"));
		put(0, 4);
		break;
	case TMKNOD:
		put(0100644, 4);
		put(0, 4);
		put(0, 8);
		break;
	case TMKDIR:
		put(0755, 4);
		put(0, 4);
		break;
	case TRENAMEAT:
		put(0, 4);
		put_name(NAME("moved"));
		break;
	case TUNLINKAT:
		put(0, 4);
		break;
	default:
		break;
	}
}

static bool p9_names_made(void)
{
	static const uint8_t types[] = { TLCREATE, TSYMLINK, TMKNOD, TRENAME, TLINK, TMKDIR,
		TRENAMEAT, TUNLINKAT };
	struct device *d = find(P9, 0);

	if (!start_p9(d) || walk(d, 0, 2, (struct name[]){ NAME("file") }, 1) != 1)
		return false;
	for (unsigned int t = 0; t < sizeof(types); t++)
		for (unsigned int i = 0; i < BAD_NAMES; i++) {
			put_made(types[t], bad_names[i]);
			/* rename and link: fid (new name's folder) and file change places on the wire */
			if (types[t] == TRENAME) {
				OUT[7] = 2;
				OUT[11] = 0;
			}
			if (call(d) != RLERROR)
				return false;
			begin(TRENAMEAT);
			put(0, 4);
			put_name(NAME("file"));
			put(0, 4);
			put_name(bad_names[i]);
			if (call(d) != RLERROR)
				return false;
		}
	return p9_works(d);
}

static bool p9_sizes(void)
{
	static const uint32_t sizes[] = { 0, 6, 7, 10, 12, 65537, 0x7fffffff, UINT32_MAX };
	struct device *d = find(P9, 0);

	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		if (!start_p9(d))
			return false;
		begin(TCLUNK);
		put(0, 4);
		uint8_t answer = call_sized(d, sizes[i], 65536);

		if (answer && answer != RLERROR)
			return false;
	}
	/* A read of more than there is room for: what lies behind the room stays. */
	if (!start_p9(d) || walk(d, 0, 1, (struct name[]){ NAME("large") }, 1) != 1 ||
		!lopen(d, 1, 0))
		return false;
	memset(IN, 0xa5, 8192);
	begin(TREAD);
	put(1, 4);
	put(0, 8);
	put(UINT32_MAX, 4);
	call_sized(d, out_len, 100);
	for (unsigned int i = 100; i < 8192; i++)
		if (IN[i] != 0xa5)
			return false;
	/* A write that says more than it brings: nothing beyond it is written to the file. */
	if (!start_p9(d) || walk(d, 0, 1, (struct name[]){ NAME("target") }, 1) != 1 ||
		!lopen(d, 1, 2))
		return false;
	begin(TWRITE);
	put(1, 4);
	put(0, 8);
	put(4096, 4);
	put('w', 1);
	call(d);
	if (!start_p9(d))
		return false;
	/* Strings, counts of names, and offsets that lie. */
	begin(TWALK);
	put(0, 4);
	put(1, 4);
	put(0xffff, 2);
	if (call(d) != RLERROR)
		return false;
	begin(TWALK);
	put(0, 4);
	put(1, 4);
	put(1, 2);
	put(0xffff, 2);
	put('x', 1);
	if (call(d) != RLERROR || walk(d, 0, 1, NULL, 0) != 0 || !lopen(d, 1, 0200000))
		return false;
	begin(TREADDIR);
	put(1, 4);
	put(UINT64_MAX, 8);
	put(UINT32_MAX, 4);
	call(d);
	return start_p9(d) && p9_works(d);
}

static bool p9_fids(void)
{
	const struct name file = NAME("file");
	struct device *d = find(P9, 0);

	if (!start_p9(d) || walk(d, 0, 1, &file, 1) != 1)
		return false;
	/* A number that is taken; one that is nobody's; one that was given back; two that are one. */
	if (walk(d, 0, 1, &file, 1) >= 0 || walk(d, 77, 78, &file, 1) >= 0 ||
		walk(d, 0, UINT32_MAX, &file, 1) >= 0)
		return false;
	if (!lopen(d, 1, 0) || lopen(d, 1, 0) || walk(d, 1, 1, &file, 1) >= 0 || !clunk(d, 1) ||
		clunk(d, 1) || lopen(d, 1, 0))
		return false;
	begin(TFLUSH);
	put(1, 2); /* its own tag */
	if (call(d) != TFLUSH + 1)
		return false;
	begin(TXATTRCREATE);
	put(0, 4);
	put_name(NAME("user.x"));
	put(UINT64_MAX, 8);
	put(0, 4);
	return call(d) == RLERROR && p9_works(d);
}

/* S2: two requests on one fid, both there before the first is read. */
static bool p9_two_at_once(void)
{
	const struct name file = NAME("file");
	struct device *d = find(P9, 0);
	struct ring *r = d->rings;

	if (!start_p9(d))
		return false;
	for (unsigned int round = 0; round < 100; round++) {
		if (walk(d, 0, 1, &file, 1) != 1)
			return false;
		begin(round & 1 ? TLOPEN : TCLUNK);
		put(1, 4);
		if (round & 1)
			put(0, 4);
		OUT[0] = (uint8_t)out_len;
		memcpy(buffer + 65536, OUT, out_len);
		memcpy(buffer + 65600, (uint8_t[]){ 11, 0, 0, 0, TCLUNK, 2, 0, 1, 0, 0, 0 }, 11);
		for (uint16_t i = 0; i < 2; i++) {
			r->desc[4 * i] = (struct desc){ at(buffer) + 65536 + 64u * i,
				i ? 11 : out_len, F_NEXT, (uint16_t)(4 * i + 1) };
			r->desc[4 * i + 1] = (struct desc){ at(IN) + 4096u * i, 4096, F_WRITE, 0 };
			r->avail[(r->avail_idx + i) % QUEUE] = (uint16_t)(4 * i);
		}
		fence();
		r->avail_idx = (uint16_t)(r->avail_idx + 2);
		fence();
		out32(d->base + NOTIFY, 0);
		if (!wait_used(d, 0))
			return false;
		/* In order: the first gets what it asked for, the second too where the fid was still there. */
		if (IN[4] != (round & 1 ? TLOPEN + 1 : TCLUNK + 1) ||
			IN[4096 + 4] != (round & 1 ? TCLUNK + 1 : RLERROR))
			return false;
	}
	return p9_works(d);
}

/* S8: fids, open files and listings until the server says no; then it serves on. */
static bool p9_floods(void)
{
	const struct name file = NAME("file");
	struct device *d = find(P9, 0);
	uint32_t fid, opened = 0;

	if (!start_p9(d))
		return false;
	for (fid = 1; fid < 3000; fid++) {
		if (walk(d, 0, fid, &file, fid & 1) < 0)
			break;
		opened += lopen(d, fid, fid & 1 ? 0 : 0200000);
	}
	for (uint32_t i = 2; i < 2000; i += 2) {
		begin(TREADDIR);
		put(i, 4);
		put(pick(5000), 8);
		put(4096, 4);
		call(d);
	}
	for (; fid < 12000; fid++)
		if (walk(d, 0, fid, &file, 1) < 0)
			break;
	/* Where all are taken, giving one back makes room for one. */
	return opened > 0 && clunk(d, 1) && clunk(d, 2) && p9_works(d) && start_p9(d) &&
	       p9_works(d);
}

static bool p9_garbage(void)
{
	static const uint8_t types[] = { TLOPEN, TLCREATE, TGETATTR, TXATTRWALK, TREADDIR, TWALK,
		TREAD, TWRITE, TFLUSH, TMKDIR, 200, 6, TSYMLINK };
	struct device *d = find(P9, 0);

	if (!start_p9(d))
		return false;
	for (unsigned int i = 0; i < 2000; i++) {
		unsigned int len = pick(200);

		begin(types[pick(sizeof(types))]);
		while (len--)
			put(pick(3) ? pick(4) : pick(256), 1);
		if (!call(d) && !start_p9(d))
			return false;
	}
	return start_p9(d) && p9_works(d);
}

static const struct {
	const char *name;
	bool (*run)(void);
} attacks[] = {
	{ "V3 vsock: a head in fifteen parts", vsock_split_head },
	{ "V8 vsock: forged addresses", vsock_forged_addresses },
	{ "V8 vsock: a port that is not given", vsock_refused_port },
	{ "V8 vsock: credit ignored", vsock_credit_ignored },
	{ "V8 vsock: lies about credit", vsock_credit_lies },
	{ "V2 vsock: lies about sizes", vsock_size_lies },
	{ "V9 vsock: floods", vsock_floods },
	{ "V7 vsock: garbage", vsock_garbage },
	{ "S1 9p: names that are walked", p9_names_walked },
	{ "S1 9p: names that are made", p9_names_made },
	{ "V2 9p: lies about sizes", p9_sizes },
	{ "S1 9p: fids that are not theirs", p9_fids },
	{ "S2 9p: two requests on one fid", p9_two_at_once },
	{ "S8 9p: floods", p9_floods },
	{ "V7 9p: garbage", p9_garbage },
};

void guest_main(void)
{
	map_memory();
	find_devices();
	memset(long_name, 'n', sizeof(long_name));
	if (!find(P9, 0) || !find(VSOCK, 0)) {
		print("FAIL not all devices are there\n");
	} else {
		for (size_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++)
			verdict(attacks[i].name, attacks[i].run());
		print("all attempted\n");
	}
	power_off();
}
