"""One organisation's kit as files in memory: the same agreement gives the same bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import jinja2

from mpcseg import __version__
from mpcseg.kit.configuration import configuration, renewal_files, template
from mpcseg.kit.holders import Address, Holder
from mpcseg.kit.readme import VERBS, WRITTEN, readme
from mpcseg.study.agreement import AGREEMENT_SUFFIX, Agreement
from mpcseg.study.renewal import Renewal

SUMS_FILE = "SHA256SUMS"


def kit(
    agreement: Agreement, holder: Holder, address: Address, renewals: Sequence[Renewal] = ()
) -> Mapping[str, bytes]:
    """What one organisation starts from.

    Nothing is read but the agreement and mpcseg's own templates: there is no way for a private key
    into a kit.

    Args:
        agreement: signed by everybody, which the caller has checked.
        holder: the organisation, one of `mpcseg.kit.holders.holders`.
        address: of the compute node.
        renewals: with which the agreement was loaded, in order.

    Returns:
        Contents by path inside the kit's folder, in the order of their names.
    """
    spec = agreement.spec
    versions = (renewal.canonical for renewal in renewals)
    made = {
        **dict(zip(renewal_files(spec), versions, strict=True)),
        spec.name + AGREEMENT_SUFFIX: agreement.canonical,
        "README.md": readme(spec, holder, address).encode(),
        "compose.yaml": _compose(spec.name, holder, address).encode(),
    }
    for role in holder.roles:
        made[f"{role}.toml"] = configuration(role, spec, address).encode()
        unit = f"mpcseg-{role}@.service"
        made[f"systemd/{unit}"] = template(unit).encode()
    for card in spec.organisations:
        made[f"cards/{card.name}.json"] = card.canonical
        made[f"cards/{card.name}.pem"] = card.certificate_pem
    made[SUMS_FILE] = _sums(made)
    return dict(sorted(made.items()))


def _compose(study: str, holder: Holder, address: Address) -> str:
    return _ENVIRONMENT.from_string(template("compose.yaml.j2")).render(
        study=study,
        agreement=study + AGREEMENT_SUFFIX,
        holder=holder,
        port=address.port,
        verbs=VERBS,
        folders=WRITTEN,
        version=__version__,
    )


def _sums(made: Mapping[str, bytes]) -> bytes:
    """As `sha256sum --check` reads it."""
    lines = (f"{hashlib.sha256(made[path]).hexdigest()}  {path}\n" for path in sorted(made))
    return "".join(lines).encode()


# YAML and Markdown, which HTML's escapes would damage; names are those of `NODE_NAME`.
_ENVIRONMENT = jinja2.Environment(  # noqa: S701
    undefined=jinja2.StrictUndefined, keep_trailing_newline=True
)
