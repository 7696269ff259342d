/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Rules from words, and a policy file that gains them: `policy allow`, `policy deny`, `policy init`, `start --allow-host`. A file is read,
 * changed, judged by the policy's own reader and replaced at once, or left as it was.
 */
#include "policy/policy.h"
#include "vmm/sandboxctl/client_settings.h"
#include "vmm/sandboxctl/document.h"
#include "vmm/sandboxctl/policy_learn.h"

struct policy_words {
	const char *host; /* HOST[:PORT]; an address of IPv6 in brackets where it has a port */
	const char *protocol; /* NULL: ssh on port 22, else http */
	const char *method, *path; /* NULL: every one */
	bool websocket, encoded_slash, private_addresses;
};

/* An allow rule as an object of a document; NULL where the host's word has no such form. */
struct document *policy_rule(const struct policy_words *words, const char *id);

/*
 * What a file at path (one that is not there holds nothing) becomes with an allow rule, or with a blocked host. layer: whose file it is. -EEXIST: it says
 * so already. -EINVAL with the reader's words; the file stays as it was after any failure. *ret_id: the rule's, or "".
 */
int policy_file_allow(const char *path, enum policy_layer layer, const struct policy_words *words,
	char ret_id[static POLICY_ID_MAX + 1], struct err *err);
int policy_file_deny(const char *path, enum policy_layer layer, const char *host, struct err *err);
/*
 * The user's file with this preset (NULL: the one it names, or else the default) and a rule for each registry that it has
 * none for yet: GET and HEAD of that host and port, at private addresses too where its name leads to one. *ret_added: how many were
 * added, or gained that.
 */
int policy_file_init(const char *path, const char *preset,
	const struct client_registries *registries, size_t *ret_added, struct err *err);
/*
 * The user's file with a rule for each destination that was learnt and that it has none for yet. Where it has the preset audit-all, this
 * one (NULL: the default) takes its place: learning is over.
 */
int policy_file_learn(const char *path, const char *preset, const struct learnt *learnt,
	size_t count, size_t *ret_added, struct err *err);
