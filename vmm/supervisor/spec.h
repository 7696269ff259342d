/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Everything `start` was told about one sandbox. sandboxctl fills it from flags, the supervisor gets it as JSON on a pipe
 * and keeps it in the record, so that a later start or restart has the same flags. Decoding is strict: an unknown key, a
 * wrong type or a value out of bounds is an error.
 *
 * Ownership: strings and vectors are the spec's own, on the heap; spec_finish() frees them.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/err.h"
#include "vmm/base/parse.h"
#include "vmm/supervisor/json.h"

#define SPEC_SHARES_MAX                                                                            \
	11 /* sandbox-vmm takes 16: these, the workspace, usr, etc, dpkg and tools */
#define SPEC_PORTS_MAX	      20 /* each is an fd of sandbox-link: base/spawn.h takes 32 in all */
#define SPEC_WORDS_MAX	      1024 /* of a command; of an environment */
#define SPEC_WORD_LEN_MAX     32768
#define SPEC_PATH_LEN_MAX     4095
#define SPEC_POLICY_MAX	      (256 * 1024)
#define SPEC_TIER_MAX	      16
#define SPEC_TEXT_MAX	      (768 * 1024) /* the whole as JSON */
#define SPEC_CPUS_MAX	      32
#define SPEC_MEMORY_MIB_MIN   64
#define SPEC_MEMORY_MIB_MAX   (1024 * 1024)
#define SPEC_PIDS_MIN	      96 /* what 32 virtual CPUs, 16 shares and their processes may need */
#define SPEC_PIDS_MAX	      4194304 /* the kernel's own */
#define SPEC_TIMEOUT_MS_MAX   (366ull * 24 * 3600 * 1000)
#define SPEC_WORKSPACE_TARGET "/workspace"

/* A folder of the host that the guest sees. The workspace is one of them, kept apart. */
struct spec_share {
	char *host; /* absolute, canonical (no links in it) */
	char *guest; /* absolute, normalised */
	bool readonly;
	bool trust_hardlinks; /* lifts S4 */
	uint64_t device,
		inode; /* what host was when the spec was made; 0, 0 in a spec not yet resolved */
};

struct spec_port {
	char address[46]; /* "127.0.0.1" unless told otherwise; v4 or v6 without brackets */
	uint16_t host_port;
	uint16_t guest_port;
};

struct spec {
	char name[SANDBOX_NAME_MAX + 1];
	struct spec_share workspace; /* host is NULL where there is none (tests) */
	struct spec_share shares[SPEC_SHARES_MAX];
	size_t share_count;
	struct spec_port ports[SPEC_PORTS_MAX];
	size_t port_count;
	char *image; /* "host" */
	char *kernel; /* what --kernel was told: a name or a path; NULL: the default */
	uint32_t cpus;
	uint64_t memory_mib;
	uint32_t pids; /* at most so many processes and threads on the host; 0: no limit */
	uint64_t timeout_ms; /* wall time of the whole sandbox, judged on the host; 0: none */
	char **environment; /* NULL-ended K=V; never NULL after spec_init() */
	char **command; /* NULL-ended; empty: no main command */
	bool command_tty;
	uint16_t rows, cols; /* of command_tty */
	/* The starter is about to attach: a command that ends at once waits a moment for it. */
	bool await_attach;
	bool nested; /* let the guest see VMX or SVM */
	char *policy; /* the command line's policy document (policy/schema.json); NULL: none */
	char *tier; /* its word (policy.h); NULL: the lowest */
};

/* cpus and memory at their defaults, no name, image "host". */
int spec_init(struct spec *spec);
void spec_finish(struct spec *spec);
int spec_copy(const struct spec *from, struct spec *ret);

json_t *spec_encode(const struct spec *spec);
/* *ret is untouched on failure. */
int spec_decode(json_t *json, struct spec *ret, struct err *err);

/* Defaults of product.md: 2 GiB, or a quarter of the host's memory where that is less; the host's CPUs, at most 4. */
uint64_t spec_default_memory_mib(void);
uint32_t spec_default_cpus(void);

/*
 * Words of the command line, each added to the spec. Pure but for spec_resolve().
 *   share  HOST:GUEST[:ro|:rw][:trust-hardlinks]  (HOST may be relative here; spec_resolve() makes it canonical)
 *   port   [ADDR:]HOST:GUEST       (ADDR may be [v6])
 *   env    KEY=VALUE               (a later one of the same key replaces it)
 *   file   text of an --env-file: KEY=VALUE lines, # comments, blank lines, no quoting, no expansion
 */
int spec_add_share(struct spec *spec, const char *word, struct err *err);
int spec_add_port(struct spec *spec, const char *word, struct err *err);
int spec_add_environment(struct spec *spec, const char *word, struct err *err);
int spec_add_environment_file(
	struct spec *spec, const char *text, size_t len, const char *path, struct err *err);
/* dir[:ro|:rw][:trust-hardlinks] */
int spec_set_workspace(struct spec *spec, const char *word, struct err *err);
int spec_set_command(struct spec *spec, char *const *argv, struct err *err);

/* Makes every host path absolute and canonical, notes device and inode; each must be a folder. */
int spec_resolve(struct spec *spec, struct err *err);
/* What must hold between fields: targets that clash, ports published twice, names. Pure. */
int spec_check(const struct spec *spec, struct err *err);

/* A share's target is one that a guest's system needs (/, /usr, /etc, /proc, ...). Pure. */
bool spec_target_reserved(const char *guest);
