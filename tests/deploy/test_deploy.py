"""Services and manifests: checked by systemd and by the schemas of the Kubernetes API."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from mpcseg.ckks.capacity import needs
from mpcseg.ckks.planner import plan_study
from mpcseg.errors import StorageError, SuspendedError, subclasses

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
ROLES = ("compute", "key", "party")
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
KUBERNETES = "1.37"

USAGE = 2
"""A command line that cannot be read."""

OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def table_of_statuses() -> dict[int, tuple[str, bool]]:
    """From docs/operations.md: the code by exit status, and whether starting again can mend it."""
    rows = re.findall(
        r"^\| (\d+) \| `([a-z_]+)` \|.*\| (yes|no|stopped) \|$", OPERATIONS, re.MULTILINE
    )
    return {int(status): (code, mends == "yes") for status, code, mends in rows}


def not_started_again() -> set[int]:
    """The statuses after which services stay down."""
    never = {status for status, (_, mends) in table_of_statuses().items() if not mends}
    return (never | {USAGE}) - {SuspendedError.exit_status}


def unit(role: str) -> str:
    return (DEPLOY / "systemd" / f"mpcseg-{role}@.service").read_text(encoding="utf-8")


def values(text: str, field: str) -> list[str]:
    return re.findall(rf"^{field}=(.*)$", text, re.MULTILINE)


def documents(kind: str | None = None) -> Iterator[dict[str, Any]]:
    for path in MANIFESTS:
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            if kind in (None, document["kind"]):
                yield document


def workloads() -> dict[str, dict[str, Any]]:
    """The StatefulSet and the Jobs by role."""
    found = [*documents("StatefulSet"), *documents("Job")]
    return {one["metadata"]["name"].removeprefix("mpcseg-"): one for one in found}


def test_the_handbook_lists_every_exit_status() -> None:
    known = {cls.exit_status: cls.code for cls in subclasses().values()}
    assert {status: code for status, (code, _) in table_of_statuses().items()} == known


@pytest.mark.parametrize("role", ROLES)
def test_services_are_started_again_exactly_where_that_can_mend_something(role: str) -> None:
    text = unit(role)
    assert values(text, "Restart") == ["on-failure"]
    (prevented,) = values(text, "RestartPreventExitStatus")
    assert set(map(int, prevented.split())) == not_started_again()
    assert StorageError.exit_status not in not_started_again()
    assert values(text, "SuccessExitStatus") == [str(SuspendedError.exit_status)]


@pytest.mark.parametrize("role", ROLES)
def test_systemd_accepts_a_service_and_finds_it_confined(tmp_path: Path, role: str) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed here")
    path = tmp_path / f"mpcseg-{role}@.service"
    mpcseg = Path(sys.executable).with_name("mpcseg")
    path.write_text(unit(role).replace("/opt/mpcseg/bin/mpcseg", str(mpcseg)))
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True, check=False
    )
    assert (verified.returncode, verified.stderr) == (0, "")
    # 0 is locked away and 10 wide open; what is left is that it may use the network.
    secured = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=15", path],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert secured.returncode == 0, secured.stdout


@pytest.mark.parametrize("role", ROLES)
def test_a_service_is_started_with_options_that_exist(role: str) -> None:
    (command,) = values(unit(role), "ExecStart")
    verify_options(command.split()[1:])
    assert values(unit(role), "User") == ["mpcseg"]
    assert values(unit(role), "ProtectSystem") == ["strict"]
    assert values(unit(role), "LoadCredential") == ["passphrase:/etc/mpcseg/%i/passphrase"]


@pytest.mark.parametrize("role", ROLES)
def test_what_services_and_pods_write_for_collectors_has_no_value_in_it(role: str) -> None:
    (command,) = values(unit(role), "ExecStart")
    (container,) = workloads()[role]["spec"]["template"]["spec"]["containers"]
    for arguments in (command.split(), container["args"]):
        assert arguments[-2:] == ["--log-file", "-"]
        assert "--progress" not in arguments


def verify_options(arguments: list[str]) -> None:
    """Check that `mpcseg ROLE VERB` has every option that is given to it."""
    shown = subprocess.run(
        [Path(sys.executable).with_name("mpcseg"), *arguments[:2], "--help"],
        capture_output=True, text=True, check=True, env={"COLUMNS": "200", "PATH": ""},
    ).stdout  # fmt: skip
    for option in arguments[2:]:
        if option.startswith("--"):
            assert re.search(rf"{option}\b", shown), option


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_a_manifest_is_what_the_kubernetes_api_takes(path: Path) -> None:
    found = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    assert found
    for document in found:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)


def test_a_wrong_manifest_is_found() -> None:
    document = next(documents("Job"))
    document["spec"]["template"]["spec"]["containers"][0]["securityContext"]["readOnlyRoot"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, KUBERNETES, strict=True)


def test_every_role_has_its_workload_and_its_network_policy() -> None:
    assert workloads().keys() == set(ROLES)
    assert workloads()["compute"]["kind"] == "StatefulSet"
    policies = {one["metadata"]["name"]: one["spec"] for one in documents("NetworkPolicy")}
    for role, workload in workloads().items():
        policy = policies[f"mpcseg-{role}"]
        assert policy["policyTypes"] == ["Ingress", "Egress"]
        labels = workload["spec"]["template"]["metadata"]["labels"]
        assert policy["podSelector"]["matchLabels"] == labels
        open_to_all = [rule for rule in policy["ingress"] if "from" not in rule]
        assert [port["port"] for rule in open_to_all for port in rule["ports"]] == (
            ["grpc"] if role == "compute" else []
        )
    assert policies["mpcseg-compute"]["egress"] == []


@pytest.mark.parametrize("role", ROLES)
def test_pods_are_confined_and_get_secrets_as_files(role: str) -> None:
    pod = workloads()[role]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert all("value" in variable for variable in container["env"]), "a secret as a variable"
    (kit,) = [volume["projected"] for volume in pod["volumes"] if volume["name"] == "kit"]
    # No more than what `load_identity` takes: root's, for the node's group to read.
    assert kit["defaultMode"] == 0o440
    assert {"startupProbe", "livenessProbe"} <= container.keys()
    verify_options(container["args"])
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    claims = workloads()[role]["spec"].get("volumeClaimTemplates", [])
    volumes = {volume["name"] for volume in [*pod["volumes"], *(one["metadata"] for one in claims)]}
    assert mounts == volumes


@pytest.mark.parametrize("role", ["key", "party"])
def test_jobs_are_started_again_exactly_where_that_can_mend_something(role: str) -> None:
    rules = workloads()[role]["spec"]["podFailurePolicy"]["rules"]
    (fails,) = [rule["onExitCodes"] for rule in rules if rule["action"] == "FailJob"]
    assert fails["operator"] == "In"
    assert set(fails["values"]) == not_started_again()


def test_requests_are_what_the_plan_says_of_the_example() -> None:
    """Of parties/study.toml: four segments, three features, eight rounds, two parties."""
    plan = plan_study(n_clusters=4, n_features=3, n_rounds=8, most_records=(5000, 3000))
    planned = {one.node: one for one in needs(plan, workers=2)}
    for role, workload in workloads().items():
        (container,) = workload["spec"]["template"]["spec"]["containers"]
        request = quantity(container["resources"]["requests"]["memory"])
        assert planned[role].memory <= request < 3 * planned[role].memory, role
        assert request < quantity(container["resources"]["limits"]["memory"])
    (claim,) = workloads()["compute"]["spec"]["volumeClaimTemplates"]
    assert planned["compute"].disk < quantity(claim["spec"]["resources"]["requests"]["storage"])


def quantity(text: str) -> float:
    number, unit = re.fullmatch(r"(\d+)([MG])i", text).groups()  # type: ignore[union-attr]
    return int(number) * {"M": 2.0**20, "G": 2.0**30}[unit]


def test_no_manifest_holds_a_secret() -> None:
    for secret in documents("Secret"):
        assert not any(secret["data"].values())
