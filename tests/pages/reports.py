"""Reports that the page tests open: of real tables, of real ciphertexts, and of odd studies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mpcseg.privacy.ledger import Ledger
from mpcseg.report.checkpoints import known_checkpoints
from mpcseg.report.received import Received
from mpcseg.study.cluster_range import ClusterRange
from mpcseg.study.results import NO_NOISE, make_results, open_results, privacy_spent
from mpcseg.study.spec import FeatureSpec
from tests.finished import finished_study
from tests.made_up import SPENT, agreed, finished
from tests.organisations import no_noise, study_spec
from tests.unit.study.clear_study import clear_schedule, plan_for, run_clear

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"

TABLES = {
    "cdnow_rfm": (
        FeatureSpec(name="recency_days", lower=0, upper=545),
        FeatureSpec(name="frequency", transform="log1p", lower=1, upper=200),
        FeatureSpec(name="monetary", transform="log1p", lower=0, upper=10_000),
    ),
    "wholesale": tuple(
        FeatureSpec(name=name, transform="log1p", lower=1, upper=200_000)
        for name in ("Fresh", "Milk", "Grocery", "Frozen", "Detergents_Paper", "Delicassen")
    ),
}


def real_table(
    name: str, k: int, epsilon: float | None, chosen: ClusterRange | None = None
) -> Received:
    """The report on a real table, its study run by the schedule on sums in the clear.

    With an epsilon, the sums have Gaussian noise of the plan's standard deviations; with a range
    up to k, the study chooses its number of segments.
    """
    features = TABLES[name]
    table = pd.read_csv(DATA / f"{name}.csv")
    records = np.column_stack(
        [np.clip(feature.scale(table[feature.name]), -1, 1) for feature in features]
    )
    names = [feature.name for feature in features]
    shape = {"n_clusters": k, "n_rounds": 8}
    terms = None if chosen is None else chosen.terms
    schedule = clear_schedule(features=names, epsilon=epsilon, scouting=terms, **shape)
    plan = plan_for(n_features=len(names), epsilon=epsilon, scouting=terms, **shape)
    noise = None if epsilon is None else (plan, np.random.default_rng(0))
    result = run_clear(schedule, [records], k, noise)
    privacy = no_noise() if epsilon is None else {"epsilon": epsilon}
    spec = study_spec(
        name=name.partition("_")[0],
        features=features,
        privacy=privacy,
        release={"report": ["alder"]},
        **(shape if chosen is None else {**shape, "n_clusters": chosen.model_dump()}),
    )
    spent = NO_NOISE
    if epsilon is not None:
        ledger = Ledger(plan, spec.digest)
        for record in result.history:
            ledger.spend(record.kind, record.index, record.sign)
        spent = privacy_spent(spec, ledger)
    return Received(spec, make_results(spec, "alder", result, spent))


def encrypted() -> Received:
    """The report on a study of real ciphertexts and processes, from what it left."""
    study = finished_study()
    own = study.nodes.parties[0]
    sealed = (study.left / "key" / "sealed" / f"{own.name}.sealed").read_bytes()
    results = open_results(study.spec, own, sealed)
    checkpoints = known_checkpoints(study.spec, study.left / "audit")
    return Received(study.spec, results, checkpoints=checkpoints)


def hostile() -> Received:
    """Names that try to be markup; an agreement refuses some of them."""
    features = tuple(
        FeatureSpec.model_construct(name=name, transform="identity", lower=0, upper=400)
        for name in ("<script>alert(1)</script>", "x" * 60 + " <img src=x onerror=alert(1)>")
    )
    spec = agreed(4, features=features, purpose="</style></svg><script>alert(2)</script>")
    return Received(spec, make_results(spec, "alder", finished([900, 500, 300, 90]), SPENT))


def hiding() -> Received:
    spec = agreed(5)
    return Received(spec, make_results(spec, "alder", finished([900, 500, 300, 40, 3]), SPENT))


def many() -> Received:
    spec = agreed(14)
    result = finished([200 + 10 * a for a in range(14)])
    return Received(spec, make_results(spec, "alder", result, SPENT))


REPORTS = {
    "cdnow": lambda: real_table("cdnow_rfm", 5, 1.0),
    "cdnow-exact": lambda: real_table("cdnow_rfm", 5, None),
    "cdnow-chosen": lambda: real_table("cdnow_rfm", 6, 2.0, ClusterRange(smallest=2, largest=6)),
    "wholesale": lambda: real_table("wholesale", 4, None),
    "encrypted": encrypted,
    "hostile": hostile,
    "hiding": hiding,
    "many": many,
}
REAL = {"cdnow", "cdnow-exact", "cdnow-chosen", "wholesale"}
