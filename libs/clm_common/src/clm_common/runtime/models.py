"""What the models of answers derive from.

FastAPI wants a validator and a serializer for each place a model stands in. Of an answer they are
built when the first is given or the document is asked for (some milliseconds each, once): built at
the start, they were a large part of it. Bodies that are taken are built at the start: FastAPI
silences a warning of pydantic there, and only there.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Answer(BaseModel):
    """What an answer holds."""

    model_config = ConfigDict(defer_build=True)
