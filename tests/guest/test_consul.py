"""The control plane's files: which machine has which, and that secrets are derived and kept."""

import io
import json
import tarfile
from typing import Any

import pytest

from config.consul import PATIENT, PROMPT
from config.load import FOLDER, load_topology
from guest import consul, rolefiles, settings
from guest.overlay import SECRET_MODE, MachineKeys, overlay

STACK, SEED = "quorum", "00" * 32
RACK = load_topology(FOLDER / "quorum.yaml", STACK)
MACHINES = list(RACK.machines)
AGENT, PLANE = f"{consul.CONFIG}/agent.json", "etc/rack/control-plane.json"


def read(name: str, path: str, seed: str = SEED) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(consul.files(STACK, RACK, name, seed, PATIENT)[path])
    return found


def test_there_are_servers_and_others() -> None:
    assert RACK.consul_servers == ("laptop", "consul1", "consul2")
    assert len(MACHINES) > len(RACK.consul_servers) + 3


@pytest.mark.parametrize("name", MACHINES)
def test_every_machine_has_an_agent_that_joins_all_servers(name: str) -> None:
    agent = read(name, AGENT)
    assert agent["retry_join"] == ["10.77.3.10", "10.77.3.81", "10.77.3.82"]
    assert agent.get("server", False) == (name in RACK.consul_servers)
    assert "bootstrap_expect" not in agent  # guest/agent asks at each start who bootstraps
    assert agent["acl"]["default_policy"] == "deny"
    assert agent["tls"]["internal_rpc"]["verify_server_hostname"]
    assert agent["client_addr"] == "127.0.0.1"


def test_on_kvm_a_silent_server_counts_as_gone_sooner() -> None:
    files = consul.files(STACK, RACK, "laptop", SEED, PROMPT)
    agent, plane = json.loads(files[AGENT]), json.loads(files[PLANE])
    patient, patient_plane = read("laptop", AGENT), read("laptop", PLANE)
    assert agent["performance"] == {"raft_multiplier": 1}
    assert patient["performance"] == {"raft_multiplier": 4}
    for key in ("proof_seconds", "disk_seconds"):
        assert plane[key] < patient_plane[key]
    assert agent["gossip_lan"] != patient["gossip_lan"]
    slack = files["etc/rack/agent.conf"]
    assert slack != consul.files(STACK, RACK, "laptop", SEED, PATIENT)["etc/rack/agent.conf"]


@pytest.mark.parametrize("name", MACHINES)
def test_only_servers_may_do_all(name: str) -> None:
    management = read("laptop", PLANE)["token"]
    text = "".join(consul.files(STACK, RACK, name, SEED, PATIENT).values())
    assert (management in text) == (name in RACK.consul_servers)


@pytest.mark.parametrize("name", MACHINES)
def test_every_server_knows_every_machine_s_token(name: str) -> None:
    tokens = {each["name"]: each["secret"] for each in read("consul1", PLANE)["tokens"]}
    assert tokens[name] == read(name, AGENT)["acl"]["tokens"]["agent"]


def test_no_two_machines_share_a_token_or_a_node_id() -> None:
    agents = [read(name, AGENT) for name in MACHINES]
    assert len({each["node_id"] for each in agents}) == len(MACHINES)
    assert len({each["acl"]["tokens"]["agent"] for each in agents}) == len(MACHINES)


@pytest.mark.parametrize("name", MACHINES)
def test_files_are_the_seed_s_and_its_owner_s_alone(name: str) -> None:
    files = consul.files(STACK, RACK, name, SEED, PATIENT)
    assert files == consul.files(STACK, RACK, name, SEED, PATIENT)
    assert files != consul.files(STACK, RACK, name, "01" * 32, PATIENT)
    keys = MachineKeys("HOST", "ADMIN", files)
    assert files[f"{consul.CONFIG}/key.pem"] not in repr(keys)
    with tarfile.open(fileobj=io.BytesIO(overlay(STACK, RACK, name, keys))) as archive:
        assert {archive.getmember(path).mode for path in files} == {SECRET_MODE}


def test_a_rack_without_a_founder_has_nothing_of_it() -> None:
    rack = load_topology(FOLDER / "rack.yaml", "lab")
    assert consul.image_folders(rack) == ()
    assert [name for name in rack.machines if consul.files("lab", rack, name, SEED, PATIENT)] == []
    told = json.loads(settings.files("lab", rack, "laptop")[PLANE])
    assert told["directory"].startswith(told["tree"])  # its store is on the stick, with the tree
    assert "token" not in told


def test_dhcp_answers_at_the_address_that_moves() -> None:
    text = settings.files(STACK, RACK, "laptop")["etc/dnsmasq.conf"]
    assert "listen-address=10.77.3.253\n" in text
    assert "http://10.77.3.253/boot.ipxe,,10.77.3.253\n" in text
    assert "leasefile" not in text


@pytest.mark.parametrize("name", MACHINES)
def test_every_service_has_its_script(name: str) -> None:
    role, extra = RACK.machines[name].role, consul.image_folders(RACK)
    folders = [rolefiles.GUEST / each for each in ("common", *extra)]
    folders += rolefiles.folders(role)
    services = rolefiles.services(role, extra)
    assert "consul" in services
    for service in services:
        assert any((each / "root/etc/init.d" / service).exists() for each in folders), service
