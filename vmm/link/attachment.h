/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Clients attached to the session (session.h): each has its place in the ring, gets frames from there as fast as it takes
 * them, and its own bytes go to the guest as input. It lives until it goes, or until it has had the session's last frame;
 * its memory is the core's items'.
 */
#include "vmm/link/session.h"

struct link_attachment {
	struct link_item item;
	struct link_session *session;
	struct link_attachment *next;
	struct link_socket socket;
	struct link_filter filter;
	uint64_t position; /* in the ring */
	size_t skip; /* payload bytes of the frame there */
	uint64_t progress_ms; /* when it last took something */
	bool ending;
};

/* Takes client_fd, also where it fails. The caller sets its position. */
int link_attachment_add(struct link_session *session, int client_fd, struct link_attachment **ret);
/* Gives it what it has room for. */
void link_attachment_pump(struct link_attachment *a);

/* All of them. */
void link_attachments_pump(struct link_session *session);
void link_attachments_put(
	struct link_session *session, uint8_t type, const uint8_t *payload, uint32_t len);
/* The guest takes input again. */
void link_attachments_resume(struct link_session *session);
void link_attachments_drop(struct link_session *session);
/* How far behind the slowest is whom the session waits for. */
uint64_t link_attachments_slowest(const struct link_session *session);
