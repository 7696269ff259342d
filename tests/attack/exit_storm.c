/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest kernel that leaves the guest as often as it can, for ever (V10): registers of devices, CPUID, and locked accesses over
 * two cache lines. No tight loop of port I/O: QEMU 7.2, under the testbed's KVM, can abort of that.
 */
#include "tests/attack/bare_guest.h"

void guest_main(void)
{
	map_memory();
	find_devices();
	print("storm\n");
	for (uint32_t i = 0;; i++) {
		uint32_t leaf = 0;

		in32(devices[0].base + 0x70);
		out32(devices[0].base + 0x30, 0);
		__asm__ volatile("cpuid" : "+a"(leaf) : : "ebx", "ecx", "edx");
		__asm__ volatile("lock addl $1, (%0)" : : "r"(buffer + 62) : "memory");
	}
}
