"""What each setting is called and how it is explained: for --help, for error messages, for the reference page.

Everything comes from the model's fields; nothing is written twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from pydantic.alias_generators import to_camel

from trainyard.settings.model import ENV_PREFIX, Group, Settings
from trainyard.settings.values import write_pairs, write_ports, write_span

_INTRODUCTION = """\
# Settings of the operator

<!-- Generated from the settings' definitions; run `hack/generate` after changing them. -->

Every setting can be a flag, an environment variable, or a key of the YAML file that `--config` (or `TRAINYARD_CONFIG`)
names. Flags win over the environment, that over the file, that over the defaults. A value that cannot be used ends the
process with exit code 2 and a message that says where it came from and how to write it. An unknown key in the file is
refused too.

Spans of time are seconds (`90`) or texts such as `90s`, `1m30s`, `1h`. Lists are `a,b`; in the file also YAML lists.
Pairs are `key=value,other=value`; in the file also mappings.
"""


@dataclass(frozen=True, slots=True)
class Description:
    """One setting in words."""

    group: str
    meaning: str
    default: str
    form: str
    repeatable: bool


def flag_name(name: str) -> str:
    return "--" + name.replace("_", "-")


def env_name(name: str) -> str:
    return ENV_PREFIX + name.upper()


def file_name(name: str) -> str:
    return to_camel(name)


def groups() -> dict[str, list[str]]:
    """Fields by heading, in the order of the model."""
    found: dict[str, list[str]] = {group.value: [] for group in Group}
    for name in Settings.model_fields:
        found[describe(name).group].append(name)
    return found


def describe(name: str) -> Description:
    """The words for one setting."""
    field = Settings.model_fields[name]
    extra = field.json_schema_extra
    assert isinstance(extra, dict)
    meaning = f"{field.description}" + _choices(field.annotation)
    unit = str(extra["unit"])
    default = _text(field.default, unit)
    form = {"seconds": "SPAN", "requests": "N", "jobs": "N", "ports": "N-M"}.get(
        unit, "A,B" if _is_list(field.default) else "TEXT"
    )
    return Description(str(extra["group"]), meaning, default, form, _is_list(field.default) and unit != "ports")


def render_settings_reference() -> str:
    """The reference page, in Markdown."""
    parts = [_INTRODUCTION]
    for heading, names in groups().items():
        parts.append(f"\n## {heading}\n\n| flag | environment | file | default | meaning |\n|---|---|---|---|---|\n")
        for name in names:
            told = describe(name)
            cells = " | ".join(f"`{c}`" for c in (flag_name(name), env_name(name), file_name(name), told.default))
            parts.append(f"| {cells} | {told.meaning} |\n")
    return "".join(parts)


def _is_list(default: object) -> bool:
    return isinstance(default, tuple)


def _text(default: Any, unit: str) -> str:
    if unit == "ports":
        return write_ports(default)
    if isinstance(default, tuple):
        return write_pairs(default) if default and isinstance(default[0], tuple) else ",".join(default) or "none"
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, Enum):
        return str(default.value)
    if unit == "seconds":
        return write_span(default)
    return "none" if default == "" else f"{default}"


def _choices(annotation: object) -> str:
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return f" One of {', '.join(str(member.value) for member in annotation)}."
    return ""
