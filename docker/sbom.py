"""Write the image's list of parts (SBOM, CycloneDX 1.6): its Python and its Debian packages.

Runs in the build stage of the Dockerfile, after assemble.py.

    python sbom.py /opt/mpcseg /image
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import sys
import uuid
from importlib.metadata import Distribution, distributions
from pathlib import Path

from cyclonedx.factory.license import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

PACKAGES = Path("/work/packages.json")
WHEELS = (Path("/work/wheelhouse"), Path("/work/dist"))
PLACE = "usr/share/doc/mpcseg/sbom.json"
ROOT = "mpcseg"


def main(environment: Path, image: Path) -> None:
    """Write the list into the image."""
    (site,) = environment.glob("lib/python3*/site-packages")
    found: dict[str, Distribution] = {
        canonicalize_name(found.name): found for found in distributions(path=[str(site)])
    }
    base = json.loads(PACKAGES.read_text())
    components: dict[str, Component] = {
        name: _python_component(name, found[name]) for name in sorted(found)
    }
    root = components.pop(ROOT)
    debian = [_debian_component(package) for package in base["packages"]]
    if base["interpreter"] is not None:
        debian.append(_interpreter(base["interpreter"]))

    bom = Bom(components=[*components.values(), *debian])
    bom.metadata = BomMetaData(component=root, timestamp=_moment())
    everything = {**components, ROOT: root}
    for name, component in everything.items():
        needs = [everything[need] for need in _needs(found[name]) if need in everything]
        bom.register_dependency(component, [*needs, *(debian if name == ROOT else [])])
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, _digest([*everything.values(), *debian]))
    text = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=1)
    place = image / PLACE
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text + "\n", encoding="utf-8")
    for path in (place, *place.parents):
        if path.is_relative_to(image):
            os.utime(path, (_moment().timestamp(),) * 2)
    print(f"image: {len(everything)} Python and {len(debian)} other packages listed in /{PLACE}")


def _python_component(name: str, found: Distribution) -> Component:
    licence = found.metadata.json.get("license_expression")
    return Component(
        name=found.name,
        version=found.version,
        type=ComponentType.APPLICATION if name == ROOT else ComponentType.LIBRARY,
        purl=PackageURL("pypi", None, name, found.version),
        bom_ref=f"pypi:{name}@{found.version}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=_wheel_hash(name, found.version))],
        licenses=[LicenseFactory().make_from_string(str(licence))] if licence else None,
    )


def _wheel_hash(name: str, version: str) -> str:
    """Of the file that was installed, which requirements.lock has as well."""
    for folder in WHEELS:
        for path in folder.glob("*.whl"):
            wheel, wheel_version, _, _ = parse_wheel_filename(path.name)
            if wheel == name and str(wheel_version) == version:
                return hashlib.sha256(path.read_bytes()).hexdigest()
    raise SystemExit(f"error: no wheel of {name} {version} was given to the build")


def _debian_component(package: dict[str, str]) -> Component:
    qualifiers = {"arch": package["architecture"], "distro": "debian-12"}
    return Component(
        name=package["name"],
        version=package["version"],
        purl=PackageURL("deb", "debian", package["name"], package["version"], qualifiers),
        bom_ref=f"deb:{package['name']}@{package['version']}",
        properties=[
            Property(name="debian:source", value=f"{package['source']}@{package['source_version']}")
        ],
    )


def _interpreter(version: str) -> Component:
    return Component(
        name="python",
        version=version,
        purl=PackageURL("generic", None, "python", version),
        bom_ref=f"generic:python@{version}",
    )


def _needs(found: Distribution) -> list[str]:
    requirements = [Requirement(text) for text in found.requires or ()]
    return [
        canonicalize_name(need.name)
        for need in requirements
        if need.marker is None or any(need.marker.evaluate({"extra": e}) for e in ("", "sql"))
    ]


def _digest(components: list[Component]) -> str:
    refs = sorted(str(component.bom_ref) for component in components)
    return hashlib.sha256("\n".join(refs).encode()).hexdigest()


def _moment() -> datetime.datetime:
    return datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), tz=datetime.UTC)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
