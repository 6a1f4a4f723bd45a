"""Topics on real Kafka: created as the contracts say, checked, and mended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from msgspec.structs import replace

from clm_common.bus.kafka import KafkaSettings
from clm_common.bus.kafka.admin import check_topics, create_topics, delete_topics, main
from clm_common.contracts.topics import ALL, Topic
from clm_common.errors import SettingsError, Unavailable
from tests.support.buses import fresh_topics


@pytest.fixture
def settings(kafka_bootstrap: str) -> KafkaSettings:
    return KafkaSettings(bootstrap=kafka_bootstrap)


@pytest.fixture
async def topics(settings: KafkaSettings) -> AsyncGenerator[tuple[Topic, Topic]]:
    described = fresh_topics()
    await create_topics(settings, described)
    yield described
    await delete_topics(settings, [topic.name for topic in described])


async def configure(settings: KafkaSettings, name: str, **values: str) -> None:
    admin: Any = AIOKafkaAdminClient(**settings.connection())  # Any: aiokafka is untyped
    await admin.start()
    configs = {key.replace("_", "."): value for key, value in values.items()}
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs=configs)])
    await admin.close()
    for key, value in configs.items():
        while await configured(settings, name, key) != value:  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.05)


async def configured(settings: KafkaSettings, name: str, key: str) -> str:
    admin: Any = AIOKafkaAdminClient(**settings.connection())  # Any: aiokafka is untyped
    await admin.start()
    (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    await admin.close()
    values = {entry[0]: entry[1] for entry in answer.resources[0][4]}
    return str(values[key])


async def test_creating_twice_changes_nothing(
    settings: KafkaSettings, topics: tuple[Topic, Topic]
) -> None:
    await create_topics(settings, topics)

    await check_topics(settings, topics)


async def test_a_missing_topic_is_named_with_the_remedy(settings: KafkaSettings) -> None:
    (missing, _) = fresh_topics()

    with pytest.raises(SettingsError) as caught:
        await check_topics(settings, [missing])

    assert f"{missing.name}: is missing" in caught.value.message
    assert "clm up" in caught.value.message


async def test_each_wrong_setting_is_named(
    settings: KafkaSettings, topics: tuple[Topic, Topic]
) -> None:
    facts, positions = topics
    wanted = [
        replace(facts, partitions=9, retention_ms=5000),
        replace(positions, compacted=False, retention_ms=1000),
    ]

    with pytest.raises(SettingsError) as caught:
        await check_topics(settings, wanted)

    assert caught.value.values["topics"] == [
        f"{facts.name}: has 4 partitions, needs 9",
        f"{facts.name}: retention.ms is 3600000, needs 5000",
        f"{positions.name}: cleanup.policy is compact, needs delete",
        f"{positions.name}: retention.ms is 604800000, needs 1000",
    ]


async def test_a_topic_that_takes_only_small_batches_is_refused(
    settings: KafkaSettings, topics: tuple[Topic, Topic]
) -> None:
    wanted = topics[0].config()
    values = {key.replace(".", "_"): value for key, value in wanted.items()}
    await configure(settings, topics[0].name, max_message_bytes="1000", **values)

    with pytest.raises(SettingsError, match=r"max\.message\.bytes is 1000"):
        await check_topics(settings, topics)


async def test_creating_mends_settings_and_keeps_what_others_set(
    settings: KafkaSettings, topics: tuple[Topic, Topic]
) -> None:
    name = topics[0].name
    await configure(settings, name, retention_ms="1234", segment_ms="777000")
    with pytest.raises(SettingsError, match="retention"):
        await check_topics(settings, topics)

    await create_topics(settings, topics)

    await check_topics(settings, topics)
    assert await configured(settings, name, "segment.ms") == "777000"


async def test_another_number_of_partitions_is_never_changed(
    settings: KafkaSettings, topics: tuple[Topic, Topic]
) -> None:
    with pytest.raises(SettingsError, match="has 4 partitions, needs 8"):
        await create_topics(settings, [replace(topics[0], partitions=8)])

    await check_topics(settings, topics)


async def test_a_broker_that_is_away_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        await check_topics(KafkaSettings(bootstrap="127.0.0.1:1"))


def test_the_deploy_job_creates_and_checks(
    kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLM_KAFKA_BOOTSTRAP", kafka_bootstrap)

    assert main(["create"]) == 0
    assert main(["check"]) == 0
    assert f"{len(ALL)} topics" in capsys.readouterr().out


def test_the_deploy_job_names_the_variable_it_misses(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CLM_KAFKA_BOOTSTRAP", raising=False)

    assert main(["check"]) == 78
    assert "CLM_KAFKA_BOOTSTRAP" in capsys.readouterr().err


def test_the_deploy_job_may_be_tried_again_when_the_broker_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CLM_KAFKA_BOOTSTRAP", "127.0.0.1:1")

    assert main(["check"]) == 75
