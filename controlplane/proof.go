package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/hashicorp/consul/api"
)

// This file owns looking: what the local agent says about leadership and the lease.

// votersEvery: voters change seldom, and the lease holds whoever votes. A lone one looks each time, to lower its lease.
const votersEvery = 5

// witness looks for one server.
type witness struct {
	config *config
	store  *store
	began  time.Duration // start of the program
	seen   bool          // a leader was, ever
	index  uint64        // of the lease at the last look
	looks  int           // that read the lease, since it leads
	voters int           // in the last of them that asked: every votersEvery-th
	lone   bool          // it was the only voter then
}

// look asks the agent: who leads, and if this server does, for the lease and the voters. The read of the
// lease is a consistent one: it is answered only after a majority has confirmed the leader. Who leads is asked
// again after it, as an agent that has stood still has the read answered by the new leader.
func (w *witness) look(parent context.Context) (s sight) {
	limit := w.config.proof() * 4 / 5
	if w.lone {
		limit = w.config.loneProof() * 2 / 5
	}
	ctx, cancel := context.WithTimeout(parent, limit)
	defer cancel()
	s.start = sinceBoot()
	defer func() { s.end = sinceBoot() }()

	if s.leader, s.problem = w.leader(ctx); s.leader != w.config.Name {
		w.lone, w.looks = false, 0
		if s.leader == "" {
			s.alone = w.alone(parent)
		}
		return s
	}
	if err := w.read(ctx, &s); err != nil {
		s.problem = fmt.Sprintf("leads, but the lease can't be read: %v", err)
		return s
	}
	s.leader, s.problem = w.leader(ctx)
	s.proved = s.leader == w.config.Name
	return s
}

// leader names raft's leader, as the local agent has it; empty: none, or a problem.
func (w *witness) leader(ctx context.Context) (name, problem string) {
	address, err := w.store.client.Status().LeaderWithQueryOptions((&api.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return "", "the consul agent doesn't answer"
	}
	host, _, _ := net.SplitHostPort(address)
	if host == "" {
		return "", ""
	}
	w.seen = true
	if name = w.config.serverAt(host); name == "" {
		name = host
	}
	return name, ""
}

// read fills in the lease and the voters.
func (w *witness) read(ctx context.Context, s *sight) error {
	var err error
	if s.lease, w.index, err = w.store.lease(ctx); err != nil {
		return err
	}
	if s.voters = w.voters; !w.lone && w.looks%votersEvery != 0 {
		w.looks++
		return nil
	}
	voters, err := w.store.voters(ctx, false)
	if err != nil {
		return err
	}
	w.voters = len(voters)
	w.looks++
	s.voters, w.lone = w.voters, w.voters == 1
	return nil
}

// claim writes the lease over the one of the last look; the next look shows whether it did.
func (w *witness) claim(parent context.Context, l lease) error {
	ctx, cancel := context.WithTimeout(parent, w.config.proof()*4/5)
	defer cancel()
	pair := &api.KVPair{Key: leaseKey, Value: []byte(l.String()), ModifyIndex: w.index}
	_, _, err := w.store.kv.CAS(pair, writing(ctx))
	if err != nil {
		pause(parent, time.Second)
	}
	return err
}
