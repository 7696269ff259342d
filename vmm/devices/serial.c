/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/devices/serial.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"

/* How long output may wait in the ring. */
#define DRAIN_AFTER_MS 4

enum { REG_DATA, REG_IER, REG_IIR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCR };

#define IER_RECEIVED	   0x01
#define IER_THR_EMPTY	   0x02
#define IER_KNOWN	   0x0f
#define IIR_NONE	   0x01
#define IIR_THR_EMPTY	   0x02
#define IIR_RECEIVED	   0x04
#define IIR_FIFO	   0xc0
#define FCR_ENABLE	   0x01
#define FCR_CLEAR_RECEIVED 0x02
#define LCR_DLAB	   0x80
#define MCR_DTR		   0x01
#define MCR_RTS		   0x02
#define MCR_OUT1	   0x04
#define MCR_OUT2	   0x08
#define MCR_LOOP	   0x10
#define MCR_KNOWN	   0x1f
#define LSR_READY	   0x01
#define LSR_OVERRUN	   0x02
#define LSR_THR_EMPTY	   0x20
#define LSR_ALL_EMPTY	   0x40
#define MSR_CTS		   0x10
#define MSR_DSR		   0x20
#define MSR_RI		   0x40
#define MSR_DCD		   0x80

static void raise_irq(struct serial *serial)
{
	if (serial->config.raise_irq)
		serial->config.raise_irq(serial->config.irq_data);
}

static void receive(struct serial *serial, uint8_t byte)
{
	if (serial->input_count == SERIAL_INPUT_MAX) {
		serial->overrun = true;
		return;
	}
	serial->input[(serial->input_first + serial->input_count++) % SERIAL_INPUT_MAX] = byte;
	if (serial->ier & IER_RECEIVED)
		raise_irq(serial);
}

static uint8_t take_received(struct serial *serial)
{
	uint8_t byte;

	if (!serial->input_count)
		return 0;
	byte = serial->input[serial->input_first];
	serial->input_first = (serial->input_first + 1) % SERIAL_INPUT_MAX;
	serial->input_count--;
	return byte;
}

static void wake_loop(struct serial *serial)
{
	uint64_t one = 1;

	if (serial->draining)
		return;
	serial->draining = true;
	if (write(serial->wake_fd, &one, sizeof(one)) < 0) {
		/* The counter is full, so the loop wakes anyway. */
	}
}

static void send_byte(struct serial *serial, uint8_t byte)
{
	if (serial->mcr & MCR_LOOP) {
		receive(serial, byte);
	} else if (serial->output_count < SERIAL_OUTPUT_MAX) {
		serial->output[serial->output_count++] = byte;
		wake_loop(serial);
	} else {
		serial->dropped++;
	}
	/* Out already: the holding register is empty again. */
	serial->thr_empty_pending = true;
	if (serial->ier & IER_THR_EMPTY)
		raise_irq(serial);
}

/* Received data goes before the empty holding register; reading clears the latter. */
static uint8_t identify_interrupt(struct serial *serial)
{
	uint8_t fifo = serial->fifo ? IIR_FIFO : 0;

	if ((serial->ier & IER_RECEIVED) && serial->input_count)
		return fifo | IIR_RECEIVED;
	if ((serial->ier & IER_THR_EMPTY) && serial->thr_empty_pending) {
		serial->thr_empty_pending = false;
		return fifo | IIR_THR_EMPTY;
	}
	return fifo | IIR_NONE;
}

static void set_interrupts(struct serial *serial, uint8_t value)
{
	uint8_t fresh = value & IER_KNOWN & (uint8_t)~serial->ier;

	serial->ier = value & IER_KNOWN;
	if (fresh & IER_THR_EMPTY) {
		serial->thr_empty_pending = true;
		raise_irq(serial);
	}
	if ((fresh & IER_RECEIVED) && serial->input_count)
		raise_irq(serial);
}

static uint8_t line_status(struct serial *serial)
{
	uint8_t status = LSR_THR_EMPTY | LSR_ALL_EMPTY;

	if (serial->input_count)
		status |= LSR_READY;
	if (serial->overrun)
		status |= LSR_OVERRUN;
	serial->overrun = false;
	return status;
}

/* In loop-back the modem inputs show the modem outputs; Linux looks for that. */
static uint8_t modem_status(const struct serial *serial)
{
	uint8_t mcr = serial->mcr;

	if (!(mcr & MCR_LOOP))
		return MSR_CTS | MSR_DSR | MSR_DCD;
	return (uint8_t)((mcr & MCR_RTS ? MSR_CTS : 0) | (mcr & MCR_DTR ? MSR_DSR : 0) |
			 (mcr & MCR_OUT1 ? MSR_RI : 0) | (mcr & MCR_OUT2 ? MSR_DCD : 0));
}

static void set_fifo(struct serial *serial, uint8_t value)
{
	serial->fifo = value & FCR_ENABLE;
	if (value & FCR_CLEAR_RECEIVED)
		serial->input_count = 0;
}

static uint8_t read_register(struct serial *serial, uint64_t offset)
{
	bool divisor = serial->lcr & LCR_DLAB;

	switch (offset) {
	case REG_DATA:
		return divisor ? serial->dll : take_received(serial);
	case REG_IER:
		return divisor ? serial->dlm : serial->ier;
	case REG_IIR:
		return identify_interrupt(serial);
	case REG_LCR:
		return serial->lcr;
	case REG_MCR:
		return serial->mcr;
	case REG_LSR:
		return line_status(serial);
	case REG_MSR:
		return modem_status(serial);
	case REG_SCR:
		return serial->scr;
	default:
		return 0xff;
	}
}

static void write_data(struct serial *serial, uint8_t value)
{
	if (serial->lcr & LCR_DLAB)
		serial->dll = value;
	else
		send_byte(serial, value);
}

static void write_ier(struct serial *serial, uint8_t value)
{
	if (serial->lcr & LCR_DLAB)
		serial->dlm = value;
	else
		set_interrupts(serial, value);
}

static void write_register(struct serial *serial, uint64_t offset, uint8_t value)
{
	switch (offset) {
	case REG_DATA:
		write_data(serial, value);
		break;
	case REG_IER:
		write_ier(serial, value);
		break;
	case REG_IIR:
		set_fifo(serial, value);
		break;
	case REG_LCR:
		serial->lcr = value;
		break;
	case REG_MCR:
		serial->mcr = value & MCR_KNOWN;
		break;
	case REG_SCR:
		serial->scr = value;
		break;
	default: /* the status registers are read-only */
		break;
	}
}

/* Registers are a byte wide; a wider access reads as all ones and writes nothing. */
static void serial_read(void *handler, uint64_t offset, uint8_t *data, unsigned int len)
{
	struct serial *serial = handler;

	memset(data, 0xff, len);
	if (len != 1)
		return;
	pthread_mutex_lock(&serial->lock);
	data[0] = read_register(serial, offset);
	pthread_mutex_unlock(&serial->lock);
}

static void serial_write(void *handler, uint64_t offset, const uint8_t *data, unsigned int len)
{
	struct serial *serial = handler;

	if (len != 1)
		return;
	pthread_mutex_lock(&serial->lock);
	write_register(serial, offset, data[0]);
	pthread_mutex_unlock(&serial->lock);
}

static const struct bus_ops serial_ops = {
	.name = "serial", .read = serial_read, .write = serial_write
};

void serial_flush(struct serial *serial)
{
	uint8_t bytes[SERIAL_OUTPUT_MAX];
	size_t count;

	/* The lock is not held over `output`: it may write to a disk. */
	pthread_mutex_lock(&serial->lock);
	count = serial->output_count;
	memcpy(bytes, serial->output, count);
	serial->output_count = 0;
	serial->draining = false;
	pthread_mutex_unlock(&serial->lock);
	if (count)
		serial->config.output(serial->config.output_data, bytes, count);
}

static void on_timer(void *data)
{
	serial_flush(data);
}

static void on_wake(void *data, uint32_t events)
{
	struct serial *serial = data;
	uint64_t count;

	(void)events;
	if (read(serial->wake_fd, &count, sizeof(count)) < 0)
		return;
	if (loop_timer_set(serial->timer, DRAIN_AFTER_MS) < 0)
		serial_flush(serial);
}

size_t serial_input(struct serial *serial, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	size_t taken;

	pthread_mutex_lock(&serial->lock);
	taken = MIN(len, SERIAL_INPUT_MAX - serial->input_count);
	for (size_t i = 0; i < taken; i++)
		receive(serial, p[i]);
	pthread_mutex_unlock(&serial->lock);
	return taken;
}

int serial_init(struct serial *serial, const struct serial_config *config, struct err *err)
{
	int r;

	*serial = (struct serial){ .config = *config,
		.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
	if (serial->wake_fd < 0)
		return err_set(err, -errno, "serial: cannot make an eventfd: %s", strerror(errno));
	pthread_mutex_init(&serial->lock, NULL);
	r = loop_add_fd(
		config->loop, serial->wake_fd, EPOLLIN, on_wake, serial, &serial->wake_source);
	if (r >= 0)
		r = loop_add_timer(config->loop, on_timer, serial, &serial->timer);
	if (r < 0) {
		serial_finish(serial);
		return err_set(err, r, "serial: cannot join the loop: %s", strerror(-r));
	}
	return 0;
}

void serial_finish(struct serial *serial)
{
	loop_remove(serial->timer);
	loop_remove(serial->wake_source);
	serial->timer = serial->wake_source = NULL;
	close_keeping_errno(serial->wake_fd);
	serial->wake_fd = -1;
	pthread_mutex_destroy(&serial->lock);
}

int serial_add(struct serial *serial, struct bus *pio, struct err *err)
{
	return bus_add(pio, SERIAL_PORT, SERIAL_PORT_COUNT, &serial_ops, serial, err);
}
