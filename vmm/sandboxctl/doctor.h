/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Requirements of this product on a host, each found or missing, measured where it can be, with its fix. A table of
 * checks; each fills one finding. Only reads and tries; changes nothing.
 */
#include <stddef.h>

#include "vmm/supervisor/paths.h"

#define DOCTOR_TEXT_MAX	    512
#define DOCTOR_FINDINGS_MAX 32

enum finding_status { FINDING_OK, FINDING_WARN, FINDING_FAIL };

struct finding {
	const char *id; /* "kvm", "user-namespaces", ... */
	enum finding_status status;
	char reason[DOCTOR_TEXT_MAX];
	char fix[DOCTOR_TEXT_MAX]; /* empty where nothing is to be done */
};

struct doctor_context {
	struct paths paths;
	int paths_error; /* of loading or preparing them */
	struct err paths_err;
};

/* Fills ret[0..] with one finding per check; gives their number. */
size_t doctor_examine(
	const struct doctor_context *context, struct finding ret[static DOCTOR_FINDINGS_MAX]);
const char *finding_status_name(enum finding_status status);
