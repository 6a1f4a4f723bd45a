"""Creates the topics as the contracts describe them, and checks that they are so.

    python -m clm_common.bus.kafka.admin create|check

reads CLM_KAFKA_BOOTSTRAP and the other CLM_KAFKA_* variables; `create` is the deploy job. It makes
what is missing and corrects settings; it never changes a number of partitions, because that moves
keys: move to a new topic instead.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code

from clm_common.bus.kafka.lifecycle import FOREIGN, translate
from clm_common.bus.kafka.settings import KafkaSettings, settings_from
from clm_common.bus.size import BATCH_BYTES
from clm_common.contracts import topics as contract
from clm_common.contracts.topics import Topic
from clm_common.errors import ClmError, SettingsError, Unavailable

Admin = Any  # Any: AIOKafkaAdminClient is untyped
Config = Mapping[str, str]

COMMAND: Final = "python -m clm_common.bus.kafka.admin create"

_WITHIN: Final = 20.0
_MOST_REPLICAS: Final = 3
_LOOKS: Final = 50
_BETWEEN_LOOKS: Final = 0.1
_EXISTS: Final = 36
_UNKNOWN: Final = 3
_OVERRIDDEN: Final = 1  # DescribeConfigs: the value was set on the topic itself


async def create_topics(settings: KafkaSettings, topics: Iterable[Topic] = contract.ALL) -> None:
    """Create what is missing and correct the settings of what is there; may be repeated.

    There are as many replicas as brokers, at most three.

    Raises:
        Unavailable: no broker answers.
        SettingsError: a topic has another number of partitions, or the broker refuses it.
    """
    wanted = list(topics)
    async with _admin(settings) as admin:
        brokers = len((await admin.describe_cluster())["brokers"])
        replicas = min(_MOST_REPLICAS, brokers)
        new = [
            NewTopic(
                topic.name,
                topic.partitions,
                replicas,
                topic_configs=topic.config(replicas=replicas),
            )
            for topic in wanted
        ]
        answer = await admin.create_topics(new)
        existing = [name for name, code, _ in answer.topic_errors if code == _EXISTS]
        _refuse(answer.topic_errors, but=_EXISTS)
        await _correct(admin, [topic for topic in wanted if topic.name in existing])
        await _settle(admin, wanted, looks=brokers)
    await check_topics(settings, wanted)


async def check_topics(settings: KafkaSettings, topics: Iterable[Topic] = contract.ALL) -> None:
    """Make sure that the topics are as the contracts describe them.

    Raises:
        Unavailable: no broker answers.
        SettingsError: they are not; the message names each topic, what is wrong and the remedy.
    """
    async with _admin(settings) as admin:
        problems = await _problems(admin, list(topics))
    if problems:
        remedy = f"run `clm up` or `{COMMAND}`; a number of partitions needs a new topic"
        raise SettingsError(
            "topics.wrong", "\n".join([*problems, remedy]), topics=problems, remedy=remedy
        )


async def delete_topics(settings: KafkaSettings, names: Sequence[str]) -> None:
    """Delete topics with all they hold; one that is not there is no error.

    Raises:
        Unavailable: no broker answers.
        SettingsError: the broker refuses.
    """
    async with _admin(settings) as admin:
        answer = await admin.delete_topics(list(names))
        _refuse([(name, code, "") for name, code in answer.topic_error_codes], but=_UNKNOWN)


async def partitions_of(settings: KafkaSettings, names: Sequence[str]) -> dict[str, int]:
    """Give the number of partitions of those topics that exist.

    Raises:
        Unavailable: no broker answers.
    """
    async with _admin(settings) as admin:
        found = await _described(admin, list(names))
    return {name: len(replicas) for name, replicas in found.items()}


async def settings_of(settings: KafkaSettings, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Give the settings of those topics that exist, the broker's own choices included.

    Raises:
        Unavailable: no broker answers.
        SettingsError: the broker refuses.
    """
    async with _admin(settings) as admin:
        return await _configs(admin, list(await _described(admin, list(names))))


@asynccontextmanager
async def _admin(settings: KafkaSettings) -> AsyncGenerator[Admin]:
    admin = AIOKafkaAdminClient(**settings.connection(), request_timeout_ms=int(_WITHIN * 1000))
    try:
        async with asyncio.timeout(_WITHIN):
            await admin.start()
            yield admin
    except FOREIGN as error:
        raise translate(error, "asking Kafka about topics") from error
    finally:
        await admin.close()


def _refuse(answers: Iterable[tuple[str, int, str | None]], *, but: int) -> None:
    for name, code, message in answers:
        if code not in {0, but}:
            error = for_code(code)
            text = f"{name}: {message or error.description}"
            if error.retriable:
                raise Unavailable("bus.away", text)
            raise SettingsError("topics.refused", text, topic=name)


async def _described(admin: Admin, names: list[str]) -> dict[str, list[int]]:
    """Give, for each topic that exists, the number of replicas of each of its partitions."""
    metadata = await admin.describe_topics(names)
    return {
        topic["topic"]: [len(part["replicas"]) for part in topic["partitions"]]
        for topic in metadata
        if topic["error_code"] == 0
    }


async def _configs(admin: Admin, names: Sequence[str]) -> dict[str, dict[str, str]]:
    return {
        name: {key: value for key, value, _ in entries}
        for name, entries in (await _entries(admin, names)).items()
    }


async def _entries(admin: Admin, names: Sequence[str]) -> dict[str, list[tuple[str, str, bool]]]:
    """Give each topic's settings as (name, value, whether it was set on the topic itself)."""
    if not names:
        return {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    found: dict[str, list[tuple[str, str, bool]]] = {}
    for answer in await admin.describe_configs(resources):
        for code, message, _, name, entries in answer.resources:
            _refuse([(name, code, message)], but=0)
            found[name] = [
                (key, value, source == _OVERRIDDEN) for key, value, _, source, *_ in entries
            ]
    return found


async def _correct(admin: Admin, topics: Sequence[Topic]) -> None:
    """Set what differs; what else was set on a topic stays (AlterConfigs replaces everything)."""
    found = await _described(admin, [topic.name for topic in topics]) if topics else {}
    entries = await _entries(admin, [topic.name for topic in topics])
    changed: list[ConfigResource] = []
    for topic in topics:
        replicas = min(found[topic.name], default=1)
        values = {key: value for key, value, _ in entries[topic.name]}
        wanted = topic.config(replicas=replicas)
        if any(values.get(key) != value for key, value in wanted.items()):
            kept = {key: value for key, value, overridden in entries[topic.name] if overridden}
            changed.append(
                ConfigResource(ConfigResourceType.TOPIC, topic.name, configs=kept | wanted)
            )
    if changed:
        for answer in await admin.alter_configs(changed):
            _refuse([(name, code, message) for code, message, _, name in answer.resources], but=0)


async def _settle(admin: Admin, topics: Sequence[Topic], looks: int) -> None:
    """Wait, for a while, until so many looks in a row find the topics as they must be.

    Any broker may answer a look, and they learn of a change one after the other: one that has not
    heard of a new topic says that there is none.
    """
    good = 0
    for _ in range(_LOOKS):
        try:
            good = 0 if await _problems(admin, topics) else good + 1
        except Unavailable:
            good = 0
        if good == looks:
            return
        await asyncio.sleep(_BETWEEN_LOOKS)


async def _problems(admin: Admin, topics: Sequence[Topic]) -> list[str]:
    """Say what is wrong with the topics, a sentence each."""
    replicas = await _described(admin, [topic.name for topic in topics])
    configs = await _configs(admin, list(replicas))
    return [
        problem
        for topic in topics
        for problem in compare(topic, replicas.get(topic.name), configs.get(topic.name, {}))
    ]


def compare(topic: Topic, replicas: Sequence[int] | None, config: Config) -> list[str]:
    """Say what is wrong with one topic, a sentence each.

    Args:
        topic: as it must be.
        replicas: the replicas of each partition it has; None if there is no such topic.
        config: the settings it has. More in-sync replicas than needed are no problem.
    """
    if replicas is None:
        return [f"{topic.name}: is missing"]
    found: list[str] = []
    if len(replicas) != topic.partitions:
        found.append(f"{topic.name}: has {len(replicas)} partitions, needs {topic.partitions}")
    for key, wanted in topic.config(replicas=min(replicas, default=1)).items():
        value = config.get(key)
        enough = key == "min.insync.replicas" and int(value or 0) >= int(wanted)
        if value != wanted and not enough:
            found.append(f"{topic.name}: {key} is {value}, needs {wanted}")
    if int(config.get("max.message.bytes", BATCH_BYTES)) < BATCH_BYTES:
        most = config["max.message.bytes"]
        found.append(f"{topic.name}: max.message.bytes is {most}, needs at least {BATCH_BYTES}")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Create or check all topics; gives the exit code (78: wrong settings, 75: try again)."""
    parser = argparse.ArgumentParser(prog="python -m clm_common.bus.kafka.admin")
    parser.add_argument("action", choices=["create", "check"])
    chosen = parser.parse_args(arguments)
    act = create_topics if chosen.action == "create" else check_topics
    try:
        asyncio.run(act(settings_from(os.environ)))
    except ClmError as error:
        sys.stderr.write(f"{error}\n")
        return 75 if isinstance(error, Unavailable) else 78
    sys.stdout.write(f"{len(contract.ALL)} topics are as they should be\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
