#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test: user=root limit=900 takes=150
# As clients.sh: python's libraries, a WebSocket, gRPC, OpenSSL by a folder, java, go, cargo, a browser.
. "$TREE/tests/lib/clients.bash"

cat >"$folder/Fetch.java" <<-'EOJ'
	import java.net.*;
	import java.net.http.*;
	public class Fetch {
		public static void main(String[] words) throws Exception {
			URI uri = URI.create(words[0]);
			var response = HttpClient.newHttpClient().send(HttpRequest.newBuilder(uri).build(), HttpResponse.BodyHandlers.ofString());
			System.out.println(response.version() + " " + response.statusCode() + " " + response.body());
			var connection = (HttpURLConnection)uri.toURL().openConnection();
			System.out.println("URLConnection " + new String(connection.getInputStream().readAllBytes()));
		}
	}
EOJ
cat >"$folder/chat.py" <<-'EOP'
	import queue, sys
	import grpc
	channel = grpc.secure_channel(sys.argv[1], grpc.ssl_channel_credentials())
	say = queue.Queue()
	call = channel.stream_stream("/test.Echo/Chat")(iter(say.get, None), timeout=90, metadata=(("x-said", "by the client"),))
	# The next one is said when the last one was answered: neither way is anything held back.
	for word in (b"one", b"two", b"x" * 100000, b""):
	    say.put(word)
	    assert next(call) == word, word
	say.put(None)
	assert list(call) == []
	print(call.code(), call.details())
EOP
cat >"$folder/web_socket.py" <<-'EOP'
	import asyncio, sys
	import websockets
	async def talk():
	    async with websockets.connect(sys.argv[1]) as socket:
	        for word in ("one", "two"):
	            await socket.send(word)
	            print("answered", await socket.recv())
	asyncio.run(talk())
EOP
begin --memory 1G

note "python's own"
needs_module requests httpx websockets grpc
says "requests" "said by the api" 'python3 -c "import requests; print(requests.get(\"https://api.test/said\").text)"'
says "httpx" "HTTP/2 said by the api" 'python3 -c "
import httpx
r = httpx.Client(http2=True).get(\"https://api.test/said\")
print(r.http_version, r.text)"'
says "a WebSocket" "answered two" 'python3 web_socket.py wss://api.test/chat'
says "gRPC" "StatusCode.OK done" 'python3 chat.py grpc.test'

note "OpenSSL's store of single files"
says "CApath" "verify return code: 0 (ok)" 'openssl s_client -connect api.test:443 -servername api.test -CApath /etc/ssl/certs -verify_return_error </dev/null 2>&1 | tr V v'

note "java"
needs java
says "HttpClient and URLConnection" $'HTTP_2 200 said by the api\n\nURLConnection said by the api' \
	'java -XX:TieredStopAtLevel=1 Fetch.java https://api.test/said'
if has go; then
	note "go"
	says "go mod download" "example.test/tiny v1.0.0" 'mkdir /tmp/go && cd /tmp/go && export GOPROXY=https://go.test GONOSUMDB=example.test GOFLAGS=-mod=mod &&
		go mod init mine && go get example.test/tiny && go list -m all'
fi
if has cargo; then
	note "cargo"
	says "cargo fetch" "tiny v1.0.0" 'mkdir -p /tmp/cargo/src /tmp/cargo/.cargo && cd /tmp/cargo && echo "fn main() {}" >src/main.rs &&
		printf "[package]\nname = \"mine\"\nversion = \"1.0.0\"\n[dependencies]\ntiny = \"1\"\n" >Cargo.toml &&
		printf "[source.crates-io]\nreplace-with = \"mine\"\n[source.mine]\nregistry = \"https://git.test/index.git\"\n" >.cargo/config.toml && cargo fetch && cargo tree'
fi
note "chromium"
needs chromium
# It has the page when the origin was asked for it, for that takes a handshake that it believed. On an emulated processor the part that would run the
# page's script is not always up within the 15 s that Chromium gives it, and the page stays unread; so whether it was is only said. What came
# before the part that knows the sandbox's CA is not asked for again: hence a page of its own, which asks every ten seconds.
cat >"$folder/start.html" <<-'EOH'
	<body><script>setInterval(() => {
		const frame = document.createElement('iframe');
		frame.src = 'https://api.test/page.html';
		document.body.append(frame);
	}, 10000)</script>
EOH
got_page() {
	grep -q '^2.0 GET api.test /page.html$' "$site/asked"
}
for ((try = 0; try < 3; try++)); do
	inside clients 'timeout 180 chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --enable-logging=stderr --remote-debugging-port=0 \
		file:///workspace/start.html >/tmp/chromium.log 2>&1' &
	browser=$!
	while kill -0 $browser 2>/dev/null && ! got_page; do sleep 1; done
	sleep 20 # for the answer, and the script
	inside clients 'pkill -f /usr/lib/chromium' || :
	wait $browser || :
	! got_page || break
	inside clients 'grep -v dbus /tmp/chromium.log | tail -n 20' || :
done
contains "a page" "$(cat "$site/asked")" "2.0 GET api.test /page.html"
until_true 30 "its record" eval 'ctl policy log clients | grep -q "allowed  GET api.test:443/page.html 200"'
note "its script $(grep -q '/script-said-42$' "$site/asked" && echo ran || echo 'did not run')"
