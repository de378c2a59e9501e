package main

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/hashicorp/consul/api"
)

// This file owns what raft's leader does besides serving: tokens, votes, import, inboxes, old blobs; and that it gives
// way to one who can serve.

const (
	blobAge        = time.Hour        // a blob no entry names stays that long
	contactAllowed = 60 * time.Second // a server with votes may be silent that long
)

// A new leader whose tree is complete knows by then; tests don't wait for it.
var ownTreeIsRead = 10 * time.Second

// duties are the leader's.
type duties struct {
	config   *config
	store    *store
	tree     *tree
	handOver func(to ...string) error
	gaveWay  atomic.Bool // once: two who can't serve shall not send each other away for ever
}

// do does them while ctx lasts.
func (d *duties) do(ctx context.Context) {
	go d.giveWay(ctx)
	steps := []func() error{
		func() error { return ensureTokens(ctx, d.store, d.config.Tokens) },
		func() error {
			if !d.config.Founder {
				return nil
			}
			return importTree(ctx, d.tree)
		},
	}
	for n := 0; n < len(steps) && ctx.Err() == nil; {
		if err := steps[n](); err != nil {
			if ctx.Err() == nil {
				logf("leader: %v; again in 5 s", err)
			}
			pause(ctx, 5*time.Second)
			continue
		}
		n++
	}
	go d.store.watch(ctx, inboxPrefix, func() { takeInboxes(ctx, d.store) })
	unnamed := map[string]time.Time{}
	for round := 0; ctx.Err() == nil; round++ {
		err := grantVotes(ctx, d.store)
		if err == nil && round%30 == 0 {
			err = errors.Join(removeBlobs(ctx, d.store, unnamed, time.Now()), (&library{d.config.Tree, d.store}).prune(ctx))
		}
		if err != nil && ctx.Err() == nil {
			logf("leader: %v", err)
		}
		pause(ctx, 20*time.Second)
	}
}

// giveWay hands the leadership over if this leader can't serve, for its copy of the boot tree is not complete, and another
// server can. A copy takes minutes under emulation.
func (d *duties) giveWay(ctx context.Context) {
	for pause(ctx, ownTreeIsRead); ctx.Err() == nil && !d.gaveWay.Load() && !d.tree.isSynced(); pause(ctx, 5*time.Second) {
		able, err := d.tree.successor(ctx)
		if err == nil && able != "" {
			logf("leader: %s can serve now, this server can't; it gives way", able)
			err = d.handOver(able)
			d.gaveWay.Store(err == nil)
		}
		if err != nil && ctx.Err() == nil {
			logf("leader: %v", err)
		}
	}
}

// takeInboxes takes all commits that are there; one that can't be taken for consul's sake is tried again.
func takeInboxes(ctx context.Context, s *store) {
	for ctx.Err() == nil {
		macs, err := s.keys(ctx, inboxPrefix)
		for _, mac := range macs {
			if one := takeInbox(ctx, s, mac); one != nil {
				err = one
			}
		}
		if err == nil {
			return
		}
		if ctx.Err() == nil {
			logf("inbox: %v; again in 5 s", err)
		}
		pause(ctx, 5*time.Second)
	}
}

// member is what the agent knows of another agent.
type member struct {
	Name   string
	Status int // serf's
	Tags   map[string]string
}

const memberAlive = 1

// members asks the agent for all agents it knows.
func (s *store) members(ctx context.Context) (all []member, err error) {
	err = s.call(ctx, func(ctx context.Context) error {
		all = nil
		_, err := s.client.Raw().Query("/v1/agent/members", &all, (&api.QueryOptions{}).WithContext(ctx))
		return err
	})
	return all, err
}

// voters names the servers that have a vote, those nobody has met yet "(unknown)"; stale: as this server has it,
// leader or not.
func (s *store) voters(ctx context.Context, stale bool) (names []string, err error) {
	raft, err := s.client.Operator().RaftGetConfiguration(reading(ctx, stale))
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

// grantVotes lets autopilot give servers votes when there are three or more: one can fail then. Of two the
// founder alone votes, which consul's own configuration sees to.
func grantVotes(ctx context.Context, s *store) error {
	all, err := s.members(ctx)
	if err != nil {
		return err
	}
	alive := 0
	for _, each := range all {
		if each.Tags["role"] == "consul" && each.Status == memberAlive {
			alive++
		}
	}
	if alive < 3 {
		return nil
	}
	operator := s.client.Operator()
	autopilot, err := operator.AutopilotGetConfiguration(reading(ctx, false))
	if err != nil || autopilot.LastContactThreshold.Duration() >= contactAllowed {
		return err
	}
	autopilot.LastContactThreshold = api.NewReadableDuration(contactAllowed)
	_, err = operator.AutopilotCASConfiguration(autopilot, writing(ctx))
	return err
}

// removeBlobs removes blobs that no entry has named for blobAge; since holds when each was first seen so.
func removeBlobs(ctx context.Context, s *store, since map[string]time.Time, now time.Time) error {
	// Blobs first: one written between the two reads is not among them.
	blobs, err := s.keys(ctx, blobPrefix)
	if err != nil {
		return err
	}
	entries, err := s.entries(ctx)
	if err != nil {
		return err
	}
	named := namedBlobs(entries)
	for _, sum := range blobs {
		first, waits := since[sum]
		switch {
		case named[sum]:
			delete(since, sum)
		case !waits:
			since[sum] = now
		case now.Sub(first) >= blobAge:
			if err := s.deleteTree(ctx, blobPrefix+sum); err != nil {
				return err
			}
			delete(since, sum)
		}
	}
	return nil
}
