"""Which uploads and which noise make a round, for the compute node and whoever replays its work."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mpcseg.ckks.packing import SlotRange
from mpcseg.engine import Block, BlockFiles, PartyUploads, RoundSecrets, RoundWork
from mpcseg.nodes.blob_store import StudyFiles
from mpcseg.nodes.roles import Caller
from mpcseg.nodes.study_rules import RoundOrder, block_names
from mpcseg.reference.columns import NO_COLUMNS, ColumnLayout
from mpcseg.reference.rounds import SCOUT_KINDS, scout_sample


@dataclass(frozen=True)
class StudyUploads:
    """What the parties of a study uploaded.

    Attributes:
        parties: every party's uploads and where in a shared block they may stand.
        blocks: every party's blocks; those of parties that share one are added up.
        columns: profile columns.
    """

    parties: tuple[PartyUploads, ...]
    blocks: tuple[Block, ...]
    columns: ColumnLayout = NO_COLUMNS


def study_uploads(
    files: StudyFiles,
    slot_ranges: Mapping[Caller, SlotRange | None],
    n_blocks: Mapping[Caller, int],
    n_features: int,
    columns: ColumnLayout = NO_COLUMNS,
) -> StudyUploads:
    """Sort the parties' files into what rounds work on.

    Args:
        files: of the study.
        slot_ranges: each party's place in a shared block, in the agreement's order.
        n_blocks: how many each party uploaded.
        n_features: d.
        columns: profile columns.
    """
    parties = []
    alone: list[Block] = []
    shared: dict[int, list[BlockFiles]] = {}
    for number, (party, place) in enumerate(slot_ranges.items()):
        names = block_names(n_blocks[party], n_features, columns)
        paths = [files.path(party, name) for name in names]
        uploads = [
            BlockFiles(
                features=tuple(row[:n_features]),
                presence=row[n_features],
                columns=tuple(row[n_features + 1 :]),
                party=number,
            )
            for row in _rows(paths, n_features + 1 + columns.n_vectors)
        ]
        parties.append(PartyUploads(tuple(uploads), place))
        if place is None:
            alone.extend(Block((upload,)) for upload in uploads)
        else:
            shared.setdefault(place.group, []).extend(uploads)
    blocks = alone + [Block(tuple(uploads)) for uploads in shared.values()]
    return StudyUploads(tuple(parties), tuple(blocks), columns)


def _rows(paths: Sequence[Path], length: int) -> list[Sequence[Path]]:
    return [paths[i : i + length] for i in range(0, len(paths), length)]


def round_work(
    order: RoundOrder,
    n_clusters: int,
    uploads: StudyUploads,
    radius: float | None,
    secrets: RoundSecrets,
    hyperplanes: Sequence[Awaitable[Sequence[Path]]] = (),
) -> RoundWork:
    """Return a round as the engine runs it.

    Args:
        order: what the key node asks for.
        n_clusters: k, of this round.
        uploads: of the study.
        radius: agreed L2 radius of a record, if there is one.
        secrets: the round's seed, and its noise if it is to have any.
        hyperplanes: for each pair, resolves to its files.
    """
    blocks: Sequence[Block] = uploads.blocks
    if order.kind in SCOUT_KINDS:
        blocks = scout_sample(blocks, len(uploads.parties))
    return RoundWork(
        kind=order.kind,
        index=order.index,
        sign=order.sign,
        n_clusters=n_clusters,
        blocks=blocks,
        hyperplanes=hyperplanes,
        parties=uploads.parties,
        radius=radius,
        columns=uploads.columns,
        noise=secrets.noise,
        seed=secrets.seed,
    )
