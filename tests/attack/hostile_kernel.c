/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest kernel that is nothing but an attack on its own devices: booted by sandbox-vmm in Linux' place, it owns every ring
 * and register, and breaks each rule that claims V1 to V10 are about. It says on the serial port what came of it, one line
 * `PASS name` or `FAIL name` each, and powers off. tests/attack/virtio.sh looks at the host's side: that the VMM is still
 * there for the last line, and that files and logs are as they must be.
 *
 * Freestanding x86-64, one CPU, interrupts off, queues polled. Memory is identity-mapped to 4 GiB by tables of its own.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RAM_BYTES   (128u << 20) /* what the test gives this machine */
#define QUEUE	    16
#define QUEUES	    5
#define DEVICES_MAX 19
#define POLLS	    30000000u

#define F_NEXT	   1
#define F_WRITE	   2
#define F_INDIRECT 4

enum { CONSOLE = 3, RNG = 4, BALLOON = 5, BLK = 2 };
enum { BLK_IN = 0, BLK_OUT = 1, BLK_DISCARD = 11, BLK_ZEROES = 13 };
enum {
	STATUS = 0x70,
	QUEUE_SEL = 0x30,
	QUEUE_MAX = 0x34,
	QUEUE_NUM = 0x38,
	QUEUE_READY = 0x44,
	NOTIFY = 0x50
};
enum { LIVE = 15, NEEDS_RESET = 64 };

struct desc {
	uint64_t gpa;
	uint32_t len;
	uint16_t flags, next;
};

struct ring {
	struct desc desc[QUEUE];
	volatile uint16_t avail_flags, avail_idx, avail[QUEUE], used_event;
	volatile uint16_t used_flags __attribute__((aligned(4))), used_idx;
	volatile struct {
		uint32_t id, len;
	} used[QUEUE];
	volatile uint16_t avail_event;
} __attribute__((aligned(4096)));

struct device {
	uint64_t base;
	uint32_t id;
	unsigned int queues;
	struct ring *rings;
};

static struct ring ring_pool[DEVICES_MAX][QUEUES];
static struct device devices[DEVICES_MAX];
static unsigned int device_count;
static uint64_t page_tables[6][512] __attribute__((aligned(4096)));
static uint8_t buffer[1 << 20] __attribute__((aligned(4096)));
static uint8_t stack[65536] __attribute__((aligned(16), used));
static uint32_t random_state = 1;

void *memset(void *to, int value, size_t len);
void *memcpy(void *to, const void *from, size_t len);
void hostile_main(void);
void _start(void);

void *memset(void *to, int value, size_t len)
{
	for (size_t i = 0; i < len; i++)
		((volatile uint8_t *)to)[i] = (uint8_t)value;
	return to;
}

void *memcpy(void *to, const void *from, size_t len)
{
	for (size_t i = 0; i < len; i++)
		((volatile uint8_t *)to)[i] = ((const uint8_t *)from)[i];
	return to;
}

__attribute__((naked)) void _start(void)
{
	__asm__ volatile(
		"cli\n\tleaq stack+65536(%rip), %rsp\n\tcall hostile_main\n\t1: hlt\n\tjmp 1b");
}

static void outb(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static uint8_t inb(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static void print(const char *text)
{
	for (; *text; text++)
		outb(0x3f8, (uint8_t)*text);
}

static void verdict(const char *name, bool ok)
{
	print(ok ? "PASS " : "FAIL ");
	print(name);
	print("\n");
}

static uint32_t pick(uint32_t below)
{
	random_state = random_state * 1664525u + 1013904223u;
	return (random_state >> 8) % below;
}

static uint32_t in32(uint64_t gpa)
{
	return *(volatile uint32_t *)gpa;
}

static void out32(uint64_t gpa, uint32_t value)
{
	*(volatile uint32_t *)gpa = value;
}

static void fence(void)
{
	__asm__ volatile("mfence" : : : "memory");
}

static uint64_t at(const volatile void *p)
{
	return (uint64_t)p;
}

/* 4 GiB, 2 MiB pages: what the boot tables map ends before the devices. */
static void map_memory(void)
{
	page_tables[0][0] = at(page_tables[1]) | 3;
	for (uint64_t g = 0; g < 4; g++) {
		page_tables[1][g] = at(page_tables[2 + g]) | 3;
		for (uint64_t i = 0; i < 512; i++)
			page_tables[2 + g][i] = (g << 30 | i << 21) | 0x83;
	}
	__asm__ volatile("movq %0, %%cr3" : : "r"(at(page_tables[0])) : "memory");
}

static void find_devices(void)
{
	for (uint64_t gpa = 0xd0000000; gpa < 0xd0020000 && device_count < DEVICES_MAX;
		gpa += 0x200) {
		struct device *d = &devices[device_count];

		if (in32(gpa) != 0x74726976)
			continue;
		*d = (struct device){
			.base = gpa, .id = in32(gpa + 8), .rings = ring_pool[device_count]
		};
		device_count++;
	}
}

/* The nth device with this id. */
static struct device *find(uint32_t id, unsigned int nth)
{
	for (unsigned int i = 0; i < device_count; i++)
		if (devices[i].id == id && !nth--)
			return &devices[i];
	return NULL;
}

static void set_queue(struct device *d, unsigned int i, uint32_t size, uint64_t desc,
	uint64_t avail, uint64_t used)
{
	out32(d->base + QUEUE_SEL, i);
	out32(d->base + QUEUE_NUM, size);
	out32(d->base + 0x80, (uint32_t)desc);
	out32(d->base + 0x84, (uint32_t)(desc >> 32));
	out32(d->base + 0x90, (uint32_t)avail);
	out32(d->base + 0x94, (uint32_t)(avail >> 32));
	out32(d->base + 0xa0, (uint32_t)used);
	out32(d->base + 0xa4, (uint32_t)(used >> 32));
	out32(d->base + QUEUE_READY, 1);
}

static void negotiate(struct device *d)
{
	out32(d->base + STATUS, 0);
	out32(d->base + STATUS, 3);
	out32(d->base + 0x14, 0);
	out32(d->base + 0x24, 0);
	out32(d->base + 0x20, in32(d->base + 0x10) & ~(1u << 29)); /* all but EVENT_IDX */
	out32(d->base + 0x24, 1);
	out32(d->base + 0x20, 1);
	out32(d->base + STATUS, 11);
}

static bool start(struct device *d)
{
	negotiate(d);
	for (d->queues = 0; d->queues < QUEUES; d->queues++) {
		struct ring *r = &d->rings[d->queues];

		out32(d->base + QUEUE_SEL, d->queues);
		if (!in32(d->base + QUEUE_MAX))
			break;
		memset(r, 0, sizeof(*r));
		set_queue(
			d, d->queues, QUEUE, at(r->desc), at(&r->avail_flags), at(&r->used_flags));
	}
	out32(d->base + STATUS, LIVE);
	return in32(d->base + STATUS) == LIVE;
}

static void offer(struct device *d, unsigned int queue, uint16_t head)
{
	struct ring *r = &d->rings[queue];

	r->avail[r->avail_idx % QUEUE] = head;
	fence();
	r->avail_idx++;
	fence();
	out32(d->base + NOTIFY, queue);
}

/* Whether the device has used all that was offered; false too where it broke. */
static bool wait_used(struct device *d, unsigned int queue)
{
	struct ring *r = &d->rings[queue];

	for (unsigned int i = 0; i < POLLS; i++) {
		if (r->used_idx == r->avail_idx)
			return true;
		if (i % 65536 == 65535 && (in32(d->base + STATUS) & NEEDS_RESET))
			return false;
		__asm__ volatile("pause");
	}
	return false;
}

static bool wait_broken(struct device *d)
{
	for (unsigned int i = 0; i < POLLS / 500; i++)
		if (in32(d->base + STATUS) & NEEDS_RESET)
			return true;
	return false;
}

static bool rng_works(struct device *d)
{
	struct ring *r = &d->rings[0];
	uint32_t sum = 0;

	memset(buffer, 0, 64);
	r->desc[0] = (struct desc){ at(buffer), 64, F_WRITE, 0 };
	offer(d, 0, 0);
	if (!wait_used(d, 0))
		return false;
	for (unsigned int i = 0; i < 64; i++)
		sum += buffer[i];
	return sum != 0;
}

/* One request whose parts lie in `buffer`: 0 header, 512 data, status behind it. Gives the status byte, 0xff for none. */
static uint8_t blk(struct device *d, uint32_t type, uint64_t sector, uint32_t len)
{
	struct ring *r = &d->rings[0];
	bool in = type == BLK_IN;

	*(volatile uint32_t *)buffer = type;
	*(volatile uint32_t *)(buffer + 4) = 0;
	*(volatile uint64_t *)(buffer + 8) = sector;
	buffer[512 + len] = 0xff;
	r->desc[0] = (struct desc){ at(buffer), 16, F_NEXT, 1 };
	r->desc[1] =
		(struct desc){ at(buffer + 512), len, (uint16_t)(F_NEXT | (in ? F_WRITE : 0)), 2 };
	r->desc[2] = (struct desc){ at(buffer + 512 + len), 1, F_WRITE, 0 };
	offer(d, 0, 0);
	return wait_used(d, 0) ? *(volatile uint8_t *)(buffer + 512 + len) : 0xff;
}

/* --- V9, V10: floods; the host looks at the log's size --- */

static bool flood_console(void)
{
	struct device *d = find(CONSOLE, 0);
	struct ring *r = &d->rings[1];

	if (!start(d))
		return false;
	for (size_t i = 0; i < 65536; i++)
		buffer[i] = i % 64 == 63 ? '\n' : 'f';
	for (unsigned int i = 0; i < 300; i++) {
		r->desc[i % QUEUE] = (struct desc){ at(buffer), 65536, 0, 0 };
		offer(d, 1, (uint16_t)(i % QUEUE));
		if (i % QUEUE == QUEUE - 1 && !wait_used(d, 1))
			return false;
	}
	/* And one that is longer than any console's line: cut, not kept. */
	r->desc[0] = (struct desc){ 0x100000, 100u << 20, 0, 0 };
	offer(d, 1, 0);
	return wait_used(d, 1);
}

static bool flood_serial(void)
{
	for (unsigned int i = 0; i < 100000; i++)
		outb(0x3f8, i % 64 == 63 ? '\n' : 's');
	/* What floods is dropped: give the host the time to take what it kept, or the verdict is lost as well. */
	for (unsigned int i = 0; i < 5000; i++)
		in32(devices[0].base);
	return inb(0x3fd) & 0x20;
}

static bool giant_random_request(void)
{
	struct device *d = find(RNG, 0);
	struct ring *r = &d->rings[0];

	if (!start(d))
		return false;
	r->desc[0] = (struct desc){ at(buffer), sizeof(buffer), F_WRITE, 0 };
	offer(d, 0, 0);
	return wait_used(d, 0) && r->used[0].len > 0 && r->used[0].len <= 65536;
}

/* --- V1 --- */

static bool late_queue_writes(void)
{
	struct device *d = find(RNG, 0);

	if (!start(d) || !rng_works(d))
		return false;
	out32(d->base + QUEUE_SEL, 0);
	out32(d->base + QUEUE_READY, 0);
	if (in32(d->base + QUEUE_READY) != 1)
		return false;
	set_queue(d, 0, 4, 0xfffffffffffff000, 0xfffffffffffff000, 0x7fff0000);
	out32(d->base + QUEUE_READY, 0);
	set_queue(d, 0, 2, at(ring_pool[18]), at(ring_pool[18]) + 512, at(ring_pool[18]) + 1024);
	for (unsigned int i = 0; i < 3 * QUEUE; i++)
		if (!rng_works(d))
			return false;
	return in32(d->base + STATUS) == LIVE;
}

/* --- V2 --- */

static bool rings_outside_memory(void)
{
	static const uint64_t places[] = { RAM_BYTES, RAM_BYTES - 64, 0xd0000000, 0x100000000,
		0xfffffffffffffff0, 1ull << 52 };
	struct device *d = find(RNG, 0);
	struct ring *r = d->rings;

	for (unsigned int i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		for (unsigned int which = 0; which < 3; which++) {
			negotiate(d);
			set_queue(d, 0, QUEUE, which == 0 ? places[i] : at(r->desc),
				which == 1 ? places[i] : at(&r->avail_flags),
				which == 2 ? places[i] : at(&r->used_flags));
			out32(d->base + STATUS, LIVE);
			out32(d->base + NOTIFY, 0);
			if (!(in32(d->base + STATUS) & NEEDS_RESET) &&
				!(which == 1 && places[i] == RAM_BYTES - 64))
				return false;
		}
	}
	return start(d) && rng_works(d);
}

static bool descriptors_outside_memory(void)
{
	static const struct {
		uint64_t gpa;
		uint32_t len;
	} bad[] = { { RAM_BYTES, 1 }, { RAM_BYTES - 8, 16 }, { 0xd0000000, 64 },
		{ 0xfee00000, 4096 }, { 1ull << 32, 64 }, { UINT64_MAX, 1 },
		{ UINT64_MAX - 15, 32 }, { 4096, UINT32_MAX }, { 1ull << 63, 1u << 31 } };
	struct device *d = find(RNG, 0);

	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (!start(d))
			return false;
		d->rings[0].desc[0] = (struct desc){ bad[i].gpa, bad[i].len, F_WRITE, 0 };
		offer(d, 0, 0);
		if (!wait_broken(d))
			return false;
	}
	return start(d) && rng_works(d);
}

/* --- V3: a header of sixteen descriptors; then data and status in one --- */

static bool split_header(void)
{
	struct device *d = find(BLK, 0);
	struct ring *r = d->rings;
	uint64_t table = at(buffer + 65536);
	struct desc *t = (struct desc *)table;

	if (!start(d) || blk(d, BLK_IN, 1, 512) != 0)
		return false;
	memcpy(buffer + 8192, buffer + 512, 512);
	memset(buffer + 512, 0, 1024);
	buffer[0] = BLK_IN;
	buffer[8] = 1;
	for (uint16_t i = 0; i < 15; i++) {
		/* The last of them holds two bytes of the header: fifteen and the one for what comes back make a full queue. */
		t[i] = (struct desc){ at(buffer + i), i == 14 ? 2 : 1, F_NEXT, (uint16_t)(i + 1) };
	}
	t[15] = (struct desc){ at(buffer + 512), 513, F_WRITE, 0 };
	r->desc[0] = (struct desc){ table, 16 * sizeof(struct desc), F_INDIRECT, 0 };
	offer(d, 0, 0);
	if (!wait_used(d, 0) || buffer[512 + 512] != 0)
		return false;
	for (unsigned int i = 0; i < 512; i++)
		if (buffer[512 + i] != buffer[8192 + i])
			return false;
	return true;
}

/* --- V4: nothing is written after a reset was acknowledged --- */

static bool reset_during_io(void)
{
	struct device *d = find(BLK, 0);
	uint8_t *data = buffer + 65536;

	for (unsigned int round = 0; round < 50; round++) {
		struct ring *r = d->rings;

		if (!start(d))
			return false;
		memset(buffer, 0, 16); /* reads of sector 0 */
		for (uint16_t i = 0; i + 2 < QUEUE; i += 3) {
			r->desc[i] = (struct desc){ at(buffer), 16, F_NEXT, (uint16_t)(i + 1) };
			r->desc[i + 1] = (struct desc){ at(data), 524288, F_NEXT | F_WRITE,
				(uint16_t)(i + 2) };
			r->desc[i + 2] = (struct desc){ at(buffer + 32), 1, F_WRITE, 0 };
			offer(d, 0, i);
		}
		for (unsigned int i = pick(2000); i; i--)
			__asm__ volatile("pause");
		out32(d->base + STATUS, 0);
		if (in32(d->base + STATUS) != 0)
			return false;
		for (unsigned int i = 0; i < 524288; i += 512)
			*(volatile uint8_t *)(data + i) = 0xa5;
		for (unsigned int i = 0; i < 20000; i++)
			__asm__ volatile("pause");
		for (unsigned int i = 0; i < 524288; i += 512)
			if (*(volatile uint8_t *)(data + i) != 0xa5)
				return false;
	}
	return start(d) && blk(d, BLK_IN, 0, 512) == 0;
}

/* --- V5, V6: the second disk is read-only; the first begins like an image of another format --- */

static bool read_only_disk(void)
{
	struct device *d = find(BLK, 1);

	if (!start(d))
		return false;
	memset(buffer + 512, 0x66, 4096);
	if (blk(d, BLK_OUT, 0, 4096) != 1)
		return false;
	*(volatile uint64_t *)(buffer + 512) = 0;
	*(volatile uint32_t *)(buffer + 520) = 8;
	*(volatile uint32_t *)(buffer + 524) = 0;
	if (blk(d, BLK_DISCARD, 0, 16) != 1 || blk(d, BLK_ZEROES, 0, 16) != 1)
		return false;
	return blk(d, BLK_IN, 0, 512) == 0;
}

static bool raw_disk(void)
{
	struct device *d = find(BLK, 0);

	return start(d) && blk(d, BLK_IN, 0, 512) == 0 && buffer[512] == 'Q' &&
	       buffer[513] == 'F' && buffer[514] == 'I' && buffer[515] == 0xfb;
}

static bool outside_disk(void)
{
	struct device *d = find(BLK, 0);
	uint64_t sectors;

	if (!start(d))
		return false;
	sectors = in32(d->base + 0x100) | (uint64_t)in32(d->base + 0x104) << 32;
	return blk(d, BLK_IN, sectors, 512) == 1 && blk(d, BLK_OUT, sectors - 1, 1024) == 1 &&
	       blk(d, BLK_IN, UINT64_MAX, 512) == 1 &&
	       blk(d, BLK_OUT, UINT64_MAX / 512, 512) == 1 && blk(d, BLK_IN, sectors - 1, 512) == 0;
}

/* --- V7: each broken rule costs the device its driver, and nothing else --- */

static void break_rule(struct device *d, struct ring *r, unsigned int rule)
{
	struct desc *table = (struct desc *)(buffer + 4096);
	uint64_t b = at(buffer);

	r->desc[0] = (struct desc){ b, 16, F_WRITE, 0 };
	switch (rule) {
	case 0: /* a loop */
		r->desc[0] = (struct desc){ b, 1, F_WRITE | F_NEXT, 0 };
		break;
	case 1: /* a loop without a byte */
		r->desc[0] = (struct desc){ b, 0, F_WRITE | F_NEXT, 1 };
		r->desc[1] = (struct desc){ b, 0, F_WRITE | F_NEXT, 0 };
		break;
	case 2: /* a table in itself */
		table[0] = (struct desc){ at(table), 16, F_INDIRECT, 0 };
		r->desc[0] = (struct desc){ at(table), 16, F_INDIRECT, 0 };
		break;
	case 3:
		r->desc[0] = (struct desc){ at(table), 7, F_INDIRECT, 0 };
		break;
	case 4:
		r->desc[0] = (struct desc){ at(table), 0xfffffff0, F_INDIRECT, 0 };
		break;
	case 5: /* outside the table */
		r->desc[0] = (struct desc){ b, 1, F_WRITE | F_NEXT, QUEUE };
		break;
	case 6: /* read after write */
		r->desc[0] = (struct desc){ b, 1, F_WRITE | F_NEXT, 1 };
		r->desc[1] = (struct desc){ b, 1, 0, 0 };
		break;
	case 9: /* the same, and what lies there would do */
		table[0] = (struct desc){ b, 1, F_WRITE | F_NEXT, 1 };
		table[1] = (struct desc){ b, 1, F_WRITE, 0 };
		r->desc[0] = (struct desc){ at(table), 16, F_INDIRECT, 0 };
		break;
	case 7: /* more than there can be */
		r->avail_idx = (uint16_t)(r->avail_idx + 1000);
		break;
	default:
		break;
	}
	offer(d, 0, rule == 8 ? 0xffff : 0);
}

static bool broken_rules(void)
{
	struct device *d = find(RNG, 0);

	for (unsigned int rule = 0; rule <= 9; rule++) {
		if (!start(d))
			return false;
		break_rule(d, d->rings, rule);
		if (!wait_broken(d))
			return false;
	}
	return start(d) && rng_works(d);
}

/* Small, in `buffer`, or nowhere: devices may write where they are told, but not over this program. */
static uint32_t garbage_word(void)
{
	switch (pick(4)) {
	case 0:
		return pick(65536);
	case 1:
		return pick(16);
	case 2:
		return (uint32_t)at(buffer) + pick(65536);
	default:
		return 0x80000000 | pick(0x7fffffff);
	}
}

/* Garbage in every ring of every device, many times; kicks and registers at random. */
static bool garbage(void)
{
	for (unsigned int round = 0; round < 40; round++) {
		for (unsigned int i = 0; i < device_count; i++) {
			struct device *d = &devices[i];

			/* Not the disks' contents: what they are sent is random, and would be written. */
			if (!start(d) || d->id == BLK)
				continue;
			for (unsigned int q = 0; q < d->queues; q++) {
				uint32_t *words = (uint32_t *)&d->rings[q];

				for (size_t w = 0; w < sizeof(struct ring) / 4; w++)
					words[w] = pick(3) ? garbage_word() : words[w];
				fence();
				out32(d->base + NOTIFY, q);
			}
			for (unsigned int n = 0; n < 100; n++) {
				uint64_t reg = d->base + (pick(0x200) & ~3u);

				if (pick(2))
					out32(reg, pick(UINT32_MAX));
				else
					in32(reg);
			}
		}
	}
	return true;
}

static bool everything_still_works(void)
{
	for (unsigned int i = 0; i < device_count; i++)
		if (!start(&devices[i]))
			return false;
	return rng_works(find(RNG, 0)) && blk(find(BLK, 0), BLK_IN, 0, 512) == 0 &&
	       blk(find(BLK, 1), BLK_IN, 0, 512) == 0;
}

static const struct {
	const char *name;
	bool (*run)(void);
} attacks[] = {
	{ "V9 console flood", flood_console },
	{ "V10 serial flood", flood_serial },
	{ "V9 giant random request", giant_random_request },
	{ "V1 late queue writes", late_queue_writes },
	{ "V2 rings outside memory", rings_outside_memory },
	{ "V2 descriptors outside memory", descriptors_outside_memory },
	{ "V2 sectors outside the disk", outside_disk },
	{ "V3 split header", split_header },
	{ "V4 reset during I/O", reset_during_io },
	{ "V5 read-only disk", read_only_disk },
	{ "V6 raw disk", raw_disk },
	{ "V7 broken rules", broken_rules },
	{ "V7 garbage", garbage },
	{ "V7 everything still works", everything_still_works },
};

#define ATTACKS (sizeof(attacks) / sizeof(attacks[0]))

void hostile_main(void)
{
	static bool passed[ATTACKS];

	map_memory();
	find_devices();
	if (!find(CONSOLE, 0) || !find(RNG, 0) || !find(BALLOON, 0) || !find(BLK, 1)) {
		print("FAIL not all devices are there\n");
	} else {
		/* Said at the end: the floods would carry it away. */
		for (size_t i = 0; i < ATTACKS; i++)
			passed[i] = attacks[i].run();
		print("\n");
		for (size_t i = 0; i < ATTACKS; i++)
			verdict(attacks[i].name, passed[i]);
		print("all attempted\n");
	}
	outb(0x600, 0x20 | 5 << 2);
	for (;;)
		__asm__ volatile("hlt");
}
