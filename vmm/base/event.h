/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The fixed-size records that the processes of a sandbox send to their supervisor (H10: it takes nothing else from
 * them but terminal bytes). One record is one message on an inherited SOCK_SEQPACKET; anything of another size is an
 * error of the sender. No text a guest chose is in it.
 *
 * Wire form: 64 bytes, little endian: u16 kind, u16 reserved 0, u32 sequence, u64 time (CLOCK_MONOTONIC, ns),
 * u64 value[6].
 */
#include <stdint.h>

#define EVENT_SIZE   64
#define EVENT_VALUES 6

enum event_kind {
	/* from sandbox-vmm */
	EVENT_VMM_ISOLATED =
		1, /* the jail is complete; value[0]: bits of enum jail_layer in force; VMM's [1]: core scheduling */
	EVENT_VMM_RUNNING = 2, /* first KVM_RUN is next; value[0]: ns since exec */
	EVENT_VMM_ENDED =
		3, /* value[0]: enum machine_end, [1]: ns in exits, [2]: exits, [3]: RAM bytes */
	EVENT_VMM_DEVICE_FAULT = 4, /* value[0]: device index, [1]: faults so far */
	EVENT_VMM_FAILED =
		5, /* value[0]: errno; the text is on stderr (the supervisor keeps its tail) */
	EVENT_VMM_SHARE_LOSS =
		6, /* value[0]: share index, [1]: changes kept only in memory (design: Shares) */
	EVENT_VMM_SHARE_REFUSED =
		7, /* S4. value[0]: share index, [1]: refused changes so far, [2]: device and [3]: inode of a
		      file not told before, or 0 */
	/* from sandbox-link */
	EVENT_LINK_ISOLATED = 32,
	EVENT_AGENT_HELLO = 33, /* value[0]: protocol version */
	EVENT_AGENT_READY =
		34, /* value[0]: ns since the agent started, [1]: degraded bits (protocol) */
	EVENT_AGENT_HEALTH =
		35, /* [0]: load1 * 100, [1]: mem total KiB, [2]: mem free KiB, [3]: disk free KiB,
				    [4]: degraded bits, [5]: processes. Guest's word. */
	EVENT_AGENT_LOST = 36, /* the control stream ended, or is silent: HEALTH may follow then */
	EVENT_SESSION_ENDED =
		37, /* the main command ended; value[0]: wait status form: exit code or 128+n */
	EVENT_LINK_FAILED = 38, /* value[0]: errno */
	EVENT_AGENT_AUDIT =
		39, /* value[0]: enum protocol_audit_kind, [1..5]: its numbers. Guest's word. */
	EVENT_AGENT_REFUSED = 40, /* the agent could not set up; value[0]: errno, [1]: stage */
	/* from sandbox-proxy */
	EVENT_PROXY_ISOLATED = 64, /* as EVENT_VMM_ISOLATED's value[0] */
	EVENT_PROXY_POLICY = 65, /* value[0]: 0: in force; errno: refused, the old one stays */
	EVENT_PROXY_FAILED = 66, /* value[0]: errno */
	EVENT_PROXY_INJECTOR_LOST = 67, /* a channel broke; value[0]: errno or 0 */
	/* from a sandbox-injector */
	EVENT_INJECTOR_ISOLATED = 80,
	EVENT_INJECTOR_POLICY = 81, /* as EVENT_PROXY_POLICY */
	EVENT_INJECTOR_FAILED = 82, /* value[0]: errno */
	EVENT_INJECTOR_SECRET = 83, /* value[0]: 0: it is in place; errno: the old one stays */
	/* from sandbox-audit */
	EVENT_AUDIT_ISOLATED = 96,
	EVENT_AUDIT_STALLED = 97, /* nothing can be written; value[0]: errno */
	EVENT_AUDIT_RESUMED = 98,
	EVENT_AUDIT_FAILED = 99, /* value[0]: errno */
	EVENT_AUDIT_FORWARD =
		100, /* value[0]: 0: forwarding works; errno: it does not; [1]: what was not forwarded so far */
};

/* How a machine came to its end. Each has its own reason in status. */
enum machine_end {
	MACHINE_END_NONE = 0,
	MACHINE_END_POWEROFF = 1,
	MACHINE_END_REBOOT = 2,
	MACHINE_END_PANIC = 3,
	MACHINE_END_TRIPLE_FAULT = 4,
	MACHINE_END_KVM_ERROR = 5, /* KVM_EXIT_INTERNAL_ERROR, FAIL_ENTRY */
	MACHINE_END_STOPPED = 6, /* the host asked (SIGTERM) */
	MACHINE_END_DEVICE = 7, /* a device that the machine cannot live without failed */
};

/*
 * The exit code of a sandbox-vmm with an event socket carries its machine's end too: a record is lost where the socket is
 * full, and a guest that keeps its devices faulting can see to that. Above what other failures use.
 */
#define MACHINE_END_EXIT_BASE 64

int machine_end_exit_code(enum machine_end end);
/* MACHINE_END_NONE: that is no machine's end. */
enum machine_end machine_end_of_exit(int code);

struct event {
	uint16_t kind; /* enum event_kind */
	uint32_t sequence;
	uint64_t time_ns;
	uint64_t value[EVENT_VALUES];
};

void event_encode(const struct event *event, uint8_t out[static EVENT_SIZE]);
/* 0; -EPROTO where size is not EVENT_SIZE or the reserved field is not 0. Unknown kinds are let through for the caller. */
int event_decode(const void *data, uint64_t size, struct event *ret);
/* Stamps time and sequence and sends; fd is SOCK_SEQPACKET. -errno; never blocks (-EAGAIN where the peer is slow). */
int event_send(
	int fd, uint32_t *sequence, uint16_t kind, const uint64_t *values, unsigned int count);
