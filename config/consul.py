"""consul's numbers: ports, timing, and how often the boot server's leadership is proved.

Owns what more than one part must agree on. Leaves the agents' configuration to `guest.consul`,
keys and tokens to `secrets`, and who serves when to `controlplane/` (docs/control-plane.md).
"""

from dataclasses import dataclass

DATACENTER = "rack"
RPC_PORT, GOSSIP_PORT = 8300, 8301  # consul's own defaults
HTTP_PORT = 8500  # on loopback alone
PEER_PORT = 8180  # a consul server's boot tree, for the other servers


@dataclass(frozen=True)
class Timing:
    """How soon a silent machine counts as gone."""

    name: str
    raft_multiplier: int  # a leader that is silent for that many seconds is replaced
    proof_s: int  # how long a proof of leadership counts: no reply is sent later
    lone_proof_s: int  # the same where no other server has a vote, so that nobody can take over
    disk_s: int  # a leader whose disk completes nothing for so long is replaced
    # A timer may be that late: machines that wake together wake seldom.
    agent_slack_ns: int
    server_slack_ns: int
    # gossip_lan's, by consul's names
    gossip_interval: str
    probe_interval: str
    probe_timeout: str


# With a multiplier of 1 emulated leaders change on and on; such a machine may be busy for seconds,
# which is no failure. Servers' heartbeats are 0.4 s apart with 4.
PATIENT = Timing("patient", 4, 5, 30, 6, 2_000_000_000, 500_000_000, "2s", "10s", "5s")
# consul's own for servers in production, and for gossip on a lan.
PROMPT = Timing("prompt", 1, 1, 10, 2, 100_000_000, 10_000_000, "200ms", "1s", "500ms")
