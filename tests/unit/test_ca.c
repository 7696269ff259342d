/* SPDX-License-Identifier: Apache-2.0 */
/* The sandbox's own certificates, judged as a client of the guest judges them (E16). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <openssl/x509_vfy.h>

#include "tests/lib/test_folder.h"
#include "vmm/base/array.h"
#include "vsock-proxy/ca.h"

#define NOW 1800000000

static struct policy_host host(enum policy_host_kind kind, const char *text)
{
	struct policy_host h = { .kind = kind };

	assert_true(strlen(text) < sizeof(h.text));
	strcpy(h.text, text);
	return h;
}

static X509 *root_of(const struct ca *ca)
{
	char pem[CA_PEM_MAX];
	BIO *bio;
	X509 *x509;

	assert_int_equal(ca_certificate(ca, pem, NULL), 0);
	assert_null(strstr(pem, "PRIVATE"));
	bio = BIO_new_mem_buf(pem, -1);
	x509 = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	BIO_free(bio);
	assert_non_null(x509);
	return x509;
}

/* As a TLS client checks: the chain, the purpose, the time and the name. X509_V_OK, or why not. */
static int judge(const struct ca *ca, const struct ca_leaf *leaf, const char *name, const char *ip,
	time_t at)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *context = X509_STORE_CTX_new();
	X509 *root = root_of(ca);
	X509_VERIFY_PARAM *param;
	int error;

	X509_STORE_add_cert(store, root);
	X509_STORE_CTX_init(context, store, leaf->certificate, NULL);
	param = X509_STORE_CTX_get0_param(context);
	X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_SERVER);
	X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT);
	X509_VERIFY_PARAM_set_time(param, at);
	if (name)
		X509_VERIFY_PARAM_set1_host(param, name, 0);
	if (ip)
		X509_VERIFY_PARAM_set1_ip_asc(param, ip);
	error = X509_verify_cert(context) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(context);
	X509_STORE_CTX_free(context);
	X509_STORE_free(store);
	X509_free(root);
	return error;
}

static struct ca *make(const char *name)
{
	struct ca *ca = NULL;

	assert_int_equal(ca_create(name, NOW, &ca, NULL), 0);
	return ca;
}

static void test_a_leaf_is_good_for_its_host_only(void **state)
{
	struct policy_host named = host(POLICY_HOST_NAME, "api.example.com");
	struct policy_host literal = host(POLICY_HOST_IPV6, "2001:db8::1");
	struct ca *ca = make("one"), *other = make("two");
	const struct ca_leaf *leaf;

	(void)state;
	assert_int_equal(ca_leaf(ca, &named, NOW, &leaf, NULL), 0);
	assert_int_equal(judge(ca, leaf, "api.example.com", NULL, NOW), X509_V_OK);
	assert_int_equal(judge(ca, leaf, "example.com", NULL, NOW), X509_V_ERR_HOSTNAME_MISMATCH);
	assert_int_equal(
		judge(ca, leaf, "x.api.example.com", NULL, NOW), X509_V_ERR_HOSTNAME_MISMATCH);
	assert_int_not_equal(judge(other, leaf, "api.example.com", NULL, NOW), X509_V_OK);
	assert_int_equal(ca_leaf(ca, &literal, NOW, &leaf, NULL), 0);
	assert_int_equal(judge(ca, leaf, NULL, "2001:db8::1", NOW), X509_V_OK);
	assert_int_equal(judge(ca, leaf, NULL, "2001:db8::2", NOW), X509_V_ERR_IP_ADDRESS_MISMATCH);
	ca_destroy(ca);
	ca_destroy(other);
}

static void test_the_longest_name(void **state)
{
	struct policy_host named = host(POLICY_HOST_NAME,
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb."
		"ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc.ddddddddddddddddddddddddddddddddddddddddddddddddddd.example");
	const struct ca_leaf *leaf;
	struct ca *ca = make("one");

	(void)state;
	assert_in_range(strlen(named.text), 250, POLICY_NAME_MAX);
	assert_int_equal(ca_leaf(ca, &named, NOW, &leaf, NULL), 0);
	assert_int_equal(judge(ca, leaf, named.text, NULL, NOW), X509_V_OK);
	ca_destroy(ca);
}

static void test_a_leaf_is_short_lived_and_made_anew_in_time(void **state)
{
	struct policy_host named = host(POLICY_HOST_NAME, "api.example.com");
	const struct ca_leaf *leaf;
	X509 *first;
	struct ca *ca = make("one");

	(void)state;
	assert_int_equal(ca_leaf(ca, &named, NOW, &leaf, NULL), 0);
	first = leaf->certificate;
	assert_int_equal(
		judge(ca, leaf, "api.example.com", NULL, NOW - CA_BACKDATE_S / 2), X509_V_OK);
	assert_int_equal(judge(ca, leaf, "api.example.com", NULL, NOW + CA_LEAF_HOURS * 3600 + 60),
		X509_V_ERR_CERT_HAS_EXPIRED);
	assert_int_equal(ca_leaf(ca, &named, NOW + 60, &leaf, NULL), 0);
	assert_ptr_equal(leaf->certificate, first);
	assert_int_equal(ca_leaf(ca, &named, NOW + CA_LEAF_HOURS * 3600 * 3 / 4, &leaf, NULL), 0);
	assert_int_equal(judge(ca, leaf, "api.example.com", NULL, NOW + CA_LEAF_HOURS * 3600 + 60),
		X509_V_OK);
	/* The host's clock was set back by a year: leaves of the future are no good. */
	assert_int_equal(ca_leaf(ca, &named, NOW - 365 * 86400, &leaf, NULL), 0);
	assert_int_not_equal(X509_cmp_time(X509_get0_notBefore(leaf->certificate),
				     &(time_t){ NOW - 365 * 86400 }),
		1);
	ca_destroy(ca);
}

static void test_leaves_are_capped(void **state)
{
	struct policy_host first = host(POLICY_HOST_NAME, "first.example.com");
	const struct ca_leaf *leaf, *kept;
	struct ca *ca = make("one");

	(void)state;
	assert_int_equal(ca_leaf(ca, &first, NOW, &kept, NULL), 0);
	for (int i = 0; i < CA_LEAVES_MAX + 20; i++) {
		struct policy_host h = host(POLICY_HOST_NAME, "");

		snprintf(h.text, sizeof(h.text), "h%d.example.com", i);
		assert_int_equal(ca_leaf(ca, &h, NOW, &leaf, NULL), 0);
		/* What is in use stays. */
		assert_int_equal(ca_leaf(ca, &first, NOW, &leaf, NULL), 0);
		assert_ptr_equal(leaf, kept);
		assert_int_equal(leaf->made_at, NOW);
	}
	ca_destroy(ca);
}

static void test_a_second_proxy_has_the_same_authority(void **state)
{
	struct policy_host named = host(POLICY_HOST_NAME, "api.example.com");
	char data[CA_EXPORT_MAX], other_data[CA_EXPORT_MAX], mixed[2 * CA_EXPORT_MAX];
	struct ca *ca = make("one"), *other = make("two"), *again = NULL;
	const struct ca_leaf *leaf;
	size_t len, other_len;

	(void)state;
	assert_int_equal(ca_export(ca, data, &len, NULL), 0);
	assert_int_equal(ca_import(data, len, &again, NULL), 0);
	assert_int_equal(ca_leaf(again, &named, NOW, &leaf, NULL), 0);
	assert_int_equal(judge(ca, leaf, "api.example.com", NULL, NOW), X509_V_OK);
	ca_destroy(again);

	assert_int_equal(ca_export(other, other_data, &other_len, NULL), 0);
	snprintf(mixed, sizeof(mixed), "%.*s%s", (int)(strstr(data, "-----BEGIN CERT") - data),
		data, strstr(other_data, "-----BEGIN CERT"));
	again = NULL;
	assert_int_equal(ca_import(mixed, strlen(mixed), &again, NULL), -EINVAL);
	assert_int_equal(ca_import(data, len / 2, &again, NULL), -EINVAL);
	assert_int_equal(ca_import("", 0, &again, NULL), -EINVAL);
	assert_int_equal(ca_import(strstr(data, "-----BEGIN CERT"),
				 strlen(strstr(data, "-----BEGIN CERT")), &again, NULL),
		-EINVAL);
	assert_int_equal(ca_import(data, CA_EXPORT_MAX, &again, NULL), -EINVAL);
	assert_null(again);
	ca_destroy(ca);
	ca_destroy(other);
}

/* As OpenSSL looks in a folder of single files: the name leads to the certificate. */
static void test_it_is_found_by_its_hash(void **state)
{
	struct policy_host named = host(POLICY_HOST_NAME, "api.example.com");
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *context = X509_STORE_CTX_new();
	char pem[CA_PEM_MAX], name[CA_HASH_NAME_MAX];
	struct ca *ca = make("one");
	const struct ca_leaf *leaf;

	(void)state;
	assert_int_equal(ca_certificate(ca, pem, NULL), 0);
	ca_hash_name(ca, name);
	put(name, pem, 0644);
	assert_int_equal(X509_STORE_load_path(store, base), 1);
	assert_int_equal(ca_leaf(ca, &named, NOW, &leaf, NULL), 0);
	X509_STORE_CTX_init(context, store, leaf->certificate, NULL);
	X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(context), NOW);
	assert_int_equal(X509_verify_cert(context), 1);
	X509_STORE_CTX_free(context);
	X509_STORE_free(store);
	ca_destroy(ca);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_leaf_is_good_for_its_host_only),
		cmocka_unit_test(test_the_longest_name),
		cmocka_unit_test(test_a_leaf_is_short_lived_and_made_anew_in_time),
		cmocka_unit_test(test_leaves_are_capped),
		cmocka_unit_test(test_a_second_proxy_has_the_same_authority),
		cmocka_unit_test(test_it_is_found_by_its_hash),
	};

	if (make_base() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, remove_base);
}
