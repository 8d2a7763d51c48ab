"""The one service: the pages, and the JSON API below ``/api/v1``. Run by `musicflow app`."""

import os
from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware
from starlette.responses import RedirectResponse
from starlette.routing import Mount, Route

from musicflow.app import uploads
from musicflow.app.api import api
from musicflow.app.gate import Bounded, Gate
from musicflow.app.service import Service

TOKEN = "MUSICFLOW_TOKEN"
"""The variable of the environment with the token that those who ask must know."""

# The parts of a form that are not the file.
_MORE = 1_000_000


def _docs(_request: object) -> RedirectResponse:
    return RedirectResponse("/api/v1/docs")


app = st.App(
    Path(__file__).with_name("main.py"),
    routes=[
        Route("/docs", _docs),
        Mount("/api/v1", Bounded(api(Service()), uploads.MAX_MB * 1_000_000 + _MORE)),
    ],
    middleware=[Middleware(Gate, token=os.environ.get(TOKEN, ""))],
)
