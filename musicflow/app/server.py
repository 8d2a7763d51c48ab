"""The one service: the pages, and the JSON API below ``/api/v1``. Run by `musicflow app`."""

import argparse
import os
from collections.abc import Sequence
from functools import partial

import uvicorn
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import FileResponse, RedirectResponse, Response
from nicegui import app as pages
from nicegui import core, ui

from musicflow.app import uploads
from musicflow.app.api import api
from musicflow.app.frame import root
from musicflow.app.gate import Application, Bounded, Gate
from musicflow.app.problems import Problem, answer_with
from musicflow.app.service import Service
from musicflow.settings import ORIGINS, TOKEN

# The parts of a form that are not the file.
_MORE = 1_000_000

_AWAY_S = 1800
"""How long a page is kept whose browser is away, as that of a phone that sleeps. One that is gone
is loaded anew, without what was typed."""

_PING_S, _ANSWER_S = 25, 20
"""Engine.IO's own: the seconds between two pings, and those to wait for an answer."""

MAX_BODY = uploads.MAX_MB * 1_000_000 + _MORE


def application(service: Service) -> FastAPI:
    """Return the API and the pages of a service, an ASGI application.

    Parameters
    ----------
    service
        Answers.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.mount("/api/v1", api(service))

    @app.get("/docs")
    def docs() -> RedirectResponse:
        return RedirectResponse("/api/v1/docs")

    @app.get("/report")
    def report() -> Response:
        file = service.settings.paths.reports / "comparison.html"
        if file.is_file():
            return FileResponse(file)
        return answer_with(Problem.of(404, "there is no report", "run `musicflow run LIBRARY`"))

    ui.run_with(
        app,
        root=partial(root, service),
        title="musicflow",
        favicon="🎵",
        dark=None,
        language="en-US",
        tailwind=False,
        show_welcome_message=False,
        reconnect_timeout=_AWAY_S,
    )
    pages.on_startup(_ping_often)
    return app


def _ping_often() -> None:
    # NiceGUI pings once in most of the time that a page is kept.
    core.sio.eio.ping_interval, core.sio.eio.ping_timeout = _PING_S, _ANSWER_S


def gated(app: Application, token: str = "", origins: Sequence[str] = ()) -> Application:
    """Return an application that answers those who may ask.

    Parameters
    ----------
    app
        Answers.
    token, origins
        What they must know, and the sites whose pages may ask; see `musicflow app`.
    """
    gate: Application = Gate(Bounded(app, MAX_BODY), token)
    if origins:
        # Outside: a browser asks without a token whether it may send one.
        gate = CORSMiddleware(gate, allow_origins=origins, allow_headers=["authorization"])
    return gate


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--address", default="127.0.0.1")
    options = parser.parse_args()
    uvicorn.run(
        gated(
            application(Service()),
            os.environ.get(TOKEN, ""),
            os.environ.get(ORIGINS, "").split(),
        ),
        host=options.address,
        port=options.port,
        log_level="warning",
        # Pages that are open hold the server up.
        timeout_graceful_shutdown=1,
    )


if __name__ == "__main__":
    main()
