"""A server whose behaviour is known: in a thread with a loop of its own, HTTP taken apart by hand."""

import asyncio
import json
import threading
import time

HEAD = "HTTP/1.1 {status} Words\r\nContent-Length: {size}\r\n\r\n"


class FakeServer:
    """Answers by ``plan(server, connection, number, body)``, which calls ``connection.answer`` now or later."""

    def __init__(self, plan, backlog=4096):
        self.plan, self.backlog = plan, backlog
        self.bodies, self.heads = [], []
        self.num_connections = self.under_way = self.most_under_way = 0
        self.first_at = None
        self.finish_at = 0.0
        self._ready = threading.Event()

    def __enter__(self):
        self.thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self.thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(self, *exc_info):
        self.loop.call_soon_threadsafe(self.over.set)
        self.thread.join(60)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/predict"

    async def _serve(self):
        self.loop, self.over = asyncio.get_running_loop(), asyncio.Event()
        self.open = set()
        self.listening = await self.loop.create_server(lambda: _Connection(self), "127.0.0.1", 0, backlog=self.backlog)
        self.port = self.listening.sockets[0].getsockname()[1]
        self._ready.set()
        await self.over.wait()
        self.die()

    def die(self):
        """Listen no more, and reset all connections."""
        self.listening.close()
        for connection in list(self.open):
            connection.transport.abort()

    def after(self, delay_s, function, *arguments):
        self.loop.call_later(delay_s, function, *arguments)


class _Connection(asyncio.Protocol):
    def __init__(self, server):
        self.server, self.data = server, b""

    def connection_made(self, transport):
        self.transport = transport
        self.server.num_connections += 1
        self.server.open.add(self)

    def connection_lost(self, error):
        self.server.open.discard(self)

    def data_received(self, data):
        self.data += data
        head, end, rest = self.data.partition(b"\r\n\r\n")
        if not end:
            return
        lines = head.decode().split("\r\n")
        fields = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:])}
        size = int(fields.get("content-length", 0))
        if len(rest) < size:
            return
        body, self.data = rest[:size], rest[size:]
        assert not self.data, "two requests at once on one connection"
        server = self.server
        number = len(server.bodies)
        server.bodies.append(body)
        server.heads.append((lines[0], fields))
        server.first_at = server.first_at or time.monotonic()
        server.under_way += 1
        server.most_under_way = max(server.most_under_way, server.under_way)
        server.plan(server, self, number, body)

    def answer(self, status=200, body=b"{}"):
        self.over(HEAD.format(status=status, size=len(body)).encode() + body)

    def over(self, raw, ends=False):
        self.server.under_way -= 1
        if not self.transport.is_closing():
            self.transport.write(raw)
            if ends:
                self.transport.close()


def at_once(server, connection, number, body):
    connection.answer()


def after(delay_s):
    return lambda server, connection, number, body: server.after(delay_s, connection.answer)


def one_at_a_time(service_s):
    """A queue with one server of constant service time."""

    def plan(server, connection, number, body):
        now = time.monotonic()
        server.finish_at = max(now, server.finish_at) + service_s
        server.after(server.finish_at - now, connection.answer)

    return plan


def stalls(start_s, stop_s):
    """At once, but not between these seconds after the first request."""

    def plan(server, connection, number, body):
        since = time.monotonic() - server.first_at
        server.after(stop_s - since if start_s <= since < stop_s else 0, connection.answer)

    return plan


def odd(server, connection, number, body):
    """What the body's word asks for."""
    word = json.loads(body)["do"]
    whole = HEAD.format(status=200, size=2).encode() + b"{}"
    if word == "pieces":
        server.under_way -= 1
        for place in range(len(whole)):
            server.after(0.002 * place, connection.transport.write, whole[place:place + 1])
    elif word == "chunked":
        connection.over(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n")
    elif word == "until close":
        connection.over(b"HTTP/1.0 200 OK\r\n\r\n{}", ends=True)
    elif word == "says close":
        connection.over(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", ends=True)
    elif word == "continue":
        connection.over(b"HTTP/1.1 100 Continue\r\n\r\n" + whole)
    elif word == "no content":
        connection.over(b"HTTP/1.1 204 No Content\r\n\r\n")
    elif word == "large":
        connection.answer(200, b"x" * 3_000_000)
    elif word == "twice":
        connection.over(whole + whole)
    elif word == "garbage":
        connection.over(b"hello, this is no HTTP\r\n\r\n")
    elif word == "half":
        connection.over(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", ends=True)
    elif word == "close":
        connection.over(b"", ends=True)
    elif word == "reset":
        server.under_way -= 1
        connection.transport.abort()
    elif word == "never":
        pass
    else:
        connection.answer(int(word), json.dumps({"error": f"status {word}"}).encode())


