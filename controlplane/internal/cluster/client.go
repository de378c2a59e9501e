package cluster

import (
	"context"
	"io"
	"net"
	"time"

	"github.com/hashicorp/consul/api"

	"rack-lab/controlplane/internal/config"
	"rack-lab/controlplane/internal/kv"
	"rack-lab/controlplane/internal/kv/consul"
)

const (
	contactAllowed = 60 * time.Second // a server with votes may be silent that long
	minVoters      = 3                // fewer can lose none
	snapshotWithin = 5 * time.Minute
	raftTag        = "consul" // the tag "role" of consul's servers
)

// Client asks the agent on this machine.
type Client struct{ api *api.Client }

// New is a client of the agent that the API's client has.
func New(client *api.Client) *Client { return &Client{client} }

// Leader is the leader's address without its port, as the agent has it; empty: none.
func (c *Client) Leader(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, kv.CallLimit)
	defer cancel()
	address, err := c.api.Status().LeaderWithQueryOptions((&api.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return "", err
	}
	host, _, _ := net.SplitHostPort(address)
	return host, nil
}

// Member is what the agent knows of another agent.
type Member struct {
	Name   string
	Status int // serf's
	Tags   map[string]string
}

// words are serf's states of a member (serf, MemberStatus).
var words = map[int]string{1: "alive", 2: "left", 3: "left", 4: "failed"}

// State is the member's, in a word: alive, left or failed.
func (m Member) State() string { return words[m.Status] }

// IsAlive tells whether the agent is there.
func (m Member) IsAlive() bool { return m.Status == 1 }

// Members are all agents that the agent knows.
func (c *Client) Members(ctx context.Context) (all []Member, err error) {
	ctx, cancel := context.WithTimeout(ctx, kv.CallLimit)
	defer cancel()
	_, err = c.api.Raw().Query("/v1/agent/members", &all, (&api.QueryOptions{}).WithContext(ctx))
	return all, err
}

// Voters names the servers that have a vote, those nobody has met yet "(unknown)"; local: as this server has it,
// leader or not.
func (c *Client) Voters(ctx context.Context, local bool) (names []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, kv.CallLimit)
	defer cancel()
	raft, err := c.api.Operator().RaftGetConfiguration(consul.Reading(ctx, local))
	if err != nil {
		return nil, err
	}
	for _, server := range raft.Servers {
		if server.Voter {
			names = append(names, server.Node)
		}
	}
	return names, nil
}

// GrantVotes lets autopilot give servers votes when there are three or more: one can fail then. Of two the
// bootstrap server alone votes, which consul's own configuration sees to.
func (c *Client) GrantVotes(ctx context.Context) error {
	all, err := c.Members(ctx)
	if err != nil {
		return err
	}
	alive := 0
	for _, each := range all {
		if each.Tags["role"] == raftTag && each.IsAlive() {
			alive++
		}
	}
	if alive < minVoters {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, kv.CallLimit)
	defer cancel()
	operator := c.api.Operator()
	autopilot, err := operator.AutopilotGetConfiguration(consul.Reading(ctx, false))
	if err != nil || autopilot.LastContactThreshold.Duration() >= contactAllowed {
		return err
	}
	autopilot.LastContactThreshold = api.NewReadableDuration(contactAllowed)
	_, err = operator.AutopilotCASConfiguration(autopilot, consul.Writing(ctx))
	return err
}

// NodeID is the agent's id, which raft knows it by.
func (c *Client) NodeID(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, kv.CallLimit)
	defer cancel()
	var self struct{ Config struct{ NodeID string } }
	_, err := c.api.Raw().Query("/v1/agent/self", &self, consul.Reading(ctx, true))
	return self.Config.NodeID, err
}

// Snapshot writes consul's state, as this server has it, whoever leads.
func (c *Client) Snapshot(ctx context.Context, to io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, snapshotWithin)
	defer cancel()
	content, _, err := c.api.Snapshot().Save(consul.Reading(ctx, true))
	if err != nil {
		return err
	}
	defer content.Close()
	_, err = io.Copy(to, content)
	return err
}

// Restore has all servers' state become the snapshot's.
func (c *Client) Restore(ctx context.Context, from io.Reader) error {
	ctx, cancel := context.WithTimeout(ctx, snapshotWithin)
	defer cancel()
	return c.api.Snapshot().Restore(consul.Writing(ctx), from)
}

// Answering names another server whose consul accepts connections, or is empty.
func Answering(ctx context.Context, c *config.Config) string {
	there := make(chan string, len(c.Servers))
	for name, address := range c.Servers {
		go func() {
			if name == c.Name || !Accepts(ctx, c.RPCAt(address)) {
				name = ""
			}
			there <- name
		}()
	}
	found := ""
	for range c.Servers {
		found = max(found, <-there)
	}
	return found
}

// Accepts tells whether the address accepts a TCP connection within a second.
func Accepts(ctx context.Context, address string) bool {
	dialer := net.Dialer{Timeout: time.Second}
	connection, err := dialer.DialContext(ctx, "tcp", address)
	if err == nil {
		connection.Close()
	}
	return err == nil
}
