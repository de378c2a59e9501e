"""The real program's graph under a recording monitor, against a golden file.

The topologies RACKS are the input. What depends on guest/ and alpine/ (image
keys, overlay digests) is fixed, so the golden changes only when the graph does.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml
from golden import assert_golden
from pulumi.runtime import mocks
from pulumi.runtime.settings import Settings as RuntimeSettings
from pulumi.runtime.settings import configure
from pulumi.runtime.stack import wait_for_rpcs

from components import rack
from config import names
from config.settings import Settings, load_settings

RACKS = ("mini", "moving", "quorum", "rack")
SEED = "00" * 32


class FixedOutputs(mocks.Mocks):
    """Every resource gets an id and gives back its inputs."""

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        return f"{args.name}-id", dict(args.inputs) | {"stdout": ""}

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[Any, Any], None]:
        raise AssertionError(f"the program calls no function, this one was called: {args.token}")


class RecordingMonitor(mocks.MockMonitor):
    """Keeps what the mocks don't: urns (each once), dependencies, registered outputs."""

    def __init__(self, rack: str) -> None:
        super().__init__(FixedOutputs())
        self.rack = rack
        self.requests: dict[str, Any] = {}
        self.outputs: set[str] = set()

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 (gRPC's name)
        answer = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        assert answer.urn not in self.requests, f"{answer.urn} stands twice"
        self.requests[answer.urn] = request
        return answer

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802
        self.outputs.add(request.urn)
        return super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module", params=RACKS)
def monitor(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> RecordingMonitor:
    return record(request.param, tmp_path_factory.mktemp("stack"))


def record(topology: str, folder: Path) -> RecordingMonitor:
    """Run the program for a shipped topology."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            rack, "image_key", lambda role, extra, _release: "-".join(["key-of", role, *extra])
        )
        patch.setattr(rack, "common_key", lambda _release: "key-of-boot-files")
        patch.setattr(rack, "overlay", lambda *_: b"overlay")
        patch.setattr("config.settings.stack_folder", lambda _: folder)
        patch.setattr(Settings, "ssh_config", Path("ssh_config"))
        (folder / "seed").write_text(SEED)
        settings = load_settings(topology, {"topology": topology}.get)
        recording = RecordingMonitor(topology)
        asyncio.run(_run(recording, settings))
    return recording


async def _run(monitor: RecordingMonitor, settings: Settings, *, preview: bool = False) -> None:
    configure(
        RuntimeSettings(monitor=monitor, project="rack-lab", stack=settings.stack, dry_run=preview)
    )
    rack.Rack(settings)
    await wait_for_rpcs()


def graph(monitor: RecordingMonitor) -> dict[str, dict[str, Any]]:
    """Each resource by `type name`: parent, what it waits for, what deletes it, its command."""
    names = {urn: f"{r.type} {r.name}" for urn, r in monitor.requests.items()}
    result = {}
    for urn, request in monitor.requests.items():
        inputs = dict(request.object)
        entry: dict[str, Any] = {
            "parent": names.get(request.parent),
            "waits_for": sorted(names[each] for each in request.dependencies),
            "deleted_with": names.get(request.deletedWith),
            "provider": names.get(request.provider.rsplit("::", 1)[0]),
            "ignores": list(request.ignoreChanges),
            "create": inputs.get("create"),
            "delete": inputs.get("delete"),
            "memory": inputs.get("memory"),
            "bridge": inputs.get("bridge"),
        }
        result[names[urn]] = {key: value for key, value in entry.items() if value}
    return dict(sorted(result.items()))


def test_graph_is_the_golden_one(monitor: RecordingMonitor) -> None:
    found = graph(monitor)
    golden = Path(__file__).parent / f"{monitor.rack}.graph.yaml"
    assert_golden(yaml.safe_dump(found, sort_keys=False, width=100), golden)
    assert len(found) > 70


def test_every_component_registers_its_outputs(monitor: RecordingMonitor) -> None:
    components = [urn for urn, r in monitor.requests.items() if r.type.startswith("rack:lab:")]
    assert components
    assert [urn for urn in components if urn not in monitor.outputs] == []


def test_every_resource_has_a_parent(monitor: RecordingMonitor) -> None:
    orphans = [r.name for r in monitor.requests.values() if not r.parent]
    assert orphans == [monitor.rack], "all but the rack itself hang below it"


RICH = """
extends: mini
array: {level: 0}
machines:
  storage1: {array: 0, netem: {lan: {delay: 1ms}, storage: {loss: 10%}}}
  compute1: {memory: 2GiB, netem: {wan: {rate: 10mbit}}}
  wall2:
    role: firewall
    host: 3
    bmc: 103
    networks: [internet, isp]
    memory: 192MiB
    publish: {80: web2}
    netem: {isp: {corrupt: 1%}}
  san1: {volumes: {web2: 16MiB}}
  lxc2:
    role: lxc
    node: compute1
    host: 62
    networks: [lan, wan]
    memory: 224MiB
    volume: san1/web2
    share: nfs1
    containers:
      web2: {host: 72, volume_pages: {nbd.txt: a, web1: b}, share_pages: {nfs.txt: c}}
      web2-web1: {host: 73, volume_pages: {nfs.txt: d}}
"""


def test_a_rack_with_all_that_is_accepted_has_a_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rich.yaml").write_text(RICH)
    monkeypatch.setattr("config.settings.FOLDER", tmp_path)
    found = graph(record("rich", tmp_path))
    commands = {name.split()[-1] for name in found}
    lines = {"storage1-lan-line", "storage1-storage-line", "compute1-wan-line", "wall2-isp-line"}
    assert (
        lines | {"wall2-boot-entry", "web2-nbd.txt", "web2-web1", "web2-web1-nfs.txt"} <= commands
    )


def test_what_lives_in_a_machine_goes_with_it(monitor: RecordingMonitor) -> None:
    """Destroy must end with dead nodes: what a delete would need them for is skipped."""
    inside = {
        name: entry
        for name, entry in graph(monitor).items()
        if ("-libvirt" in entry.get("provider", "") and "labmachine" not in entry["provider"])
        or "-boot-tree" in name
        or "-ready" in name
    }
    assert len(inside) >= 10
    assert [name for name, entry in inside.items() if "deleted_with" not in entry] == []


def test_a_machine_behind_a_bad_line_plugs_in_at_its_far_end(tmp_path: Path) -> None:
    requests = record("lossy", tmp_path).requests.values()
    [router] = [
        r for r in requests if (r.type, r.name) == ("libvirt:index/domain:Domain", "router")
    ]
    [line] = [r for r in requests if r.name == "router-wan-line"]
    far = names.line_bridge("lossy", "router", "wan")
    assert f" {far} " in dict(line.object)["create"]
    bridges = [each["bridge"] for each in router.object["networkInterfaces"]]
    assert bridges == ["lossy-lan", "lossy-internet", far, "lossy-ipmi"]


def test_a_preview_leaves_what_an_up_beside_it_has_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The `up` publishes its overlays one after another, each when its machine's turn has come."""
    monkeypatch.setattr(rack, "image_key", lambda role, extra, _release: f"key-of-{role}")
    monkeypatch.setattr(rack, "common_key", lambda _release: "key-of-boot-files")
    monkeypatch.setattr("config.settings.stack_folder", lambda _: tmp_path)
    monkeypatch.setattr(Settings, "ssh_config", Path("ssh_config"))
    up = load_settings("mini", {"topology": "mini"}.get)
    up.write_access()
    up.keep_overlay("router", b"what the up publishes")
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    assert len(before) >= 5
    other = load_settings("mini", {"topology": "quorum"}.get, keep=False)
    monitor = RecordingMonitor("quorum")
    asyncio.run(_run(monitor, other, preview=True))
    assert len(monitor.requests) > 70
    after = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    assert after == before
