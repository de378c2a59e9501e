"""Random power cuts, one after another, and whether the rack heals after each.

Owns the plan, which a seed makes replayable, and what healed means. Leaves power to `power`.
The seed text: "a script on the real physical lab machine driving the life cycle of those KVMs".
"""

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from artefacts import step
from config import addressing
from config.settings import Settings
from config.topology import Router, Server
from lab.converge import wait_ready
from lab.power import Action, power
from lab.remote import ask, patiently

OFF_S = (1, 60)  # how long a server stays off
ANSWER_S = 300  # until a container answers once all machines are ready


@dataclass(frozen=True)
class Cut:
    """A server that loses its power for some seconds."""

    server: str
    seconds: int


def plan(seed: int, servers: Sequence[str], rounds: int) -> Iterator[Cut]:
    """The cuts of a seed: the same for the same servers, more rounds go on from fewer."""
    chance = random.Random(seed)  # noqa: S311 (a replayable plan, no secret)
    for _ in range(rounds):
        yield Cut(chance.choice(servers), chance.randint(*OFF_S))


def cycle(settings: Settings, seed: int, rounds: int) -> None:
    """Carry out a plan; every round ends with a healed rack.

    Raises:
        CommandFailed: it doesn't heal; with what was last seen.
    """
    for number, cut in enumerate(plan(seed, list(settings.topology.of(Server)), rounds), 1):
        with step(f"{number} of {rounds}: {cut.server} off for {cut.seconds} s"):
            power(settings, cut.server, Action.OFF)
            time.sleep(cut.seconds)
            power(settings, cut.server, Action.ON)
            healed(settings)


def healed(settings: Settings) -> None:
    """Wait until all machines are ready and every container answers.

    Raises:
        CommandFailed: one doesn't in time.
    """
    for name in settings.topology.machines:
        wait_ready(settings, name)
    router = next(iter(settings.topology.of(Router)), None)
    if router is None:
        return
    for container in settings.topology.containers.values():
        url = f"http://{addressing.container(settings.topology, container.host).ip}/"
        pages = [*container.volume_pages, *container.share_pages]
        for page in pages:
            get = ["wget", "-q", "-T", "10", "-O", "/dev/null", f"{url}{page}"]
            patiently(ANSWER_S)(ask, settings, router, get)
