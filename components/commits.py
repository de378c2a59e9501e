"""What `lbu commit` changed on machines, as resources whose refresh shows it.

Owns what a commit looks like in Pulumi's state: its sha256, "" for none. No `up` changes one, so
it is drift that `pulumi refresh` tells, and what was committed stays. Leaves commits to the
control plane (docs/control-plane.md), looking to the `lab` command.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
from pulumi.dynamic import (
    CreateResult,
    DiffResult,
    ReadResult,
    Resource,
    ResourceProvider,
    UpdateResult,
)

from artefacts import run
from config.settings import PROJECT, Settings

OUTPUT = "commit"


class CommitProvider(ResourceProvider):
    """Looks on the boot server; Pulumi runs it in a process of its own, which imports this."""

    serialize_as_secret_always = False  # it holds nothing

    def create(self, props: Mapping[str, Any]) -> CreateResult:
        """As it is now."""
        return CreateResult(props["machine"], _seen(props))

    def read(self, id_: str, props: Mapping[str, Any]) -> ReadResult:
        """As it is now, for `pulumi refresh`."""
        return ReadResult(id_, _seen(props))

    def diff(self, _id: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> DiffResult:
        """Only the program's own commits change what it expects; contacts nobody."""
        return DiffResult(changes=any(old.get(key) != new[key] for key in new if key != OUTPUT))

    def update(self, _id: str, _old: Mapping[str, Any], new: Mapping[str, Any]) -> UpdateResult:
        """As it is after the program's own commit."""
        return UpdateResult(_seen(new))


def _seen(props: Mapping[str, Any]) -> dict[str, Any]:
    look = ["lab", "--stack", props["stack"], "committed", props["machine"]]
    return {**props, OUTPUT: run(look, cwd=PROJECT).strip()}


class Commit(Resource, module="rack", name="Commit"):
    """One machine's. `wanted`: when one of these changes the program itself has committed."""

    commit: pulumi.Output[str]

    def __init__(
        self,
        settings: Settings,
        machine: str,
        wanted: Sequence[pulumi.Input[str]],
        opts: pulumi.ResourceOptions,
    ) -> None:
        props = {"stack": settings.stack, "machine": machine, "wanted": list(wanted), OUTPUT: None}
        super().__init__(CommitProvider(), f"{machine}-changes", props, opts)
