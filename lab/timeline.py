"""What an `up` took: each resource's start and end, each machine's boot, the critical path.

Owns reading Pulumi's engine events (`pulumi up --event-log FILE`, one JSON event a line; their
schema: apitype.EngineEvent, with times in whole seconds) and finding what delayed the end. Leaves
showing it to `main`, and what a machine writes into its own timeline to `guest/`.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from artefacts import LabError

DOMAIN = "libvirt:index/domain:Domain"
# What ends no step: nothing done, or what is left of a replaced resource cleared away.
UNTOUCHED = ("same", "read", "refresh", "replace", "delete-replaced", "discard-replaced")


@dataclass(frozen=True)
class Span:
    """One resource's step: seconds from the run's begin; `after` is what it waited for last."""

    name: str
    type: str
    op: str
    start: int
    end: int
    after: str | None = None

    @property
    def took(self) -> int:
        """Its own seconds."""
        return self.end - self.start


@dataclass(frozen=True)
class MachineBoot:
    """`power_on`: seconds from the run's begin; `phases`: seconds from its kernel's start."""

    power_on: int
    ready: int
    phases: Mapping[str, float]


@dataclass(frozen=True)
class Timeline:
    """One run. `critical_path`: names, first to last; what ended last is its end."""

    seconds: int
    spans: Mapping[str, Span]
    machines: Mapping[str, MachineBoot]
    critical_path: tuple[str, ...]


def timeline(events: Iterable[str], resources: Sequence[Mapping[str, Any]]) -> Timeline | None:
    """The timeline of a run, or None if it changed nothing.

    `events`: the event log's lines; `resources`: the stack's state as `pulumi stack export`
    gives it, from which come dependencies and the machines' own timelines. A preview's events
    change nothing; a last line that was cut short, by a killed run, isn't believed.

    Raises:
        LabError: it is no event log.
    """
    parsed = list(_parsed([line for line in events if line.strip()]))
    if not parsed:
        return None
    begin = parsed[0]["timestamp"]
    steps = _steps(parsed, begin)
    if not steps:
        return None
    waits = _waits(resources)
    spans = {urn: _placed(span, waits.get(urn, ()), steps) for urn, span in steps.items()}
    named = {span.name: span for span in spans.values()}
    last = max(spans.values(), key=lambda span: span.end)
    return Timeline(
        seconds=parsed[-1]["timestamp"] - begin,
        spans=named,
        machines=dict(_machines(resources, named)),
        critical_path=_path(last, named),
    )


def _parsed(lines: Sequence[str]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, 1):
        try:
            event = json.loads(line)
            if not isinstance(event["timestamp"], int):
                raise TypeError
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines):
                return
            raise LabError(f"line {number} is no event of Pulumi's: {line[:60]}") from error
        yield event


def _steps(events: list[dict[str, Any]], begin: int) -> dict[str, Span]:
    """Each changed resource that isn't a component, by urn; a replacement is one span."""
    started: dict[str, int] = {}
    spans: dict[str, Span] = {}
    for event in events:
        at = event["timestamp"] - begin
        if any(isinstance(each, dict) and each.get("planning") for each in event.values()):
            continue  # what a preview foresees
        if "resourcePreEvent" in event:
            started.setdefault(event["resourcePreEvent"]["metadata"]["urn"], at)
        for kind in ("resOutputsEvent", "resOpFailedEvent"):
            if kind not in event:
                continue
            step = event[kind]["metadata"]
            urn, type_ = step["urn"], step["type"]
            if step["op"] in UNTOUCHED or _is_component(type_):
                continue
            spans[urn] = Span(_name(urn), type_, step["op"], started.get(urn, at), at)
    return spans


def _is_component(type_: str) -> bool:
    return type_.startswith(("rack:", "pulumi:"))


def _name(urn: str) -> str:
    return urn.rsplit("::", 1)[-1]


def _waits(resources: Sequence[Mapping[str, Any]]) -> dict[str, set[str]]:
    """What each resource waits for; a component among them stands with its children."""
    waits = {}
    for resource in resources:
        by_property = resource.get("propertyDependencies", {}).values()
        waits[resource["urn"]] = set(resource.get("dependencies", ())).union(*by_property)
    return waits


def _placed(span: Span, waits: Iterable[str], steps: Mapping[str, Span]) -> Span:
    """The span with the dependency that ended last, which is what let it start."""
    before = [steps[urn] for urn in waits if urn in steps]
    last = max(before, key=lambda each: each.end, default=None)
    return Span(span.name, span.type, span.op, span.start, span.end, last.name if last else None)


def _path(last: Span, spans: Mapping[str, Span]) -> tuple[str, ...]:
    names = [last.name]
    while (before := spans[names[0]].after) and before not in names:
        names.insert(0, before)
    return tuple(names)


def _machines(
    resources: Sequence[Mapping[str, Any]], spans: Mapping[str, Span]
) -> Iterable[tuple[str, MachineBoot]]:
    for resource in resources:
        name, _, kind = _name(resource["urn"]).rpartition("-")
        power = spans.get(name)
        if kind != "ready" or power is None or power.type != DOMAIN:
            continue
        report = json.loads(resource.get("outputs", {}).get("stdout") or "{}")
        done = spans.get(f"{name}-ready")
        if done is not None:
            yield name, MachineBoot(power.start, done.end, report.get("timeline", {}))
