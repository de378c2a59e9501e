"""Wrong topologies, from the right ones: by chance, and the same ones for the same seed.

Owns the ways in which a file is changed: valid words in wrong places, as a person would; values,
keys and structure, as a program would; the text, as a slip of the keyboard would.
"""

import copy
import random
from collections.abc import Iterator
from typing import Any

import yaml


def _words(text: str) -> list[str]:
    return text.split()


WORDS = _words("""
    lan wan isp ipmi internet storage labmachine all laptop router storage1 compute1 san1 web1
    generic - a- --help xxxxxxxxxxxxxxxx ü \U0001f600 $(id) ' " ../x / %s {{x}} 1KiB 2MiB 64MiB 1GiB
    999999999TiB 0MiB 1.5GiB 10.77.1.0/24 10.77.1.1/24 10.0.2.0/24 0.0.0.0/0 10.77.1.0/32 fd00::/64
    san1/web san9/x /web 40ms 2% 10mbit founder san boot-server firewall disk1 -x 2020-01-01 1:30 no
""")
VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 4, 253, 254, 255, 65533, 65534, 2**63, 10**30, 1.5),
    *(float("inf"), "", " ", "a b", "a\nb", [], {}, [[]], [None], {"a": None}),
    *({"delay": "40ms"}, {"loss": "1%", "rate": "1mbit"}, {"jitter": "1ms"}),
]
KEYS: list[Any] = [
    *_words("""
        networks machines array reach extends role host bmc memory cpus node volume volumes share
        containers publish disks level stick cidr netem lan wan isp storage labmachine web1 a-
        generic ü volume_pages lxc9
    """),
    *("", "a b", 0, 1, None, True),
]
NAMES = _words("""
    labmachine all localhost a- generic mapper disk snapshot1 xxxxxxxxxxxxxxx san1 web1 lxc1 nfs1
    router laptop compute1 web2 y end lan disk1
""")
SIZES = _words("1KiB 8MiB 64MiB 128MiB 256MiB 448MiB 512MiB 1GiB 1536MiB 3GiB 9999TiB")
NETWORKS = _words("isp internet lan storage wan ipmi")
RANGES = _words("""
    10.0.2.0/24 127.0.0.0/24 224.0.0.0/16 0.0.0.0/16 8.8.8.0/24 10.78.0.0/16 192.168.7.0/25
    100.64.0.0/16 10.79.0.0/20 192.168.7.0/24 172.20.0.0/16 10.99.0.0/22
""")
ROLES = _words("boot-server founder firewall router storage compute san nfs lxc consul")
LINES: list[dict[str, Any]] = [
    *({"delay": "40ms"}, {"loss": "2%"}, {"rate": "1kbit"}, {"loss": "100%"}, {"jitter": "1ms"}),
    *({}, {"delay": "1ms", "jitter": "1ms"}, {"duplicate": "1%"}, {"delay": "1s", "reorder": "5%"}),
]
SLIPS = [
    *_words("*storage &x !!int !!timestamp !x | > ? { } [ ] : ' % @ # 2020-13-45 0x 1_000 22:30 ~"),
    *("- ", "\t", "\0", "\ufeff", "\u2028", '"', "\\", "---\n", "...\n", "<<: *storage", "<<: 3\n"),
    *("? [a, b]\n: c\n", "\x85", "\ud7ff"),
]


class _NoAliases(yaml.CSafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


class Mutations:
    """Changes topologies; `texts` are the files to begin with, `data` whole ones."""

    def __init__(self, seed: int, texts: list[str], data: list[Any]) -> None:
        self._chance = random.Random(seed)
        self._texts, self._whole = texts, data
        self._any = [*data, *(yaml.safe_load(text) for text in texts)]

    def text(self) -> str:
        """One changed file."""
        if self._chance.random() < 0.2:
            text = min((self._chance.choice(self._texts) for _ in "abc"), key=len)
            for _ in range(self._times()):
                text = self._as_a_slip(text)
            return text
        person = self._chance.random() < 0.7
        way = self._as_a_person if person else self._as_a_program
        choices = self._whole if person else self._any
        # Of three the smallest: it is read five times as fast, and has as much to be wrong.
        some = [self._chance.choice(choices) for _ in "abc"]
        data = copy.deepcopy(min(some, key=lambda each: len(repr(each))))
        for _ in range(self._times()):
            data = way(data)
        return yaml.dump(data, Dumper=_NoAliases, allow_unicode=True, sort_keys=False)

    def _value(self) -> Any:
        return copy.deepcopy(self._chance.choice([*VALUES, *WORDS]))

    def _times(self) -> int:
        return self._chance.choice([1, 1, 1, 1, 2, 3])

    def _as_a_slip(self, text: str) -> str:
        at, to = sorted(self._chance.randrange(len(text) + 1) for _ in "ab")
        match self._chance.randrange(5):
            case 0:
                return text[:at] + text[to:]
            case 1:
                return text[:at]
            case 2:
                return text + text
            case 3:
                return text[:at].rstrip(" ") + text[at:]
            case _:
                return text[:at] + self._chance.choice(SLIPS) + text[at:]

    def _as_a_program(self, data: Any) -> Any:
        places = list(_places(data))
        if not places:
            return data
        parent, key = self._chance.choice(places)
        other_parent, other = self._chance.choice(places)
        value = parent[key]
        match self._chance.randrange(8):
            case 0:
                del parent[key]
            case 1 if isinstance(parent, dict):
                parent[self._chance.choice(KEYS)] = parent.pop(key)
            case 2 if isinstance(parent, dict):
                parent[self._chance.choice(KEYS)] = copy.deepcopy(value)
            case 3:
                parent[key] = copy.deepcopy(other_parent[other])
            case 4:
                parent[key] = self._chance.choice([[value], {"x": value}, [value, value]])
            case 5 if isinstance(value, dict):
                value[self._chance.choice(KEYS)] = self._value()
            case 6 if isinstance(value, int):
                parent[key] = value + self._chance.choice([-1, 1, -10, 10, 100, -1000])
            case _:
                parent[key] = self._value()
        return data

    def _as_a_person(self, data: Any) -> Any:
        """Valid words in wrong places; what isn't a topology any more stays as it is."""
        pick, sample = self._chance.choice, self._chance.sample
        machines, networks = data["machines"], data["networks"]
        name = pick(list(machines))
        machine = machines[name]
        match pick(["rename", "remove", "clone", "key", "key", "range", "line", "array", "reach"]):
            case "rename":
                words = [name, *machine.get("containers", ()), *machine.get("volumes", ())]
                return _renamed(data, pick(words), pick(NAMES))
            case "remove" if len(machines) > 1:
                del machines[name]
            case "clone":
                numbers = {key: pick(range(1, 253)) for key in ("host", "bmc") if key in machine}
                machines[pick([*NAMES, "b", "c1"])] = copy.deepcopy(machine) | numbers
            case "range":
                networks[pick(NETWORKS)] = {"cidr": pick(RANGES)}
            case "line":
                if self._chance.random() < 0.5:
                    pick(list(networks.values()))["netem"] = pick(LINES)
                else:
                    machine["netem"] = {pick([*machine["networks"], *NETWORKS]): pick(LINES)}
            case "array":
                disks = sample(["disk1", "disk2", "disk3", "disk9", "x y"], 3)
                data["array"] = {"level": pick([0, 1, 5, 6, 10]), "disks": disks}
            case "reach":
                data["reach"] = {pick(NETWORKS): sample(NETWORKS, 2) for _ in range(3)}
            case _:
                machine |= pick(self._keys(list(machines), machine))
        return data

    def _keys(self, others: list[str], machine: dict[str, Any]) -> list[dict[str, Any]]:
        """Changes of a machine's keys."""
        pick, sample = self._chance.choice, self._chance.sample
        changes: list[dict[str, Any]] = [
            {"networks": sample(NETWORKS, pick([1, 2, 3, 4]))},
            {"networks": ["lan", pick(NETWORKS)]},
            {"host": pick([1, 10, 21, 200, 252, 253, 254, 255])},
            {"memory": pick(SIZES)},
            {"role": pick(ROLES)},
        ]
        pages = {pick(["volume_pages", "share_pages"]): {pick(["file-system", "b-c"]): "x"}}
        own: dict[str, Any] = {
            "stick": pick(SIZES),
            "disks": [pick(SIZES)] * pick([1, 2, 3, 8, 9]),
            "array": pick([0, 1, 5, 6, 10]),
            "volumes": {pick([*NAMES, "web", "share"]): pick(SIZES)},
            "node": pick(others),
            "share": pick(others),
            "volume": sample(["san1/web", "san1/share", "san2/mirror", "san3/mirror"], 2),
            "publish": {pick([22, 80, 8080]): pick(["web1", "web2"])},
            "bmc": pick([1, 101, 121, 254]),
            "containers": {pick([*NAMES, "web3"]): {"host": pick([71, 72, 77]), **pages}},
        }
        return changes + [{key: value} for key, value in own.items() if key in machine]


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Each value as its parent and its key there."""
    if isinstance(node, dict | list):
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            yield node, key
            yield from _places(node[key])


def _renamed(node: Any, old: str, new: str) -> Any:
    if isinstance(node, dict):
        return {new if key == old else key: _renamed(each, old, new) for key, each in node.items()}
    if isinstance(node, list):
        return [_renamed(each, old, new) for each in node]
    if isinstance(node, str):
        return "/".join(new if part == old else part for part in node.split("/"))
    return node
