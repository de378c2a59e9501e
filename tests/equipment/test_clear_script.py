"""Removing what carries a stack's tag, with programs that note what they are told."""

import os
import subprocess
from pathlib import Path

import pytest

import equipment
from config.access import LabMachine
from config.load import FOLDER, load_topology
from config.profile import KVM
from config.settings import Settings
from lab import clear

VIRSH = """echo "virsh $*" >>"$NOTES"
case "$*" in
    *net-list*) printf "mini-lan\\nquorum-lan\\n" ;;
    *list*) printf "mini-laptop\\nquorum-laptop\\n" ;;
esac"""
OVS = """case "$*" in
    *list-br) printf "mini-old\\nquorum-lan\\nbr0\\n" ;;
    *"get bridge mini-old"*) echo '"rack-lab.mini"' ;;
    *"get bridge quorum-lan"*) echo '"rack-lab.quorum"' ;;
    *del-br*) echo "ovs-vsctl $*" >>"$NOTES" ;;
esac"""
SILENT = ("list", "net-list")


def told(folder: Path, kind: str) -> list[str]:
    """What the programs were told that changes something."""
    for name, script in (("virsh", VIRSH), ("ovs-vsctl", OVS)):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    defined = folder / "qemu"
    (defined / "networks").mkdir(parents=True)
    owners = {"mini-laptop": "mini", "mini-router": "mini", "quorum-laptop": "quorum", "vm": None}
    for name, stack in owners.items():
        (defined / f"{name}.xml").write_text(f"<o>rack-lab.{stack}</o>" if stack else "<x/>")
    for name in ("mini", "mini2"):
        (defined / f"networks/{name}-lan.xml").write_text(f"<o>rack-lab.{name}</o>")
    script = (equipment.FOLDER / "clear.sh").read_text()
    subprocess.run(
        ["sh", "-s", "--", kind, "rack-lab.mini"],
        input=script.replace("/etc/libvirt/qemu", str(defined)), text=True, check=True,
        env={"PATH": f"{folder}:{os.environ['PATH']}", "NOTES": str(folder / "notes")},
    )  # fmt: skip
    notes = (folder / "notes").read_text().replace(" -c qemu:///system", "").splitlines()
    return [note for note in notes if note.split()[1] not in SILENT]


def test_machines_of_the_stack_are_switched_off_and_forgotten(tmp_path: Path) -> None:
    forget = "virsh undefine --managed-save --snapshots-metadata"
    assert told(tmp_path, "domains") == [
        "virsh destroy mini-laptop", f"{forget} mini-laptop", f"{forget} mini-router",
    ]  # fmt: skip


def test_networks_of_a_former_topology_go_too(tmp_path: Path) -> None:
    assert told(tmp_path, "networks") == [
        "virsh net-destroy mini-lan", "virsh net-undefine mini-lan",
        "ovs-vsctl --timeout=60 del-br mini-old",
    ]  # fmt: skip


def test_first_go_the_machines_then_what_they_stand_on(monkeypatch: pytest.MonkeyPatch) -> None:
    topology = load_topology(FOLDER / "mini.yaml", "mini")
    settings = Settings("mini", topology, LabMachine(host=None), KVM, "00" * 32)
    said: list[list[str]] = []
    monkeypatch.setattr(clear, "ask", lambda _, __, words, stdin: said.append(words))
    clear.clear(settings)
    pieces = [piece.removing for piece in equipment.everything("mini", topology)]
    assert len(pieces) > 10
    assert said[0] == ["sh", "-s", "--", "domains", "rack-lab.mini"]
    assert said[1:-1] == pieces[::-1]
    assert said[-1] == ["sh", "-s", "--", "networks", "rack-lab.mini"]
