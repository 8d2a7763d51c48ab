"""The way to a server: the address as given, gRPC where it is the same server's, waits, errors."""

import datetime
import http.server
import ipaddress
import json
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import grpc as messages

from musicflow.index import TrackIndexError
from musicflow.index.connection import Access, Address, Server, fits, warn_once
from musicflow.index.server import ServerIndex
from musicflow.settings import Settings
from musicflow_tests.index.conftest import MANIFEST, points, vectors

Answer = tuple[int, object]
CURRENT = "1.20.0"


@pytest.fixture(autouse=True)
def _nothing_was_said_before() -> None:
    warn_once.cache_clear()


@contextmanager
def answering(
    answer: Callable[[str, str], Answer | None] = lambda *_: None,
    version: str = CURRENT,
    tls: ssl.SSLContext | None = None,
    prefix: str = "",
) -> Iterator[tuple[str, list[str]]]:
    """A server on loopback that answers as Qdrant does, and what it was asked.

    `answer` is given method and path, and returns a status and a result, or None for an empty one.
    """
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path = self.path.partition("?")[0]
            if path.rstrip("/") == prefix:
                status, body = 200, {"title": "qdrant", "version": version}
            else:
                asked.append(f"{self.command} {path}")
                status, result = answer(self.command, path) or (
                    200,
                    _EMPTY.get(path.removeprefix(prefix)),
                )
                error = {"error": result} if status != 200 else "ok"
                body = {"result": result, "status": error, "time": 0}
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_PUT = do_POST = do_DELETE = _answer

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


_EMPTY: dict[str, Any] = {
    "/aliases": {"aliases": []},
    "/collections": {"collections": []},
}


def index_at(url: str, **how: Any) -> ServerIndex:
    return ServerIndex(Server.connect(Access(url, **{"grpc_port": 0, "wait_s": 0.0, **how})))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("localhost:6333", "http://localhost:6333"),
        ("http://localhost", "http://localhost:6333"),
        ("http://qdrant:7333", "http://qdrant:7333"),
        ("https://music.example/qdrant/", "https://music.example:6333/qdrant"),
        ("https://music.example:443/a/b", "https://music.example:443/a/b"),
        ("[::1]:7333", "http://[::1]:7333"),
        ("10.0.0.1:80", "http://10.0.0.1:80"),
    ],
)
def test_an_address_is_taken_as_it_is_given(text: str, address: str) -> None:
    assert str(Address.parse(text)) == address


@pytest.mark.parametrize(
    "text",
    ["", "ftp://qdrant:6333", "http://", "qdrant:port", "qdrant:99999", "http://a b", "h?x=1"],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(TrackIndexError, match=r"is not the address of a server.*http://HOST:6333"):
        Address.parse(text)


def test_a_password_in_an_address_is_not_repeated() -> None:
    with pytest.raises(TrackIndexError, match="qdrant_api_key") as error:
        Address.parse("https://me:secret@qdrant:6333")
    assert "secret" not in str(error.value)


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        address = Address.parse(text)
    except TrackIndexError:
        return
    assert Address.parse(str(address)) == address


def test_rest_goes_to_the_address_as_given() -> None:
    with answering() as (address, asked):
        assert index_at(address).names() == []
        assert asked == ["GET /aliases"]


def test_a_path_before_the_interface_is_kept() -> None:
    with answering(prefix="/music/qdrant") as (address, asked):
        assert index_at(f"http://{address}/music/qdrant/").names() == []
        assert asked == ["GET /music/qdrant/aliases"]


class Collections(messages.CollectionsServicer):
    """What speaks gRPC, and holds some collections."""

    def __init__(self, held: set[str]) -> None:
        self.held = held

    def CollectionExists(self, request: Any, _context: object) -> Any:
        exists = messages.CollectionExists(exists=request.collection_name in self.held)
        return messages.CollectionExistsResponse(result=exists)


@contextmanager
def speaking_grpc(held: set[str]) -> Iterator[int]:
    server = grpc.server(futures.ThreadPoolExecutor(2))
    messages.add_CollectionsServicer_to_server(Collections(held), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_grpc_is_used_where_it_proves_to_be_the_same_server() -> None:
    with answering() as (address, _), speaking_grpc({"musicflow.toy.1"}) as port:
        server = Server.connect(Access(address, grpc_port=port))
        assert f"gRPC (port {port}) is tried once something is published" in server.describe()
        assert server.holding("musicflow.toy.1") is not server
        assert f"by REST and, for vectors, gRPC (port {port})" in server.describe()


def test_another_server_on_the_grpc_port_is_told_and_never_written_to() -> None:
    with answering() as (address, _), speaking_grpc({"musicflow.toy.2"}) as port:
        server = Server.connect(Access(address, grpc_port=port))
        assert server.holding("musicflow.toy.1") is server
        assert f"what answers on port {port} is another server" in server.describe()


def test_a_server_without_grpc_is_used_by_rest_and_the_sentence_says_so() -> None:
    with answering() as (address, _):
        closed = free_port()
        server = Server.connect(Access(address, grpc_port=closed))
        assert server.holding("musicflow.toy.1") is server
        assert f"by REST alone: nothing speaks gRPC on port {closed}" in server.describe()


def test_a_busy_server_is_waited_for_with_a_word(caplog: pytest.LogCaptureFixture) -> None:
    busy = iter([True] * 3)
    with (
        caplog.at_level(logging.INFO, "musicflow"),
        answering(lambda *_: (503, "busy") if next(busy, False) else None) as (address, asked),
    ):
        assert index_at(address, wait_s=60).names() == []
        assert len(asked) == 4
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        f"http://{address} does not answer (it is busy). Waiting for it up to 60 s.",
        f"http://{address} answers again.",
    ]


def test_a_server_that_is_away_is_named_with_what_to_do() -> None:
    port = free_port()
    match = rf"127\.0\.0\.1:{port} does not answer \(connection refused\).*QDRANT_URL"
    with pytest.raises(TrackIndexError, match=match) as error:
        index_at(f"127.0.0.1:{port}").names()
    assert error.value.code == "away"


def test_a_dead_node_of_a_cluster_is_told_with_what_helps() -> None:
    def answer(_method: str, path: str) -> Answer | None:
        if path != "/cluster":
            return 500, "Service internal error: no active replica"
        peers = {str(number): {"uri": f"http://node-{number}:6335"} for number in (1, 2, 3)}
        raft = {"term": 1, "commit": 9, "pending_operations": 0, "is_voter": True}
        failures = {"http://node-3:6335/": {"count": 4, "latest_error": "transport error"}}
        return 200, {
            "status": "enabled",
            "peer_id": 1,
            "peers": peers,
            "raft_info": raft,
            "consensus_thread_status": {"consensus_thread_status": "working", "last_update": _NOW},
            "message_send_failures": failures,
        }

    match = r"1 of its 3 nodes is away .*http://node-3:6335.*qdrant_replication_factor = 2"
    with answering(answer) as (address, _), pytest.raises(TrackIndexError, match=match):
        index_at(address).names()


_NOW = "2026-11-26T00:00:00Z"


def test_what_is_no_qdrant_server_is_told_at_once() -> None:
    with answering(lambda *_: (200, [1, 2])) as (address, asked):
        with pytest.raises(TrackIndexError, match="does not answer as a Qdrant server does"):
            index_at(address, wait_s=60).names()
        assert len(asked) == 1


def test_a_refused_key_is_not_tried_again_and_says_so() -> None:
    with answering(lambda *_: (401, "no")) as (address, asked):
        with pytest.raises(TrackIndexError, match=r"refuses the key.*MUSICFLOW_QDRANT_API_KEY"):
            index_at(address, wait_s=60, api_key="wrong").names()
        assert len(asked) == 1


def test_a_key_that_only_reads_searches_and_publishing_says_that_it_may_only_read() -> None:
    def answer(method: str, _path: str) -> Answer | None:
        return None if method == "GET" else (403, "Forbidden")

    with answering(answer) as (address, _):
        index = index_at(address, wait_s=60, api_key="reader")
        assert index.names() == []
        with pytest.raises(TrackIndexError, match=r"it may only read.*one that may write") as error:
            index.publish("toy", MANIFEST, points(vectors(3)))
        assert error.value.code == "read-only"


def test_a_key_without_encryption_is_told_once_in_our_words(
    caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    with answering() as (address, _):
        for _ in range(2):
            index_at(address, api_key="secret").names()
    [said] = [record.getMessage() for record in caplog.records]
    assert said.startswith(f"The key is sent to http://{address} without encryption")
    assert "secret" not in said
    assert [str(one.message) for one in recwarn] == []


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that nobody else vouches for, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a CA of one's own")])
    today = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    pem, secret = folder / "ca.pem", folder / "key.pem"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return pem, secret


def test_a_server_with_a_private_ca_is_trusted_by_its_file(
    certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*certificate)
    with answering(tls=tls) as (address, _):
        assert index_at(f"https://{address}", ca=certificate[0]).names() == []
        with pytest.raises(TrackIndexError, match=r"certificate that is not trusted.*qdrant_ca"):
            index_at(f"https://{address}", wait_s=60).names()
    with answering() as (address, _), pytest.raises(TrackIndexError, match="does not speak TLS"):
        index_at(f"https://{address}", wait_s=60).names()
    with pytest.raises(TrackIndexError, match=r"none\.pem cannot be read.*qdrant_ca"):
        index_at("https://127.0.0.1", ca=tmp_path / "none.pem")


@pytest.mark.parametrize(
    ("server", "told"),
    [
        ("1.20.3", None),
        ("1.19.0", None),
        ("1.16.0", "should be no more than one minor version apart"),
        ("2.0.0", "should be no more than one minor version apart"),
        ("not a version", None),
    ],
)
def test_versions_that_do_not_fit_are_told_in_a_sentence(
    server: str, told: str | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda _: CURRENT)
    with answering(version=server) as (address, _):
        assert index_at(address).names() == []
    said = [record.getMessage() for record in caplog.records]
    assert said == [] if told is None else told in said[0]
    assert told is None or not fits(CURRENT, server)


def test_a_server_that_cannot_keep_manifests_is_refused() -> None:
    with (
        answering(version="1.15.5") as (address, asked),
        pytest.raises(TrackIndexError, match=r"1\.15\.5, which is too old: upgrade it to 1\.16"),
    ):
        index_at(address).names()
    assert asked == []


def test_a_table_in_the_settings_file_is_another_spelling(tmp_path: Path) -> None:
    (tmp_path / "musicflow.toml").write_text(
        'qdrant_url = "http://a:6333"\n[qdrant]\nreplication_factor = 2\non_disk = true\n'
    )
    settings = Settings(home=tmp_path)
    assert settings.qdrant_url == "http://a:6333"
    assert (settings.qdrant_replication_factor, settings.qdrant_on_disk) == (2, True)
