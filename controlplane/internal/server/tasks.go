package server

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"rack-lab/controlplane/internal/boottree"
	"rack-lab/controlplane/internal/clock"
	"rack-lab/controlplane/internal/cluster"
	"rack-lab/controlplane/internal/config"
	"rack-lab/controlplane/internal/kv"
	"rack-lab/controlplane/internal/replica"
)

const (
	againAfter    = 5 * time.Second
	roundEvery    = 20 * time.Second
	tidyEvery     = 30               // rounds
	ownTreeIsRead = 10 * time.Second // a new leader whose copy is complete knows by then
	taskFailed    = "a leader's task isn't done"
)

// tasks are what raft's leader does besides serving: tokens, votes, the import, inboxes, old blobs; and that it
// steps down for one who can serve.
type tasks struct {
	config      *config.Config
	store       kv.Store
	consul      *cluster.Client
	replica     *replica.Replica
	handOver    func(to ...string) error
	settled     time.Duration // until then it may not know that its copy is complete
	steppedDown atomic.Bool   // once: two who can't serve shall not send each other away for ever
}

// do does them while ctx lasts.
func (d *tasks) do(ctx context.Context) {
	go d.stepDown(ctx, d.successor)
	library := boottree.Library{Folder: d.replica.Folder, Store: d.store}
	untilDone(ctx, taskFailed, func(ctx context.Context) error { return d.consul.EnsureTokens(ctx, d.config.Tokens) })
	if d.config.Bootstrap {
		untilDone(ctx, taskFailed, func(ctx context.Context) error { return library.Import(ctx, d.replica.Remember) })
	}
	go boottree.WatchInboxes(ctx, d.store)
	tidy := tidying(library)
	for round := 0; ctx.Err() == nil; round++ {
		err := d.consul.GrantVotes(ctx)
		if err == nil && round%tidyEvery == 0 {
			err = tidy(ctx)
		}
		if err != nil && ctx.Err() == nil {
			slog.Warn(taskFailed, "error", err, "again_in", roundEvery)
		}
		clock.Pause(ctx, roundEvery)
	}
}

// untilDone does something until there is no error.
func untilDone(ctx context.Context, failed string, do func(context.Context) error) {
	for ctx.Err() == nil {
		err := do(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		slog.Warn(failed, "error", err, "again_in", againAfter)
		clock.Pause(ctx, againAfter)
	}
}

// tidying gives what removes from the tree what nobody needs, time after time.
func tidying(library boottree.Library) func(context.Context) error {
	unnamed := map[string]time.Time{}
	return func(ctx context.Context) error {
		return errors.Join(boottree.RemoveBlobs(ctx, library.Store, unnamed, time.Now()), library.Prune(ctx))
	}
}

// stepDown hands the leadership over if this leader can't serve, for its copy of the boot tree is not complete, and
// another server can. A copy takes minutes under emulation.
func (d *tasks) stepDown(ctx context.Context, successor func(context.Context) (string, error)) {
	for clock.Pause(ctx, d.settled); ctx.Err() == nil && !d.steppedDown.Load() && !d.replica.IsSynced(); clock.Pause(ctx, againAfter) {
		able, err := successor(ctx)
		if err == nil && able != "" {
			slog.Info("steps down: this server can't serve, another can", "successor", able)
			err = d.handOver(able)
			d.steppedDown.Store(err == nil)
		}
		if err != nil && ctx.Err() == nil {
			slog.Warn("the leadership isn't handed over", "error", err)
		}
	}
}

// successor is a server that can serve if this one doesn't lead any more, "" if there is none.
func (d *tasks) successor(ctx context.Context) (string, error) {
	holders, err := holders(ctx, d.store)
	if err != nil {
		return "", err
	}
	voters, err := d.consul.Voters(ctx, false)
	if err != nil {
		return "", err
	}
	members, err := d.consul.Members(ctx)
	return pickSuccessor(d.config.Name, members, holders, voters), err
}

// holders are the servers that have all files that are registered now.
func holders(ctx context.Context, s kv.Store) (map[string]bool, error) {
	files, err := boottree.ReadFiles(ctx, s)
	if err != nil {
		return nil, err
	}
	return replica.Holders(ctx, s, files.Digest())
}

// pickSuccessor names one that lives, has all files and a vote: others can't be elected.
func pickSuccessor(own string, members []cluster.Member, holders map[string]bool, voters []string) string {
	for _, each := range members {
		if each.Name != own && each.IsAlive() && holders[each.Name] && slices.Contains(voters, each.Name) {
			return each.Name
		}
	}
	return ""
}
