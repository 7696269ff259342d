/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-proxy/tls_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "vmm/base/array.h"

#define KEY_MAX (POLICY_NAME_MAX + 8)

struct ticket {
	char key[KEY_MAX]; /* host:port; "" is free */
	SSL_SESSION *session;
	uint64_t used;
};

struct tls_client {
	SSL_CTX *context;
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

static int load_trust(SSL_CTX *context, const char *trust_file, struct err *err)
{
	if (trust_file ? SSL_CTX_load_verify_file(context, trust_file) != 1
		       : SSL_CTX_set_default_verify_paths(context) != 1)
		return err_set(err, -ENOENT, "certificates %s: cannot be read",
			trust_file ? trust_file : "of the system");
	return 0;
}

int tls_client_create(const char *trust_file, struct tls_client **ret, struct err *err)
{
	_cleanup_(cleanup_tls_client_) struct tls_client *client = calloc(1, sizeof(*client));
	int r;

	if (key_index < 0)
		key_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_key);
	if (!client || key_index < 0 || !(client->context = SSL_CTX_new(TLS_client_method())))
		return err_set(err, -ENOMEM, "TLS client: no memory");
	SSL_CTX_set_app_data(client->context, client);
	SSL_CTX_set_options(client->context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(client->context, SSL_MODE_ENABLE_PARTIAL_WRITE |
						  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
						  SSL_MODE_RELEASE_BUFFERS);
	/* A record's head and body in one read; between records it holds no buffer. */
	SSL_CTX_set_read_ahead(client->context, 1);
	SSL_CTX_set_default_read_buffer_len(client->context, TLS_READ_AHEAD);
	SSL_CTX_set_verify(client->context, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_session_cache_mode(
		client->context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(client->context, on_ticket);
	if (SSL_CTX_set_min_proto_version(client->context, TLS1_2_VERSION) != 1)
		return err_set(err, -EIO, "TLS client: OpenSSL takes no settings");
	r = load_trust(client->context, trust_file, err);
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
	int r = tls_session_create(
		client->context, fd, host, offers_h2, "the upstream", &session, err);

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
