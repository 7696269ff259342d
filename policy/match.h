/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Whether a host, an address, a port or a path is what a pattern says. Pure; the only file that asks libpsl. */
#include "policy/memory.h"
#include "policy/rule.h"

/* One entry of `host`: a name or a pattern of one (an address is none: policy_host_parse()). NULL, or what is wrong. */
const char *policy_pattern_parse(
	const char *text, struct policy_memory *memory, struct policy_pattern *ret);
/* E2: what a rule that allows may not say: NULL, or why. */
const char *policy_pattern_too_wide(const struct policy_pattern *pattern);
bool policy_pattern_matches(const struct policy_pattern *pattern, const struct policy_host *host);
/* ret_private: whether the entry that matched means private addresses; untouched where none does. */
bool policy_listed_matches(
	const struct policy_hosts *hosts, const struct policy_host *address, bool *ret_private);
/* For rules that deny: also what an address carries (NAT64, 6to4, ...) is in a range. */
bool policy_hosts_reached(const struct policy_hosts *hosts, const struct policy_host *host);
bool policy_hosts_match(
	const struct policy_hosts *hosts, const struct policy_host *host, bool *ret_private);
/* No ports: every port. */
bool policy_ports_match(const struct policy_ports *ports, size_t count, uint16_t port);
bool policy_texts_hold(const struct policy_texts *texts, const char *text);

/* NULL, or what is wrong; *ret the canonical pattern. */
const char *policy_path_pattern_parse(
	const char *text, struct policy_memory *memory, const char **ret);
/*
 * path is canonical (policy/path.h). split_encoded: an encoded slash parts segments as well, as a server that decodes too
 * early would take it; deny rules ask both ways.
 */
bool policy_path_matches(const char *pattern, const char *path, bool split_encoded);
/* Whether the path is still without `.`, `..` and empty segments when its encoded slashes are taken for slashes. */
bool policy_path_clean_when_split(const char *path);
/* Letters, digits and `!#$%&'*+-.^_`|~`, at least one: methods and field names (RFC 9110, section 5.6.2). */
bool policy_is_token(const char *text);
/* As rules may write one: capitals, `-` and `_`; not CONNECT (E9). */
bool policy_is_method(const char *text);
