"""What a container reaches, may do and holds, seen from inside while the study runs."""

from __future__ import annotations

import json

import pytest

from mpcseg.errors import UnhealthyError
from tests.cluster.conftest import Cluster
from tests.cluster.engine import docker, inside, signal_node
from tests.cluster.organisations import HUB, NOTARY, PARTIES, USER
from tests.cluster.watching import wait_until_healthy

pytestmark = pytest.mark.timeout(600)

CLIENTS = (NOTARY, *PARTIES[:-1])

# "refused" is an answer: the other one was reached, and has no such port.
CONNECT = """
import json, socket
from concurrent.futures import ThreadPoolExecutor

def attempt(target):
    try:
        socket.create_connection(target, timeout=3).close()
        return "connected"
    except ConnectionRefusedError:
        return "refused"
    except OSError:
        return "not reached"

targets = TARGETS
with ThreadPoolExecutor(len(targets)) as pool:
    found = pool.map(attempt, targets)
print(json.dumps({host: how for (host, _), how in zip(targets, found)}))
"""


def reached(container: str, *targets: tuple[str, int]) -> dict[str, str]:
    found: dict[str, str] = inside(container, CONNECT.replace("TARGETS", repr(list(targets))))
    return found


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_reaches_the_compute_node_alone(
    cluster: Cluster, running: dict[str, str], client: str
) -> None:
    others = {cluster.compose.address(name): name for name in CLIENTS if name != client}
    targets = [(host, 7443) for host in (*others, *others.values(), "1.1.1.1")]
    assert reached(running[client], (HUB, 7443), *targets) == {
        HUB: "connected",
        **{host: "not reached" for host, _ in targets},
    }


def test_the_compute_node_reaches_every_client_so_that_the_addresses_are_right(
    cluster: Cluster, running: dict[str, str]
) -> None:
    addresses = [cluster.compose.address(name) for name in CLIENTS]
    found = reached(running[HUB], *((address, 7443) for address in addresses))
    assert found == dict.fromkeys(addresses, "refused")  # clients listen nowhere


def test_the_compute_node_passes_nothing_on(running: dict[str, str]) -> None:
    program = "print(int(open('/proc/sys/net/ipv4/ip_forward').read()))"
    assert inside(running[HUB], program) == 0


def test_no_port_is_open_to_the_machine(running: dict[str, str]) -> None:
    for container in running.values():
        (state,) = json.loads(docker("inspect", container))
        assert not any(state["NetworkSettings"]["Ports"].values())


@pytest.mark.parametrize("name", [HUB, *CLIENTS])
def test_a_node_is_nobody_with_no_rights_on_a_file_system_that_it_cannot_change(
    running: dict[str, str], name: str
) -> None:
    found = inside(
        running[name],
        """
import errno, json, os
lines = open("/proc/1/status").read().splitlines()
status = dict(line.split(":\\t", 1) for line in lines if ":\\t" in line)
refused = []
for folder in ("/", "/etc", "/opt/mpcseg", "/study", "/usr/bin", "/home"):
    try:
        os.close(os.open(folder + "/x", os.O_CREAT | os.O_WRONLY))
    except OSError as error:
        refused.append(errno.errorcode[error.errno])
for folder in ("/tmp", "/state"):
    with open(folder + "/probe", "w"):
        pass
    os.unlink(folder + "/probe")
print(json.dumps({"ids": sorted(set(status["Uid"].split() + status["Gid"].split())),
    "effective": int(status["CapEff"], 16), "bounding": int(status["CapBnd"], 16),
    "no_new_privileges": status["NoNewPrivs"].strip(), "filter": status["Seccomp"].strip(),
    "refused": sorted(set(refused)), "n_refused": len(refused)}))
""",
    )
    assert found == {
        "ids": [str(USER)],
        "effective": 0,
        "bounding": 0,
        "no_new_privileges": "1",
        "filter": "2",
        "refused": found["refused"],
        "n_refused": 6,
    }
    assert set(found["refused"]) <= {"EROFS", "EACCES", "ENOENT"}


@pytest.mark.parametrize("name", [HUB, *CLIENTS])
def test_a_container_holds_the_secrets_of_its_own_organisation_alone(
    cluster: Cluster, running: dict[str, str], name: str
) -> None:
    owners = cluster.folders.owners
    found = inside(
        running[name],
        f"""
import hashlib, json, os
wanted = {sorted(owners)!r}
found = []
for at, folders, files in os.walk("/"):
    if at == "/":
        folders[:] = [name for name in folders if name not in ("proc", "sys", "dev")]
    for file in files:
        path = os.path.join(at, file)
        try:
            if os.path.isfile(path) and os.path.getsize(path) < 2_000_000:
                digest = hashlib.sha256(open(path, "rb").read()).hexdigest()
                found += [digest] if digest in wanted else []
        except OSError:
            pass
print(json.dumps(found))
""",
    )
    seen = {owners[digest] for digest in found}
    assert seen == {name}
    assert set(found) == {digest for digest, owner in owners.items() if owner == name}


def test_no_passphrase_is_in_what_the_engine_shows_of_a_container(
    cluster: Cluster, running: dict[str, str]
) -> None:
    shown = "".join(docker("inspect", container) for container in running.values())
    logs = "".join(docker("logs", container, errors=True) for container in running.values())
    for passphrase in cluster.folders.passphrases.values():
        assert len(passphrase) > 20
        assert passphrase not in shown + logs


@pytest.mark.parametrize("name", [HUB, *CLIENTS])
def test_a_node_that_hangs_is_not_healthy(
    cluster: Cluster, running: dict[str, str], name: str
) -> None:
    check = ("exec", running[name], "/opt/mpcseg/bin/mpcseg", "health")
    assert "runs" in docker(*check)
    signal_node(cluster.compose, name, "SIGSTOP")
    try:
        with pytest.raises(AssertionError, match=rf"ended with {UnhealthyError.exit_status}:"):
            docker(*check)
    finally:
        signal_node(cluster.compose, name, "SIGCONT")
    assert "runs" in docker(*check)
    wait_until_healthy(cluster.compose, name, seconds=60)
