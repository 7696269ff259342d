/* SPDX-License-Identifier: Apache-2.0 */
/* What the guest is told of itself: WELCOME (guest-agent/protocol/messages.h), made from a boot plan. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "guest-agent/protocol/messages.h"
#include "vmm/base/array.h"
#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/supervisor/boot_plan.h"
#include "vmm/supervisor/sealed.h"
#include "vmm/supervisor/ssh_keys.h"

#define SANDBOX_UID 1000

static const char sshd_config[] =
	"# made by sandbox-supervisor: started in inetd mode by `sandboxctl ssh`, never listening\n"
	"HostKey /run/sandbox/ssh/host_ed25519\n"
	"AuthorizedKeysFile /run/sandbox/ssh/authorized_keys\n"
	"StrictModes no\n"
	"PubkeyAuthentication yes\n"
	"PasswordAuthentication no\n"
	"KbdInteractiveAuthentication no\n"
	"UsePAM no\n"
	"AllowUsers sandbox root\n"
	"PermitRootLogin prohibit-password\n"
	"AllowAgentForwarding no\n"
	"X11Forwarding no\n"
	"PermitUserEnvironment no\n"
	"PrintMotd no\n"
	"PrintLastLog no\n"
	"PidFile none\n"
	"LogLevel ERROR\n"
	"Subsystem sftp internal-sftp\n";

static const char policy_words_egress[] =
	"Whatever this sandbox connects to goes through a proxy on the host, which lets pass what its policy allows\n"
	"and adds credentials there: none is in here. What was denied, and what would allow it: /run/sandbox/denials.\n"
	"On the host: `sandboxctl policy ls`, `sandboxctl policy allow HOST`.\n";

static const char policy_words[] =
	"This sandbox has no network: there is no device for one. What it needs comes in by shares\n"
	"and by `sandboxctl cp` on the host; its own ports are published by `sandboxctl start -p`.\n";

/* The message and all that it borrows. Big: on the heap. */
struct draft {
	struct protocol_welcome message;
	uint8_t seed[PROTOCOL_SEED_MAX];
	char tier[SPEC_TIER_MAX + 2];
	char hashed[64]; /* path of the CA among OpenSSL's */
	char *texts[8]; /* files that were read */
	size_t text_count;
	struct err *err;
	bool failed;
};

static void add_file(struct draft *d, const char *path, uint32_t mode, uint32_t uid,
	const void *content, size_t len)
{
	struct protocol_welcome *m = &d->message;

	if (d->failed)
		return;
	if (m->file_count == PROTOCOL_FILES_MAX || len > PROTOCOL_CONTENT_MAX) {
		d->failed = true;
		err_set(d->err, -E2BIG, "welcome: %s: too many or too long files", path);
		return;
	}
	m->file[m->file_count++] = (struct protocol_file){ .path = path,
		.mode = mode,
		.uid = uid,
		.gid = uid,
		.content = content,
		.content_len = (uint32_t)len };
}

static void add_text(struct draft *d, const char *path, uint32_t mode, const char *text)
{
	add_file(d, path, mode, 0, text, strlen(text));
}

/* A key of the state folder. Absent ones are left out. */
static void add_key(struct draft *d, const char *folder, const char *file, const char *path,
	uint32_t mode, uint32_t uid)
{
	char from[PATH_MAX];
	char *text;
	size_t len;

	if (d->text_count == ARRAY_SIZE(d->texts) ||
		snprintf(from, sizeof(from), "%s/%s", folder, file) >= PATH_MAX ||
		fdio_read_file(AT_FDCWD, from, SSH_KEYS_FILE_MAX, &text, &len) < 0)
		return;
	d->texts[d->text_count++] = text;
	add_file(d, path, mode, uid, text, len);
}

static void add_authority(struct draft *d, const struct boot_plan *plan)
{
	add_text(d, PROTOCOL_CA_PATH, 0644, plan->certificate);
	snprintf(d->hashed, sizeof(d->hashed), "/etc/ssl/certs/%s", plan->certificate_name);
	add_text(d, d->hashed, 0644, plan->certificate);
}

static void add_files(struct draft *d, const struct boot_plan *plan)
{
	const char *ssh = plan->ssh_folder;

	snprintf(d->tier, sizeof(d->tier), "%s\n", plan->spec->tier ? plan->spec->tier : "builder");
	add_text(d, "/run/sandbox/tier", 0644, d->tier);
	if (plan->certificate)
		add_authority(d, plan);
	add_text(d, "/run/sandbox/policy", 0644,
		plan->certificate ? policy_words_egress : policy_words);
	if (!*ssh)
		return;
	add_text(d, "/run/sandbox/ssh/sshd_config", 0644, sshd_config);
	add_key(d, ssh, "host_ed25519", "/run/sandbox/ssh/host_ed25519", 0600, 0);
	add_key(d, ssh, "id_ed25519.pub", "/run/sandbox/ssh/authorized_keys", 0644, 0);
	add_key(d, ssh, "id_ed25519.pub", "/home/sandbox/.ssh/authorized_keys", 0600, SANDBOX_UID);
	add_key(d, ssh, "id_ed25519.pub", "/root/.ssh/authorized_keys", 0600, 0);
}

static const uint8_t roles[] = {
	[BOOT_ROLE_PLAIN] = PROTOCOL_ROLE_PLAIN,
	[BOOT_ROLE_USR] = PROTOCOL_ROLE_USR,
	[BOOT_ROLE_ETC] = PROTOCOL_ROLE_ETC,
	[BOOT_ROLE_DPKG] = PROTOCOL_ROLE_DPKG,
	[BOOT_ROLE_TOOLS] = PROTOCOL_ROLE_TOOLS,
};

static void add_mount(struct draft *d, const struct boot_share *share)
{
	struct protocol_welcome *m = &d->message;
	bool plain = share->role == BOOT_ROLE_PLAIN;
	bool optional = share->role == BOOT_ROLE_DPKG || share->role == BOOT_ROLE_TOOLS;

	/* What the host's edits must be seen in at once is mmap; the image's own parts do not change under a guest. */
	m->mount[m->mount_count++] = (struct protocol_mount){
		.kind = PROTOCOL_MOUNT_P9,
		.role = roles[share->role],
		.cache = plain ? PROTOCOL_CACHE_MMAP : PROTOCOL_CACHE_LOOSE,
		.flags = (uint8_t)((share->readonly ? PROTOCOL_MOUNT_READONLY : 0) |
				   (optional ? PROTOCOL_MOUNT_OPTIONAL : 0)),
		.tag = share->tag,
		.target = plain ? share->target : "",
	};
}

static void add_environment(struct draft *d, char *const *environment)
{
	struct protocol_welcome *m = &d->message;

	for (char *const *p = environment; p && *p && m->env_count < PROTOCOL_WORDS_MAX; p++)
		m->env[m->env_count++] = *p;
	m->env[m->env_count] = NULL;
}

static void fill(struct draft *d, const struct boot_plan *plan)
{
	struct protocol_welcome *m = &d->message;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	m->time_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	m->uid = m->gid = SANDBOX_UID;
	m->flags = PROTOCOL_WELCOME_SUDO | (plan->certificate ? PROTOCOL_WELCOME_EGRESS : 0);
	m->root = plan->has_p9 ? PROTOCOL_ROOT_HOST : PROTOCOL_ROOT_INITRAMFS;
	m->instance = plan->instance;
	m->hostname = plan->spec->name;
	m->user = "sandbox";
	m->folder = plan->spec->workspace.host ? SPEC_WORKSPACE_TARGET : "";
	if (getrandom(d->seed, sizeof(d->seed), 0) == (ssize_t)sizeof(d->seed)) {
		m->seed = d->seed;
		m->seed_len = sizeof(d->seed);
	}
	for (size_t i = 0; i < plan->share_count; i++)
		add_mount(d, &plan->shares[i]);
	add_files(d, plan);
	add_environment(d, plan->spec->environment);
}

int welcome_make(const struct boot_plan *plan, int *ret_fd, struct err *err)
{
	_cleanup_free_ uint8_t *body = malloc(PROTOCOL_WELCOME_MAX);
	struct draft *d = calloc(1, sizeof(*d));
	struct bytes_writer w;
	int r;

	if (!d || !body) {
		free(d);
		return err_set(err, -ENOMEM, "welcome: out of memory");
	}
	d->err = err;
	w = bytes_writer(body, PROTOCOL_WELCOME_MAX);
	fill(d, plan);
	protocol_put_welcome(&w, &d->message);
	if (d->failed)
		r = -E2BIG;
	else if (w.failed)
		r = err_set(err, -E2BIG, "welcome: environment and keys are longer than %u bytes",
			PROTOCOL_WELCOME_MAX);
	else
		r = sealed_memfd("welcome", body, w.offset, ret_fd, err);
	for (size_t i = 0; i < d->text_count; i++)
		free(d->texts[i]);
	free(d);
	return r;
}
