/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/devices/vsock_packet.h"

#include "vmm/base/bytes.h"

void vsock_head_encode(const struct vsock_head *head, uint8_t out[static VSOCK_HEAD_SIZE])
{
	struct bytes_writer w = bytes_writer(out, VSOCK_HEAD_SIZE);

	bytes_put_u64(&w, head->src_cid);
	bytes_put_u64(&w, head->dst_cid);
	bytes_put_u32(&w, head->src_port);
	bytes_put_u32(&w, head->dst_port);
	bytes_put_u32(&w, head->len);
	bytes_put_u16(&w, head->type);
	bytes_put_u16(&w, head->op);
	bytes_put_u32(&w, head->flags);
	bytes_put_u32(&w, head->buf_alloc);
	bytes_put_u32(&w, head->fwd_cnt);
}

void vsock_head_decode(const uint8_t in[static VSOCK_HEAD_SIZE], struct vsock_head *ret)
{
	struct bytes_reader r = bytes_reader(in, VSOCK_HEAD_SIZE);

	ret->src_cid = bytes_get_u64(&r);
	ret->dst_cid = bytes_get_u64(&r);
	ret->src_port = bytes_get_u32(&r);
	ret->dst_port = bytes_get_u32(&r);
	ret->len = bytes_get_u32(&r);
	ret->type = bytes_get_u16(&r);
	ret->op = bytes_get_u16(&r);
	ret->flags = bytes_get_u32(&r);
	ret->buf_alloc = bytes_get_u32(&r);
	ret->fwd_cnt = bytes_get_u32(&r);
}
