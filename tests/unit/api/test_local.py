"""Studies in this process that end before they begin; others are in test_kmeans."""

from __future__ import annotations

import multiprocessing
import threading

import numpy as np
import pytest

from mpcseg.api import local
from mpcseg.api.local import run_local_study
from mpcseg.customers.cohort import Cohort
from mpcseg.demo.workspace import StudyShape
from mpcseg.errors import ConfigError, ListenError
from tests.organisations import features

SHAPE = StudyShape(n_clusters=2, n_rounds=1, seed=0, epsilon=1.0)


def cohort() -> Cohort:
    return Cohort(records=np.zeros((4, 1)), n_clipped=(0,), warnings=())


def test_a_script_that_a_worker_runs_once_more_is_told_why(monkeypatch: pytest.MonkeyPatch) -> None:
    # What multiprocessing sets while a new process looks at the script that began it.
    monkeypatch.setattr(multiprocessing.current_process(), "_inheriting", True, raising=False)
    with pytest.raises(ConfigError, match="once more") as caught:
        run_local_study(features("x0"), {"a": cohort()}, SHAPE, workers=1)
    assert "__main__" in caught.value.hint


def test_a_compute_node_that_cannot_listen_ends_the_study(monkeypatch: pytest.MonkeyPatch) -> None:
    # Nobody has this address: RFC 5737 keeps it for documents.
    monkeypatch.setattr(local, "LOOPBACK", "192.0.2.1")
    with pytest.raises(ListenError, match=r"192\.0\.2\.1"):
        run_local_study(features("x0"), {"a": cohort()}, SHAPE, workers=1)
    assert not [one for one in threading.enumerate() if one.name.startswith("mpcseg ")]


def test_a_party_may_not_have_another_nodes_name() -> None:
    with pytest.raises(ConfigError, match="'notary'"):
        run_local_study(features("x0"), {"notary": cohort()}, SHAPE, workers=1)
