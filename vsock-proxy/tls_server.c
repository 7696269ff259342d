/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-proxy/tls_server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/ssl.h>

#include "vsock-proxy/ca.h"

/* Forward secrecy and AEAD only (RFC 9325, section 4.2); TLS 1.3 has nothing else. */
#define TLS12_CIPHERS                                                                              \
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305"
#define GROUPS "X25519:P-256"
struct tls_server {
	SSL_CTX *context;
	struct ca *ca;
};

DEFINE_CLEANUP(tls_server, tls_server_destroy)

/* E4: the name in the handshake, as OpenSSL reads it, is the stated one; an address has none (RFC 6066, section 3). */
static int on_name(SSL *ssl, int *alert, void *data)
{
	const struct tls_session *session = SSL_get_app_data(ssl);
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	struct policy_host host;

	(void)data;
	*alert = SSL_AD_UNRECOGNIZED_NAME;
	if (!name)
		return session->host.kind == POLICY_HOST_NAME ? SSL_TLSEXT_ERR_ALERT_FATAL
							      : SSL_TLSEXT_ERR_NOACK;
	if (!policy_host_parse(name, strlen(name), &host) ||
		!policy_host_equal(&host, &session->host))
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	return SSL_TLSEXT_ERR_OK;
}

/* Ours first; without a common protocol the handshake fails (RFC 7301, section 3.2). */
static int on_protocols(SSL *ssl, const unsigned char **ret, unsigned char *ret_len,
	const unsigned char *offered, unsigned int offered_len, void *data)
{
	const struct tls_session *session = SSL_get_app_data(ssl);
	struct tls_protocols ours = tls_session_protocols(session);

	(void)data;
	return SSL_select_next_proto((unsigned char **)ret, ret_len, ours.list, ours.len, offered,
		       offered_len) == OPENSSL_NPN_NEGOTIATED
		       ? SSL_TLSEXT_ERR_OK
		       : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int need_context(struct tls_server *server, struct err *err)
{
	if (server->context)
		return 0;
	server->context = SSL_CTX_new(TLS_server_method());
	if (!server->context)
		return err_set(err, -ENOMEM, "TLS server: no memory");
	SSL_CTX_set_options(server->context,
		SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_mode(server->context, SSL_MODE_ENABLE_PARTIAL_WRITE |
						  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
						  SSL_MODE_RELEASE_BUFFERS);
	/* A record's head and body in one read; between records it holds no buffer. */
	SSL_CTX_set_read_ahead(server->context, 1);
	SSL_CTX_set_default_read_buffer_len(server->context, TLS_READ_AHEAD);
	SSL_CTX_set_session_cache_mode(server->context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_max_early_data(server->context, 0);
	SSL_CTX_set_tlsext_servername_callback(server->context, on_name);
	SSL_CTX_set_alpn_select_cb(server->context, on_protocols, NULL);
	if (SSL_CTX_set_min_proto_version(server->context, TLS1_2_VERSION) == 1 &&
		SSL_CTX_set_cipher_list(server->context, TLS12_CIPHERS) == 1 &&
		SSL_CTX_set1_groups_list(server->context, GROUPS) == 1 &&
		SSL_CTX_set_session_id_context(
			server->context, (const unsigned char *)"sandboxctl", 10) == 1)
		return 0;
	SSL_CTX_free(server->context);
	server->context = NULL;
	return err_set(err, -EIO, "TLS server: OpenSSL takes no settings");
}

int tls_server_create(struct ca *ca, struct tls_server **ret, struct err *err)
{
	_cleanup_(cleanup_tls_server_) struct tls_server *server = calloc(1, sizeof(*server));

	/* Configuration and providers, which cannot be read later. */
	if (!server || OPENSSL_init_ssl(OPENSSL_INIT_LOAD_CONFIG, NULL) != 1)
		return err_set(err, -ENOMEM, "TLS server: no memory");
	server->ca = ca;
	*ret = TAKE_PTR(server);
	return 0;
}

int tls_server_warm_up(struct tls_server *server, time_t now, struct err *err)
{
	const struct ca_leaf *leaf;
	struct policy_host host;
	int r = need_context(server, err);

	if (r == 0 && policy_host_parse("localhost", 9, &host))
		r = ca_leaf(server->ca, &host, now, &leaf, err);
	return r;
}

void tls_server_destroy(struct tls_server *server)
{
	if (!server)
		return;
	SSL_CTX_free(server->context);
	free(server);
}

int tls_server_accept(struct tls_server *server, int fd, const struct policy_host *host,
	bool offers_h2, time_t now, struct tls_session **ret, struct err *err)
{
	_cleanup_tls_session_ struct tls_session *session = NULL;
	const struct ca_leaf *leaf;
	int r = need_context(server, err);

	if (r < 0)
		return r;
	r = ca_leaf(server->ca, host, now, &leaf, err);
	if (r < 0)
		return r;
	r = tls_session_create(server->context, fd, host, offers_h2, "the guest", &session, err);
	if (r < 0)
		return r;
	SSL_set_accept_state(session->ssl);
	if (SSL_use_certificate(session->ssl, leaf->certificate) != 1 ||
		SSL_use_PrivateKey(session->ssl, leaf->key) != 1)
		return err_set(err, -EIO, "TLS with the guest: OpenSSL takes no certificate");
	*ret = TAKE_PTR(session);
	return 0;
}
