/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/link/options.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "vmm/base/array.h"
#include "vmm/base/parse.h"

static bool parse_fd(const char *value, int *ret)
{
	return parse_int(value, 0, INT_MAX, ret);
}

static bool parse_name(const char *value, struct link_options *o)
{
	o->name = value;
	return sandbox_name_valid(value);
}

static bool parse_folder(const char *value, struct link_options *o)
{
	o->socket_folder = value;
	return value[0] == '/';
}

static bool parse_allow(const char *value, struct link_options *o)
{
	struct link_config *config = &o->config;
	uint64_t port;

	if (config->allow_count == LINK_ALLOWED_PORTS_MAX ||
		!parse_u64(value, 0, UINT32_MAX - 1, &port))
		return false;
	config->allow[config->allow_count++] = (uint32_t)port;
	return true;
}

/* FD:GUESTPORT */
static bool parse_publish(const char *value, struct link_options *o)
{
	struct link_config *config = &o->config;
	char first[16];
	size_t len = strcspn(value, ":");
	struct link_publish publish;
	uint64_t port;

	if (config->publish_count == LINK_PUBLISHED_MAX || value[len] != ':' ||
		len >= sizeof(first))
		return false;
	memcpy(first, value, len);
	first[len] = '\0';
	if (!parse_fd(first, &publish.fd) || !parse_u64(value + len + 1, 1, UINT16_MAX, &port))
		return false;
	publish.guest_port = (uint16_t)port;
	config->publish[config->publish_count++] = publish;
	return true;
}

#define FD_OPTION(name, field)                                                                     \
	static bool parse_##name(const char *value, struct link_options *o)                        \
	{                                                                                          \
		return parse_fd(value, &o->field);                                                 \
	}
FD_OPTION(lifeline, lifeline_fd)
FD_OPTION(welcome, welcome_fd)
FD_OPTION(lock, lock_fd)
FD_OPTION(event, config.event_fd)
FD_OPTION(vsock, config.vsock_fd)
FD_OPTION(control, config.control_fd)
FD_OPTION(listen, config.listen_fd)
FD_OPTION(session_log, config.session_log_fd)
FD_OPTION(egress, config.egress_fd)

static const struct option_row {
	const char *word;
	bool (*parse)(const char *value, struct link_options *options);
} rows[] = {
	{ "--name", parse_name },
	{ "--lifeline-fd", parse_lifeline },
	{ "--event-fd", parse_event },
	{ "--vsock-fd", parse_vsock },
	{ "--control-fd", parse_control },
	{ "--listen-fd", parse_listen },
	{ "--welcome-fd", parse_welcome },
	{ "--session-log-fd", parse_session_log },
	{ "--egress-fd", parse_egress },
	{ "--lock-fd", parse_lock },
	{ "--socket-folder", parse_folder },
	{ "--allow-port", parse_allow },
	{ "--publish", parse_publish },
};

static const struct option_row *find_row(const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (strcmp(rows[i].word, word) == 0)
			return &rows[i];
	return NULL;
}

static int check(const struct link_options *o, struct err *err)
{
	if (!o->name)
		return err_set(err, -EINVAL, "--name is missing");
	if (o->config.vsock_fd < 0 || o->config.control_fd < 0 || o->welcome_fd < 0)
		return err_set(
			err, -EINVAL, "--vsock-fd, --control-fd and --welcome-fd are needed");
	if (o->config.allow_count && !o->socket_folder)
		return err_set(err, -EINVAL, "--allow-port needs --socket-folder");
	return 0;
}

int link_options_parse(struct link_options *options, int argc, char **argv, struct err *err)
{
	struct link_options o = { .lifeline_fd = -1,
		.welcome_fd = -1,
		.lock_fd = -1,
		.config = { .event_fd = -1,
			.vsock_fd = -1,
			.control_fd = -1,
			.listen_fd = -1,
			.session_log_fd = -1,
			.egress_fd = -1 } };
	int r;

	for (int i = 1; i < argc; i++) {
		const struct option_row *row = find_row(argv[i]);

		if (strcmp(argv[i], "--unjailed") == 0) {
			o.unjailed = true;
			continue;
		}
		if (!row)
			return err_set(err, -EINVAL, "unknown option: %s", argv[i]);
		if (i + 1 == argc)
			return err_set(err, -EINVAL, "%s: a value is missing", argv[i]);
		if (!row->parse(argv[++i], &o))
			return err_set(
				err, -EINVAL, "%s: not a valid value: %s", argv[i - 1], argv[i]);
	}
	r = check(&o, err);
	if (r == 0)
		*options = o;
	return r;
}
