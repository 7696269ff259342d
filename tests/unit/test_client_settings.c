/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <stdio.h>

#include "vmm/sandboxctl/client_settings.h"

/* "host:port host:port", in the order in which they were found. */
static void expect(enum client client, const char *text, const char *wanted, size_t skipped)
{
	static struct client_registries found;
	char out[4096] = "";
	size_t len = 0;

	found = (struct client_registries){};
	client_settings_read(client, text, strlen(text), &found);
	for (size_t i = 0; i < found.count; i++)
		len += (size_t)snprintf(out + len, sizeof(out) - len, "%s%s:%u", len ? " " : "",
			found.items[i].host.text, found.items[i].port);
	assert_string_equal(out, wanted);
	assert_int_equal(found.skipped, skipped);
}

static void test_npm(void **state)
{
	(void)state;
	expect(CLIENT_NPM,
		"registry=https://npm.example.com/\n@mine:registry = \"http://mirror.example.net:4873/x/\"\n",
		"npm.example.com:443 mirror.example.net:4873", 0);
	expect(CLIENT_NPM, "; registry=https://a.example.com/\n#registry=https://a.example.com\n",
		"", 0);
	expect(CLIENT_NPM,
		"proxy=http://proxy.example.com:3128\nhttps-proxy=http://p.example.com\n", "", 0);
	expect(CLIENT_NPM, "//npm.example.com/:_authToken=secret\n", "", 0);
	expect(CLIENT_NPM, "registry=https://${HOST}/\nregistry=ftp://x.example.com/\n", "", 1);
	expect(CLIENT_NPM,
		"registry=https://A.example.com/\nregistry=https://a.example.com:443/y\n",
		"a.example.com:443", 0);
}

static void test_pip(void **state)
{
	(void)state;
	expect(CLIENT_PIP,
		"[global]\nindex-url = https://pip.example.com/simple\nextra_index_url =\n\thttps://b.example.com/simple\n"
		"    https://c.example.com\nproxy = http://proxy.example.com:1\n",
		"pip.example.com:443 b.example.com:443 c.example.com:443", 0);
	expect(CLIENT_PIP, "my-index-url = https://no.example.com\n", "", 0);
	expect(CLIENT_PIP, "proxy =\n  http://proxy.example.com:1\n", "", 0);
}

static void test_cargo(void **state)
{
	(void)state;
	expect(CLIENT_CARGO,
		"[source.mine]\nregistry = \"sparse+https://cargo.example.com/index/\"\n[registries]\n"
		"one = { index = \"https://one.example.com\" }\nregistries.two.index = 'https://two.example.com/'\n"
		"[http]\nproxy = \"http://proxy.example.com\"\n",
		"cargo.example.com:443 one.example.com:443 two.example.com:443", 0);
}

static void test_go(void **state)
{
	(void)state;
	expect(CLIENT_GO,
		"GOPROXY=https://go.example.com,https://b.example.com|direct\nGOFLAGS=-x=https://n.example.com\n",
		"go.example.com:443 b.example.com:443", 0);
}

static void test_apt(void **state)
{
	(void)state;
	expect(CLIENT_APT,
		"# deb http://no.example.com x main\ndeb [arch=amd64 signed-by=/k.gpg] http://deb.example.com/debian trixie main\n"
		"deb-src https://src.example.com/d x main\n",
		"deb.example.com:80 src.example.com:443", 0);
	expect(CLIENT_APT,
		"Types: deb\nURIs: http://a.example.com/debian\n https://b.example.com/debian\nSuites: x\nSigned-By:\n https://no.example.com\n",
		"a.example.com:80 b.example.com:443", 0);
}

/* A credential in a URL stays where it is, wherever its bytes make the host seem to begin. */
static void test_credentials_are_left(void **state)
{
	(void)state;
	expect(CLIENT_NPM, "registry=https://user:token@npm.example.com/\n", "npm.example.com:443",
		0);
	expect(CLIENT_NPM, "registry=https://user:t@k@npm.example.com:8443/\n",
		"npm.example.com:8443", 0);
	expect(CLIENT_NPM, "registry=https://tok/en@npm.example.com/\n", "", 1);
	expect(CLIENT_NPM, "registry=https://tok?en@npm.example.com/\n", "", 1);
	expect(CLIENT_NPM, "registry=https://tok#en@npm.example.com/\n", "", 1);
}

static void test_addresses(void **state)
{
	(void)state;
	expect(CLIENT_PIP, "index-url = http://10.0.0.5:8080/simple\n", "10.0.0.5:8080", 0);
	expect(CLIENT_PIP, "index-url = http://127.0.0.1/simple\nextra-index-url = http://[::1]/\n",
		"", 2);
}

/* Past the limit the rest is skipped, and said. */
static void test_many(void **state)
{
	struct client_registries found = {};
	char line[64];

	(void)state;
	for (int i = 0; i < CLIENT_REGISTRIES_MAX + 3; i++) {
		snprintf(line, sizeof(line), "registry=https://h%d.example.com", i);
		client_settings_read(CLIENT_NPM, line, strlen(line), &found);
	}
	assert_int_equal(found.count, CLIENT_REGISTRIES_MAX);
	assert_int_equal(found.skipped, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_npm),
		cmocka_unit_test(test_pip),
		cmocka_unit_test(test_cargo),
		cmocka_unit_test(test_go),
		cmocka_unit_test(test_apt),
		cmocka_unit_test(test_credentials_are_left),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
