/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/attack/bare_guest.h"

struct ring ring_pool[DEVICES_MAX][QUEUES];
struct device devices[DEVICES_MAX];
unsigned int device_count;
static uint64_t page_tables[6][512] __attribute__((aligned(4096)));
uint8_t buffer[1 << 20] __attribute__((aligned(4096)));
static uint8_t stack[65536] __attribute__((aligned(16), used));
static uint32_t random_state = 1;

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
		"cli\n\tleaq stack+65536(%rip), %rsp\n\tcall guest_main\n\t1: hlt\n\tjmp 1b");
}

void outb(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

uint8_t inb(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

void print(const char *text)
{
	for (; *text; text++)
		outb(0x3f8, (uint8_t)*text);
}

void verdict(const char *name, bool ok)
{
	print(ok ? "PASS " : "FAIL ");
	print(name);
	print("\n");
}

uint32_t pick(uint32_t below)
{
	random_state = random_state * 1664525u + 1013904223u;
	return (random_state >> 8) % below;
}

uint32_t in32(uint64_t gpa)
{
	return *(volatile uint32_t *)gpa;
}

void out32(uint64_t gpa, uint32_t value)
{
	*(volatile uint32_t *)gpa = value;
}

void fence(void)
{
	__asm__ volatile("mfence" : : : "memory");
}

uint64_t at(const volatile void *p)
{
	return (uint64_t)p;
}

void map_memory(void)
{
	page_tables[0][0] = at(page_tables[1]) | 3;
	for (uint64_t g = 0; g < 4; g++) {
		page_tables[1][g] = at(page_tables[2 + g]) | 3;
		for (uint64_t i = 0; i < 512; i++)
			page_tables[2 + g][i] = (g << 30 | i << 21) | 0x83;
	}
	__asm__ volatile("movq %0, %%cr3" : : "r"(at(page_tables[0])) : "memory");
}

void find_devices(void)
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

struct device *find(uint32_t id, unsigned int nth)
{
	for (unsigned int i = 0; i < device_count; i++)
		if (devices[i].id == id && !nth--)
			return &devices[i];
	return NULL;
}

void set_queue(struct device *d, unsigned int i, uint32_t size, uint64_t desc, uint64_t avail,
	uint64_t used)
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

void negotiate(struct device *d)
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

bool start(struct device *d)
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

void offer(struct device *d, unsigned int queue, uint16_t head)
{
	struct ring *r = &d->rings[queue];

	r->avail[r->avail_idx % QUEUE] = head;
	fence();
	r->avail_idx++;
	fence();
	out32(d->base + NOTIFY, queue);
}

bool wait_used(struct device *d, unsigned int queue)
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

bool wait_broken(struct device *d)
{
	for (unsigned int i = 0; i < POLLS / 500; i++)
		if (in32(d->base + STATUS) & NEEDS_RESET)
			return true;
	return false;
}

void power_off(void)
{
	outb(0x600, 0x20 | 5 << 2);
	for (;;)
		__asm__ volatile("hlt");
}
