"""The pipeline: tracks to vectors to collections, skipping what is up to date."""

from musicflow.pipeline.embed import Embedded, embed_for, embed_tracks
from musicflow.pipeline.health import Health, health_of
from musicflow.pipeline.isolate import fault_of_file
from musicflow.pipeline.plan import Plan, Step, plan_of, to_embed
from musicflow.pipeline.publish import (
    build_collection,
    collection_state,
    has_shrunk,
    is_published,
    publish_for,
    published_count,
)

__all__ = [
    "Embedded",
    "Health",
    "Plan",
    "Step",
    "build_collection",
    "collection_state",
    "embed_for",
    "embed_tracks",
    "fault_of_file",
    "has_shrunk",
    "health_of",
    "is_published",
    "plan_of",
    "publish_for",
    "published_count",
    "to_embed",
]
