"""consul's numbers: ports, timing, and how often the boot server's leadership is proved.

Owns what more than one part must agree on. Leaves the agents' configuration to `guest.consul`,
keys and tokens to `secrets`, and who serves when to `controlplane/` (docs/control-plane.md).
"""

DATACENTER = "rack"
RPC_PORT, GOSSIP_PORT = 8300, 8301  # consul's own defaults
HTTP_PORT = 8500  # on loopback alone
PEER_PORT = 8180  # a consul server's boot tree, for the other servers
PROOF_S = 5  # how long a proof of leadership counts: no reply is sent later
LONE_PROOF_S = 30  # the same where no other server has a vote, so that nobody can take over
RAFT_MULTIPLIER = 4  # a leader that is silent for 4 s is replaced; with 1 s emulated ones change on
# A timer may be late: machines that wake together wake seldom. Servers' heartbeats are 0.4 s apart.
AGENT_SLACK_NS, SERVER_SLACK_NS = 2_000_000_000, 500_000_000
