/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/status_view.h"

#include <stdbool.h>
#include <string.h>

#include "vmm/base/array.h"
#include "vmm/sandboxctl/terminal_filter.h"

const char *status_age(int64_t seconds, char *out, size_t size)
{
	static const struct {
		int64_t seconds;
		char unit;
	} units[] = { { 86400, 'd' }, { 3600, 'h' }, { 60, 'm' }, { 1, 's' } };

	snprintf(out, size, "0s");
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (seconds >= units[i].seconds) {
			snprintf(out, size, "%lld%c", (long long)(seconds / units[i].seconds),
				units[i].unit);
			break;
		}
	}
	return out;
}

const char *status_port(const struct document *port, char *out, size_t size)
{
	const char *address = document_text(port, "address", "127.0.0.1");
	bool v6 = strchr(address, ':') != NULL;

	snprintf(out, size, "%s%s%s:%lld->%lld", v6 ? "[" : "", address, v6 ? "]" : "",
		(long long)document_int(port, "host", 0),
		(long long)document_int(port, "guest", 0));
	return out;
}

const char *status_port_url(
	const struct document *status, const struct document *port, char *out, size_t size)
{
	const char *address = document_text(port, "address", "127.0.0.1");

	if (strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0)
		snprintf(out, size, "http://%s.localhost:%lld", document_text(status, "name", ""),
			(long long)document_int(port, "host", 0));
	else
		out[0] = '\0';
	return out;
}

const char *status_ports(const struct document *status, char *out, size_t size)
{
	const struct document *ports = document_child(status, "ports");
	size_t len = 0;

	out[0] = '\0';
	for (size_t i = 0; i < document_count(ports); i++) {
		char one[96];

		status_port(document_at(ports, i), one, sizeof(one));
		if (len + strlen(one) + 2 >= size)
			break;
		len += (size_t)snprintf(out + len, size - len, "%s%s", len ? "," : "", one);
	}
	return out;
}

const char *status_share(const struct document *share, char *out, size_t size)
{
	char text[STATUS_TEXT_MAX];

	snprintf(text, sizeof(text), "%s on %s%s%s", document_text(share, "host", "?"),
		document_text(share, "guest", "?"),
		document_bool(share, "readonly", false) ? " (ro)" : "",
		document_bool(share, "trust_hardlinks", false) ? " (hard links trusted)" : "");
	return terminal_filter_text(text, out, size);
}
