"""Trained models of others, through the doors that are open to all."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from musicflow import embedders
from musicflow.embedders import Embedder, WeightsError
from musicflow.settings import Settings
from musicflow_tests import strangers
from musicflow_tests.embedders.similarity import cosines

pytestmark = pytest.mark.slow


def loaded(name: str) -> Embedder:
    try:
        spec = embedders.spec_of(f"{strangers.__name__}:{name}")
        return embedders.load(spec, Settings().cache)
    except WeightsError as error:
        pytest.skip(str(error))
