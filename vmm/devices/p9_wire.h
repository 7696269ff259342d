/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * 9P2000.L on the wire: T-messages into a struct, R-messages out of fields. Pure: bytes in, bytes out.
 *
 * Source: the 9P2000 manual pages (intro(5) and following) and the 9P2000.L message list of diod's protocol.md; the forms
 * that Linux's net/9p really sends and takes. A message is size[4] type[1] tag[2] and its fields, little endian; a string is
 * len[2] and bytes without NUL.
 *
 * Parsed text borrows from the message. Twrite is parsed without its data, which follow the fields.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/bytes.h"

#define P9_VERSION	"9P2000.L"
#define P9_HEADER_BYTES 7
#define P9_NOTAG	0xffffu
#define P9_NOFID	UINT32_MAX
#define P9_WALK_MAX	16
#define P9_QID_BYTES	13
#define P9_ERROR_BYTES	(P9_HEADER_BYTES + 4) /* Rlerror */
#define P9_READ_BYTES	(P9_HEADER_BYTES + 4) /* before the data of Rread and Rreaddir */
#define P9_WRITE_BYTES	(P9_HEADER_BYTES + 16) /* before the data of Twrite */
#define P9_MSIZE_MIN	4096u
#define P9_MSIZE_MAX	(512u << 10) /* Linux's virtio transport stops at 500 KiB */
/* A message apart from Twrite's data: 16 names, or a symlink with its target. */
#define P9_REQUEST_MAX (16u << 10)

enum p9_type {
	P9_RLERROR = 7,
	P9_TSTATFS = 8,
	P9_TLOPEN = 12,
	P9_TLCREATE = 14,
	P9_TSYMLINK = 16,
	P9_TMKNOD = 18,
	P9_TRENAME = 20,
	P9_TREADLINK = 22,
	P9_TGETATTR = 24,
	P9_TSETATTR = 26,
	P9_TXATTRWALK = 30,
	P9_TXATTRCREATE = 32,
	P9_TREADDIR = 40,
	P9_TFSYNC = 50,
	P9_TLOCK = 52,
	P9_TGETLOCK = 54,
	P9_TLINK = 70,
	P9_TMKDIR = 72,
	P9_TRENAMEAT = 74,
	P9_TUNLINKAT = 76,
	P9_TVERSION = 100,
	P9_TAUTH = 102,
	P9_TATTACH = 104,
	P9_TFLUSH = 108,
	P9_TWALK = 110,
	P9_TREAD = 116,
	P9_TWRITE = 118,
	P9_TCLUNK = 120,
	P9_TREMOVE = 122,
};

/* Bits of Tsetattr's valid. */
enum p9_set {
	P9_SET_MODE = 1 << 0,
	P9_SET_UID = 1 << 1,
	P9_SET_GID = 1 << 2,
	P9_SET_SIZE = 1 << 3,
	P9_SET_ATIME = 1 << 4,
	P9_SET_MTIME = 1 << 5,
	P9_SET_CTIME = 1 << 6,
	P9_SET_ATIME_TO = 1 << 7,
	P9_SET_MTIME_TO = 1 << 8,
};

enum p9_qid_type { P9_QID_FILE = 0, P9_QID_SYMLINK = 0x02, P9_QID_FOLDER = 0x80 };
enum p9_lock_type { P9_LOCK_READ = 0, P9_LOCK_WRITE = 1, P9_LOCK_UNLOCK = 2 };
enum p9_lock_status { P9_LOCK_SUCCESS = 0, P9_LOCK_BLOCKED = 1, P9_LOCK_ERROR = 2 };

#define P9_GETATTR_BASIC 0x7ffull
#define P9_GETATTR_BTIME 0x800ull
#define P9_UNLINK_FOLDER 0x200u /* AT_REMOVEDIR */

struct p9_text {
	const uint8_t *data;
	size_t len;
};

struct p9_qid {
	uint8_t type;
	uint32_t version;
	uint64_t path;
};

/* One T-message; each type fills the fields it has. */
struct p9_request {
	uint8_t type; /* enum p9_type, once it is parsed */
	uint16_t tag;
	uint32_t fid;
	uint32_t other_fid; /* newfid, afid, dfid, newdirfid */
	struct p9_text name, other_name; /* newname, target, aname, client_id */
	struct p9_text names[P9_WALK_MAX];
	uint16_t name_count;
	uint32_t flags, mode, uid, gid, major, minor, count, msize, valid;
	uint64_t offset, size; /* size: of Tsetattr, Txattrcreate */
	uint64_t atime_s, atime_ns, mtime_s, mtime_ns;
	uint16_t old_tag;
	uint8_t lock_type;
	uint64_t lock_start, lock_length;
	uint32_t lock_process;
};

/* The first 7 bytes. size is of the whole message. False where it is below 7. */
bool p9_parse_header(const uint8_t data[static P9_HEADER_BYTES], uint32_t *ret_size,
	uint8_t *ret_type, uint16_t *ret_tag);
/*
 * A message's body (without header). 0; -EOPNOTSUPP: a type this server does not have; -EPROTO: it is cut short, has bytes
 * left over, or says more than it may. *ret is set only on 0.
 */
int p9_parse(uint8_t type, uint16_t tag, const uint8_t *body, size_t size, struct p9_request *ret);

/* R-messages: begin, fields by bytes_put_*, end, which writes the size. Every T's R is T + 1. */
void p9_begin(struct bytes_writer *w, uint8_t type, uint16_t tag);
void p9_put_qid(struct bytes_writer *w, const struct p9_qid *qid);
/* One entry of Rreaddir; its bytes are P9_ENTRY_BYTES + name. */
#define P9_ENTRY_BYTES (P9_QID_BYTES + 8 + 1 + 2)
void p9_put_entry(struct bytes_writer *w, const struct p9_qid *qid, uint64_t next_offset,
	uint8_t type, const char *name, size_t len);
/* Writes the size of what stands in the writer, plus `more` bytes that follow it. Gives that size. */
uint32_t p9_end(struct bytes_writer *w, uint32_t more);
