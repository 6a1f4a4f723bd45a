from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clm_common.bus.kafka import KafkaSettings
from clm_common.bus.kafka.admin import compare
from clm_common.bus.kafka.settings import settings_from
from clm_common.contracts import topics
from clm_common.contracts.topics import Topic, partition_of
from clm_common.errors import SettingsError

FACTS = Topic("facts", 3, 60_000, "facts")


def test_names_are_unique_and_in_kebab_case() -> None:
    names = [topic.name for topic in topics.ALL]

    assert len(set(names)) == len(names)
    assert all(name.startswith("clm.") and "_" not in name for name in names)


def test_the_river_its_source_and_its_positions_have_the_same_number_of_partitions() -> None:
    together = (topics.TOUCHPOINTS, topics.JOURNEY, topics.STAGE_CHANGES, topics.PUBLISHED)

    assert len({topic.partitions for topic in together}) == 1


def test_the_partition_is_the_crc32_that_librdkafka_uses() -> None:
    assert partition_of(b"123456789", 2**32) == 0xCBF43926  # the check value of CRC-32


def test_the_partition_of_a_key_never_changes() -> None:
    assert [partition_of(key, 6) for key in (b"demo:u-1", b"demo:u-2", b"")] == [3, 5, 0]


@given(st.binary(), st.integers(1, 1000))
def test_every_key_has_a_partition(key: bytes, partitions: int) -> None:
    assert 0 <= partition_of(key, partitions) < partitions


def test_a_compacted_topic_keeps_records_for_ever() -> None:
    assert "retention.ms" not in topics.PUBLISHED.config()
    assert topics.PUBLISHED.config()["cleanup.policy"] == "compact"


@pytest.mark.parametrize(("replicas", "in_sync"), [(1, "1"), (2, "1"), (3, "2")])
def test_one_replica_may_be_away(replicas: int, in_sync: str) -> None:
    assert FACTS.config(replicas=replicas)["min.insync.replicas"] == in_sync


def test_a_topic_as_it_should_be_has_no_problems() -> None:
    assert compare(FACTS, [1, 1, 1], FACTS.config()) == []


def test_more_replicas_in_sync_than_needed_are_no_problem() -> None:
    strict = FACTS.config(replicas=3) | {"min.insync.replicas": "3"}

    assert compare(FACTS, [3, 3, 3], strict) == []


def test_too_few_replicas_in_sync_are_a_problem() -> None:
    loose = FACTS.config(replicas=3) | {"min.insync.replicas": "1"}

    assert compare(FACTS, [3, 3, 3], loose) == ["facts: min.insync.replicas is 1, needs 2"]


def test_the_settings_of_a_deploy_job_come_from_the_environment() -> None:
    environment = {
        "CLM_KAFKA_BOOTSTRAP": "kafka:9093",
        "CLM_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "CLM_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
        "CLM_KAFKA_SASL_USERNAME": "clm",
        "CLM_KAFKA_SASL_PASSWORD": "swordfish",
        "CLM_KAFKA_SSL_CAFILE": "",
    }

    settings = settings_from(environment)

    assert settings.connection() == {
        "bootstrap_servers": "kafka:9093",
        "client_id": "clm",
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "clm",
        "sasl_plain_password": "swordfish",
    }
    assert "swordfish" not in repr(settings)


def test_the_usual_mechanism_need_not_be_named() -> None:
    login = {"CLM_KAFKA_SASL_USERNAME": "clm", "CLM_KAFKA_SASL_PASSWORD": "swordfish"}
    broker = {"CLM_KAFKA_BOOTSTRAP": "k:1", "CLM_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT"}

    assert settings_from(broker | login).sasl_mechanism == "SCRAM-SHA-512"


@pytest.mark.parametrize(
    ("given_", "slug"),
    [
        ({"bootstrap": " "}, "kafka.bootstrap"),
        ({"security_protocol": "TLS"}, "kafka.security_protocol"),
        ({"security_protocol": "SASL_SSL"}, "kafka.sasl_mechanism"),
        (
            {"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN"},
            "kafka.sasl_credentials",
        ),
    ],
)
def test_settings_that_no_broker_would_accept_are_refused(
    given_: dict[str, str], slug: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        KafkaSettings(**{"bootstrap": "kafka:9092", **given_})  # type: ignore[arg-type] # wrong on purpose

    assert caught.value.slug == slug


def test_a_file_of_authorities_that_is_not_there_is_named() -> None:
    settings = KafkaSettings(bootstrap="k:1", security_protocol="SSL", ssl_cafile="/nowhere.pem")

    with pytest.raises(SettingsError, match=r"/nowhere\.pem"):
        settings.connection()
