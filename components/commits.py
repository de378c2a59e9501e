"""What `lbu commit` changed on machines, as resources whose refresh shows it.

Owns what a commit looks like in Pulumi's state: `commit`, the sha256 last seen ("" for none), and
`kept`, the one that the last `up` knew of. They differ after `pulumi refresh` has found another
one, which is drift; the next `up` shows it too, and keeps the commit. Leaves commits to the
control plane (docs/control-plane.md), looking to the `lab` command.
"""

import os
import sys
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

from artefacts import LabError, run
from config.settings import PROJECT, Settings


class CommitProvider(ResourceProvider):
    """Looks on the boot server; Pulumi runs it in a process of its own, which imports this."""

    serialize_as_secret_always = False  # it holds nothing

    def create(self, props: Mapping[str, Any]) -> CreateResult:
        """As it is now."""
        return CreateResult(props["machine"], _kept(props))

    def read(self, id_: str, props: Mapping[str, Any]) -> ReadResult:
        """As it is now, for `pulumi refresh`; as last seen if no boot server can be asked."""
        try:
            return ReadResult(id_, {**props, "commit": _seen(props)})
        except LabError as error:
            print(f"{error}\nkept as last seen", file=sys.stderr)
            return ReadResult(id_, {**props})

    def diff(self, _id: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> DiffResult:
        """Another commit than the last `up` knew of, or one of the program; contacts nobody."""
        changes = old["wanted"] != new["wanted"] or old["commit"] != old["kept"]
        return DiffResult(changes=changes)

    def update(self, _id: str, _old: Mapping[str, Any], new: Mapping[str, Any]) -> UpdateResult:
        """What was committed stays."""
        return UpdateResult(_kept(new))


def _kept(props: Mapping[str, Any]) -> dict[str, Any]:
    return {**props, **dict.fromkeys(("commit", "kept"), _seen(props))}


def _seen(props: Mapping[str, Any]) -> str:
    look = ["lab", "--stack", props["stack"], "committed", props["machine"]]
    return run(look, cwd=PROJECT, env=os.environ).strip()


class Commit(Resource, module="rack", name="Commit"):
    """One machine's. `wanted`: when one of these changes the program itself has committed."""

    commit: pulumi.Output[str]
    kept: pulumi.Output[str]

    def __init__(
        self,
        settings: Settings,
        machine: str,
        wanted: Sequence[pulumi.Input[str]],
        opts: pulumi.ResourceOptions,
    ) -> None:
        inputs = {"stack": settings.stack, "machine": machine, "wanted": list(wanted)}
        outputs = dict.fromkeys(("commit", "kept"))
        super().__init__(CommitProvider(), f"{machine}-changes", inputs | outputs, opts)
