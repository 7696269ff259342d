/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/machine/vmm_options.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/array.h"
#include "vmm/base/parse.h"
#include "vmm/machine/machine.h"
#include "vmm/machine/memory.h"

#define CID_MIN 3 /* 0 to 2 are the hypervisor, loopback and the host */

/* Takes the words of a list one by one: "a,b,c". */
static bool take_word(const char **cursor, char *out, size_t size)
{
	size_t len = strcspn(*cursor, ",");

	if (len == 0 || len >= size)
		return false;
	memcpy(out, *cursor, len);
	out[len] = '\0';
	*cursor += len + ((*cursor)[len] == ',');
	return true;
}

static bool tag_valid(const char *tag)
{
	if (tag[0] < 'a' || tag[0] > 'z')
		return false;
	return strspn(tag, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(tag);
}

static bool take_tag(const char **cursor, char out[static VMM_TAG_MAX + 1])
{
	return take_word(cursor, out, VMM_TAG_MAX + 1) && tag_valid(out);
}

static bool take_mode(const char **cursor, bool *ret_readonly)
{
	char word[4];

	if (!take_word(cursor, word, sizeof(word)) || (strcmp(word, "ro") && strcmp(word, "rw")))
		return false;
	*ret_readonly = word[1] == 'o';
	return true;
}

static bool take_kind(const char **cursor, enum vmm_share_kind *ret)
{
	static const char *const names[] = {
		[VMM_SHARE_MAPPED] = "mapped",
		[VMM_SHARE_HOST] = "host",
		[VMM_SHARE_INTERNAL] = "internal",
	};
	char word[16];

	if (!take_word(cursor, word, sizeof(word)))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(word, names[i])) {
			*ret = (enum vmm_share_kind)i;
			return true;
		}
	return false;
}

/* Two numbers around a colon. */
static bool parse_pair(const char *text, uint64_t max, uint64_t *ret_first, uint64_t *ret_second)
{
	char first[24];
	size_t len = strcspn(text, ":");

	if (text[len] != ':' || len >= sizeof(first))
		return false;
	memcpy(first, text, len);
	first[len] = '\0';
	return parse_u64(first, 0, max, ret_first) && parse_u64(text + len + 1, 0, max, ret_second);
}

static bool take_identity(const char **cursor, struct vmm_share_option *share)
{
	char word[48];

	return take_word(cursor, word, sizeof(word)) &&
	       parse_pair(word, UINT64_MAX, &share->device, &share->inode);
}

static bool parse_share(const char *value, struct vmm_options *options)
{
	struct vmm_share_option share = {};

	if (options->share_count == VMM_SHARES_MAX)
		return false;
	if (!take_tag(&value, share.tag) || !take_mode(&value, &share.readonly) ||
		!take_kind(&value, &share.kind) || !take_identity(&value, &share))
		return false;
	/* The path is the rest: it may hold commas. */
	if (value[0] != '/' || strlen(value) > VMM_PATH_MAX)
		return false;
	for (size_t i = 0; i < options->share_count; i++)
		if (!strcmp(options->shares[i].tag, share.tag))
			return false;
	share.path = value;
	options->shares[options->share_count++] = share;
	return true;
}

static bool parse_fd(const char *value, int *ret)
{
	return parse_int(value, 0, INT_MAX, ret);
}

static bool parse_disk(const char *value, struct vmm_options *options)
{
	struct vmm_disk_option disk = {};

	if (options->disk_count == VMM_DISKS_MAX || !take_tag(&value, disk.id) ||
		!take_mode(&value, &disk.readonly) || !parse_fd(value, &disk.fd))
		return false;
	options->disks[options->disk_count++] = disk;
	return true;
}

static bool parse_protect(const char *value, struct vmm_options *o)
{
	struct devices_file_id id;

	if (o->protected_count == VMM_PROTECTED_MAX ||
		!parse_pair(value, UINT64_MAX, &id.device, &id.inode))
		return false;
	o->protected_ids[o->protected_count++] = id;
	return true;
}

static bool parse_trust_hardlinks(const char *value, struct vmm_options *o)
{
	for (size_t i = 0; i < o->share_count; i++)
		if (!strcmp(o->shares[i].tag, value)) {
			o->shares[i].trust_hardlinks = true;
			return true;
		}
	return false;
}

static bool parse_name(const char *value, struct vmm_options *o)
{
	o->name = value;
	return sandbox_name_valid(value);
}

static bool parse_cpus(const char *value, struct vmm_options *o)
{
	uint64_t n;

	if (!parse_u64(value, 1, MACHINE_VCPUS_MAX, &n))
		return false;
	o->cpus = (unsigned int)n;
	return true;
}

static bool parse_memory(const char *value, struct vmm_options *o)
{
	return parse_u64(
		value, GUEST_MEMORY_MIN_BYTES >> 20, GUEST_MEMORY_MAX_BYTES >> 20, &o->memory_mib);
}

static bool parse_cid(const char *value, struct vmm_options *o)
{
	return parse_u64(value, CID_MIN, UINT32_MAX - 1, &o->guest_cid);
}

static bool parse_owner(const char *value, struct vmm_options *o)
{
	uint64_t uid, gid;

	if (!parse_pair(value, UINT32_MAX - 1, &uid, &gid))
		return false;
	o->owner_given = true;
	o->owner_uid = (uid_t)uid;
	o->owner_gid = (gid_t)gid;
	return true;
}

static bool parse_cmdline(const char *value, struct vmm_options *o)
{
	o->cmdline = value;
	return strlen(value) < MACHINE_CMDLINE_MAX;
}

#define FD_OPTION(field)                                                                           \
	static bool parse_##field(const char *value, struct vmm_options *o)                        \
	{                                                                                          \
		return parse_fd(value, &o->field);                                                 \
	}
FD_OPTION(kvm_fd)
FD_OPTION(kernel_fd)
FD_OPTION(initramfs_fd)
FD_OPTION(lifeline_fd)
FD_OPTION(event_fd)
FD_OPTION(console_fd)
FD_OPTION(vsock_fd)
FD_OPTION(lock_fd)

#define FLAG_OPTION(field)                                                                         \
	static bool set_##field(const char *value, struct vmm_options *o)                          \
	{                                                                                          \
		(void)value;                                                                       \
		o->field = true;                                                                   \
		return true;                                                                       \
	}
FLAG_OPTION(help)
FLAG_OPTION(measure_kvm)
FLAG_OPTION(cmdline_devices)
FLAG_OPTION(nested)
FLAG_OPTION(unjailed)

static const struct option_row {
	const char *name;
	const char *value; /* what it stands for; NULL: a flag */
	const char *help;
	bool (*parse)(const char *value, struct vmm_options *options);
} rows[] = {
	{ "--help", NULL, "print this and exit", set_help },
	{ "--measure-kvm", NULL, "measure what /dev/kvm is worth; 0: fit, 4: not",
		set_measure_kvm },
	{ "--name", "NAME", "the sandbox's name, for messages", parse_name },
	{ "--cpus", "N", "virtual CPUs, 1 to 32", parse_cpus },
	{ "--memory-mib", "MIB", "guest memory", parse_memory },
	{ "--kvm-fd", "FD", "/dev/kvm, opened", parse_kvm_fd },
	{ "--kernel-fd", "FD", "an ELF vmlinux", parse_kernel_fd },
	{ "--initramfs-fd", "FD", "an initramfs", parse_initramfs_fd },
	{ "--cmdline", "TEXT", "the kernel's command line", parse_cmdline },
	{ "--cmdline-devices", NULL, "name the devices on it too", set_cmdline_devices },
	{ "--nested", NULL, "let the guest see VMX or SVM", set_nested },
	{ "--lifeline-fd", "FD", "a pipe that ends with the supervisor", parse_lifeline_fd },
	{ "--event-fd", "FD", "where records for the supervisor go", parse_event_fd },
	{ "--console-fd", "FD", "the console log; else standard output", parse_console_fd },
	{ "--vsock-fd", "FD", "the broker's socket; else no vsock device", parse_vsock_fd },
	{ "--lock-fd", "FD", "a lock, only held", parse_lock_fd },
	{ "--guest-cid", "N", "the guest's vsock address", parse_cid },
	{ "--owner", "UID:GID", "whose files the shares are", parse_owner },
	{ "--share", "TAG,ro|rw,mapped|host|internal,DEV:INO,PATH", "a folder for the guest",
		parse_share },
	{ "--protect", "DEV:INO", "a file that guests may not change, in whatever share it lies",
		parse_protect },
	{ "--trust-hardlinks", "TAG", "a share given before: files linked outside are writable",
		parse_trust_hardlinks },
	{ "--disk", "ID,ro|rw,FD", "a raw disk", parse_disk },
	{ "--unjailed", NULL, "for tests: no isolation of this process", set_unjailed },
};

static const struct option_row *find_row(const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (!strcmp(rows[i].name, word))
			return &rows[i];
	return NULL;
}

static int check(const struct vmm_options *o, struct err *err)
{
	if (o->help || o->measure_kvm)
		return 0;
	if (o->kvm_fd < 0 || o->kernel_fd < 0)
		return err_set(err, -EINVAL,
			"sandbox-vmm: --kvm-fd and --kernel-fd are needed (see --help)");
	if (o->memory_mib % 2)
		return err_set(err, -EINVAL, "sandbox-vmm: --memory-mib %llu: must be even",
			(unsigned long long)o->memory_mib);
	if (o->unjailed && o->event_fd >= 0)
		return err_set(err, -EINVAL,
			"sandbox-vmm: --unjailed is for tests, not under a supervisor");
	if (o->share_count && !o->owner_given)
		return err_set(err, -EINVAL, "sandbox-vmm: --share needs --owner");
	return 0;
}

int vmm_options_parse(int argc, char *const argv[], struct vmm_options *ret, struct err *err)
{
	struct vmm_options o = {
		.name = "sandbox",
		.cpus = 1,
		.memory_mib = 512,
		.kvm_fd = -1,
		.kernel_fd = -1,
		.initramfs_fd = -1,
		.lifeline_fd = -1,
		.event_fd = -1,
		.console_fd = -1,
		.vsock_fd = -1,
		.lock_fd = -1,
		.cmdline = "",
		.guest_cid = CID_MIN,
	};
	int r;

	for (int i = 1; i < argc; i++) {
		const struct option_row *row = find_row(argv[i]);
		const char *value = NULL;

		if (!row)
			return err_set(err, -EINVAL, "sandbox-vmm: unknown option %s", argv[i]);
		if (row->value) {
			if (i + 1 == argc)
				return err_set(err, -EINVAL, "sandbox-vmm: %s needs %s", row->name,
					row->value);
			value = argv[++i];
		}
		if (!row->parse(value, &o))
			return err_set(err, -EINVAL, "sandbox-vmm: %s %s: must be %s", row->name,
				value, row->value);
	}
	r = check(&o, err);
	if (r < 0)
		return r;
	*ret = o;
	return 0;
}

void vmm_options_print_help(void)
{
	puts("sandbox-vmm: runs one virtual machine. Started by the supervisor; every file comes as an open fd.");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		printf("  %s %s\n\t%s\n", rows[i].name, rows[i].value ? rows[i].value : "",
			rows[i].help);
	}
}
