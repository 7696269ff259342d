/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/secrets/secret_ref.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/array.h"

static const struct {
	const char *word, *key; /* key: of its text; NULL: it has none */
} kinds[] = {
	[SECRET_STORED] = { "stored", NULL },
	[SECRET_FILE] = { "file", "path" },
	[SECRET_ENV] = { "env", "variable" },
	[SECRET_COMMAND] = { "command", "command" },
	[SECRET_SYSTEMD] = { "systemd-credential", "credential" },
	[SECRET_KEYRING] = { "keyring", "key" },
};
static_assert(ARRAY_SIZE(kinds) == SECRET_KINDS, "a row per kind");

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

bool secret_name_valid(const char *name)
{
	size_t len = strlen(name);

	if (!len || len > SECRET_NAME_MAX || (!is_letter(name[0]) && !is_digit(name[0])))
		return false;
	for (size_t i = 0; i < len; i++)
		if (!is_letter(name[i]) && !is_digit(name[i]) && !strchr("._-", name[i]))
			return false;
	return true;
}

const char *secret_kind_word(enum secret_kind kind)
{
	return kinds[kind].word;
}

static bool variable_valid(const char *name)
{
	if (is_digit(name[0]))
		return false;
	for (; *name; name++)
		if (!is_letter(*name) && !is_digit(*name) && *name != '_')
			return false;
	return true;
}

int secret_ref_check(const struct secret_ref *ref, struct err *err)
{
	const char *text = ref->text;

	if (kinds[ref->kind].key && !*text)
		return err_set(err, -EINVAL, "a %s is not empty", kinds[ref->kind].key);
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return err_set(err, -EINVAL, "a %s holds no control character",
				kinds[ref->kind].key);
	if (ref->kind == SECRET_FILE && text[0] != '/')
		return err_set(err, -EINVAL, "%.200s: not an absolute path", text);
	if (ref->kind == SECRET_ENV && !variable_valid(text))
		return err_set(err, -EINVAL, "%.200s: not the name of a variable", text);
	if (ref->kind == SECRET_SYSTEMD && (strchr(text, '/') || text[0] == '.'))
		return err_set(err, -EINVAL, "%.200s: not the name of a credential", text);
	if (ref->refresh_s && ref->kind != SECRET_COMMAND)
		return err_set(err, -EINVAL, "only a command is asked again (refresh)");
	if (ref->refresh_s &&
		(ref->refresh_s < SECRET_REFRESH_MIN || ref->refresh_s > SECRET_REFRESH_MAX))
		return err_set(err, -EINVAL, "a refresh is after %d seconds to %d days",
			SECRET_REFRESH_MIN, SECRET_REFRESH_MAX / 86400);
	return 0;
}

static bool find_kind(const char *word, enum secret_kind *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (word && strcmp(kinds[i].word, word) == 0) {
			*ret = (enum secret_kind)i;
			return true;
		}
	return false;
}

int secret_ref_parse(json_t *object, struct secret_ref *ret, struct err *err)
{
	struct json_reader r = json_reader(object, "secret", err);
	const char *word = json_get_text(&r, "kind", 32), *text = "";
	struct secret_ref ref = {};
	int error;

	if (word && !find_kind(word, &ref.kind))
		json_reader_fail(&r, "kind: there is no %.32s", word);
	else if (word && kinds[ref.kind].key)
		text = json_get_text(&r, kinds[ref.kind].key, SECRET_TEXT_MAX);
	ref.refresh_s = (uint32_t)json_get_u64_or(&r, "refresh_s", 0, SECRET_REFRESH_MAX, 0);
	error = json_reader_done(&r);
	if (error < 0)
		return error;
	snprintf(ref.text, sizeof(ref.text), "%s", text);
	error = secret_ref_check(&ref, err);
	if (error == 0)
		*ret = ref;
	return error;
}

json_t *secret_ref_json(const struct secret_ref *ref)
{
	json_t *object = json_pack("{s:s}", "kind", kinds[ref->kind].word);

	if (kinds[ref->kind].key)
		json_object_set_new(object, kinds[ref->kind].key, json_string(ref->text));
	if (ref->refresh_s)
		json_object_set_new(object, "refresh_s", json_integer(ref->refresh_s));
	return object;
}

int secret_value_trim(const char *value, size_t len, size_t *ret_len, struct err *err)
{
	if (len && value[len - 1] == '\n')
		len--;
	if (len && value[len - 1] == '\r')
		len--;
	if (!len)
		return err_set(err, -EINVAL, "the value is empty");
	if (len > SECRET_VALUE_MAX)
		return err_set(err, -EINVAL, "the value is longer than %d bytes", SECRET_VALUE_MAX);
	for (size_t i = 0; i < len; i++)
		if (value[i] == '\n' || value[i] == '\r' || value[i] == '\0')
			return err_set(err, -EINVAL,
				"the value has more than one line: no credential does");
	*ret_len = len;
	return 0;
}
