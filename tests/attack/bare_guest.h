/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What the attacking guest kernels stand on: freestanding x86-64, one CPU, interrupts off, queues polled, memory
 * identity-mapped to 4 GiB by tables of its own. A program has a guest_main(); it is entered with a stack and nothing else.
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

extern struct ring ring_pool[DEVICES_MAX][QUEUES];
extern struct device devices[DEVICES_MAX];
extern unsigned int device_count;
extern uint8_t buffer[1 << 20];

void *memset(void *to, int value, size_t len);
void *memcpy(void *to, const void *from, size_t len);
void guest_main(void);
void _start(void);

void outb(uint16_t port, uint8_t value);
uint8_t inb(uint16_t port);
uint32_t in32(uint64_t gpa);
void out32(uint64_t gpa, uint32_t value);
void fence(void);
uint64_t at(const volatile void *p);

void print(const char *text);
void verdict(const char *name, bool ok);
uint32_t pick(uint32_t below); /* the same numbers at every boot */
void power_off(void);

/* 4 GiB, 2 MiB pages: what the boot tables map ends before the devices. */
void map_memory(void);
void find_devices(void);
/* The nth device with this id. */
struct device *find(uint32_t id, unsigned int nth);
void set_queue(struct device *d, unsigned int i, uint32_t size, uint64_t desc, uint64_t avail,
	uint64_t used);
/* Reset, and all features but EVENT_IDX. */
void negotiate(struct device *d);
/* The same, all queues, DRIVER_OK. */
bool start(struct device *d);
void offer(struct device *d, unsigned int queue, uint16_t head);
/* Whether the device has used all that was offered; false too where it broke. */
bool wait_used(struct device *d, unsigned int queue);
bool wait_broken(struct device *d);
