"""The way to a Qdrant server: its address, REST and gRPC, waits, and errors in plain words."""

import functools
import importlib.metadata
import json
import logging
import os
import socket
import ssl
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

import grpc
import pydantic
import tenacity
from qdrant_client import QdrantClient
from qdrant_client import grpc as messages
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from musicflow.index.track_index import TrackIndexError

_log = logging.getLogger("musicflow")

_REST_PORT = 6333
_GRPC_TIMEOUT_S = 3
"""The longest wait for a first word by gRPC: many firewalls leave a closed port unanswered."""

_OLDEST = (1, 16)
"""The first server that keeps manifests with its collections."""

_T = TypeVar("_T")

Reach = Literal["untried", "same", "other", "silent", "off"]
"""What is known of gRPC: it is the same server's, another's, nobody's, or not to be used."""


@dataclass(frozen=True)
class Address:
    """The address of a server's REST interface."""

    scheme: str
    host: str
    port: int
    prefix: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.prefix}"

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Return the address that a text gives: ``HOST:PORT`` or a URL.

        Without a scheme it is ``http``. A URL without a port means 6333, as for Qdrant's own
        clients.

        Raises
        ------
        TrackIndexError
            If it is no address of a server.
        """
        try:
            parts = urlsplit(text if "://" in text else f"http://{text}")
            port = parts.port or (_REST_PORT if "://" in text else 0)
        except ValueError:
            raise _no_address(text) from None
        if parts.username or parts.password:
            # The text is not repeated: it holds a password.
            raise TrackIndexError(
                "the server's address holds a user or a password", "set qdrant_api_key instead"
            )
        if parts.scheme not in ("http", "https") or not parts.hostname or not port:
            raise _no_address(text)
        if parts.query or parts.fragment or " " in parts.netloc:
            raise _no_address(text)
        return cls(parts.scheme, parts.hostname, port, parts.path.rstrip("/"))


def _no_address(text: str) -> TrackIndexError:
    return TrackIndexError(f"{text!r} is not the address of a server", "write http://HOST:6333")


@dataclass(frozen=True)
class Access:
    """The way to a server, as the settings give it.

    Parameters
    ----------
    url
        See `Address.parse`.
    api_key
        Its key, if it wants one.
    ca
        A file of certificates to trust it by, rather than those of this machine.
    grpc_port
        Where it speaks gRPC; None for the port after the address's, 0 for nowhere.
    wait_s
        How long to wait for it while it restarts or is busy.
    timeout_s
        How long one answer may take.
    """

    url: str
    api_key: str | None = None
    ca: Path | None = None
    grpc_port: int | None = None
    wait_s: float = 60.0
    timeout_s: int = 60


class Server:
    """Calls a server: waits for one that is busy or away, and explains its errors.

    Parameters
    ----------
    client
        The connection.
    address
        How sentences call the server.
    wait_s
        See `Access`.
    """

    def __init__(
        self, client: QdrantClient, address: str = "the Qdrant server", wait_s: float = 60.0
    ) -> None:
        self.address = address
        self.client = client
        self.version = ""
        self._greet: Callable[[], None] | None = None
        self._dial: Callable[[], Server] | None = None
        self._grpc: Server | None = None
        self._grpc_port = 0
        self._reach: Reach = "off"
        self._wait_s = wait_s

    @classmethod
    def connect(cls, access: Access) -> "Server":
        """Return a server at an address; nothing is sent yet.

        Raises
        ------
        TrackIndexError
            If this is no address, or the file of certificates cannot be read.
        """
        address = Address.parse(access.url)
        port = address.port + 1 if access.grpc_port is None else access.grpc_port
        server = cls(_client(address, access), str(address), access.wait_s)
        server._greet = functools.partial(server._look, address, access)
        if 0 < port < 65536:
            server._grpc_port, server._reach = port, "untried"
            server._dial = lambda: cls(_client(address, access, port), str(address), access.wait_s)
        return server

    def __call__(self, ask: Callable[[QdrantClient], _T]) -> _T:
        """Return the answer of the server; what is asked must be fit to be asked again.

        Raises
        ------
        TrackIndexError
            If there is none. Its code is ``away``, ``refused``, ``read-only``, ``outdated``,
            ``gone`` or ``index``.
        """
        self._meet()
        patiently = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_is_passing),
            wait=tenacity.wait_exponential(multiplier=0.2, max=5) + tenacity.wait_random(0, 0.5),
            stop=tenacity.stop_after_delay(self._wait_s),
            before_sleep=self._tell,
            reraise=True,
        )
        try:
            answer = patiently(ask, self.client)
        except _ERRORS as error:
            raise self._explained(error) from error
        if patiently.statistics["attempt_number"] > _QUIET:
            _log.warning("%s answers again.", self.address)
        return answer

    def _meet(self) -> None:
        """Look at the server before it is first asked."""
        look, self._greet = self._greet, None
        if look is not None:
            try:
                look()
            except TrackIndexError:
                self._greet = look
                raise

    def at_once(self, ask: Callable[[QdrantClient], _T]) -> _T | None:
        """Return the answer to one try; None where there is none."""
        try:
            return ask(self.client)
        except _ERRORS:
            return None

    def holding(self, collection: str) -> "Server":
        """Return the fastest way to a collection that this server holds.

        That is gRPC, if what answers there holds it too. Names of collections are unique, so it
        is the same server, or another node of its cluster.
        """
        if self._dial is None:
            return self
        if self._grpc is None:
            self._grpc = self._dial()
        if self._reach in ("untried", "other"):
            self._reach = self._grpc._has(collection)
        return self._grpc if self._reach == "same" else self

    def describe(self) -> str:
        """Return how the server is reached, in a sentence for people."""
        known = f"Qdrant {self.version}" if self.version else "a Qdrant server"
        port = self._grpc_port
        ways = {
            "same": f"by REST and, for vectors, gRPC (port {port})",
            "other": f"by REST alone: what answers on port {port} is another server; set "
            "qdrant_grpc_port for gRPC, which is faster",
            "silent": f"by REST alone: nothing speaks gRPC on port {port}; open it or set "
            "qdrant_grpc_port for gRPC, which is faster",
            "untried": f"by REST; gRPC (port {port}) is tried once something is published",
            "off": "by REST alone",
        }
        return f"{self.address} ({known}), {ways[self._reach]}"

    def _has(self, collection: str) -> Reach:
        request = messages.CollectionExistsRequest(collection_name=collection)
        try:
            stub = self.client.grpc_collections
            answer = stub.CollectionExists(request, timeout=_GRPC_TIMEOUT_S)
        except grpc.RpcError as error:
            # A server that knows neither this key nor this question is another one.
            return "silent" if error.code() in _PASSING else "other"
        return "same" if answer.result.exists else "other"

    def _look(self, address: Address, access: Access) -> None:
        """Warn of a key that others can read, and of a version that does not fit."""
        if access.api_key and address.scheme == "http":
            warn_once(
                f"The key is sent to {address} without encryption: use https:// where others may "
                "listen."
            )
        found = self(lambda client: _version_of(client))
        if found is None:
            return
        self.version = found
        ours = importlib.metadata.version("qdrant-client")
        if _minor(found) < _OLDEST:
            raise TrackIndexError(
                f"{address} runs Qdrant {found}, which is too old",
                "upgrade it to {}.{} or newer".format(*_OLDEST),
                "outdated",
            )
        if not fits(ours, found):
            warn_once(
                f"{address} runs Qdrant {found}, the client here is {ours}. They should be no more "
                f"than one minor version apart: {_upgrade(ours, found)}."
            )

    def _tell(self, state: tenacity.RetryCallState) -> None:
        if state.attempt_number == _QUIET and state.outcome is not None:
            error = state.outcome.exception()
            assert error is not None
            _log.warning(
                "%s %s. Waiting for it up to %.0f s.",
                *(self.address, self._trouble(error), self._wait_s),
            )

    def _explained(self, error: Exception) -> TrackIndexError:
        if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error)):
            what = "away", "shows a certificate that is not trusted here"
            advice = "name its CA's file as qdrant_ca"
        elif any(isinstance(cause, ssl.SSLError) for cause in _causes(error)):
            what, advice = ("away", "does not speak TLS"), "write http:// rather than https://"
        elif _code(error) in _REFUSED:
            what, advice = ("refused", "refuses the key"), "set MUSICFLOW_QDRANT_API_KEY"
        elif _code(error) in _FORBIDDEN:
            what = "read-only", "does not let this key write: it may only read"
            advice = "set MUSICFLOW_QDRANT_API_KEY to one that may write"
        elif _is_foreign(error):
            what = "away", "does not answer as a Qdrant server does"
            advice = "see MUSICFLOW_QDRANT_URL"
        elif _code(error) in _MISSING:
            what = "gone", "no longer has this collection"
            advice = "it was published anew; try again"
        elif _is_passing(error) and (away := self._nodes_away()):
            what = "away", away
            advice = (
                "start what is away. With the setting qdrant_replication_factor = 2, what is "
                "published from then on outlives one node. With qdrant_write_consistency_factor "
                "left at 1, it can also be published without that node"
            )
        elif _is_passing(error):
            what = "away", self._trouble(error)
            advice = "start it, or unset MUSICFLOW_QDRANT_URL to use the embedded engine"
        else:
            what, advice = ("index", f"cannot do this ({_reason(error)})"), ""
        code, message = what
        return TrackIndexError(f"{self.address} {message}", advice, code)

    def _trouble(self, error: BaseException) -> str:
        """Return what keeps a server from answering that may come back."""
        return self._nodes_away() or f"does not answer ({_reason(error)})"

    def _nodes_away(self) -> str:
        """Return which nodes of a cluster do not answer; empty if all do, or there is one."""
        status = self.at_once(lambda client: client.cluster_status())
        peers = getattr(status, "peers", None) or {}
        away = sorted(getattr(status, "message_send_failures", None) or {})
        if not away:
            return ""
        verb = "is" if len(away) == 1 else "are"
        return f"lacks data: {len(away)} of its {len(peers)} nodes {verb} away ({', '.join(away)})"


_QUIET = 2
"""A second try within a second is nothing to speak of; from the third on, people are told."""


def fits(client: str, server: str) -> bool:
    """Return whether two versions are made for each other: at most one minor version apart."""
    (major, minor), (other, beside) = _minor(client), _minor(server)
    return major == other and abs(minor - beside) <= 1


def _upgrade(client: str, server: str) -> str:
    is_older = _minor(server) < _minor(client)
    return "upgrade the server" if is_older else "upgrade here, by pip install -U qdrant-client"


@functools.cache
def warn_once(text: str) -> None:
    """Log a warning, once per process."""
    _log.warning(text)


def _client(address: Address, access: Access, grpc_port: int | None = None) -> QdrantClient:
    """Return a client by REST, or one that uses gRPC where it can."""
    # A server that is back is noticed soon: gRPC alone would look again after up to two minutes.
    soon = {"grpc.initial_reconnect_backoff_ms": 200, "grpc.max_reconnect_backoff_ms": 2000}
    options: dict[str, Any] = {"grpc_options": soon}
    if address.scheme == "http":
        options["verify"] = False  # there is nothing to verify, and certificates are slow to read
    elif access.ca is not None:
        try:
            options["verify"] = ssl.create_default_context(cafile=str(access.ca))
            authorities = access.ca.read_bytes()
        except (OSError, ssl.SSLError) as error:
            raise TrackIndexError(
                f"the file of certificates {access.ca} cannot be read", f"see qdrant_ca ({error})"
            ) from error
        options["grpc_options"] = soon | {"root_certificates": authorities}
    with warnings.catch_warnings():
        # Our own sentence about the key comes once, and only where a server is asked.
        warnings.filterwarnings("ignore", message="Api key is used with an insecure connection")
        return QdrantClient(
            url=str(address),
            grpc_port=grpc_port or 0,
            prefer_grpc=grpc_port is not None,
            api_key=access.api_key,
            timeout=access.timeout_s,
            check_compatibility=False,
            **options,
        )


def _version_of(client: QdrantClient) -> str | None:
    """Return a server's version; None from a proxy that shows only collections."""
    try:
        version = client.info().version
        _minor(version)
    except (UnexpectedResponse, ResponseHandlingException, ValueError) as error:
        if _is_passing(error):
            raise
        return None
    return version


def _minor(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


_FOREIGN = (json.JSONDecodeError, pydantic.ValidationError)
_ERRORS = (
    *(ResponseHandlingException, ResourceExhaustedResponse, UnexpectedResponse, grpc.RpcError),
    *_FOREIGN,
)
_REFUSED = (401, grpc.StatusCode.UNAUTHENTICATED)
_FORBIDDEN = (403, grpc.StatusCode.PERMISSION_DENIED)
_MISSING = (404, grpc.StatusCode.NOT_FOUND)
_BROKEN = (502, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
_SLOW = (504, 408, grpc.StatusCode.DEADLINE_EXCEEDED)
_BUSY = (429, 503, grpc.StatusCode.RESOURCE_EXHAUSTED)
_INTERNAL = (500, grpc.StatusCode.INTERNAL)
_PASSING = (*_BROKEN, *_SLOW, *_BUSY, *_INTERNAL)


def _code(error: BaseException) -> object:
    if isinstance(error, UnexpectedResponse):
        return error.status_code
    return error.code() if isinstance(error, grpc.RpcError) else None


def _is_foreign(error: BaseException) -> bool:
    """Return whether an answer is none that a Qdrant server gives."""
    if _code(error) == 404 and isinstance(error, UnexpectedResponse):
        return _status_of(error) is None
    return any(isinstance(cause, _FOREIGN) for cause in _causes(error))


def _is_passing(error: BaseException) -> bool:
    if isinstance(error, ResponseHandlingException):
        lasting = any(isinstance(cause, ssl.SSLError) for cause in _causes(error))
        return not lasting and not _is_foreign(error)
    return isinstance(error, ResourceExhaustedResponse) or _code(error) in _PASSING


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that it comes from."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        source = found.source if isinstance(found, ResponseHandlingException) else None
        found = source or found.__cause__ or found.__context__


def _reason(error: BaseException) -> str:
    """Return the reason of an error in words that a person can act on."""
    for cause in _causes(error):
        if isinstance(cause, socket.gaierror):
            return "its name is not known here"
        if isinstance(cause, TimeoutError):
            return "no answer in time"
        if isinstance(cause, OSError) and cause.errno:
            return os.strerror(cause.errno).lower()
    code = _code(error)
    if code in _SLOW:
        return "no answer in time"
    if code in _BUSY or isinstance(error, ResourceExhaustedResponse):
        return "it is busy"
    if code in _BROKEN or isinstance(error, ResponseHandlingException):
        return "the connection broke"
    return _own_words(error)


def _own_words(error: BaseException) -> str:
    """Return the server's own sentence about an error."""
    if isinstance(error, UnexpectedResponse):
        text = _status_of(error) or f"it answers with {error.status_code}"
    else:
        text = (error.details() if isinstance(error, grpc.RpcError) else None) or "no reason given"
    return " ".join(text.split())[:200]


def _status_of(error: UnexpectedResponse) -> str | None:
    """Return the error that a Qdrant server names; None if it is not one that answers."""
    try:
        return str(error.structured()["status"]["error"])
    except (ValueError, KeyError, TypeError):
        return None
