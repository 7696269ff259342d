/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/egress/relay.h"

#include <errno.h>
#include <sys/socket.h>

int relay_move(struct relay_half *h)
{
	ssize_t n;

	if (relay_wants_in(h)) {
		n = recv(h->from, h->data, sizeof(h->data), MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (n == 0)
			h->ended = true;
		else if (n > 0)
			h->len = (size_t)n;
	}
	if (h->done < h->len) {
		n = send(h->to, h->data + h->done, h->len - h->done, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (n > 0)
			h->done += (size_t)n;
	}
	if (h->done == h->len)
		h->done = h->len = 0;
	if (h->ended && !h->len && !h->shut) {
		(void)shutdown(h->to, SHUT_WR);
		h->shut = true;
	}
	return 0;
}
