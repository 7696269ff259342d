/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest kernel that is nothing but an attack on its own devices: booted by sandbox-vmm in Linux' place, it owns every ring
 * and register, and breaks each rule that claims V1 to V10 are about. It says on the serial port what came of it, one line
 * `PASS name` or `FAIL name` each, and powers off. tests/attack/virtio.sh looks at the host's side: that the VMM is still
 * there for the last line, and that files and logs are as they must be.
 */
#include "tests/attack/bare_guest.h"

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
	/* And one that is longer than a request may be: what is beyond that is dropped. The host looks for it in the log. */
	memcpy(buffer + 65536 + 4096, "BEYOND", 6);
	r->desc[0] = (struct desc){ at(buffer), sizeof(buffer), 0, 0 };
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

	/* Its size is the file's, not the one that the header in it speaks of. */
	return start(d) && in32(d->base + 0x100) == 4194304 / 512 && in32(d->base + 0x104) == 0 &&
	       blk(d, BLK_IN, 0, 512) == 0 && buffer[512] == 'Q' && buffer[513] == 'F' &&
	       buffer[514] == 'I' && buffer[515] == 0xfb;
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

/* --- V10: nothing to nest in, nothing to measure others by --- */

static void cpuid(uint32_t leaf, uint32_t r[static 4])
{
	__asm__ volatile("cpuid"
			 : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
			 : "a"(leaf), "c"(0));
}

static bool cpuid_hides(void)
{
	uint32_t r[4], extended;

	cpuid(1, r);
	if (!(r[2] & 1u << 31) || r[2] & (1u << 5 | 1u << 15)) /* hypervisor; VMX, PDCM */
		return false;
	cpuid(10, r); /* architectural performance counters */
	if (r[0] | r[1] | r[2] | r[3])
		return false;
	cpuid(0x80000000, r);
	extended = r[0];
	cpuid(0x80000001, r);
	/* SVM, and AMD's counters: core, node, L2 */
	if (r[2] & (1u << 2 | 1u << 23 | 1u << 24 | 1u << 28))
		return false;
	cpuid(0x8000000a, r);
	if (extended >= 0x8000000a && (r[0] | r[1] | r[3]))
		return false;
	cpuid(0x80000022, r);
	return extended < 0x80000022 || !(r[0] & 1);
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
	{ "V10 CPUID hides VMX, SVM and PMU", cpuid_hides },
	{ "V7 everything still works", everything_still_works },
};

#define ATTACKS (sizeof(attacks) / sizeof(attacks[0]))

void guest_main(void)
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
	power_off();
}
