/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The documents that a sandbox's policy is made of, gathered from where they lie on the host, ready for policy_create():
 *
 *   system        /etc/sandboxctl/policy.json
 *   user          <config>/policy.json
 *   command line  what start's flags came to (spec), and <state>/sandboxes/NAME/policy.json: what `policy allow NAME` added
 *   project       the member `policy` of the nearest .sandbox.json, from the workspace upward to the git root; may only narrow (H5).
 *                 And the one that was approved for this folder (project_approval.h), where that is another
 *
 * Where neither system, user nor command line has a document that names presets or rules, the preset `builder` stands in their place.
 * Files of the system and the user are read only where nobody else may write them. The project's is opened as one
 * component of its folder, which is held open, and never through a link (H14): who wrote the workspace chose its bytes.
 */
#include "policy/policy.h"
#include "vmm/supervisor/paths.h"
#include "vmm/supervisor/project_approval.h"

#define POLICY_SYSTEM_FILE    "/etc/sandboxctl/policy.json"
#define POLICY_FILE	      "policy.json"
#define POLICY_PROJECT	      ".sandbox.json"
#define POLICY_PROJECT_KEPT   "project.json" /* of a sandbox's state */
#define POLICY_DEFAULT_PRESET "builder"

/* The project's part: what was approved, and what was found. */
struct policy_project {
	bool looked; /* false: there was no workspace to look in */
	bool found; /* what is present could be read */
	bool known,
		exact; /* something is approved (maybe to have none); under the folder's present key */
	struct project_policy approved, present;
};

struct policy_inputs {
	const struct paths *paths;
	const char *system_file; /* NULL: POLICY_SYSTEM_FILE; tests have their own */
	const char *sandbox; /* its name; NULL: none yet */
	const char *workspace; /* absolute, canonical; NULL: none */
	const char *command; /* a document; NULL: none */
	/* H5: what was the project's when the sandbox was started stays it while it runs, whatever its guest wrote since. */
	const struct policy_project *project; /* NULL: looked for in the workspace */
};

struct policy_sources {
	struct policy_source list[POLICY_SOURCES_MAX];
	size_t count;
	char *texts[2 * POLICY_SOURCES_MAX]; /* names and documents; owned */
	size_t text_count;
	struct policy_project project;
};

/* -EPERM: a file that others may write; -EINVAL: no JSON, or a .sandbox.json of another shape; -errno. The file is named. */
int policy_sources_load(
	const struct policy_inputs *inputs, struct policy_sources *ret, struct err *err);
/*
 * The project's part alone, as it is to be approved: the one document that is there now. What is kept damaged counts as nothing
 * approved.
 */
int policy_sources_load_project(
	const struct policy_inputs *inputs, struct policy_sources *ret, struct err *err);
void policy_sources_finish(struct policy_sources *sources);

/* Whether what was found is not what was approved: then both hold. */
bool policy_project_changed(const struct policy_project *project);
/* What a start approves, where nothing was yet. */
int policy_project_settle(const struct paths *paths, const char *workspace,
	const struct policy_project *project, struct err *err);
/*
 * What a sandbox was started with is kept beside its record, so that others can put together what it goes by while it runs
 * (E19). -ENOENT: nothing is kept.
 */
int policy_project_save(const struct paths *paths, const char *sandbox,
	const struct policy_project *project, struct err *err);
int policy_project_saved(const struct paths *paths, const char *sandbox, struct policy_project *ret,
	struct err *err);
int policy_project_copy(const struct policy_project *from, struct policy_project *ret);
void policy_project_finish(struct policy_project *project);
