"""The route table: what there is at a path."""

import pytest
from starlette.types import Receive

from clm_common.contracts.touchpoint import TYPES
from clm_ingest.answers import SUCCESS, Answer
from clm_ingest.core.request import Request
from clm_ingest.routes import ALL
from clm_ingest.table import Desk, Doc, Route, Table


async def _respond(_desk: Desk, _request: Request, _receive: Receive) -> Answer:
    return SUCCESS


def route(method: str, path: str, *also: str) -> Route:
    return Route(method, path, _respond, Doc("A route"), also)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("slash", ["", "/"])
def test_every_call_has_a_long_and_a_short_path(kind: str, slash: str) -> None:
    table = Table(ALL)

    for path in (f"/v1/{kind}{slash}", f"/v1/{kind[0]}{slash}"):
        found = table.find(path)
        assert found is not None
        assert (found.name, set(found.methods)) == (f"/v1/{kind}", {"POST"})


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/batch", "/v1/batch"),
        ("/v1/b", "/v1/batch"),
        ("/v1/batch/", "/v1/batch"),
        ("/v1/import", "/v1/import"),
        ("/v1/import/", "/v1/import"),
    ],
)
def test_batches_have_several_paths_and_imports_their_own(path: str, name: str) -> None:
    found = Table(ALL).find(path)

    assert found is not None
    assert found.name == name


def test_a_parameter_stands_for_one_segment_that_is_not_empty() -> None:
    table = Table([route("GET", "/v1/projects/{write_key}/settings")])

    for path in ("/v1/projects/wk_1/settings", "/v1/projects/wk_1/settings/"):
        found = table.find(path)
        assert found is not None
        assert found.params == {"write_key": "wk_1"}
        assert found.name == "/v1/projects/{write_key}/settings"
    assert table.find("/v1/projects//settings") is None
    assert table.find("/v1/projects/a/b/settings") is None
    assert table.find("/v1/projects/wk_1") is None


def test_two_methods_may_share_a_path_and_get_answers_head() -> None:
    table = Table([route("GET", "/a", "/b"), route("POST", "/b")])

    one, two = table.find("/a"), table.find("/b")

    assert one is not None
    assert two is not None
    assert set(one.methods) == {"GET", "HEAD"}
    assert set(two.methods) == {"GET", "HEAD", "POST"}


def test_the_same_method_and_path_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="two routes answer POST /b"):
        Table([route("POST", "/a", "/b"), route("POST", "/b")])
