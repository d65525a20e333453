"""Reads the settings: flags over environment over file over default. What cannot be used is told with how to mend it.

It must not know single settings: all it needs stands in the model's fields.
"""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml
from pydantic import ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from trainyard.settings.explain import describe, env_name, file_name, flag_name, groups
from trainyard.settings.model import Settings
from trainyard.version import VERSION

EXIT_BAD_SETTINGS = 2
CONFIG_ENV = "TRAINYARD_CONFIG"


@dataclass(frozen=True, slots=True)
class Complaint:
    """One setting that cannot be used."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"  {self.where}\n    {self.what}"


class BadSettings(ValueError):
    """The settings cannot be used; `str()` says for each what is wrong, where it came from, and how to mend it."""

    def __init__(self, complaints: Sequence[Complaint]) -> None:
        count = "1 setting" if len(complaints) == 1 else f"{len(complaints)} settings"
        super().__init__("\n".join([f"trainyard: {count} cannot be used", *map(str, complaints)]))
        self.complaints = tuple(complaints)


def read_settings(flags: Mapping[str, str], config: str = "") -> Settings:
    """The settings of these flags (field → text), the environment, and this file. Raises BadSettings."""
    path = config or os.environ.get(CONFIG_ENV, "")
    content = _read_file(path) if path else {}

    class WithFile(Settings):
        from_file = content

    given: Mapping[str, Any] = flags
    try:
        return WithFile(**given)
    except ValidationError as error:
        details = error.errors(include_url=False)
        raise BadSettings([_complaint(detail, flags, path) for detail in details]) from None


def parse_command_line(arguments: Sequence[str]) -> tuple[dict[str, str], str]:
    """Flags that were given (field → text) and the settings file. --help, --version, nonsense: SystemExit."""
    given = vars(_parser().parse_args(arguments[1:] if arguments[:1] == ["run"] else arguments))
    config = given.pop("config")
    return {name: ",".join(text) if isinstance(text, list) else text for name, text in given.items()}, config


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line of what is wrong and one of what to type, instead of forty lines of usage."""
        unknown = message.removeprefix("unrecognized arguments: ").split()
        close = difflib.get_close_matches(unknown[0], map(flag_name, Settings.model_fields), n=1)
        mend = f"did you mean {close[0]}? " if close else ""
        self.exit(EXIT_BAD_SETTINGS, f"trainyard: {message}\n  {mend}`{self.prog} --help` explains every setting\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="trainyard-operator",
        usage="%(prog)s [run] [--config FILE] [--SETTING VALUE ...]",
        description="The operator for TrainingJobs.",
        epilog="Flags win over the environment, that over the file, that over the defaults.",
        formatter_class=argparse.RawTextHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"trainyard {VERSION}")
    parser.add_argument(
        "--config",
        metavar="FILE",
        default="",
        help=f"YAML file of settings, keys as in `{file_name('api_timeout')}`\n[{CONFIG_ENV}]",
    )
    for heading, names in groups().items():
        section = parser.add_argument_group(heading)
        for name in names:
            told = describe(name)
            section.add_argument(
                flag_name(name),
                dest=name,
                default=argparse.SUPPRESS,
                metavar=told.form,
                action="append" if told.repeatable else "store",
                help=f"{told.meaning}\n[{env_name(name)}; default: {told.default}]".replace("%", "%%"),
            )
    return parser


def _read_file(path: str) -> dict[str, Any]:
    """The file's settings by field. Unknown keys are refused: a typo must not silently mean the default."""
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        what = f"cannot be read: {error.strerror}; check --config or {CONFIG_ENV}"
        raise BadSettings([Complaint(path, what)]) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadSettings([Complaint(path, f"is not YAML: {' '.join(str(error).split())}")]) from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise BadSettings([Complaint(path, f"must hold keys and values, as in `{file_name('api_timeout')}: 30s`")])
    fields = {to_camel(name): name for name in Settings.model_fields}
    unknown = [str(key) for key in content if key not in fields]
    if unknown:
        raise BadSettings([Complaint(f"{key} in {path}", _is_unknown(key, fields)) for key in unknown])
    return {fields[key]: value for key, value in content.items()}


def _is_unknown(key: str, known: Mapping[str, str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f"is no setting; did you mean {close[0]}?" if close else "is no setting; --help lists them all"


def _complaint(detail: ErrorDetails, flags: Mapping[str, str], path: str) -> Complaint:
    what = detail["msg"].removeprefix("Value error, ").replace("Input should", "should")
    if not detail["loc"]:
        return Complaint("the settings together", what)
    name = str(detail["loc"][0])
    return Complaint(_origin(name, detail["input"], flags, path), f"{what} ({Settings.model_fields[name].description})")


def _origin(name: str, value: object, flags: Mapping[str, str], path: str) -> str:
    shown = f"{value!r}" if isinstance(value, str) else f"{value}"
    if name in flags:
        return f"{flag_name(name)} {flags[name]!r}"
    variable = env_name(name)
    if os.environ.get(variable):
        return f"{variable}={os.environ[variable]!r}"
    return f"{file_name(name)}: {shown} in {path}"


def settings_or_exit(arguments: Sequence[str]) -> Settings:
    """The settings of this command line, or a clear message on stderr and exit 2."""
    try:
        flags, config = parse_command_line(arguments)
        return read_settings(flags, config)
    except BadSettings as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(EXIT_BAD_SETTINGS) from None
