"""A node's configuration, made of the template in parties/ with its comments kept."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

import tomlkit

from mpcseg.kit.holders import Address
from mpcseg.study.agreement import AGREEMENT_SUFFIX
from mpcseg.study.renewal import RENEWAL_SUFFIX
from mpcseg.study.spec import StudySpec

TEMPLATES = files("mpcseg.kit") / "templates"

IDENTITY = "identity"
STATE = {"compute": "storage", "key": "key-results", "party": "audit"}
"""By role: the folder that its node writes, inside the kit's folder."""


FORMER = {"former_study": "former.agreement", "former_sealed": "former.sealed"}
"""Files of the former study that the key node of a follow-up needs, beside its configuration."""


def template(name: str) -> str:
    """A template's text."""
    return (TEMPLATES / name).read_text(encoding="utf-8")


def renewal_files(spec: StudySpec) -> tuple[str, ...]:
    """Names in a kit of the renewals of certificates that a study was loaded with, in order."""
    return tuple(f"{spec.name}-{version.number}{RENEWAL_SUFFIX}" for version in spec.versions)


def own_names(text: str, spec: StudySpec) -> str:
    """A template whose comments name this study, and files of the kit: all stand in its folder."""
    return text.replace('"../spring', f'"{spec.name}').replace('"../', '"')


def configuration(role: str, spec: StudySpec, address: Address) -> str:
    """The text of ``compute.toml``, ``key.toml`` or ``party.toml``.

    Args:
        role: compute, key or party.
        spec: the study.
        address: of the compute node.

    Raises:
        KeyError: the template lacks a field that is to be filled in.
    """
    document = tomlkit.parse(own_names(template(f"{role}.toml"), spec))
    for field, value in _values(role, spec, address).items():
        if field not in document:
            raise KeyError(f"the template {role}.toml has no field {field}")
        document[field] = value
    if role == "key" and spec.former is not None:
        document.update(FORMER)
    if renewals := renewal_files(spec):
        document["renewals"] = list(renewals)
    return tomlkit.dumps(document)


def _values(role: str, spec: StudySpec, address: Address) -> Mapping[str, str]:
    where = {
        "compute": {"listen": f"0.0.0.0:{address.port}", "storage": STATE["compute"]},
        "key": {"address": str(address), "output": STATE["key"]},
        "party": {"address": str(address), "audit": STATE["party"]},
    }[role]
    return {"study": spec.name + AGREEMENT_SUFFIX, "identity": IDENTITY, **where}
