// SPDX-License-Identifier: Apache-2.0
// What real clients talk to, for internet.py: services.js ADDRESS CERTIFICATE KEY TREE. TREE has a folder for each host's name.
// HTTP/2 and HTTP/1.1 on 443, HTTP/1.1 on 80: files below TREE/HOST; NAME.git is served by `git http-backend`; a message of
// gRPC is answered by itself, as is one of a WebSocket. On port 2222 what speaks first, and then says what it is told. Everything
// that was asked goes to TREE/asked.
'use strict';
const http2 = require('http2'), http = require('http'), fs = require('fs'), net = require('net'), path = require('path'), crypto = require('crypto');
const { spawn } = require('child_process');
const [address, certificate, key, tree] = process.argv.slice(2);

const gitEnvironment = { PATH: process.env.PATH, GIT_HTTP_EXPORT_ALL: '1', GIT_CONFIG_COUNT: '1', GIT_CONFIG_KEY_0: 'safe.directory', GIT_CONFIG_VALUE_0: '*' };

// With TREE/token, who asks for a repository whose name begins with `private` needs that as a password.
const token = fs.existsSync(path.join(tree, 'token')) ? fs.readFileSync(path.join(tree, 'token'), 'utf8') : null;
const isRefused = (request) => token && request.url.includes('/private') &&
	request.headers.authorization !== 'Basic ' + Buffer.from('x-access-token:' + token).toString('base64');

// CGI (RFC 3875). Without CONTENT_LENGTH the backend reads to the end, which a chunked body has as well.
function git(host, url, request, response) {
	const child = spawn('git', ['http-backend'], { stdio: ['pipe', 'pipe', 'inherit'], env: { ...gitEnvironment, GIT_PROJECT_ROOT: path.join(tree, host), PATH_INFO: url.pathname,
		QUERY_STRING: url.search.slice(1), REQUEST_METHOD: request.method, CONTENT_TYPE: request.headers['content-type'] || '',
		HTTP_CONTENT_ENCODING: request.headers['content-encoding'] || '', GIT_PROTOCOL: request.headers['git-protocol'] || '', REMOTE_USER: 'test', REMOTE_ADDR: '127.0.0.1' } });
	let head = Buffer.alloc(0), begun = false;
	request.pipe(child.stdin);
	child.stdin.on('error', () => {});
	child.stdout.on('data', (data) => {
		if (begun)
			return response.write(data);
		head = Buffer.concat([head, data]);
		const end = head.indexOf('\r\n\r\n');
		if (end < 0)
			return false;
		const fields = {};
		for (const line of head.subarray(0, end).toString().split('\r\n'))
			fields[line.split(': ')[0].toLowerCase()] = line.slice(line.indexOf(': ') + 2);
		const status = parseInt(fields.status || '200', 10);
		delete fields.status;
		response.writeHead(status, fields);
		begun = true;
		return response.write(head.subarray(end + 4));
	});
	child.stdout.on('end', () => begun ? response.end() : (response.writeHead(500), response.end()));
}

function file(host, url, response) {
	let name = path.join(tree, host, path.normalize(decodeURIComponent(url.pathname)));
	for (const index of ['index.json', 'index.html'])
		if (fs.existsSync(path.join(name, index)))
			name = path.join(name, index);
	if (!fs.existsSync(name) || fs.statSync(name).isDirectory()) {
		response.writeHead(404, { 'content-type': 'text/plain' });
		return response.end('not here\n');
	}
	const type = name.endsWith('.json') ? 'application/json' : name.endsWith('.html') ? 'text/html' : 'application/octet-stream';
	response.writeHead(200, { 'content-type': type, 'content-length': fs.statSync(name).size });
	return fs.createReadStream(name).pipe(response);
}

// git-lfs' batch, basic transfers and locks of HOST/OWNER/NAME.git (git-lfs docs/api), kept below NAME.git/lfs.
function lfs(host, url, request, response) {
	const [, base, rest] = /^(.*\.git)\/info\/lfs\/(.*)$/.exec(url.pathname), kept = path.join(tree, host, base, 'lfs');
	const name = rest.startsWith('objects/') && path.join(kept, path.basename(rest));
	const say = (object) => (response.writeHead(200, { 'content-type': 'application/vnd.git-lfs+json' }), response.end(JSON.stringify(object)));
	fs.mkdirSync(kept, { recursive: true });
	if (request.method === 'PUT')
		return request.pipe(fs.createWriteStream(name)).on('finish', () => response.end());
	if (request.method === 'GET' && rest.startsWith('objects/'))
		return fs.createReadStream(name).pipe(response);
	let body = '';
	request.on('data', (data) => { body += data; });
	return request.on('end', () => rest !== 'objects/batch' ? say({ ours: [], theirs: [] }) : say({ transfer: 'basic', objects: JSON.parse(body).objects.map((object) => {
		const is = fs.existsSync(path.join(kept, object.oid)), operation = JSON.parse(body).operation;
		const actions = is === (operation === 'download') ? { [operation]: { href: `https://${host}${base}/info/lfs/objects/${object.oid}` } } : undefined;
		return { ...object, actions };
	}) }));
}

// Each message goes back as it came; the end has a status in its trailers.
function grpc(request, response) {
	response.writeHead(200, { 'content-type': 'application/grpc' });
	request.on('data', (data) => response.write(data));
	request.on('end', () => {
		response.addTrailers({ 'grpc-status': '0', 'grpc-message': 'done' });
		response.end();
	});
}

function answer(request, response) {
	const host = (request.headers[':authority'] || request.headers.host || '').split(':')[0];
	const url = new URL(request.url, 'https://x');
	fs.appendFileSync(path.join(tree, 'asked'), `${request.httpVersion} ${request.method} ${host} ${request.url}\n`);
	if ((request.headers['content-type'] || '').startsWith('application/grpc'))
		grpc(request, response);
	else if (isRefused(request))
		response.writeHead(401, { 'www-authenticate': 'Basic realm="git"' }), response.end();
	else if (/^[^?]*\.git\/info\/lfs\//.test(request.url))
		lfs(host, url, request, response);
	else if (/^[^?]*\.git\//.test(request.url))
		git(host, url, request, response);
	else
		file(host, url, response);
}

// RFC 6455, text of at most 125 bytes, one frame at a time.
function webSocket(request, socket) {
	const token = crypto.createHash('sha1').update(request.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64');
	let held = Buffer.alloc(0);
	socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${token}\r\n\r\n`);
	socket.on('error', () => {});
	socket.on('data', (data) => {
		held = Buffer.concat([held, data]);
		while (held.length >= 6 && held.length >= 6 + (held[1] & 127)) {
			const size = held[1] & 127, mask = held.subarray(2, 6), body = Buffer.from(held.subarray(6, 6 + size).map((byte, i) => byte ^ mask[i % 4]));
			socket.write(Buffer.concat([Buffer.from([held[0], size]), body]));
			if ((held[0] & 15) === 8)
				socket.end();
			held = held.subarray(6 + size);
		}
	});
}

const tls = http2.createSecureServer({ cert: fs.readFileSync(certificate), key: fs.readFileSync(key), allowHTTP1: true }, answer);
const plain = http.createServer(answer);
const opaque = net.createServer((socket) => {
	socket.write('SSH-2.0-banner\r\n');
	socket.on('error', () => {});
	socket.on('data', (data) => socket.write(data));
	socket.on('end', () => socket.end());
});
tls.on('upgrade', webSocket);
plain.on('upgrade', webSocket);
tls.listen(443, address, () => plain.listen(80, address, () => opaque.listen(2222, address, () => console.log('ready'))));
setTimeout(() => process.exit(0), 900000).unref();
