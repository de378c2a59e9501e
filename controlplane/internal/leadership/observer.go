package leadership

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"time"

	"rack-lab/controlplane/internal/clock"
	"rack-lab/controlplane/internal/cluster"
	"rack-lab/controlplane/internal/config"
	"rack-lab/controlplane/internal/fence"
	"rack-lab/controlplane/internal/kv"
)

const (
	// aloneAfter is how long the bootstrap server looks for a leader before it serves without one.
	aloneAfter = 20 * time.Second
	// votersEvery: voters change seldom, and the lease holds whoever votes. A lone one looks each time, to lower
	// its lease.
	votersEvery = 5
)

// Cluster is what an observer asks about raft; package cluster's Client.
type Cluster interface {
	// Leader is the leader's address; empty: none.
	Leader(ctx context.Context) (string, error)
	// Voters names the servers with a vote.
	Voters(ctx context.Context, local bool) ([]string, error)
}

// Observer looks, for one run of the program on one server: what the local agent says about leadership and the
// lease.
type Observer struct {
	config  *config.Config
	store   kv.Store
	cluster Cluster
	began   time.Duration // start of the program
	seen    bool          // a leader was, ever
	version uint64        // of the lease at the last look
	looks   int           // that read the lease, since it leads
	voters  int           // in the last of them that asked: every votersEvery-th
	lone    bool          // it was the only voter then
}

// NewObserver begins now.
func NewObserver(c *config.Config, s kv.Store, its Cluster) *Observer {
	return &Observer{config: c, store: s, cluster: its, began: clock.SinceBoot()}
}

// Look asks the agent: who leads, and if this server does, for the lease and the voters. The read of the lease is
// a consistent one: it is answered only after a majority has confirmed the leader. Who leads is asked again after
// it, as an agent that has stood still has the read answered by the new leader.
func (o *Observer) Look(parent context.Context) (s Observation) {
	limit := o.config.Proof() * 4 / 5
	if o.lone {
		limit = o.config.LoneProof() * 2 / 5
	}
	ctx, cancel := context.WithTimeout(parent, limit)
	defer cancel()
	s.Start = clock.SinceBoot()
	defer func() { s.End = clock.SinceBoot() }()

	if s.Leader, s.Problem = o.leader(ctx); s.Leader != o.config.Name {
		o.lone, o.looks = false, 0
		if s.Leader == "" {
			s.Alone = o.alone(parent)
		}
		return s
	}
	if err := o.read(ctx, &s); err != nil {
		s.Problem = fmt.Sprintf("leads, but the lease can't be read: %v", err)
		return s
	}
	s.Leader, s.Problem = o.leader(ctx)
	s.Proved = s.Leader == o.config.Name
	return s
}

// leader names raft's leader, as the local agent has it; empty: none, or a problem.
func (o *Observer) leader(ctx context.Context) (name, problem string) {
	address, err := o.cluster.Leader(ctx)
	if err != nil {
		return "", "the consul agent doesn't answer"
	}
	if address == "" {
		return "", ""
	}
	o.seen = true
	return cmp.Or(o.config.ServerAt(address), address), ""
}

// read fills in the lease and the voters.
func (o *Observer) read(ctx context.Context, s *Observation) error {
	var err error
	if s.Lease, o.version, err = readLease(ctx, o.store); err != nil {
		return err
	}
	if s.Voters = o.voters; !o.lone && o.looks%votersEvery != 0 {
		o.looks++
		return nil
	}
	voters, err := o.cluster.Voters(ctx, false)
	if err != nil {
		return err
	}
	o.voters = len(voters)
	o.looks++
	s.Voters, o.lone = o.voters, o.voters == 1
	return nil
}

// alone tells whether this is the bootstrap server, no leader has been seen since the program's start, for a while,
// and no other server's consul nor another boot server accepts connections: on a cold start it serves then, without
// consul, for the others have to boot from it.
func (o *Observer) alone(ctx context.Context) bool {
	if !o.config.Bootstrap || o.seen || clock.SinceBoot()-o.began < aloneAfter {
		return false
	}
	if cluster.Answering(ctx, o.config) != "" {
		return false
	}
	boot := net.JoinHostPort(o.config.BootIP(), "80")
	return fence.HoldsAddress(o.config.Device, o.config.BootIP()) || !cluster.Accepts(ctx, boot)
}

// Claim writes the lease over the one of the last look; the next look shows whether it did.
func (o *Observer) Claim(parent context.Context, l Lease) error {
	ctx, cancel := context.WithTimeout(parent, o.config.Proof()*4/5)
	defer cancel()
	err := o.store.Apply(ctx, kv.SetAt(Key, o.version, []byte(l.String())))
	if err != nil {
		clock.Pause(parent, time.Second)
	}
	return err
}

// readLease reads who may serve, and the key's version; 0: there is none.
func readLease(ctx context.Context, s kv.Store) (l Lease, version uint64, err error) {
	pair, err := s.Get(ctx, Key)
	if err != nil || pair == nil {
		return Lease{}, 0, err
	}
	l, err = ParseLease(string(pair.Value))
	return l, pair.Version, err
}

// PutAsOwner writes a value while the lease is its owner's; kv.ErrConflict: it isn't.
func PutAsOwner(ctx context.Context, s kv.Store, key string, value []byte, owns func(Lease) bool) error {
	l, version, err := readLease(ctx, s)
	if err != nil {
		return err
	}
	if !owns(l) {
		return fmt.Errorf("%w (%s has the lease)", kv.ErrConflict, cmp.Or(l.Server, "nobody"))
	}
	return s.Apply(ctx, kv.CheckAt(Key, version), kv.Set(key, value))
}
