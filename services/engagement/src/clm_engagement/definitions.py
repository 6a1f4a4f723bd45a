"""The journeys that run: YAML files, each with its templates, all checked before a start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from clm_common.catalog import Entry, Problem, load
from clm_common.errors import DefinitionError
from clm_engagement.channels.port import Channel
from clm_engagement.core.journey import Journey, Step
from clm_engagement.core.template import Template, Values

FOLDER: Final = Path(__file__).parent / "journeys"


class Definitions(Struct, frozen=True):
    """Everything that was defined.

    Attributes:
        journeys: by key.
        templates: by journey and step, the parts by name.
    """

    journeys: Mapping[str, Journey]
    templates: Mapping[tuple[str, str], Mapping[str, Template]]

    def render(self, journey: str, step: str, values: Values) -> dict[str, str]:
        """Render all parts of a defined step.

        Raises:
            RenderFailed: a template reaches one of its bounds with these values.
        """
        parts = self.templates[journey, step]
        return {name: template.render(values) for name, template in parts.items()}


def load_definitions(folder: Path, channels: Mapping[str, Channel], main: str) -> Definitions:
    """Read a folder of journeys: `<key>.yaml` and `<key>/<template>.<part>.liquid`.

    Args:
        folder: the folder.
        channels: what messages can be sent by.
        main: the key of the main lifecycle, whose stages are meant where a journey names none.

    Raises:
        DefinitionError: something in it cannot be right; the text names file and line.
    """
    entries = load(folder, Journey)
    templates = {
        (key, step.key): _templates(folder, entry, index, step, channels)
        for key, entry in entries.items()
        for index, step in enumerate(entry.definition.steps)
    }
    return Definitions(
        {key: _of(entry.definition, main) for key, entry in entries.items()}, templates
    )


def _of(journey: Journey, main: str) -> Journey:
    return journey if journey.lifecycle else journey.model_copy(update={"lifecycle": main})


def _templates(
    folder: Path, entry: Entry[Journey], index: int, step: Step, channels: Mapping[str, Channel]
) -> Mapping[str, Template]:
    channel = channels.get(step.send)
    if channel is None:
        known = ", ".join(sorted(channels))
        problem = Problem(
            "journey.channel_unknown",
            ("steps", index, "send"),
            f"there is no channel {step.send!r}; there are {known}",
        )
        raise entry.refuse([problem])
    return dict(_parts(folder / entry.definition.key, entry, index, step, channel))


def _parts(
    folder: Path, entry: Entry[Journey], index: int, step: Step, channel: Channel
) -> Iterator[tuple[str, Template]]:
    for part in channel.parts:
        path = folder / f"{step.template}.{part.name}.liquid"
        try:
            source = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            problem = Problem(
                "journey.template_missing",
                ("steps", index, "template"),
                f"{path} is not there or is no UTF-8 text; {channel.key} needs it",
            )
            raise entry.refuse([problem]) from error
        template = Template(source, file=str(path), escaped=part.escaped)
        if missing := part.must_read - template.reads:
            root, field = min(missing)
            message = f"{path}: must contain {{{{ {root}.{field} }}}}"
            raise DefinitionError("template.incomplete", message, file=str(path))
        yield part.name, template
