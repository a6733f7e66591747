"""The commands of a demonstration: those that the organisations of a real study would give."""

from __future__ import annotations

from mpcseg.demo.workspace import NodeFolder, Workspace


class Commands:
    """Command lines of mpcseg for the nodes of a workspace.

    Args:
        workspace: of the demonstration.

    Attributes:
        address: of the compute node; known once it listens.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self.address = ""

    def serve(self) -> list[str]:
        """Run the compute node."""
        return ["compute", "serve", *self._node(self._workspace.compute)]

    def key(self) -> list[str]:
        """Run the key node, which here tells what no recipient gets, for the comparison."""
        node = self._workspace.key
        trial = ["--trial-output", str(node.trial)]
        return ["key", "run", *self._node(node), "--address", self.address, *trial]

    def party(self, party: NodeFolder) -> list[str]:
        """Run a party node."""
        return ["party", "run", *self._node(party), "--address", self.address]

    def results(self, party: NodeFolder) -> list[str]:
        """Fetch a party's results, and label its customers."""
        table = ["--data", str(party.table), "--id-column", self._workspace.id_column]
        files = ["--output", str(party.results), "--labels", str(party.labels)]
        audit = ["--audit", str(party.audit)]
        return ["party", "results", *self._visit(party), *table, *files, *audit]

    def close(self) -> list[str]:
        """Close the study, as the key node's organisation."""
        study = str(self._workspace.study)
        record = ["--record", str(self._workspace.closing_record)]
        identity = ["--identity", str(self._workspace.key.identity)]
        return ["study", "close", study, *identity, "--address", self.address, *record]

    def _node(self, node: NodeFolder) -> list[str]:
        files = ["--config", str(node.config), "--summary", str(node.summary)]
        return [*files, "--progress", "json"]

    def _visit(self, node: NodeFolder) -> list[str]:
        study = ["--study", str(self._workspace.study), "--identity", str(node.identity)]
        return [*study, "--address", self.address]
