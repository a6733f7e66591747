"""The container engine, through its command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

IMAGE = os.environ.get("MPCSEG_IMAGE", "mpcseg:latest")
PYTHON = "/opt/mpcseg/bin/python"
CONFINED = ("--network", "none", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL")  # noqa: S108
COMPOSE_FILE = Path(__file__).resolve().parents[2] / "docker" / "compose.yaml"


def docker(
    *arguments: object, seconds: float = 300.0, given: str | None = None, errors: bool = False
) -> str:
    """Run ``docker``; returns standard output, and fails with everything that was said.

    Args:
        arguments: of the command.
        seconds: that it may take.
        given: its standard input.
        errors: return standard error too.
    """
    command = ["docker", *map(str, arguments)]
    return _run(command, seconds=seconds, given=given, errors=errors)


def inside(container: str, program: str) -> Any:
    """Run a Python program in a running container, which has no shell; what it prints as JSON."""
    return json.loads(docker("exec", "-i", container, PYTHON, "-I", "-", given=program))


def in_image(program: str) -> Any:
    """Run a Python program in a container of the image alone."""
    return json.loads(
        docker("run", "--rm", "-i", "--network", "none", "--entrypoint", PYTHON, IMAGE, "-I", "-",
               given=program)
    )  # fmt: skip


class Compose:
    """A compose project.

    Args:
        project: its name, which its containers, volumes and networks carry.
        study: the folder of the organisations' folders.
    """

    def __init__(self, project: str, study: Path) -> None:
        self._project = project
        self._environment = {"MPCSEG_STUDY": str(study), "MPCSEG_IMAGE": IMAGE}

    def __call__(self, *arguments: object, seconds: float = 300.0) -> str:
        command = [*_compose(), "-p", self._project, "-f", str(COMPOSE_FILE), *map(str, arguments)]
        return _run(command, seconds=seconds, environment=self._environment)

    def container(self, service: str) -> str:
        """The identifier of a service's container, whether it runs or has ended."""
        label = "label=com.docker.compose.{}={}".format
        found = docker(
            "ps", "-aq", "--no-trunc", "--filter", label("project", self._project),
            "--filter", label("service", service), "--filter", label("oneoff", "False"),
        ).split()  # fmt: skip
        assert len(found) == 1, (service, found)
        return found[0]

    def volume(self, name: str) -> str:
        """The engine's name of a volume."""
        return f"{self._project}_{name}"

    def state(self, service: str) -> dict[str, Any]:
        """What the engine knows of a service's container."""
        (found,) = json.loads(docker("inspect", self.container(service)))
        assert isinstance(found, dict)
        return found

    def address(self, service: str) -> str:
        """The address of a service that has one network."""
        (network,) = self.state(service)["NetworkSettings"]["Networks"].values()
        return str(network["IPAddress"])


def signal_node(compose: Compose, service: str, name: str) -> None:
    """Send a node's process a signal past the engine, to which a kill is then a crash."""
    process = compose.state(service)["State"]["Pid"]
    docker(
        "run", "--rm", "--pid", "host", "--user", "0", "--entrypoint", PYTHON, IMAGE,
        "-c", f"import os, signal; os.kill({process}, signal.{name})",
    )  # fmt: skip


def _compose() -> list[str]:
    """Version 2 is a plug-in of ``docker``, version 1 a program of its own."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if plugin.returncode == 0:
        return ["docker", "compose"]
    assert shutil.which("docker-compose"), "neither docker compose nor docker-compose is installed"
    return ["docker-compose"]


def _run(
    command: list[str],
    *,
    seconds: float,
    given: str | None = None,
    environment: Mapping[str, str] | None = None,
    errors: bool = False,
) -> str:
    done = subprocess.run(
        command, input=given, capture_output=True, text=True, timeout=seconds, check=False,
        env={**os.environ, **(environment or {})},
    )  # fmt: skip
    if done.returncode != 0:
        raise AssertionError(
            f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        )
    return done.stdout + done.stderr if errors else done.stdout


def seconds_of(action: Callable[..., object], *arguments: object) -> float:
    """How long something takes."""
    began = time.monotonic()
    action(*arguments)
    return time.monotonic() - began
