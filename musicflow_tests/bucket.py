"""A server of S3 (moto's) that counts what is asked of it, and has faults to order."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import boto3
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

NAME = "bucket"

Environ = dict[str, Any]
Fault = Callable[[Environ, Callable[..., Any]], Iterable[bytes] | None]
"""Answers a request in the server's place, or returns None to let it answer."""


class Bucket:
    """A bucket, and the server in front of it.

    `fault`, if set, is asked first for each request to read. `read` counts the requests for the
    content of each key, and `served` their bytes.
    """

    def __init__(self) -> None:
        self._app = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self, threaded=True, request_handler=_Silent)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.port}"
        self.fault: Fault | None = None
        self.forget()

    def forget(self) -> None:
        """Count from zero, without faults."""
        self.fault = None
        self.read: Counter[str] = Counter()
        self.served: Counter[str] = Counter()

    def client(self) -> Any:
        return boto3.client("s3", endpoint_url=self.url)

    def put(self, key: str, content: bytes) -> None:
        self.client().put_object(Bucket=NAME, Key=key, Body=content)

    def delete(self, key: str) -> None:
        self.client().delete_object(Bucket=NAME, Key=key)

    def empty(self) -> None:
        self.forget()
        client = self.client()
        for found in client.list_objects_v2(Bucket=NAME).get("Contents", []):
            self.delete(found["Key"])
        self.forget()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __call__(self, environ: Environ, start: Callable[..., Any]) -> Iterable[bytes]:
        key, read, served = key_of(environ), self.read, self.served
        reads = environ["REQUEST_METHOD"] in ("GET", "HEAD")
        if reads and self.fault is not None:
            answer = self.fault(environ, start)
            if answer is not None:
                return answer
        answer = self._app(environ, start)
        if environ["REQUEST_METHOD"] == "GET" and key:
            read[key] += 1
            return _counted(answer, served, key)
        return answer


def _counted(answer: Iterable[bytes], served: Counter[str], key: str) -> Iterator[bytes]:
    for part in answer:
        served[key] += len(part)
        yield part


class _Silent(WSGIRequestHandler):
    def log(self, *_: object) -> None:
        pass


def key_of(environ: Environ) -> str:
    return environ["PATH_INFO"].removeprefix(f"/{NAME}").strip("/")


def is_content(environ: Environ) -> bool:
    return environ["REQUEST_METHOD"] == "GET" and bool(key_of(environ))


def busy(_: Environ, start: Callable[..., Any]) -> Iterable[bytes]:
    """503, as S3 answers where it is asked too often."""
    start("503 Slow Down", [("Content-Type", "application/xml")])
    return [b"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"]


def gone(_: Environ, start: Callable[..., Any]) -> Iterable[bytes]:
    start("404 Not Found", [("Content-Type", "application/xml")])
    return [b"<Error><Code>NoSuchKey</Code><Message>The key does not exist.</Message></Error>"]


def cut_off(_: Environ, start: Callable[..., Any]) -> Iterable[bytes]:
    """A connection that breaks off within the content."""
    start("206 Partial Content", [("Content-Length", "100000"), ("ETag", '"x"')])

    def half() -> Iterator[bytes]:
        yield bytes(1000)
        raise ConnectionAbortedError

    return half()


def slow(seconds: float) -> Fault:
    def wait(*_: object) -> None:
        time.sleep(seconds)

    return wait


def once_each(fault: Fault) -> Fault:
    """The fault on the first request for each range of each key, and for a list."""
    seen = set()

    def first(environ: Environ, start: Callable[..., Any]) -> Iterable[bytes] | None:
        asked = environ["REQUEST_METHOD"], environ["PATH_INFO"], environ.get("HTTP_RANGE")
        if asked in seen or (fault is cut_off and not is_content(environ)):
            return None
        seen.add(asked)
        return fault(environ, start)

    return first


def on(key: str, fault: Fault) -> Fault:
    """The fault on requests for the content of one key."""

    def only(environ: Environ, start: Callable[..., Any]) -> Iterable[bytes] | None:
        return fault(environ, start) if is_content(environ) and key_of(environ) == key else None

    return only
