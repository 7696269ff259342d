/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-proxy/inject.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "vmm/base/array.h"
#include "vmm/base/parse.h"
#include "vsock-proxy/fields.h"

/* Whole names. */
static const char *const fields_by_name[] = {
	"authorization",
	"proxy-authorization",
	"www-authorization",
	"cookie",
	"cookie2",
	"x-api-key",
	"api-key",
	"apikey",
	"x-apikey",
	"x-goog-api-key",
	"x-functions-key",
	"ocp-apim-subscription-key",
	"x-auth",
	"x-auth-key",
	"x-auth-email",
	"x-access-key",
	"x-amz-credential",
	"x-shopify-access-token",
	"x-aws-ec2-metadata-token",
	"dd-api-key",
	"dd-application-key",
	"sec-websocket-protocol-auth",
	"x-goog-iam-authorization-token",
	"git-credential",
	"x-honeycomb-team",
	"x-jfrog-art-api",
};

/* One part of a name between hyphens: `private-token`, `x-vault-token`, `npm-otp`. */
static const char *const field_parts[] = {
	"token",
	"tokens",
	"secret",
	"password",
	"passwd",
	"credential",
	"credentials",
	"jwt",
	"otp",
	"assertion",
	"authorization",
	"apikey",
	"apitoken",
	"authtoken",
	"accesstoken",
	"usertoken",
	"secretkey",
	"accesskey",
	"authkey",
};

/* What else ends in `-key` is one: of everybody's services each has its own name for it. These are none. */
static const char *const other_keys[] = {
	"sec-websocket-key",
	"idempotency-key",
	"x-idempotency-key",
	"surrogate-key",
	"cache-key",
	"x-cache-key",
	"partition-key",
};

/* Of a WebSocket's subprotocols, where browsers' clients put what they may not put into a field. */
static const char *const subprotocol_parts[] = {
	"bearer",
	"authorization",
	"auth",
	"token",
	"key",
	"apikey",
	"jwt",
	"secret",
	"password",
};

/* Another method for what is asked, for some servers (E24): never passes. */
static const char *const overrides[] = {
	"-method",
	"-httpmethod",
	"x-http-method",
	"x-http-method-override",
	"x-method-override",
};

/* Whole names of query parameters. */
static const char *const parameters_by_name[] = {
	"key",
	"apikey",
	"api-key",
	"x-api-key",
	"auth",
	"authorization",
	"auth-key",
	"access-key",
	"accesskey",
	"sig",
	"signature",
	"sign",
	"pwd",
	"awsaccesskeyid",
	"googleaccessid",
	"x-amz-signature",
	"x-goog-signature",
	"code-verifier",
	"client-assertion",
	"userinfo",
	"subscription-key",
	"app-key",
	"appkey",
};

static const char *const parameter_parts[] = {
	"token",
	"secret",
	"password",
	"passwd",
	"credential",
	"credentials",
	"jwt",
	"apikey",
	"sessionid",
	"accesstoken",
	"apitoken",
	"authtoken",
	"idtoken",
	"oauthtoken",
	"privatetoken",
	"refreshtoken",
	"securitytoken",
	"sessiontoken",
	"usertoken",
	"clientsecret",
	"apisecret",
	"appsecret",
	"secretkey",
	"accesskey",
	"authkey",
};

static char fold(char c)
{
	if (c == '_')
		return '-';
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool folded_is(const char *name, size_t len, const char *other)
{
	for (size_t i = 0; i < len; i++)
		if (!other[i] || fold(name[i]) != other[i])
			return false;
	return other[len] == '\0';
}

static bool is_listed(const char *name, size_t len, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (folded_is(name, len, list[i]))
			return true;
	return false;
}

static bool is_cut(char c)
{
	return fold(c) == '-' || strchr(".,:= \t", c);
}

/* Whether a part of the name, as hyphens, underscores, dots and what parts a list cut it, is listed. */
static bool has_part(const char *name, size_t len, const char *const *list, size_t count)
{
	size_t begin = 0;

	for (size_t i = 0; i <= len; i++) {
		if (i < len && !is_cut(name[i]))
			continue;
		if (is_listed(name + begin, i - begin, list, count))
			return true;
		begin = i + 1;
	}
	return false;
}

bool inject_field_is_credential(const char *name)
{
	size_t len = strlen(name);

	if (len > 4 && folded_is(name + len - 4, 4, "-key"))
		return !is_listed(name, len, other_keys, ARRAY_SIZE(other_keys));
	return is_listed(name, len, fields_by_name, ARRAY_SIZE(fields_by_name)) ||
	       has_part(name, len, field_parts, ARRAY_SIZE(field_parts));
}

bool inject_parameter_is_credential(const char *name, size_t len)
{
	return is_listed(name, len, parameters_by_name, ARRAY_SIZE(parameters_by_name)) ||
	       has_part(name, len, parameter_parts, ARRAY_SIZE(parameter_parts));
}

/* -- what the guest brought -- */

static bool is_bound_field(const struct policy_binding *binding, const char *name)
{
	return binding && binding->scheme != POLICY_SCHEME_QUERY &&
	       field_name_is(name, binding->header);
}

static bool is_credential(const struct record_field *field)
{
	if (field_name_is(field->name, "sec-websocket-protocol"))
		return has_part(field->value, strlen(field->value), subprotocol_parts,
			ARRAY_SIZE(subprotocol_parts));
	return inject_field_is_credential(field->name);
}

static void copy_fields(const struct record_request *request, bool guest_credentials,
	const struct policy_binding *binding, struct inject_output *out)
{
	for (size_t i = 0; i < request->fields.count; i++) {
		const struct record_field *field = &request->fields.list[i];

		if (is_bound_field(binding, field->name) ||
			(!guest_credentials && is_credential(field)))
			out->stripped++;
		else
			fields_add(&out->fields, field->name, field->value);
	}
}

void inject_trailers(struct record_fields *trailers, bool guest_credentials,
	const struct policy_binding *binding)
{
	uint16_t kept = 0;

	fields_strip_trailers(trailers);
	for (uint16_t i = 0; i < trailers->count; i++) {
		const char *name = trailers->list[i].name;

		if (!is_bound_field(binding, name) &&
			(guest_credentials || !inject_field_is_credential(name)))
			trailers->list[kept++] = trailers->list[i];
	}
	trailers->count = kept;
}

/*
 * A parameter's name as a server reads it, for the comparison only; its length. Some (PHP) leave blanks before it out, and take
 * those in it, dots and a bracket for `_`.
 */
static size_t decode_name(const char *text, size_t len, char out[static POLICY_QUERY_MAX])
{
	size_t used = 0;

	for (size_t i = 0; i < len && used < POLICY_QUERY_MAX; i++) {
		int high = len - i > 2 && text[i] == '%' ? parse_hex_digit(text[i + 1]) : -1;
		int low = high >= 0 ? parse_hex_digit(text[i + 2]) : -1;

		if (low >= 0) {
			out[used++] = (char)(high << 4 | low);
			i += 2;
		} else {
			out[used++] = text[i] == '+' ? ' ' : text[i];
		}
		used -= used == 1 && out[0] == ' ';
		if (used && strchr(" .[", out[used - 1]))
			out[used - 1] = '_';
	}
	return used;
}

static bool same_parameter(const char *name, size_t len, const char *other)
{
	for (size_t i = 0; i < len; i++)
		if (!other[i] || fold(name[i]) != fold(other[i] == '.' ? '_' : other[i]))
			return false;
	return !other[len];
}

static bool parameter_goes(
	const char *text, size_t len, bool guest_credentials, const struct policy_binding *binding)
{
	char name[POLICY_QUERY_MAX];
	size_t name_len = decode_name(
		text, (size_t)((const char *)(memchr(text, '=', len) ?: text + len) - text), name);

	if (is_listed(name, name_len, overrides, ARRAY_SIZE(overrides)))
		return true;
	if (binding && binding->scheme == POLICY_SCHEME_QUERY &&
		same_parameter(name, name_len, binding->parameter))
		return true;
	return !guest_credentials && inject_parameter_is_credential(name, name_len);
}

/* Some servers take `;` for `&` as well. */
static size_t parameter_len(const char *text)
{
	return strcspn(text, "&;");
}

/* The query without what goes, in query_text; its length. What stays is as it was. */
static size_t copy_query(const struct record_request *request, bool guest_credentials,
	const struct policy_binding *binding, struct inject_output *out)
{
	const char *p = request->request.query;
	size_t used = 0;

	while (p && *p) {
		size_t len = parameter_len(p);

		if (len && parameter_goes(p, len, guest_credentials, binding)) {
			out->stripped++;
		} else {
			if (used)
				out->query_text[used++] = p > request->request.query ? p[-1] : '&';
			memcpy(out->query_text + used, p, len);
			used += len;
		}
		p += len;
		p += *p != '\0';
	}
	out->query_text[used] = '\0';
	out->query_used = used + 1;
	return used;
}

/* -- the bound one -- */

static int put_base64(char *out, size_t size, const char *bytes, size_t len)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t used = 0;

	if ((len + 2) / 3 * 4 + 1 > size)
		return -E2BIG;
	for (size_t i = 0; i < len; i += 3) {
		unsigned int group = (unsigned int)(unsigned char)bytes[i] << 16;

		group |= i + 1 < len ? (unsigned int)(unsigned char)bytes[i + 1] << 8 : 0;
		group |= i + 2 < len ? (unsigned int)(unsigned char)bytes[i + 2] : 0;
		out[used++] = digits[group >> 18];
		out[used++] = digits[group >> 12 & 63];
		out[used++] = i + 1 < len ? digits[group >> 6 & 63] : '=';
		out[used++] = i + 2 < len ? digits[group & 63] : '=';
	}
	out[used] = '\0';
	return 0;
}

static int put_basic(const struct policy_binding *binding, const struct inject_secret *secret,
	struct inject_output *out)
{
	char pair[POLICY_ID_MAX + POLICY_NAME_MAX + INJECT_SECRET_MAX + 2];
	int n = snprintf(
		pair, sizeof(pair), "%s:%.*s", binding->username, (int)secret->len, secret->value);
	size_t prefix = strlen("Basic ");
	int r = -E2BIG;

	if (n > 0 && (size_t)n < sizeof(pair)) {
		memcpy(out->value, "Basic ", prefix);
		r = put_base64(out->value + prefix, sizeof(out->value) - prefix, pair, (size_t)n);
	}
	explicit_bzero(pair, sizeof(pair));
	out->value_used = r == 0 ? strlen(out->value) + 1 : 0;
	return r;
}

static int put_plain(
	const char *prefix, const struct inject_secret *secret, struct inject_output *out)
{
	size_t prefix_len = strlen(prefix);

	if (prefix_len + secret->len >= sizeof(out->value))
		return -E2BIG;
	memcpy(out->value, prefix, prefix_len);
	memcpy(out->value + prefix_len, secret->value, secret->len);
	out->value[prefix_len + secret->len] = '\0';
	out->value_used = prefix_len + secret->len + 1;
	return 0;
}

static bool is_unreserved(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c && strchr("-._~", c));
}

static void put_parameter(const struct policy_binding *binding, const struct inject_secret *secret,
	size_t used, struct inject_output *out)
{
	char *p = out->query_text + used;
	size_t left = sizeof(out->query_text) - used;

	/* Every byte may take three: INJECT_QUERY_MAX has room for them. */
	p += snprintf(p, left, "%s%s=", used ? "&" : "", binding->parameter);
	for (size_t i = 0; i < secret->len; i++) {
		unsigned char c = (unsigned char)secret->value[i];

		if (is_unreserved(c))
			*p++ = (char)c;
		else
			p += snprintf(p, 4, "%%%02X", c);
	}
	*p = '\0';
	out->query_used = (size_t)(p - out->query_text) + 1;
}

static int put_value(const struct policy_binding *binding, const struct inject_secret *secret,
	struct inject_output *out)
{
	switch (binding->scheme) {
	case POLICY_SCHEME_BEARER:
		return put_plain("Bearer ", secret, out);
	case POLICY_SCHEME_BASIC:
		return put_basic(binding, secret, out);
	case POLICY_SCHEME_HEADER:
		return put_plain(binding->prefix, secret, out);
	case POLICY_SCHEME_QUERY:
		break;
	}
	return -EINVAL;
}

/* Bytes that a field's value, or a line of a secret's file, never holds. */
static bool secret_valid(const struct inject_secret *secret)
{
	if (!secret->len || secret->len > INJECT_SECRET_MAX)
		return false;
	for (size_t i = 0; i < secret->len; i++)
		if ((unsigned char)secret->value[i] < 0x21 || secret->value[i] == 0x7f)
			return false;
	return true;
}

static int add_bound(const struct policy_binding *binding, const struct inject_secret *secret,
	size_t query_len, struct inject_output *out, struct err *err)
{
	int r;

	if (!secret_valid(secret))
		return err_set(err, -EINVAL,
			"secret %s: empty, too long, or with bytes that no header may have",
			binding->secret);
	if (binding->scheme == POLICY_SCHEME_QUERY &&
		strlen(binding->parameter) > INJECT_PARAMETER_MAX)
		return err_set(err, -E2BIG, "secret %s: its parameter's name is too long",
			binding->secret);
	if (binding->scheme == POLICY_SCHEME_QUERY) {
		put_parameter(binding, secret, query_len, out);
		return 0;
	}
	r = put_value(binding, secret, out);
	if (r == 0 && !fields_add(&out->fields, binding->header, out->value))
		r = -E2BIG;
	return r < 0 ? err_set(err, r, "secret %s: does not fit into the request", binding->secret)
		     : 0;
}

int inject_apply(const struct record_request *request, bool guest_credentials,
	const struct policy_binding *binding, const struct inject_secret *secret,
	struct inject_output *ret, struct err *err)
{
	size_t query_len;
	int r = 0;

	ret->fields.count = 0;
	ret->stripped = 0;
	ret->value[0] = '\0';
	ret->value_used = ret->query_used = 0;
	copy_fields(request, guest_credentials, binding, ret);
	query_len = copy_query(request, guest_credentials, binding, ret);
	if (binding)
		r = add_bound(binding, secret, query_len, ret, err);
	ret->query = ret->query_text[0] || (request->request.query && !request->request.query[0])
			     ? ret->query_text
			     : NULL;
	if (r < 0)
		inject_output_finish(ret);
	return r;
}

void inject_output_finish(struct inject_output *output)
{
	explicit_bzero(output->value, output->value_used);
	explicit_bzero(output->query_text, output->query_used);
	output->value_used = output->query_used = 0;
	output->fields.count = 0;
	output->query = NULL;
}
