"""The workspace's quarantine: what was refused, why, and sending it once more.

A letter whose workspace cannot be told is shown only to a token that has the scope `operator`.
"""

import base64
import contextlib
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

import msgspec
from fastapi import Depends, FastAPI, Query
from pydantic import AwareDatetime, BaseModel, Field

from clm_common.contracts.dead_letter import DeadLetter
from clm_common.errors import Rejected
from clm_common.runtime.models import Answer
from clm_common.runtime.tokens import Principal, require
from clm_ingest.api.shared import Cursor, Document, Limit
from clm_ingest.replay import Replayer, Still, ids_of
from clm_ingest.store.cursors import BEGINNING, END, Place, place_of
from clm_ingest.store.letters import Filter, Letter, Letters, Scope

Reader = Annotated[Principal, Depends(require("quarantine:read"))]
Writer = Annotated[Principal, Depends(require("quarantine:write"))]
State = Literal["open", "replayed", "all"]
Text = Annotated[str, Field(max_length=2_000, pattern=r"^[^\x00]*$")]

_OPERATOR: Final = "operator"
_REPLAYED: Final[dict[State, bool | None]] = {"open": False, "replayed": True, "all": None}
_STATUS: Final = {"letter.truncated": 409, "letter.gone": 410}


class Wanted(BaseModel):
    """Which letters are wanted; what is left out is any."""

    reason: Text | None = Field(default=None, description="Why they were refused, a slug.")
    source: UUID | None = Field(default=None, description="The source's id.")
    message_id: Text | None = Field(default=None, description="The event's id.")
    since: AwareDatetime | None = Field(default=None, description="Refused at or after.")
    until: AwareDatetime | None = Field(default=None, description="Refused before.")

    def filter(self, *, replayed: bool | None) -> Filter:
        """Give it as the index takes it."""
        return Filter(
            reason=self.reason,
            source=None if self.source is None else str(self.source),
            message_id=self.message_id,
            since=self.since,
            until=self.until,
            replayed=replayed,
        )


class Listed(Wanted):
    """A page of the quarantine."""

    state: State = Field(default="open", description="Whether they were replayed.")
    cursor: Cursor = None
    limit: Limit = 100


class Many(Wanted):
    """Which letters to replay: say at least one thing, or `all`."""

    model_config = {"extra": "forbid"}

    all: bool = Field(default=False, description="Replay whatever is there.")
    cursor: str | None = Field(
        default=None, max_length=200, description="`next` of the answer before."
    )
    limit: int = Field(default=200, ge=1, le=1_000, description="How many at most this time.")


class Once(Document):
    """How to replay one letter."""

    body: dict[str, Any] | list[Any] | None = Field(
        default=None,
        description="The event as it was mended, or the body of a request that could not be "
        "opened; left out, the original is sent.",
    )  # Any: the sender's own JSON
    source: UUID | None = Field(
        default=None, description="The source it is from, where the letter does not say it."
    )


class LetterView(Answer):
    """A letter of the quarantine."""

    id: UUID
    reason: str = Field(description="Why it was refused, a slug.")
    detail: str = Field(description="What is wrong, and what to do.")
    at: datetime = Field(description="When it was refused.")
    source: str | None = Field(description="The id of the source it came from, if it is known.")
    message_id: str | None = Field(description="The event's id, if it had one.")
    topic: str | None = Field(description="The topic it was read from; null if it came over HTTP.")
    size: int = Field(description="Bytes of the original that are kept.")
    truncated: bool = Field(description="Only its beginning is kept.")
    replayed_at: datetime | None
    replayed_by: str | None

    @classmethod
    def of(cls, letter: Letter, **more: object) -> Self:
        """Show a letter."""
        fields = {name: getattr(letter, name) for name in letter.__struct_fields__}
        return cls.model_validate({**fields, **more})


class LetterPage(Answer):
    """Letters, newest first."""

    letters: list[LetterView]
    next: str | None = Field(
        default=None, description="The `cursor` of the next page, if there is one."
    )


class LetterDetail(LetterView):
    """A letter with its original."""

    original: str | None = Field(
        description="The original bytes in base64; null once the topic does not hold them any more."
    )
    text: str | None = Field(description="The same as text, if it is UTF-8.")
    index: int | None = Field(default=None, description="Its place in the batch it was sent in.")
    kind: str | None = Field(default=None, description="The type of a single call.")
    partition: int | None = Field(default=None, description="Where the record was, if it was one.")
    offset: int | None = Field(default=None, description="Likewise.")
    key: str | None = Field(default=None, description="The record's key, as text.")
    headers: dict[str, str] | None = Field(
        default=None, description="The record's headers, or those that say how a request is read."
    )
    request: str | None = Field(
        default=None, description="The request that could not be opened, such as `POST /v1/batch`."
    )


class StillView(Answer):
    """A letter that could not be replayed."""

    id: UUID
    code: str = Field(description="Why, a slug.")
    detail: str

    @classmethod
    def of(cls, still: Still) -> Self:
        """Show it."""
        return cls(id=still.letter.id, code=still.fault.code, detail=still.fault.detail)


class Replayed(Answer):
    """What became of letters that were to be replayed."""

    replayed: list[UUID] = Field(description="Those that are touchpoints now.")
    already: list[UUID] = Field(default=[], description="Those that were replayed before.")
    refused: list[StillView] = Field(default=[], description="Those that stay, and why.")
    next: str | None = Field(
        default=None, description="The `cursor` to go on with, if any is left."
    )


class QuarantineRoutes:
    """The routes below `/v1/admin/quarantine`."""

    def __init__(self, letters: Letters, replayer: Replayer) -> None:
        """Make them.

        Args:
            letters: the index.
            replayer: fetches originals and sends them once more.
        """
        self._letters = letters
        self._replayer = replayer

    def add_to(self, app: FastAPI) -> None:
        """Add them to an app."""
        base, one = "/v1/admin/quarantine", "/v1/admin/quarantine/{letter_id}"
        add = partial(app.add_api_route, tags=["quarantine"])
        add(base, self.list_letters, methods=["GET"], summary="What was refused, newest first")
        add(one, self.get_letter, methods=["GET"], summary="One letter, with its original")
        add(f"{base}/replay", self.replay_many, methods=["POST"], summary="Replay several letters")
        add(f"{one}/replay", self.replay_one, methods=["POST"], summary="Replay one letter")

    async def list_letters(self, who: Reader, page: Annotated[Listed, Query()]) -> LetterPage:
        """List letters; an event appears here within a second or so of its refusal."""
        found = await self._letters.list(
            _scope(who),
            page.filter(replayed=_REPLAYED[page.state]),
            after=place_of(page.cursor, END),
            limit=page.limit + 1,
        )
        shown = found[: page.limit]
        following = Place(shown[-1].at, shown[-1].id).write() if len(found) > len(shown) else None
        return LetterPage(letters=[LetterView.of(letter) for letter in shown], next=following)

    async def get_letter(self, who: Reader, letter_id: UUID) -> LetterDetail:
        """Give a letter and what was sent."""
        letter = await self._letters.get(_scope(who), letter_id)
        return _detail(letter, await self._replayer.original(letter))

    async def replay_one(self, who: Writer, letter_id: UUID, once: Once | None = None) -> Replayed:
        """Admit it once more, as it was or with a mended body.

        It keeps its message id, so it counts once however often it is replayed.
        """
        scope, once = _scope(who), once or Once()
        letter = await self._letters.get(scope, letter_id)
        outcome = await self._replayer.one(
            scope,
            letter,
            who.subject,
            body=None if once.body is None else msgspec.json.encode(once.body),
            source=None if once.source is None else str(once.source),
        )
        for still in outcome.still:
            status = _STATUS.get(still.fault.code, 422)
            raise Rejected(status, still.fault.code, still.fault.detail, id=str(letter_id))
        done = ids_of(outcome.replayed)
        return Replayed(replayed=done, already=[] if done else [letter_id])

    async def replay_many(self, who: Writer, many: Many) -> Replayed:
        """Admit the wanted letters that were not replayed yet once more, oldest first.

        Some are done at a time: go on with `next` until it is null.
        """
        wanted = many.filter(replayed=False)
        if not many.all and wanted == Filter(replayed=False):
            detail = "say which letters to replay, such as a reason; or all: true"
            raise Rejected(422, "quarantine.nothing_wanted", detail)
        outcome = await self._replayer.many(
            _scope(who),
            wanted,
            who.subject,
            after=place_of(many.cursor, BEGINNING),
            limit=many.limit,
        )
        return Replayed(
            replayed=ids_of(outcome.replayed),
            refused=[StillView.of(still) for still in outcome.still],
            next=outcome.next.write() if outcome.next else None,
        )


def _scope(who: Principal) -> Scope:
    return Scope(who.workspace, strays=_OPERATOR in who.scopes)


def _detail(letter: Letter, found: DeadLetter | None) -> LetterDetail:
    if found is None:
        gone: dict[str, None] = {"original": None, "text": None, "partition": None, "offset": None}
        return LetterDetail.of(letter, **gone)
    text = None
    with contextlib.suppress(UnicodeDecodeError):
        text = found.original.decode()
    return LetterDetail.of(
        letter,
        original=base64.b64encode(found.original).decode(),
        text=text,
        index=found.index,
        kind=found.kind,
        partition=found.partition,
        offset=found.offset,
        key=None if found.key is None else found.key.decode(errors="replace"),
        headers=found.headers,
        request=found.request,
    )
