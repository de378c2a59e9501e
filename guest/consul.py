"""consul on every machine of a rack with a control plane: the agents' configuration.

Owns these files, which hold keys and tokens, and which folder brings consul into an image. Leaves
the numbers to `config.consul`, running the agent to `guest/agent`, and what the servers do with
it to `controlplane/`.
"""

from config import addressing, consul, secrets
from config.topology import ConsulServer, Founder, Topology
from guest import network
from guest.settings import BOOT_TREE, CONSUL_STATE, as_json

CONFIG = "etc/consul.d"
AUTHORITY = f"{CONFIG}/authority.pem"
CERTIFICATE, KEY = f"{CONFIG}/certificate.pem", f"{CONFIG}/key.pem"
SERVER_NAME = f"server.{consul.DATACENTER}.consul"  # consul wants it of each server's certificate
PID_FILE = "/run/consul.pid"
NODE_TREE = "/media/tree"  # guest/initramfs mounts what its node shares with a guest there
TREE_IN_MEMORY = "/var/lib/boot-tree"  # a consul guest's own copy of the boot tree


def image_folders(topology: Topology) -> tuple[str, ...]:
    """The folders under `guest/` that every image of this rack has beside its role's."""
    return ("agent",) if topology.founder else ()


def files(
    stack: str, topology: Topology, name: str, seed: str, timing: consul.Timing
) -> dict[str, str]:
    """A machine's files with secrets, `{path: text}`; none in a rack without a control plane."""
    if not topology.founder:
        return {}
    server = name in topology.consul_servers
    pair = secrets.derive_certificate(
        seed, name, SERVER_NAME if server else f"client.{consul.DATACENTER}.consul"
    )
    return {
        f"{CONFIG}/agent.json": as_json(_agent(stack, topology, name, seed, timing)),
        AUTHORITY: pair.authority,
        CERTIFICATE: pair.certificate,
        KEY: pair.key,
        "etc/rack/agent.conf": _running(server, timing),
        "etc/rack/control-plane.json": as_json(_control_plane(stack, topology, name, seed, timing)),
    }


def _running(server: bool, timing: consul.Timing) -> str:
    """What guest/agent reads: where the state must be mounted (servers), how late timers may be."""
    state = CONSUL_STATE if server else "''"
    slack_ns = timing.server_slack_ns if server else timing.agent_slack_ns
    return f"state={state}\nslack_ns={slack_ns}\n"


def _address(topology: Topology, name: str) -> str:
    return str(addressing.management_address(topology, name))


def _token(seed: str, name: str) -> str:
    return secrets.derive_uuid(seed, f"consul token {name}")


def _management(seed: str) -> str:
    return secrets.derive_uuid(seed, "consul management")


def _agent(
    stack: str, topology: Topology, name: str, seed: str, timing: consul.Timing
) -> dict[str, object]:
    """https://developer.hashicorp.com/consul/docs/reference/agent/configuration-file"""
    machine = topology.machines[name]
    tokens = {"agent": _token(seed, name)}
    found: dict[str, object] = {
        "datacenter": consul.DATACENTER,
        "node_name": name,
        "node_id": secrets.derive_uuid(seed, f"consul node {stack} {name}"),
        "data_dir": CONSUL_STATE,
        "pid_file": PID_FILE,
        "bind_addr": _address(topology, name),
        "client_addr": "127.0.0.1",
        "ports": {
            "http": consul.HTTP_PORT,
            "serf_lan": consul.GOSSIP_PORT,
            "server": consul.RPC_PORT,
            **dict.fromkeys(("dns", "https", "grpc", "grpc_tls", "serf_wan"), -1),
        },
        "retry_join": [_address(topology, each) for each in topology.consul_servers],
        "retry_interval": "10s",
        "encrypt": secrets.derive_gossip_key(seed),
        "acl": {
            "enabled": True,
            "default_policy": "deny",
            "down_policy": "extend-cache",
            "tokens": tokens,
        },
        "tls": {
            "defaults": {
                "ca_file": f"/{AUTHORITY}",
                "cert_file": f"/{CERTIFICATE}",
                "key_file": f"/{KEY}",
                "verify_incoming": True,
                "verify_outgoing": True,
            },
            "internal_rpc": {"verify_server_hostname": True},
        },
        "gossip_lan": {
            each: getattr(timing, each)
            for each in ("gossip_interval", "probe_interval", "probe_timeout")
        },
        **{each: {"enabled": False} for each in ("connect", "peering")},  # no services here
        "disable_coordinates": True,
        "disable_update_check": True,
        "leave_on_terminate": False,
        "skip_leave_on_interrupt": True,
        "log_level": "WARN",
    }
    if isinstance(machine, Founder | ConsulServer):
        tokens["initial_management"] = _management(seed)
        found |= {
            "server": True,
            "log_level": "INFO",  # elections
            "performance": {"raft_multiplier": timing.raft_multiplier},
            # Of two servers one alone has a vote, for with two the loss of either ends the quorum:
            # control-plane raises the threshold as soon as there are three. Nobody is that quick;
            # 1 ms was met by chance after a pause of both.
            "autopilot": {"cleanup_dead_servers": False, "last_contact_threshold": "1ns"},
        }
    return found


def _control_plane(
    stack: str, topology: Topology, name: str, seed: str, timing: consul.Timing
) -> dict[str, object]:
    """/etc/rack/control-plane.json, as controlplane/internal/config has it."""
    machine = topology.machines[name]
    mac = addressing.boot_mac(stack, topology, name)
    if not isinstance(machine, Founder | ConsulServer):
        return {"name": name, "mac": mac, "token": _token(seed, name)}
    return {
        "name": name,
        "mac": mac,
        "address": _address(topology, name),
        "boot_address": str(addressing.boot_address(topology)),
        "device": network.device(stack, topology, name, "lan"),
        "tree": BOOT_TREE if isinstance(machine, Founder) else TREE_IN_MEMORY,
        "node_tree": "" if isinstance(machine, Founder) else NODE_TREE,
        "state": CONSUL_STATE,
        "pid_file": PID_FILE,
        "bootstrap": isinstance(machine, Founder),
        "servers": {each: _address(topology, each) for each in topology.consul_servers},
        "proof_seconds": timing.proof_s,
        "lone_proof_seconds": timing.lone_proof_s,
        "disk_seconds": timing.disk_s,
        "rpc_port": consul.RPC_PORT,
        "tls": {
            "authority": f"/{AUTHORITY}",
            "certificate": f"/{CERTIFICATE}",
            "key": f"/{KEY}",
            "server_name": SERVER_NAME,
        },
        "peer_port": consul.PEER_PORT,
        "token": _management(seed),
        "tokens": [
            {
                "name": each,
                "secret": _token(seed, each),
                "rules": _rules(each, addressing.boot_mac(stack, topology, each)),
            }
            for each in topology.machines
        ],
    }


def _rules(name: str, mac: str) -> str:
    """What a machine may do: tell of itself, see the others, hand in its commits."""
    return "".join(
        f'{kind} "{path}" {{ policy = "{policy}" }}\n'
        for kind, path, policy in (
            ("node", name, "write"),
            ("agent", name, "write"),
            ("node_prefix", "", "read"),
            ("service_prefix", "", "read"),
            ("key", f"rack/inbox/{mac}", "write"),
            ("key_prefix", f"rack/inbox/{mac}/", "write"),
            ("key", f"rack/entry/{mac}", "read"),
            ("key", f"rack/rejected/{mac}", "read"),
        )
    )
