"""Reading TOML documents into checked models, with errors a person can act on."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from mpcseg.errors import ConfigError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Model = TypeVar("Model", bound=BaseModel)


_CHECK_PATH = "Check the path and the working directory."

# Documents come from other organisations: a reader must not be drowned by one.
DOCUMENT_BYTES = 1 << 20


def read_bytes(
    path: Path, what: str, *, hint: str = _CHECK_PATH, limit: int = DOCUMENT_BYTES
) -> bytes:
    """The content of a file that a configuration names.

    Args:
        path: the file.
        what: what the file is, for the error ("the study file").
        hint: what to do where it is absent.
        limit: bytes that it may have.

    Raises:
        ConfigError: the file is absent, cannot be read or is too large.
    """
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except FileNotFoundError:
        raise ConfigError(f"{what} {path} does not exist", hint) from None
    except OSError as error:
        raise ConfigError(
            f"{what} {path} cannot be read: {error.strerror or 'unknown reason'}",
            "Check that it is a file and that this user may read it.",
        ) from None
    if len(content) > limit:
        raise ConfigError(
            f"{what} {path} is larger than {limit // 1024} kB", "Check that it is the right file."
        )
    return content


def read_toml(
    path: Path, what: str, *, hint: str = _CHECK_PATH, limit: int = DOCUMENT_BYTES
) -> dict[str, Any]:
    """A TOML file as plain data.

    Args:
        path: the file.
        what: what the file is, for the error ("the study file").
        hint: what to do where it is absent.
        limit: bytes that it may have.

    Raises:
        ConfigError: the file is absent, cannot be read, is too large or is not TOML; or a text in
            it holds a NUL, with which nothing can be named.
    """
    content = read_bytes(path, what, hint=hint, limit=limit)
    try:
        data = tomllib.loads(content.decode("utf-8"))
        has_nul = _holds_nul(data)
    except UnicodeDecodeError:
        raise ConfigError(f"{what} {path} is not UTF-8 text", "Save it as UTF-8.") from None
    except (ValueError, RecursionError) as error:  # ValueError also for numbers without end
        reason = error if isinstance(error, tomllib.TOMLDecodeError) else "too long or too deep"
        raise ConfigError(
            f"{what} {path} is not valid TOML: {reason}",
            "Compare it with the template in parties/.",
        ) from None
    if has_nul:
        raise ConfigError(f"{what} {path} has a NUL character in a text", "Remove it.")
    return data


def _holds_nul(data: object) -> bool:
    if isinstance(data, dict):
        return any(map(_holds_nul, (*data.keys(), *data.values())))
    if isinstance(data, list):
        return any(map(_holds_nul, data))
    return isinstance(data, str) and "\0" in data


KIND_TAGS = ("(number)", "(range)")
"""How models tell kinds of one field apart; nobody writes them, and no message names them."""


def check(
    model: type[Model],
    data: Mapping[str, Any],
    source: str,
    *,
    hint: str = "",
    options: Mapping[str, str] | None = None,
) -> Model:
    """Make a model of plain data.

    Args:
        model: the model's class.
        data: what was read.
        source: where it came from, for the error ("the study file study.toml").
        hint: what to do when it does not fit; a default points to the templates.
        options: what a person calls a field, where it is not its name ("n_rounds": "--rounds").

    Raises:
        ConfigError: a field is missing, unknown or wrong; names the first few.
    """
    try:
        return model.model_validate(dict(data))
    except ValidationError as error:
        details = _causes(error.errors(include_url=False, include_context=False))
        sentences = [_renamed(_sentence(one, data), options or {}) for one in details[:3]]
        raise ConfigError(
            f"{source}: {'; '.join(sentences)}",
            hint or "Compare it with the template in parties/.",
        ) from None


def _causes(details: list[ErrorDetails]) -> list[ErrorDetails]:
    """Without lists that are too short only because an entry of theirs is wrong."""
    return [
        one
        for one in details
        if one["type"] != "too_short"
        or not any(
            other is not one and other["loc"][: len(one["loc"])] == one["loc"] for other in details
        )
    ]


def _sentence(detail: ErrorDetails, data: Mapping[str, Any]) -> str:
    where = _where(detail["loc"], data)
    if detail["type"] == "missing":
        return f"field {where} is missing"
    if detail["type"] == "extra_forbidden":
        return f"field {where} is unknown"
    message = detail["msg"].removeprefix("Value error, ").rstrip(".")
    message = re.sub(r"^[A-Z][a-z]+ should ", "must ", message)
    if where and message.startswith("must "):
        return f"{where} {message}"
    return f"{where}: {message}" if where else message


def _renamed(sentence: str, options: Mapping[str, str]) -> str:
    """A sentence that begins with a field, with what a person calls it; longer names first."""
    for field in sorted(options, key=len, reverse=True):
        if re.match(rf"{re.escape(field)}[ :]", sentence):
            return options[field] + sentence[len(field) :]
    return sentence


def _where(location: tuple[str | int, ...], data: Any) -> str:
    """A path such as ``features 'monetary' lower``; list entries go by name where they have one."""
    words: list[str] = []
    here: Any = data
    for step in location:
        if step in KIND_TAGS:
            continue
        try:
            here = here[step]
        except (KeyError, IndexError, TypeError):
            here = None
        if isinstance(step, int):
            name = here.get("name") if isinstance(here, Mapping) else None
            words.append(f"'{name}'" if isinstance(name, str) and name else f"number {step + 1}")
        else:
            words.append(step)
    return " ".join(words)
