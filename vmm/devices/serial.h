/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A 16550A at the first PC serial port, for the early console (National Semiconductor PC16550D data sheet): enough that
 * Linux' 8250 driver finds it, uses it before interrupts exist, and runs ttyS0 on it afterwards.
 *
 * Theory of operation. Registers live on vCPU threads under one lock. A byte that is sent goes into a ring and is out at
 * once as far as the guest sees; the loop thread empties the ring into `output` a few milliseconds later, so a line costs
 * the guest no system call per byte. What does not fit into the ring is dropped and counted: a guest that floods slows
 * nobody (V10). Input waits in a ring of its own.
 *
 * The interrupt is an edge: `raise_irq` is called when a reason for one comes up, on any thread, with the lock held.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/loop.h"
#include "vmm/machine/bus.h"

#define SERIAL_PORT	  0x3f8
#define SERIAL_PORT_COUNT 8
#define SERIAL_GSI	  4
#define SERIAL_OUTPUT_MAX 16384
#define SERIAL_INPUT_MAX  1024

struct serial_config {
	struct loop *loop;
	void (*output)(void *data, const void *bytes,
		size_t len); /* on the loop thread; raw guest bytes */
	void *output_data;
	void (*raise_irq)(void *data); /* NULL: none */
	void *irq_data;
};

struct serial {
	struct serial_config config;
	struct loop_source *wake_source, *timer;
	int wake_fd;
	pthread_mutex_t lock; /* guards all below */
	uint8_t ier, lcr, mcr, scr, dll, dlm;
	bool fifo, overrun, thr_empty_pending;
	bool draining; /* the loop was told */
	uint8_t output[SERIAL_OUTPUT_MAX];
	size_t output_count;
	uint8_t input[SERIAL_INPUT_MAX];
	size_t input_first, input_count;
	uint64_t dropped; /* output bytes */
};

int serial_init(struct serial *serial, const struct serial_config *config, struct err *err);
void serial_finish(struct serial *serial);
int serial_add(struct serial *serial, struct bus *pio, struct err *err);
/* Gives how many bytes were taken. Any thread. */
size_t serial_input(struct serial *serial, const void *bytes, size_t len);
/* Hands what is left to `output`, at once. On the loop thread, or after the loop and all vCPUs have ended. */
void serial_flush(struct serial *serial);
