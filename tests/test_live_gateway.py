"""The gateway before a real Triton, as real clients see it: boto3, tritonclient (HTTP, gRPC), curl, perf_analyzer.

Skipped where there are no wheels of Triton, or failed when MMESIM_REQUIRE_TRITON is set.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_stub import StubEndpoint, StubServer, gateway, until

from mmesim.core.types import Failure
from mmesim.errors import InputError
from mmesim.live.gateway import Gateway
from mmesim.live.ports import Address
from mmesim.triton import TritonServer, running_server, write_example
from mmesim.triton.example import sleeping
from mmesim.triton.processes import end_marked
from mmesim.triton.tools import find_perf_analyzer, find_server

boto3 = pytest.importorskip("boto3")
aiohttp = pytest.importorskip("aiohttp")
MODEL = "nap"


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    try:
        program = find_server()
    except InputError as error:
        if os.environ.get("MMESIM_REQUIRE_TRITON"):
            pytest.fail(str(error))
        pytest.skip(f"{error.problems[0].message}: pip install 'mmesim[triton]'")
    folder = tmp_path_factory.mktemp("gateway")
    repository = write_example(folder / "models", {MODEL: sleeping(0, 0, load_ms=10, weights_bytes=1024)})
    with running_server(program, repository, mark=f"gateway {os.getpid()}", log=folder / "log") as server:
        server.client().load(MODEL)
        yield server


def endpoint_of(triton: TritonServer, **settings: Any) -> StubEndpoint:
    address = Address(triton.http_url.removeprefix("http://"), triton.grpc_url)
    return StubEndpoint([StubServer(address)], (MODEL, "cold", "full", "broken", "unloaded"), **settings)


def told(endpoint: StubEndpoint, story: Callable[[Gateway], Any], **settings: Any) -> Any:
    """What a story of blocking clients, in a thread of its own, gives back."""
    async def run() -> Any:
        async with gateway(endpoint, grpc_port=0, **settings) as running:
            return await asyncio.to_thread(story, running)
    return asyncio.run(run())


def runtime_client(gateway: Gateway) -> Any:
    from botocore.config import Config
    return boto3.client("sagemaker-runtime", endpoint_url=f"http://127.0.0.1:{gateway.port}", region_name="eu-west-1",
                        aws_access_key_id="any", aws_secret_access_key="any",
                        config=Config(retries={"total_max_attempts": 1}))


def body(binary: bool) -> tuple[bytes, str]:
    """A request for the model, and its Content-Type."""
    from tritonclient.http import InferenceServerClient, InferInput
    values = InferInput("INPUT", [2, 16], "FP32")
    values.set_data_from_numpy(VALUES, binary_data=binary)
    from tritonclient.http import InferRequestedOutput
    text, header_bytes = InferenceServerClient.generate_request_body(
        [values], outputs=[InferRequestedOutput("OUTPUT", binary_data=binary)])
    kind = f"application/vnd.sagemaker-triton.binary+json;json-header-size={header_bytes}"
    return bytes(text), kind if binary else "application/json"


VALUES = np.arange(32, dtype=np.float32).reshape(2, 16)


@pytest.mark.parametrize("binary", [False, True])
def test_boto3_gets_what_the_model_answers(triton: TritonServer, binary: bool) -> None:
    def story(gateway: Gateway) -> Any:
        from tritonclient.http import InferenceServerClient
        content, kind = body(binary)
        got = runtime_client(gateway).invoke_endpoint(
            EndpointName="mme", TargetModel=f"/{MODEL}.tar.gz", ContentType=kind, Body=content, Accept=kind,
            CustomAttributes="c=1", InferenceId="i-1")
        text = got["Body"].read()
        prefix = "application/vnd.sagemaker-triton.binary+json;json-header-size="
        assert got["ContentType"].startswith(prefix) == binary
        header_bytes = int(got["ContentType"].removeprefix(prefix)) if binary else None
        result = InferenceServerClient.parse_response_body(text, header_length=header_bytes)
        assert got["InvokedProductionVariant"] == "AllTraffic"
        headers = got["ResponseMetadata"]["HTTPHeaders"]
        assert (headers["x-mmesim-instance"], headers["x-mmesim-tier"]) == ("0", "gpu")
        assert 0 <= float(headers["x-mmesim-wait-ms"]) < 100 and 0 < float(headers["x-mmesim-server-ms"]) < 1000
        return result.as_numpy("OUTPUT")

    endpoint = endpoint_of(triton)
    assert np.array_equal(told(endpoint, story), VALUES)
    assert endpoint.ended == {Failure.NONE: 1}


def boto3_error(gateway: Gateway, **call: Any) -> tuple[str, int, dict[str, Any]]:
    """Class of the exception, HTTP status, and its own fields."""
    from botocore.exceptions import ClientError
    client = runtime_client(gateway)
    with pytest.raises(ClientError) as caught:
        client.invoke_endpoint(**{"EndpointName": "mme", "TargetModel": MODEL, "Body": b"{}"} | call)
    answer = caught.value.response
    assert type(caught.value) is getattr(client.exceptions, answer["Error"]["Code"], type(caught.value))
    fields = {key: value for key, value in answer.items() if key not in ("Error", "ResponseMetadata")}
    assert fields["Message"] == answer["Error"]["Message"]
    return type(caught.value).__name__, answer["ResponseMetadata"]["HTTPStatusCode"], fields


@pytest.mark.parametrize(("call", "expected"), [
    ({"TargetModel": "nobody"}, ("ValidationError", 400, "nobody: there is no such model")),
    ({"TargetModel": "../etc/passwd"}, ("ValidationError", 400, "'../etc/passwd' is no name of a model")),
    ({"TargetModel": "a/b.tar.gz"}, ("ValidationError", 400, "'a/b' is no name of a model")),
    ({"EndpointName": "other"}, ("ValidationError", 400, "there is no /endpoints/other/invocations here, only the "
                                 "endpoint mme and its invocations")),
    ({"TargetModel": "cold"}, ("ModelNotReadyException", 429, "cold: the model is still being loaded: try again")),
    ({"TargetModel": "full"}, ("ServiceUnavailable", 503, "full: refused by the endpoint's admission policy: "
                               "slow down")),
    ({"Body": bytes(5_000_001)}, ("ValidationError", 413, "the body is larger than the 5000000 bytes that are "
                                  "accepted")),
])
def test_boto3_raises_the_exceptions_of_the_service(triton: TritonServer, call: dict[str, Any],
                                                    expected: tuple[str, int, str]) -> None:
    endpoint = endpoint_of(triton, invocation_timeout_s=0.2, refuse={"full": (Failure.THROTTLED, "")},
                           cold={"cold": asyncio.Event()})
    name, status, fields = told(endpoint, lambda gateway: boto3_error(gateway, **call), max_body="5MB")
    assert (name, status, fields["Message"]) == expected


def test_a_missing_target_model_is_a_validation_error(triton: TritonServer) -> None:
    from botocore.exceptions import ClientError
    def story(gateway: Gateway) -> str:
        with pytest.raises(ClientError, match="needs the header X-Amzn-SageMaker-Target-Model") as caught:
            runtime_client(gateway).invoke_endpoint(EndpointName="mme", Body=b"{}")
        return str(caught.value.response["Error"]["Code"])
    assert told(endpoint_of(triton), story) == "ValidationError"


def test_what_the_model_refuses_is_a_model_error_in_its_own_words(triton: TritonServer) -> None:
    own = """{"error":"Unable to parse 'inputs': attempt to access non-existing object member 'inputs'"}"""
    name, status, fields = told(endpoint_of(triton), boto3_error)
    assert (name, status) == ("ModelError", 424)
    assert fields == {"Message": f'Received server error (500) from primary with message "{own}".',
                      "OriginalStatusCode": 500, "OriginalMessage": own,
                      "LogStreamArn": "arn:aws:logs:local:000000000000:log-group:/aws/sagemaker/Endpoints/mme:"
                                      "log-stream:AllTraffic/0"}


def test_a_model_that_cannot_be_loaded_is_a_model_error(triton: TritonServer) -> None:
    endpoint = endpoint_of(triton, refuse={"broken": (Failure.LOAD_FAILED, "no module named torch")})
    name, status, fields = told(endpoint, lambda gateway: boto3_error(gateway, TargetModel="broken"))
    assert (name, status, fields["OriginalStatusCode"]) == ("ModelError", 424, 500)
    assert fields["OriginalMessage"] == "broken: no module named torch"


def test_a_server_that_was_restarted_and_is_empty_counts_as_lost(triton: TritonServer) -> None:
    name, status, _ = told(endpoint_of(triton), lambda gateway: boto3_error(gateway, TargetModel="unloaded"))
    assert (name, status) == ("ServiceUnavailable", 503)


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_tritonclient(triton: TritonServer, kind: str) -> None:
    import tritonclient.grpc
    import tritonclient.http
    from tritonclient.utils import InferenceServerException
    module = {"http": tritonclient.http, "grpc": tritonclient.grpc}[kind]

    def story(gateway: Gateway) -> None:
        client = module.InferenceServerClient(f"127.0.0.1:{gateway.port if kind == 'http' else gateway.grpc_port}")
        assert client.is_server_live() and client.is_server_ready()
        assert (client.is_model_ready(MODEL), client.is_model_ready("cold")) == (True, False)
        json_too = {} if kind == "http" else {"as_json": True}
        assert client.get_server_metadata(**json_too)["name"] == "mmesim"
        assert client.get_model_metadata(MODEL, **json_too)["platform"] == "python"
        config = client.get_model_config(MODEL, **json_too)
        assert (config if kind == "http" else config["config"])["max_batch_size"] == 8
        assert client.get_inference_statistics(MODEL, **json_too)["model_stats"][0]["name"] == MODEL
        values = module.InferInput("INPUT", [2, 16], "FP32")
        values.set_data_from_numpy(VALUES)
        assert np.array_equal(client.infer(MODEL, [values]).as_numpy("OUTPUT"), VALUES)
        assert np.array_equal(client.infer(MODEL, [values], model_version="1").as_numpy("OUTPUT"), VALUES)
        for name, status, said in (("nobody", "404", "nobody: there is no such model"),
                                   ("unloaded", "503", "no server could answer")):
            with pytest.raises(InferenceServerException, match=said) as caught:
                client.infer(name, [values])
            assert caught.value.status() == (status if kind == "http" else RPC_STATUS[status])
        with pytest.raises(InferenceServerException, match="version 7 is not found"):
            client.infer(MODEL, [values], model_version="7")
        client.close()

    endpoint = endpoint_of(triton, cold={"cold": asyncio.Event()})
    told(endpoint, story)
    assert endpoint.ended == {Failure.NONE: 2, Failure.MODEL_ERROR: 1, Failure.NO_SUCH_MODEL: 1,
                              Failure.INSTANCE_LOST: 1}


RPC_STATUS = {"404": "StatusCode.NOT_FOUND", "503": "StatusCode.UNAVAILABLE"}


def test_grpc_streams_say_that_they_are_not_offered(triton: TritonServer) -> None:
    import grpc

    def story(gateway: Gateway) -> tuple[Any, str]:
        with grpc.insecure_channel(f"127.0.0.1:{gateway.grpc_port}") as channel:
            call = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")(iter([b""]))
            with pytest.raises(grpc.RpcError):
                next(call)
            return call.code(), call.details()

    assert told(endpoint_of(triton), story) == (grpc.StatusCode.UNIMPLEMENTED,
                                                "streams are not offered: use ModelInfer")


def curl(*arguments: str) -> tuple[int, bytes]:
    """Status and body."""
    done = subprocess.run(["curl", "-sS", "-w", "%{stderr}%{http_code}", *arguments], capture_output=True, check=True,
                          timeout=20)
    return int(done.stderr), done.stdout


def test_curl(triton: TritonServer, tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(json.dumps({"inputs": [{"name": "INPUT", "shape": [8, 16], "datatype": "FP32",
                                              "data": [0.5] * 128}]}).encode() + b" " * 3_000_000)

    def story(gateway: Gateway) -> None:
        url = f"http://127.0.0.1:{gateway.port}"
        send = ("-H", "Content-Type: application/json", "--data-binary", f"@{large}")
        target = ("-H", f"X-Amzn-SageMaker-Target-Model: {MODEL}")
        assert curl(f"{url}/ping") == (200, b"") == curl(f"{url}/v2/health/live")
        for extra in ((), ("-H", "Transfer-Encoding: chunked"), ("-H", "Expect:"), ("-H", "Expect: 100-continue")):
            for where in ((f"{url}/v2/models/{MODEL}/infer",), (f"{url}/endpoints/mme/invocations", *target)):
                status, text = curl(*where, *send, *extra)
                assert (status, json.loads(text)["outputs"][0]["data"]) == (200, [0.5] * 128), (where, extra)
        assert curl(f"{url}/v2/zzz") == (404, b'{"error": "no such path: /v2/zzz"}')
        assert curl(f"{url}/v2/models/{MODEL}/infer")[0] == 405
        assert curl(f"{url}/v2/models/%2e%2e%2fetc/infer", *send)[0] == 400

    told(endpoint_of(triton), story)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_perf_analyzer(triton: TritonServer, protocol: str, tmp_path: Path) -> None:
    try:
        program = find_perf_analyzer()
    except InputError as error:
        pytest.skip(error.problems[0].message)

    def story(gateway: Gateway) -> None:
        port = gateway.port if protocol == "http" else gateway.grpc_port
        command = [program, "-m", MODEL, "-u", f"127.0.0.1:{port}", "-i", protocol, "--concurrency-range", "2",
                   "--measurement-mode", "count_windows", "--measurement-request-count", "50", "-s", "90", "-v",
                   "-f", tmp_path / "out.csv"]
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, timeout=20)
        assert done.returncode == 0, done.stdout + done.stderr

    endpoint = endpoint_of(triton)
    told(endpoint, story)
    assert (tmp_path / "out.csv").read_text().startswith("Concurrency,Inferences/Second")
    assert endpoint.ended[Failure.NONE] > 50 and set(endpoint.ended) <= {Failure.NONE, Failure.TIMEOUT}


@pytest.mark.parametrize("verb", ["", "/config"])
def test_metadata_of_a_cold_model_waits_for_its_load_and_readiness_does_not(triton: TritonServer, verb: str) -> None:
    async def run() -> None:
        endpoint = endpoint_of(triton, cold={MODEL: asyncio.Event()})
        async with gateway(endpoint) as running, aiohttp.ClientSession(f"http://127.0.0.1:{running.port}") as session:
            async with session.get(f"/v2/models/{MODEL}/ready") as answer:
                assert (answer.status, endpoint.begun) == (400, 0)
            asked = asyncio.create_task(_json(session.get(f"/v2/models/{MODEL}{verb}")))
            await until(lambda: endpoint.begun)
            endpoint.cold[MODEL].set()
            assert (await asked)["name"] == MODEL
    asyncio.run(run())


async def _json(asked: Any) -> Any:
    async with asked as answer:
        return await answer.json()




@pytest.mark.parametrize("kind", ["http", "grpc"])
@pytest.mark.parametrize("fate", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_a_triton_that_dies_or_freezes_under_a_request(triton: TritonServer, tmp_path: Path, kind: str,
                                                       fate: signal.Signals) -> None:
    """The request is answered by another; of a frozen server it is the endpoint that says so, here by hand."""
    import tritonclient.grpc
    import tritonclient.http
    module = {"http": tritonclient.http, "grpc": tritonclient.grpc}[kind]

    def ask(port: int | None) -> Any:
        values = module.InferInput("INPUT", [2, 16], "FP32")
        values.set_data_from_numpy(VALUES)
        return module.InferenceServerClient(f"127.0.0.1:{port}").infer(MODEL, [values]).as_numpy("OUTPUT")

    async def story(doomed: TritonServer, pid: int) -> None:
        endpoint = endpoint_of(triton)
        endpoint.servers.insert(0, endpoint_of(doomed).servers[0])
        async with gateway(endpoint, grpc_port=0) as running:
            asked = asyncio.create_task(asyncio.to_thread(ask, running.port if kind == "http" else running.grpc_port))
            await until(lambda: any(ticket.on_release for ticket in endpoint.open.values()))
            await asyncio.sleep(0.1)
            os.kill(pid, fate)
            if fate == signal.SIGSTOP:
                next(iter(endpoint.open.values())).on_release()  # type: ignore[misc]
            assert np.array_equal(await asyncio.wait_for(asked, 3.0), VALUES)
        assert endpoint.ended == {Failure.NONE: 1}

    repository = write_example(tmp_path / "models", {MODEL: sleeping(4000, 0, load_ms=10, weights_bytes=1024)})
    mark = f"gateway doomed {os.getpid()}"
    with running_server(find_server(), repository, mark=mark, log=tmp_path / "log") as doomed:
        doomed.client().load(MODEL)
        assert doomed.pid is not None
        asyncio.run(story(doomed, doomed.pid))
        end_marked(mark, grace_s=0.1)
