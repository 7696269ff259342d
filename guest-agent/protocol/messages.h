/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The agent protocol's messages: the control stream, and the first frame of each operation stream. Types and frames are
 * in frame.h, what follows a request in stream.h. Both ends use this codec; of the host's processes only sandbox-link
 * decodes (H10), the supervisor encodes WELCOME and the requests.
 *
 * Theory of operation of the control stream (guest to host, port 1024, opened once by PID 1):
 *   agent HELLO -> host WELCOME -> agent READY, or REFUSED and the guest powers off. Then, from the agent, HEALTH each
 *   PROTOCOL_HEARTBEAT_MS and AUDIT as things happen; from the host SHUTDOWN, TIME_SET and HEALTH_REQUEST. All that the
 *   agent says is the guest's word (H3). Operations are taken (host to guest, port 1024) once READY was sent.
 *   A host that does not speak HELLO's version closes the stream.
 *
 * Ownership: what a decoder gives borrows from its input, strings included (they end with NUL on the wire). Encoders
 * borrow everything. Decoders take a frame's payload; false, with *ret in no defined state for the big structs (it holds
 * no resource), where it is not valid. Encoders fail the writer where a limit is passed: what they write, the decoder takes.
 * Wire form of text: u16 length, the bytes, NUL counted and last, no other NUL. Lists: u16 count, then the items.
 */
#include "guest-agent/protocol/frame.h"
#include "guest-agent/protocol/stream.h"

#define PROTOCOL_HEARTBEAT_MS 5000

#define PROTOCOL_WORDS_MAX    1024 /* argv; env */
#define PROTOCOL_WORD_MAX     32768 /* bytes, of one word */
#define PROTOCOL_PATH_MAX     4095
#define PROTOCOL_NAME_MAX     63 /* of users, hosts, tags, builds */
#define PROTOCOL_MOUNTS_MAX   32
#define PROTOCOL_FILES_MAX    32
#define PROTOCOL_CONTENT_MAX  (64u << 10) /* of one file in WELCOME */
#define PROTOCOL_SEED_MAX     64
#define PROTOCOL_AUDIT_VALUES 5
#define PROTOCOL_CA_PATH                                                                           \
	"/run/sandbox/ca.pem" /* of the file in WELCOME that is this sandbox's CA */

/* -- control stream, from the agent -- */

struct protocol_hello {
	uint16_t version; /* PROTOCOL_VERSION; decoded whatever it is */
	uint32_t payload_max; /* the longest payload it takes */
	const char *build;
};

/* What is not as it should be in a guest that works all the same. READY, HEALTH; a guest's word. */
enum protocol_degraded {
	PROTOCOL_DEGRADED_MODULES = 1 << 0, /* a module of the list could not be loaded */
	PROTOCOL_DEGRADED_CLOCK = 1 << 1, /* the time could not be set */
	PROTOCOL_DEGRADED_ENTROPY = 1 << 2, /* the seed could not be credited */
	PROTOCOL_DEGRADED_CGROUP = 1 << 3, /* no cgroup2 */
	PROTOCOL_DEGRADED_LOOPBACK = 1 << 4, /* lo is down */
	PROTOCOL_DEGRADED_SUDO = 1 << 5, /* the image has no sudo, or it could not be set up */
	PROTOCOL_DEGRADED_SHARE = 1 << 6, /* an optional share could not be mounted */
	PROTOCOL_DEGRADED_FILES = 1 << 7, /* a file of WELCOME could not be written */
	PROTOCOL_DEGRADED_HOSTNAME = 1 << 8,
	PROTOCOL_DEGRADED_ETC = 1 << 9, /* a file of the system's own could not be written */
	PROTOCOL_DEGRADED_MEMORY = 1 << 10, /* HEALTH: under 5 % available */
	PROTOCOL_DEGRADED_DISK = 1 << 11, /* HEALTH: under 5 % free */
	PROTOCOL_DEGRADED_EGRESS =
		1
		<< 12, /* no transparent capture: who ignores the proxy's variables reaches nothing */
};

struct protocol_ready {
	uint64_t elapsed_ns; /* since the agent started */
	uint32_t degraded; /* enum protocol_degraded */
};

struct protocol_refused {
	uint32_t code; /* positive errno */
	uint32_t stage; /* enum protocol_stage */
};

struct protocol_health {
	uint64_t uptime_ns;
	uint64_t memory_total_kib, memory_available_kib;
	uint64_t disk_total_kib, disk_free_kib; /* of the root's writable layer */
	uint32_t load1_x100;
	uint32_t processes;
	uint32_t operations; /* operation streams at work */
	uint32_t degraded;
};

enum protocol_audit_kind {
	PROTOCOL_AUDIT_OOM_KILL = 1, /* pid (0: unknown) */
	PROTOCOL_AUDIT_OPERATION_STARTED = 2, /* serial, type, uid, pid */
	PROTOCOL_AUDIT_OPERATION_ENDED = 3, /* serial, type, exit kind, value */
	PROTOCOL_AUDIT_OPERATION_REFUSED = 4, /* serial, type, errno, stage */
	PROTOCOL_AUDIT_TIME_SET = 5, /* size of the step in ns, 1 if backwards */
	PROTOCOL_AUDIT_SHUTDOWN = 6, /* enum protocol_shutdown_kind, 1 if the guest itself asked */
	PROTOCOL_AUDIT_ROOT_EXEC = 7, /* serial: an operation that runs as root */
};

struct protocol_audit {
	uint32_t kind; /* enum protocol_audit_kind; unknown ones pass */
	uint64_t value[PROTOCOL_AUDIT_VALUES];
};

void protocol_put_hello(struct bytes_writer *w, const struct protocol_hello *m);
void protocol_put_ready(struct bytes_writer *w, const struct protocol_ready *m);
void protocol_put_refused(struct bytes_writer *w, const struct protocol_refused *m);
void protocol_put_health(struct bytes_writer *w, const struct protocol_health *m);
void protocol_put_audit(struct bytes_writer *w, const struct protocol_audit *m);
bool protocol_get_hello(const void *data, size_t len, struct protocol_hello *ret);
bool protocol_get_ready(const void *data, size_t len, struct protocol_ready *ret);
bool protocol_get_refused(const void *data, size_t len, struct protocol_refused *ret);
bool protocol_get_health(const void *data, size_t len, struct protocol_health *ret);
bool protocol_get_audit(const void *data, size_t len, struct protocol_audit *ret);

/* -- control stream, from the host -- */

enum protocol_mount_kind {
	PROTOCOL_MOUNT_P9 = 1,
	PROTOCOL_MOUNT_VIRTIOFS = 2,
	PROTOCOL_MOUNT_BLOCK = 3
};

enum protocol_mount_role {
	PROTOCOL_ROLE_PLAIN = 1, /* mounted at target, which must be absolute */
	PROTOCOL_ROLE_USR = 2, /* below the overlay at /usr */
	PROTOCOL_ROLE_ETC = 3, /* below the overlay at /etc */
	PROTOCOL_ROLE_DPKG = 4, /* below the overlay at /var/lib/dpkg */
	PROTOCOL_ROLE_TOOLS = 5, /* read-only at /run/sandbox/tools */
};

enum protocol_cache { PROTOCOL_CACHE_NONE = 0, PROTOCOL_CACHE_MMAP = 1, PROTOCOL_CACHE_LOOSE = 2 };

enum protocol_mount_flag {
	PROTOCOL_MOUNT_READONLY = 1 << 0,
	PROTOCOL_MOUNT_OPTIONAL = 1 << 1, /* its failure degrades instead of refusing */
};

struct protocol_mount {
	uint8_t kind; /* enum protocol_mount_kind */
	uint8_t role; /* enum protocol_mount_role */
	uint8_t cache; /* enum protocol_cache; p9 only */
	uint8_t flags; /* enum protocol_mount_flag */
	uint32_t msize; /* p9: 4096..1048576, 0: the default (512000) */
	const char *tag; /* p9 and virtiofs: the tag; block: the device's serial */
	const char *target; /* PLAIN: absolute, no `.` or `..`; else empty */
};

/* A small file that the agent writes before READY, folders above it made as needed (0755, root). */
struct protocol_file {
	const char *path; /* absolute, no `.` or `..` */
	uint32_t mode; /* within 07777 */
	uint32_t uid, gid;
	const void *content;
	uint32_t content_len;
};

enum protocol_root {
	PROTOCOL_ROOT_INITRAMFS = 0, /* stays where it is: kernels without 9p, tests */
	PROTOCOL_ROOT_HOST = 1, /* image `host`: USR and ETC under overlays on a tmpfs */
};

enum protocol_welcome_flag {
	PROTOCOL_WELCOME_SUDO = 1 << 0, /* `sandbox` may sudo without a password */
	/*
	 * The host takes egress streams (egress.h): the agent captures what goes out and sets the proxy's variables. Without it
	 * nothing of that is done. A PROTOCOL_CA_PATH among the files is the certificate that goes into the guest's stores.
	 */
	PROTOCOL_WELCOME_EGRESS = 1 << 1,
};

struct protocol_welcome {
	uint64_t time_ns; /* CLOCK_REALTIME; 0: leave the clock alone */
	uint32_t uid, gid; /* of user; not 0 */
	uint32_t flags; /* enum protocol_welcome_flag */
	uint8_t root; /* enum protocol_root */
	const char *instance; /* written to /run/sandbox/instance */
	const char *hostname;
	const char *user; /* "sandbox" */
	const char *folder; /* where an EXEC without cwd starts; empty: the user's home */
	const void *seed; /* for the kernel's random pool, credited */
	uint32_t seed_len; /* at most PROTOCOL_SEED_MAX */
	uint16_t mount_count, file_count, env_count;
	struct protocol_mount mount[PROTOCOL_MOUNTS_MAX]; /* in the order to mount */
	struct protocol_file file[PROTOCOL_FILES_MAX];
	const char *
		env[PROTOCOL_WORDS_MAX + 1]; /* K=V for every EXEC, below its own; ends with NULL */
};

enum protocol_shutdown_kind { PROTOCOL_SHUTDOWN_POWEROFF = 0, PROTOCOL_SHUTDOWN_REBOOT = 1 };

void protocol_put_welcome(struct bytes_writer *w, const struct protocol_welcome *m);
void protocol_put_shutdown(struct bytes_writer *w, enum protocol_shutdown_kind kind);
void protocol_put_time_set(struct bytes_writer *w, uint64_t time_ns);
bool protocol_get_welcome(const void *data, size_t len, struct protocol_welcome *ret);
bool protocol_get_shutdown(const void *data, size_t len, enum protocol_shutdown_kind *ret);
bool protocol_get_time_set(const void *data, size_t len, uint64_t *ret_ns);

/* -- requests -- */

enum protocol_exec_flag {
	PROTOCOL_EXEC_TTY = 1 << 0, /* a terminal of rows x cols; else three pipes */
	/* The environment is exactly `env`: neither WELCOME's nor HOME, USER, LOGNAME, SHELL, PATH, LANG are added. */
	PROTOCOL_EXEC_CLEAN_ENV = 1 << 1,
	/* argv[0] is looked up in PATH and started as a login shell (argv[0] gets a `-` before its last component). */
	PROTOCOL_EXEC_LOGIN = 1 << 2,
	/* argv is empty: the user's login shell, interactive. Set TTY as well for a shell a human uses. */
	PROTOCOL_EXEC_SHELL = 1 << 3,
};

struct protocol_exec {
	uint32_t flags; /* enum protocol_exec_flag */
	uint16_t rows, cols; /* TTY; 0: 24 x 80 */
	const char *user; /* name or decimal uid; empty: WELCOME's user */
	const char *folder; /* absolute; empty: WELCOME's folder */
	uint16_t argc, env_count;
	const char *argv[PROTOCOL_WORDS_MAX + 1]; /* ends with NULL; at least one unless SHELL */
	const char *env[PROTOCOL_WORDS_MAX + 1]; /* K=V; ends with NULL; later ones win */
};

enum protocol_copy_flag {
	/* COPY_IN: path must be a folder, and entries go into it (it was written with a `/` at its end). */
	PROTOCOL_COPY_FOLDER = 1 << 0,
	/* COPY_OUT: where path itself is a symlink, what it leads to. Links below are copied as links. */
	PROTOCOL_COPY_FOLLOW = 1 << 1,
};

/*
 * COPY_OUT: what to send. COPY_IN: a folder that is there takes the entries by their own names; else its parent must
 * be there and the one top entry takes path's last name (a file of that name is replaced).
 */
struct protocol_copy {
	uint32_t flags; /* enum protocol_copy_flag */
	const char *path; /* absolute, or relative to WELCOME's folder; not empty */
	const char *user; /* with whose rights; empty: WELCOME's user */
};

struct protocol_forward {
	uint16_t port; /* TCP on the guest's loopback; not 0 */
};

void protocol_put_exec(struct bytes_writer *w, const struct protocol_exec *m);
void protocol_put_copy(struct bytes_writer *w, const struct protocol_copy *m);
void protocol_put_forward(struct bytes_writer *w, const struct protocol_forward *m);
bool protocol_get_exec(const void *data, size_t len, struct protocol_exec *ret);
bool protocol_get_copy(const void *data, size_t len, struct protocol_copy *ret);
bool protocol_get_forward(const void *data, size_t len, struct protocol_forward *ret);

/* Absolute, no empty component, no `.` or `..`, at most PROTOCOL_PATH_MAX bytes. `/` alone is not valid. */
bool protocol_path_valid(const char *path);
