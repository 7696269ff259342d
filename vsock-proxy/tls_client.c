/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-proxy/tls_client.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "vmm/base/array.h"
#include "vmm/base/fdio.h"

#define KEY_MAX	  (POLICY_NAME_MAX + 8)
#define TRUST_MAX (16u << 20) /* bytes of a file of certificates; a system's has 0.2 MiB */

struct ticket {
	char key[KEY_MAX]; /* host:port; "" is free */
	SSL_SESSION *session;
	uint64_t used;
};

struct tls_client {
	SSL_CTX *context; /* NULL: not needed yet */
	char *trust; /* PEM, until context has it */
	size_t trust_len;
	char trust_file[PATH_MAX]; /* where that is from */
	struct ticket tickets[TLS_CLIENT_TICKETS_MAX];
	uint64_t uses;
};

DEFINE_CLEANUP(tls_client, tls_client_destroy)

static int key_index = -1; /* of OpenSSL's extra data: where a session finds its ticket's key */

static void free_key(
	void *parent, void *ptr, CRYPTO_EX_DATA *data, int index, long number, void *arg)
{
	(void)parent;
	(void)data;
	(void)index;
	(void)number;
	(void)arg;
	free(ptr);
}

static struct ticket *find_ticket(struct tls_client *client, const char *key)
{
	for (size_t i = 0; i < ARRAY_SIZE(client->tickets); i++)
		if (strcmp(client->tickets[i].key, key) == 0)
			return &client->tickets[i];
	return NULL;
}

static struct ticket *oldest_ticket(struct tls_client *client)
{
	struct ticket *oldest = &client->tickets[0];

	for (size_t i = 1; i < ARRAY_SIZE(client->tickets); i++)
		if (client->tickets[i].used < oldest->used)
			oldest = &client->tickets[i];
	return oldest;
}

/* A ticket came: kept for the next connection to the same place. 1: it is ours now. */
static int on_ticket(SSL *ssl, SSL_SESSION *session)
{
	struct tls_client *client = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	const char *key = SSL_get_ex_data(ssl, key_index);
	struct ticket *ticket;

	if (!key)
		return 0;
	ticket = find_ticket(client, key) ?: oldest_ticket(client);
	SSL_SESSION_free(ticket->session);
	snprintf(ticket->key, sizeof(ticket->key), "%s", key);
	ticket->session = session;
	ticket->used = ++client->uses;
	return 1;
}

/* OpenSSL's own, and where a distribution keeps it whose OpenSSL does not know. */
static const char *const system_files[] = { NULL, "/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt" };

static int read_trust(struct tls_client *client, const char *file, struct err *err)
{
	int r = fdio_read_file(AT_FDCWD, file, TRUST_MAX, &client->trust, &client->trust_len);

	snprintf(client->trust_file, sizeof(client->trust_file), "%s", file);
	return r < 0 ? err_set(err, r, "certificates %s: %s", file, strerror(-r)) : 0;
}

/* None is no error yet: a sandbox that reaches nothing needs none. */
static void read_system_trust(struct tls_client *client)
{
	struct err err = {};

	for (size_t i = 0; i < ARRAY_SIZE(system_files); i++)
		if (read_trust(client, system_files[i] ?: X509_get_default_cert_file(), &err) == 0)
			return;
}

/* All of them, or none where one cannot be read. */
static int take_trust(struct tls_client *client, X509_STORE *store, struct err *err)
{
	X509 *certificate;
	size_t count = 0;
	BIO *bio;
	bool ok;

	if (!client->trust) {
		err_set(err, -ENOENT, "certificates of the system: there is no file of them");
		err_next_step(err,
			"install ca-certificates, or name a file in config.json: egress.trust_file");
		return -ENOENT;
	}
	bio = BIO_new_mem_buf(client->trust, (int)client->trust_len);
	ok = bio != NULL;
	while (ok && (certificate = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL))) {
		ok = X509_STORE_add_cert(store, certificate) == 1;
		X509_free(certificate);
		count++;
	}
	/* That there is no more of them is an error to OpenSSL as well. */
	ok = ok && count && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
	ERR_clear_error();
	BIO_free(bio);
	return ok ? 0
		  : err_set(err, -EINVAL, "certificates %s: not a file of PEM certificates",
			    client->trust_file);
}

static int make_context(struct tls_client *client, SSL_CTX **ret, struct err *err)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	int r;

	if (!context)
		return err_set(err, -ENOMEM, "TLS client: no memory");
	SSL_CTX_set_app_data(context, client);
	SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
					  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					  SSL_MODE_RELEASE_BUFFERS);
	/* A record's head and body in one read; between records it holds no buffer. */
	SSL_CTX_set_read_ahead(context, 1);
	SSL_CTX_set_default_read_buffer_len(context, TLS_READ_AHEAD);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(context, on_ticket);
	r = SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1
		    ? take_trust(client, SSL_CTX_get_cert_store(context), err)
		    : err_set(err, -EIO, "TLS client: OpenSSL takes no settings");
	if (r < 0)
		SSL_CTX_free(context);
	else
		*ret = context;
	return r;
}

int tls_client_warm_up(struct tls_client *client, struct err *err)
{
	int r = client->context ? 0 : make_context(client, &client->context, err);

	if (r == 0) {
		free(client->trust);
		client->trust = NULL;
	}
	return r;
}

int tls_client_create(const char *trust_file, struct tls_client **ret, struct err *err)
{
	_cleanup_(cleanup_tls_client_) struct tls_client *client = calloc(1, sizeof(*client));
	int r;

	/* Configuration and providers, which cannot be read later. */
	if (key_index < 0 && OPENSSL_init_ssl(OPENSSL_INIT_LOAD_CONFIG, NULL) == 1)
		key_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_key);
	if (!client || key_index < 0)
		return err_set(err, -ENOMEM, "TLS client: no memory");
	r = trust_file ? read_trust(client, trust_file, err) : (read_system_trust(client), 0);
	/* What somebody chose is looked at while he can be told. */
	if (r == 0 && trust_file)
		r = tls_client_warm_up(client, err);
	if (r == 0)
		*ret = TAKE_PTR(client);
	return r;
}

void tls_client_destroy(struct tls_client *client)
{
	if (!client)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(client->tickets); i++)
		SSL_SESSION_free(client->tickets[i].session);
	SSL_CTX_free(client->context);
	free(client->trust);
	free(client);
}

/* SNI is for names (RFC 6066, section 3); what is verified is whom the guest wanted, name or address. */
static bool set_identity(SSL *ssl, const struct policy_host *host)
{
	if (host->kind != POLICY_HOST_NAME)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host->text) == 1;
	SSL_set_hostflags(
		ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	return SSL_set1_host(ssl, host->text) == 1 &&
	       SSL_set_tlsext_host_name(ssl, host->text) == 1;
}

static bool set_ticket(
	struct tls_client *client, SSL *ssl, const struct policy_host *host, uint16_t port)
{
	char key[KEY_MAX], *own;
	struct ticket *ticket;

	snprintf(key, sizeof(key), "%s:%u", host->text, port);
	own = strdup(key);
	if (!own || SSL_set_ex_data(ssl, key_index, own) != 1) {
		free(own);
		return false;
	}
	ticket = find_ticket(client, key);
	if (ticket && SSL_SESSION_is_resumable(ticket->session))
		SSL_set_session(ssl, ticket->session);
	return true;
}

int tls_client_connect(struct tls_client *client, int fd, const struct policy_host *host,
	uint16_t port, bool offers_h2, struct tls_session **ret, struct err *err)
{
	_cleanup_tls_session_ struct tls_session *session = NULL;
	struct tls_protocols offered;
	int r = tls_client_warm_up(client, err);

	if (r < 0)
		return r;
	r = tls_session_create(client->context, fd, host, offers_h2, "the upstream", &session, err);
	if (r < 0)
		return r;
	offered = tls_session_protocols(session);
	SSL_set_connect_state(session->ssl);
	/* 0 is success here. */
	if (SSL_set_alpn_protos(session->ssl, offered.list, offered.len) != 0 ||
		!set_identity(session->ssl, host) || !set_ticket(client, session->ssl, host, port))
		return err_set(err, -EIO, "TLS with the upstream: OpenSSL takes no settings");
	*ret = TAKE_PTR(session);
	return 0;
}
