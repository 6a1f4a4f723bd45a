"""Which definitions decide about a workspace's people."""

from __future__ import annotations

from uuid import UUID

from msgspec.structs import replace

from clm_stage_engine import definitions
from clm_stage_engine.channel_file import shipped
from clm_stage_engine.core.eras import Course, Era
from clm_stage_engine.rules import Further, Rule, Rules
from clm_stage_engine.running import Running, choose, published

REACH = choose([definitions.SHIPPED], "reach")
SAAS = choose([definitions.SHIPPED], "saas")


def version(number: int) -> Running:
    return published((definitions.SHIPPED / "reach.yaml").read_text(), number, shipped())


def test_every_version_that_decides_about_some_people_is_told_the_newest_first() -> None:
    eras = (Era(version(1).lifecycle), Era(version(2).lifecycle, since=5, policy="pin"))
    pinned = replace(version(2), course=Course(eras))
    rule = Rule(1, pinned, version(3), bound=UUID(int=9), settled=True)
    rules = Rules(REACH, of={"local": rule})

    found = rules.definitions("local", "reach")

    assert [it.version for it in found] == [2, 1, 3]


def test_without_a_publication_it_is_the_installation_s_own() -> None:
    assert Rules(REACH).definitions("local", "reach") == [REACH.lifecycle]


def test_a_lifecycle_beside_the_main_one_has_definitions_of_its_own() -> None:
    rule = Rule(0, SAAS, None, bound=UUID(int=0), settled=True)
    rules = Rules(REACH, several=True, further=(Further("saas", 0, rule),))

    assert rules.definitions("local", "saas") == [SAAS.lifecycle]
