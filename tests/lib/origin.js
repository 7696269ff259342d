// SPDX-License-Identifier: Apache-2.0
// An upstream for egress_rig.py: HTTP/2 and HTTP/1.1 over TLS on 443, HTTP/1.1 on 80. Usage: origin.js ADDRESS CERTIFICATE KEY
// Says what it was asked, and by a hash which credential it got, for that is masked on its way back; /v1/echo?as=CODING says the credential it got in every way it can.
'use strict';
const http2 = require('http2'), http = require('http'), zlib = require('zlib'), fs = require('fs'), crypto = require('crypto');
const [address, certificate, key] = process.argv.slice(2);
const codings = { gzip: zlib.gzipSync, deflate: zlib.deflateSync, br: zlib.brotliCompressSync,
	zstd: (text) => require('child_process').execFileSync('zstd', ['-c'], { input: text }), unknown: Buffer.from };

function answer(request, response) {
	const url = new URL(request.url, 'https://x');
	const authorization = request.headers.authorization || 'none';
	const body = [];
	if (url.pathname === '/v1/echo') {
		const secret = authorization.split(' ').pop();
		const forms = [secret, Buffer.from(secret).toString('base64'), Buffer.from(secret).toString('hex'), encodeURIComponent(secret),
			JSON.stringify(secret)].join('\n');
		const as = url.searchParams.get('as') || 'identity';
		const headers = { 'x-echo': authorization, 'set-cookie': 'a=' + secret };
		if (codings[as])
			headers['content-encoding'] = as;
		if (as === 'range') {
			response.writeHead(206, { 'content-range': 'bytes 0-3/9' });
			return response.end('part');
		}
		if (as === 'trailers') {
			response.writeHead(200, { trailer: 'x-end' });
			response.write('body');
			response.addTrailers({ 'x-end': secret });
			return response.end();
		}
		response.writeHead(200, headers);
		const whole = codings[as] ? codings[as](forms) : Buffer.from(forms);
		// Cut where nobody expects it.
		const step = Number(url.searchParams.get('step') || whole.length);
		const send = (at) => at >= whole.length ? response.end() : (response.write(whole.subarray(at, at + step)), setTimeout(send, 1, at + step));
		return send(0);
	}
	if (url.pathname === '/v1/redirect') {
		response.writeHead(302, { location: 'https://elsewhere.test/' });
		return response.end();
	}
	if (url.pathname === '/v1/large') {
		const size = Number(url.searchParams.get('size'));
		response.writeHead(200, { 'content-length': size });
		let left = size;
		const more = () => {
			while (left > 0) {
				const piece = Buffer.alloc(Math.min(left, 65536), 97);
				left -= piece.length;
				if (!response.write(piece))
					return response.once('drain', more);
			}
			response.end();
		};
		return more();
	}
	if (url.pathname === '/v1/events') {
		response.writeHead(200, { 'content-type': 'text/event-stream' });
		let n = 0;
		const timer = setInterval(() => { response.write(`data: ${++n}\n\n`); if (n === 3) { clearInterval(timer); response.end(); } }, 200);
		return undefined;
	}
	const hash = crypto.createHash('sha256');
	let size = 0;
	request.on('data', (piece) => { size += piece.length; hash.update(piece); });
	request.on('end', () => {
		response.writeHead(200, { 'content-type': 'application/json', 'x-version': request.httpVersion });
		response.end(JSON.stringify({ method: request.method, url: request.url, version: request.httpVersion, headers: request.headers, credential: crypto.createHash('sha256').update(authorization).digest('hex'), size, sha256: hash.digest('hex'),
			connection: request.socket?.remotePort || request.stream?.session?.socket?.remotePort }));
	});
	return body;
}

const tls = http2.createSecureServer({ cert: fs.readFileSync(certificate), key: fs.readFileSync(key), allowHTTP1: true }, answer);
const plain = http.createServer(answer);
const accept = (request, socket) => {
	const token = crypto.createHash('sha1').update(request.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64');
	socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ' + token + '\r\n\r\n');
	socket.on('data', (data) => socket.write(data));
	socket.on('end', () => socket.end());
};
tls.on('upgrade', accept);
plain.on('upgrade', accept);
tls.listen(443, address, () => plain.listen(80, address, () => console.log('ready')));
setTimeout(() => process.exit(0), 300000).unref();
