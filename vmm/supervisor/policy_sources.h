/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The documents that a sandbox's policy is made of, gathered from where they lie on the host, ready for policy_create():
 *
 *   system        /etc/sandboxctl/policy.json
 *   user          <config>/policy.json
 *   command line  what start's flags came to (spec), and <state>/sandboxes/NAME/policy.json: what `policy allow NAME` added
 *   project       the member `policy` of the nearest .sandbox.json, from the workspace upward to the git root; may only narrow (H5)
 *
 * Where neither system, user nor command line has a document that names presets or rules, the preset `builder` stands in their place.
 * Files of the system and the user are read only where nobody else may write them. The project's is opened as one
 * component of its folder, which is held open, and never through a link (H14): who wrote the workspace chose its bytes.
 */
#include "policy/policy.h"
#include "vmm/supervisor/paths.h"

#define POLICY_SYSTEM_FILE    "/etc/sandboxctl/policy.json"
#define POLICY_FILE	      "policy.json"
#define POLICY_PROJECT	      ".sandbox.json"
#define POLICY_DEFAULT_PRESET "builder"

struct policy_project;

struct policy_inputs {
	const struct paths *paths;
	const char *system_file; /* NULL: POLICY_SYSTEM_FILE; tests have their own */
	const char *sandbox; /* its name; NULL: none yet */
	const char *workspace; /* absolute, canonical; NULL: none */
	const char *command; /* a document; NULL: none */
	/* H5: what was the project's when the sandbox was started stays it while it runs, whatever its guest wrote since. */
	const struct policy_project *project; /* NULL: looked for in the workspace */
};

/* A project's policy as it was found. */
struct policy_project {
	char *name, *json; /* NULL: there was none */
};

struct policy_sources {
	struct policy_source list[POLICY_SOURCES_MAX];
	size_t count;
	char *texts[2 * POLICY_SOURCES_MAX]; /* names and documents; owned */
	size_t text_count;
};

/* -EPERM: a file that others may write; -EINVAL: no JSON, or a .sandbox.json of another shape; -errno. The file is named. */
int policy_sources_load(
	const struct policy_inputs *inputs, struct policy_sources *ret, struct err *err);
void policy_sources_finish(struct policy_sources *sources);
/* A copy of the project's part. -ENOMEM. */
int policy_sources_project(const struct policy_sources *sources, struct policy_project *ret);
void policy_project_finish(struct policy_project *project);
