/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/client_files.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"

#define SETTINGS_MAX (1u << 20) /* bytes of one file */
#define APT_FOLDER   "/etc/apt/sources.list.d"

/* path is below what `folder` (a variable) or else `otherwise` below the home folder names; `file`, where set, is it all. */
static const struct {
	enum client client;
	const char *file, *folder, *otherwise, *path;
} places[] = {
	{ CLIENT_NPM, "NPM_CONFIG_USERCONFIG", "HOME", NULL, "/.npmrc" },
	{ CLIENT_NPM, NULL, NULL, NULL, "/etc/npmrc" },
	{ CLIENT_PIP, "PIP_CONFIG_FILE", "XDG_CONFIG_HOME", "/.config", "/pip/pip.conf" },
	{ CLIENT_PIP, NULL, "HOME", NULL, "/.pip/pip.conf" },
	{ CLIENT_PIP, NULL, NULL, NULL, "/etc/pip.conf" },
	{ CLIENT_CARGO, NULL, "CARGO_HOME", "/.cargo", "/config.toml" },
	{ CLIENT_CARGO, NULL, "CARGO_HOME", "/.cargo", "/config" },
	{ CLIENT_GO, "GOENV", "XDG_CONFIG_HOME", "/.config", "/go/env" },
	{ CLIENT_APT, NULL, NULL, NULL, "/etc/apt/sources.list" },
};

static const struct {
	enum client client;
	const char *name;
} variables[] = {
	{ CLIENT_NPM, "npm_config_registry" },
	{ CLIENT_NPM, "NPM_CONFIG_REGISTRY" },
	{ CLIENT_PIP, "PIP_INDEX_URL" },
	{ CLIENT_PIP, "PIP_EXTRA_INDEX_URL" },
	{ CLIENT_PIP, "PIP_FIND_LINKS" },
	{ CLIENT_GO, "GOPROXY" },
};

static void read_one(enum client client, const char *path, struct client_registries *registries)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = fdio_read_file(AT_FDCWD, path, SETTINGS_MAX, &text, &len);

	if (r == 0)
		client_settings_read(client, text, len, registries);
	else if (r != -ENOENT && r != -ENOTDIR)
		fprintf(stderr, "%s: %s\n", path, strerror(-r));
}

static void read_place(size_t i, struct client_registries *registries)
{
	const char *file = places[i].file ? getenv(places[i].file) : NULL;
	const char *folder = places[i].folder ? getenv(places[i].folder) : "", *below = "";
	char path[PATH_MAX];

	if ((!folder || (!*folder && places[i].folder)) && places[i].otherwise) {
		folder = getenv("HOME");
		below = places[i].otherwise;
	}
	if (file && *file)
		read_one(places[i].client, file, registries);
	else if (folder && snprintf(path, sizeof(path), "%s%s%s", folder, below, places[i].path) <
				   (int)sizeof(path))
		read_one(places[i].client, path, registries);
}

static void read_apt_folder(struct client_registries *registries)
{
	_cleanup_closedir_ DIR *folder = opendir(APT_FOLDER);
	struct dirent *entry;
	char path[PATH_MAX];

	while (folder && (entry = readdir(folder))) {
		const char *dot = strrchr(entry->d_name, '.');

		if (!dot || (strcmp(dot, ".list") != 0 && strcmp(dot, ".sources") != 0))
			continue;
		snprintf(path, sizeof(path), "%s/%s", APT_FOLDER, entry->d_name);
		read_one(CLIENT_APT, path, registries);
	}
}

void client_files_read(struct client_registries *registries)
{
	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		read_place(i, registries);
	read_apt_folder(registries);
	for (size_t i = 0; i < ARRAY_SIZE(variables); i++) {
		const char *value = getenv(variables[i].name);

		if (value)
			client_settings_value(
				variables[i].client, value, strlen(value), registries);
	}
}
