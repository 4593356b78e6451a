"""The gateway on bad days: servers that die, hang or break off, clients that are slow, too many, too large or gone.

The servers are sockets that misbehave on purpose; what real clients get of a real Triton is in test_live_gateway.py.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
from live_stub import Asked, RawServer, StubEndpoint, StubServer, gateway, read_message, until, well

from mmesim.core.types import Failure
from mmesim.errors import InputError
from mmesim.live.gateway import Gateway, GatewaySettings
from mmesim.live.ports import Address
from mmesim.settings import Settings
from mmesim.triton.server import free_ports

aiohttp = pytest.importorskip("aiohttp")
BODY = b'{"inputs": []}'
INFER = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter
LOOPS = [asyncio.run]
try:
    import uvloop
    LOOPS.append(uvloop.run)
except ImportError:
    pass


@pytest.fixture(params=LOOPS, ids=lambda run: run.__module__)
def run(request: pytest.FixtureRequest) -> Any:
    """Every story on both event loops."""
    return request.param


async def resets(asked: Asked) -> None:
    asked.writer.transport.abort()


async def breaks_off(asked: Asked) -> None:
    asked.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    await asked.writer.drain()
    asked.writer.transport.abort()


async def talks_nonsense(asked: Asked) -> None:
    asked.writer.write(b"\x00\x01 what?\r\n\r\n")


async def hangs(asked: Asked) -> None:
    await asked.reader.read()


async def echoes(asked: Asked) -> None:
    asked.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(asked.body), asked.body))


async def echoes_in_chunks(asked: Asked) -> None:
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(asked.body), asked.body)
    asked.writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body)


def nobody() -> StubServer:
    """An address where nothing listens."""
    return StubServer(Address(f"127.0.0.1:{free_ports(1)[0]}", ""))


async def connect(gateway: Gateway) -> tuple[Reader, Writer]:
    return await asyncio.open_connection("127.0.0.1", gateway.port)


async def infer(gateway: Gateway, model: str = "m") -> tuple[int, Any]:
    """Status and JSON of one inference."""
    async with aiohttp.ClientSession() as session, \
            session.post(f"http://127.0.0.1:{gateway.port}/v2/models/{model}/infer", data=BODY) as answer:
        return answer.status, await answer.json()


# Servers.

@pytest.mark.parametrize("bad", [resets, breaks_off, talks_nonsense])
def test_a_request_whose_server_is_lost_is_served_by_another(run: Any, bad: Any) -> None:
    async def story() -> None:
        async with RawServer(bad) as first, RawServer(well) as second:
            endpoint = StubEndpoint([first, second], ("m",))
            async with gateway(endpoint) as running:
                assert await infer(running) == (200, {})
            assert (endpoint.begun, endpoint.ended) == (1, {Failure.NONE: 1})
    run(story())


def test_a_request_that_no_server_answers_is_503(run: Any) -> None:
    async def story() -> None:
        async with RawServer(resets) as second:
            endpoint = StubEndpoint([nobody(), second], ("m",))
            async with gateway(endpoint) as running:
                assert await infer(running) == (503, {"error": "m: no server could answer: try again"})
            assert endpoint.ended == {Failure.INSTANCE_LOST: 1}
    run(story())


def test_a_server_that_is_given_up_lets_go_of_its_requests(run: Any) -> None:
    """As a frozen one (SIGSTOP) is, long before the invocation's time is over."""
    async def story() -> None:
        async with RawServer(hangs) as first, RawServer(well) as second:
            endpoint = StubEndpoint([first, second], ("m",), invocation_timeout_s=60.0)
            async with gateway(endpoint) as running:
                asked = asyncio.create_task(infer(running))
                await until(lambda: any(ticket.on_release for ticket in endpoint.open.values()))
                next(iter(endpoint.open.values())).on_release()  # type: ignore[misc]
                assert await asked == (200, {})
    run(story())


def test_a_server_that_hangs_is_a_timeout(run: Any) -> None:
    async def story() -> None:
        async with RawServer(hangs) as server:
            endpoint = StubEndpoint([server], ("m",), invocation_timeout_s=0.2)
            async with gateway(endpoint) as running:
                status, text = await infer(running)
                assert (status, "timed out" in text["error"]) == (504, True)
            assert endpoint.ended == {Failure.TIMEOUT: 1}
    run(story())


def test_requests_share_connections_and_none_gets_lost_or_crossed(run: Any) -> None:
    """Each answer carries what its own request said; a connection is taken again as soon as it is free."""
    async def client(running: Gateway, number: int) -> None:
        reader, writer = await connect(running)
        for count in range(100):
            text = b"%d of %d" % (count, number) * 9
            writer.write(INFER % len(text) + text)
            assert (await read_message(reader))[1] == text
        writer.close()

    async def story() -> None:
        raw = RawServer(echoes)
        async with raw as server, gateway(StubEndpoint([server], ("m",))) as running:
            await asyncio.gather(*(client(running, number) for number in range(8)))
        assert raw.connections <= 8
    run(story())


@pytest.mark.parametrize("echo", [echoes, echoes_in_chunks])
def test_large_bodies_arrive_byte_for_byte(run: Any, echo: Any) -> None:
    content = bytes(range(256)) * 4096 * 5

    async def story() -> None:
        async with RawServer(echo) as server, gateway(StubEndpoint([server], ("m",))) as running, \
                aiohttp.ClientSession(f"http://127.0.0.1:{running.port}") as session, \
                session.post("/v2/models/m/infer", data=content) as answer:
            assert await answer.read() == content
    run(story())


# Clients.

@pytest.mark.parametrize("held", [False, True])
def test_a_client_that_goes_is_forgotten_everywhere(run: Any, held: bool) -> None:
    gone = asyncio.Event()

    async def hangs_until_left(asked: Asked) -> None:
        assert await asked.reader.read() == b""
        gone.set()

    async def story() -> None:
        async with RawServer(hangs_until_left) as server:
            endpoint = StubEndpoint([server], ("m",), cold={"m": asyncio.Event()} if held else {})
            async with gateway(endpoint) as running:
                _, writer = await connect(running)
                writer.write(INFER % len(BODY) + BODY)
                await until(lambda: any(held or ticket.on_release for ticket in endpoint.open.values()))
                writer.close()
                await until(lambda: not endpoint.open)
                assert endpoint.ended == {Failure.TIMEOUT: 1}
                if not held:
                    await asyncio.wait_for(gone.wait(), 5)
                await until(lambda: running.under_way == 0)
    run(story())


async def answer_of(reader: Reader) -> tuple[int, bytes]:
    head, body = await read_message(reader)
    return int(head.split()[1]), body


def test_a_body_that_is_too_large_is_refused_before_it_is_read(run: Any) -> None:
    async def story() -> None:
        async with RawServer(well) as server:
            endpoint = StubEndpoint([server], ("m",))
            async with gateway(endpoint, max_body="1MB") as running:
                reader, writer = await connect(running)
                writer.write(INFER % 10_000_000 + bytes(1000))
                status, body = await answer_of(reader)
                assert (status, json.loads(body)) == (
                    413, {"error": "the body is larger than the 1000000 bytes that are accepted"})
                writer.write(bytes(10_000_000 - 1000) + INFER % len(BODY) + BODY)
                assert await answer_of(reader) == (200, b"{}")
                writer.write(INFER.replace(b"Content-Length: %d", b"Transfer-Encoding: chunked")
                             + b"100000\r\n" + bytes(1 << 20) + b"\r\n")
                assert (await answer_of(reader))[0] == 413
            assert endpoint.begun == 1
    run(story())


def test_a_client_that_waits_to_be_asked_for_a_large_body_never_sends_it(run: Any) -> None:
    async def story() -> None:
        async with RawServer(well) as server, gateway(StubEndpoint([server], ("m",))) as running:
            reader, writer = await connect(running)
            writer.write((INFER % len(BODY)).replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(BODY)
            assert await answer_of(reader) == (200, b"{}")
            writer.write((INFER % 10_000_000).replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
            assert (await answer_of(reader))[0] == 413
    run(story())


def test_slow_headers_and_slow_bodies_are_cut_off_and_count_nowhere(run: Any) -> None:
    async def trickle(running: Gateway, begin: bytes) -> bytes:
        """What came until the connection ended, also if with a reset: bytes were under way to a closed one."""
        got, ended = bytearray(), asyncio.get_running_loop().create_future()

        class Slow(asyncio.Protocol):
            def data_received(self, data: bytes) -> None:
                got.extend(data)

            def connection_lost(self, error: Exception | None) -> None:
                ended.set_result(None)

        transport, _ = await asyncio.get_running_loop().create_connection(Slow, "127.0.0.1", running.port)
        transport.write(begin)
        while not ended.done():
            transport.write(b"x")
            await asyncio.sleep(0.05)
        return bytes(got)

    async def story() -> None:
        async with RawServer(well) as server:
            endpoint = StubEndpoint([server], ("m",))
            async with gateway(endpoint, header_timeout="300ms", body_timeout="300ms") as running:
                async with asyncio.timeout(5):
                    head, body = await asyncio.gather(trickle(running, INFER[:40]), trickle(running, INFER % 1000))
                assert (head, body[:33]) == (b"", b"HTTP/1.1 408 Request Timeout\r\nCon")
                assert await infer(running) == (200, {})
            assert endpoint.begun == 1
    run(story())


def test_a_client_that_does_not_read_its_answer_is_cut_off(run: Any) -> None:
    async def story() -> None:
        async with RawServer(echoes) as server:
            endpoint = StubEndpoint([server], ("m",))
            async with gateway(endpoint, body_timeout="300ms") as running:
                _, writer = await connect(running)
                writer.transport.pause_reading()
                writer.write(INFER % 6_000_000 + bytes(6_000_000))
                await until(lambda: endpoint.ended == {Failure.NONE: 1})
                await until(lambda: not running.connections)
    run(story())


def test_idle_connections_are_kept_and_then_closed(run: Any) -> None:
    async def story() -> None:
        async with RawServer(well) as server, \
                gateway(StubEndpoint([server], ("m",)), header_timeout="200ms", idle_timeout="1500ms") as running:
            reader, writer = await connect(running)
            await asyncio.sleep(1.0)
            writer.write(INFER % len(BODY) + BODY)
            assert await answer_of(reader) == (200, b"{}")
            async with asyncio.timeout(5):
                assert await reader.read() == b""
    run(story())


def test_connections_beyond_the_limit_get_503(run: Any) -> None:
    async def story() -> None:
        async with RawServer(well) as server, gateway(StubEndpoint([server], ("m",)), max_connections=3) as running:
            open_ones = [await connect(running) for _ in range(3)]
            await asyncio.sleep(0.05)
            reader, _ = await connect(running)
            assert (await reader.read()).startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
            open_ones[0][1].close()
            await asyncio.sleep(0.05)
            assert await infer(running) == (200, {})
    run(story())


def test_pipelined_requests_are_answered_in_order(run: Any) -> None:
    async def story() -> None:
        async with RawServer(well) as server, gateway(StubEndpoint([server], ("m",))) as running:
            reader, writer = await connect(running)
            one = INFER % len(BODY) + BODY
            writer.write(one + one.replace(b"/m/", b"/nobody/") + one)
            assert [(await answer_of(reader))[0] for _ in range(3)] == [200, 404, 200]
    run(story())


def test_headers_of_the_connection_and_the_token_stay_here(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    heads: list[bytes] = []

    async def notes(asked: Asked) -> None:
        heads.append(asked.head)
        await well(asked)

    async def story() -> None:
        monkeypatch.setenv("GATEWAY_TOKEN", "secret")
        async with RawServer(notes) as server, \
                gateway(StubEndpoint([server], ("m",)), token_env="GATEWAY_TOKEN") as running:
            reader, writer = await connect(running)
            writer.write((INFER % len(BODY)).replace(b"Host: x\r\n", (
                b"Host: x\r\nX-Mmesim-Token: secret\r\nAuthorization: AWS4-HMAC-SHA256 x\r\nX-Amz-Date: y\r\n"
                b"Keep-Alive: 5\r\nAccept: text/*\r\nX-Own: 1\r\n")) + BODY)
            assert (await answer_of(reader))[0] == 200
    run(story())
    assert heads == [b"POST /v2/models/m/infer HTTP/1.1\r\nHost: triton\r\nContent-Length: 14\r\nAccept: text/*\r\n"
                     b"X-Own: 1\r\nContent-Type: application/json\r\n\r\n"]


# Doors.

def test_the_token_opens_and_nothing_else(run: Any, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")

    async def story() -> None:
        async with RawServer(well) as server:
            endpoint = StubEndpoint([server], ("m",))
            async with gateway(endpoint, token_file=tmp_path / "token") as running, \
                    aiohttp.ClientSession(f"http://127.0.0.1:{running.port}") as session:
                for headers, status in (({}, 403), ({"Authorization": "Bearer secre"}, 403),
                                        ({"X-Mmesim-Token": "x"}, 403), ({"Authorization": "Bearer secret"}, 200),
                                        ({"X-Mmesim-Token": "secret"}, 200)):
                    async with session.post("/v2/models/m/infer", data=BODY, headers=headers) as answer:
                        assert answer.status == status, headers
                async with session.get("/ping") as answer:
                    assert answer.status == 200
                async with session.post("/endpoints/mme/invocations", data=BODY) as answer:
                    assert (answer.status, answer.headers["x-amzn-errortype"]) == (403, "AccessDeniedException")
            assert endpoint.begun == 2
    run(story())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert], check=True,
                   capture_output=True)
    return cert, key


def test_tls(run: Any, certificate: tuple[Path, Path]) -> None:
    async def story() -> None:
        context = ssl.create_default_context(cafile=str(certificate[0]))
        async with RawServer(well) as server, gateway(StubEndpoint([server], ("m",)), tls_cert=certificate[0],
                                                      tls_key=certificate[1]) as running, \
                aiohttp.ClientSession(f"https://127.0.0.1:{running.port}") as session, \
                session.post("/v2/models/m/infer", data=BODY, ssl=context) as answer:
            assert (answer.status, await answer.json()) == (200, {})
    run(story())


def test_settings_say_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="belong together"):
        GatewaySettings(tls_cert=tmp_path / "c")
    with pytest.raises(ValueError, match="has no unit"):
        GatewaySettings(max_body=5)
    with pytest.raises(InputError, match="no certificate and key"):
        GatewaySettings(tls_cert=tmp_path / "c", tls_key=tmp_path / "k").tls()
    with pytest.raises(InputError, match="no token"):
        GatewaySettings(token_env="NOT_THERE_AT_ALL").read_token()
    (tmp_path / "empty").touch()
    with pytest.raises(InputError, match="is empty"):
        GatewaySettings(token_file=tmp_path / "empty").read_token()
    assert issubclass(GatewaySettings, Settings) and GatewaySettings().host == "127.0.0.1"


# Draining.

def test_draining_finishes_what_is_under_way_and_takes_nothing_more(run: Any) -> None:
    async def story() -> None:
        go_on = asyncio.Event()

        async def later(asked: Asked) -> None:
            await go_on.wait()
            await well(asked)

        async with RawServer(later) as server:
            endpoint = StubEndpoint([server], ("m",))
            async with gateway(endpoint) as running:
                idle_reader, idle_writer = await connect(running)
                asked = asyncio.create_task(infer(running))
                await until(lambda: running.under_way)
                draining = asyncio.create_task(running.drain(5.0))
                await until(lambda: running.draining)
                with pytest.raises(ConnectionRefusedError):
                    await connect(running)
                idle_writer.write(b"GET /v2/health/ready HTTP/1.1\r\nHost: x\r\n\r\n")
                assert (await answer_of(idle_reader))[0] == 503
                go_on.set()
                assert await asked == (200, {})
                await asyncio.wait_for(draining, 3)
                assert await idle_reader.read() == b""
    run(story())


def test_what_does_not_finish_in_time_is_ended(run: Any) -> None:
    async def story() -> None:
        async with RawServer(hangs) as server:
            endpoint = StubEndpoint([server], ("m",), invocation_timeout_s=60.0)
            async with gateway(endpoint) as running:
                asked = asyncio.create_task(infer(running))
                await until(lambda: endpoint.open)
                await running.drain(0.2)
                assert endpoint.ended == {Failure.TIMEOUT: 1}
                with pytest.raises(aiohttp.ClientError):
                    await asked
    run(story())


