/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What a /dev/kvm is worth. "The ioctl works" proves nothing: paravirtual or doubly nested KVMs run ring 3 natively and
 * emulate ring 0, instruction by instruction. So a throw-away VM runs the same short loop in both rings, about 20 ms
 * each, and cmpxchg16b once in ring 0. Fit: ring 0 has at least a tenth of ring 3's speed, and cmpxchg16b works there.
 * A busy host can leave a slice without any processor: what seems bad is measured again, longer, and the best counts.
 *
 * A bad KVM may hang in a way that no signal ends at once: the caller sets itself an alarm.
 */
#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/err.h"

#define MEASURE_SLICE_MS 20u /* the first; each further one is twice as long */
#define MEASURE_ROUNDS	 6

enum measure_verdict { MEASURE_FIT, MEASURE_EMULATED, MEASURE_ABSENT, MEASURE_NO_PERMISSION };

struct measure_result {
	enum measure_verdict verdict;
	uint64_t ring0_per_s, ring3_per_s; /* turns of a two-instruction loop */
	bool cmpxchg16b;
};

/*
 * Opens path ("/dev/kvm") and measures. Always gives a verdict in *ret; err says what stood behind one that is not FIT.
 * A KVM that cannot even be set up counts as emulated: it is there and of no use.
 */
void measure_kvm(const char *path, struct measure_result *ret, struct err *err);
