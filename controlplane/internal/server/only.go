package server

import (
	"context"
	"log/slog"
	"net"
	"os"
	"sync"

	"rack-lab/controlplane/internal/boottree"
	"rack-lab/controlplane/internal/clock"
	"rack-lab/controlplane/internal/config"
	"rack-lab/controlplane/internal/dhcp"
	"rack-lab/controlplane/internal/httpd"
	"rack-lab/controlplane/internal/kv"
	"rack-lab/controlplane/internal/replica"
)

// RunOnly is the daemon of a rack's only boot server, which has no consul, until ctx ends: nobody else can be the
// boot server, so it serves from the start on, without a lease and without a fence.
func RunOnly(ctx context.Context, c *config.Config, s kv.Store) error {
	if err := os.MkdirAll(c.RunDir, 0o755); err != nil {
		return err
	}
	return newOnly(c, s).run(ctx, net.JoinHostPort(c.BootIP(), "80"))
}

// only is that daemon.
type only struct {
	config  *config.Config
	store   kv.Store
	replica *replica.Replica
	dhcp    *dhcp.Server
}

func newOnly(c *config.Config, s kv.Store) *only {
	keepLeases := func(ctx context.Context, leases []byte) error { return s.Apply(ctx, kv.Set(dhcp.LeasesKey, leases)) }
	return &only{config: c, store: s, replica: replica.New(c, s), dhcp: dhcp.New(c, s, keepLeases)}
}

func (o *only) run(ctx context.Context, address string) error {
	library := boottree.Library{Folder: o.replica.Folder, Store: o.store}
	// The medium's files are whole, so machines may have them while the first import goes on.
	everybody := httpd.Handler(o.config.Tree, func() bool { return true }, httpd.BootPath)
	var running sync.WaitGroup
	running.Go(func() { httpd.Listen(ctx, address, everybody) })
	running.Go(func() { o.replica.Run(ctx) })
	running.Go(func() { o.report(ctx) })
	untilDone(ctx, "the DHCP configuration isn't in the store", o.dhcp.PutOwnConfig)
	o.dhcp.Start()
	defer o.dhcp.End()
	untilDone(ctx, "the boot medium isn't imported", func(ctx context.Context) error {
		return library.Import(ctx, o.replica.Remember)
	})
	tidy := tidying(library)
	for clock.Pause(ctx, roundEvery); ctx.Err() == nil; clock.Pause(ctx, tidyEvery*roundEvery) {
		if err := tidy(ctx); err != nil && ctx.Err() == nil {
			slog.Warn("what nobody needs stays", "error", err)
		}
	}
	running.Wait()
	return nil
}

// report writes down whether the tree is complete, at each change.
func (o *only) report(ctx context.Context) {
	for ctx.Err() == nil {
		now := ownStatus{Serving: true, Why: "the only boot server", Synced: o.replica.IsSynced()}
		if err := now.write(statusPath(o.config)); err != nil {
			slog.Warn("the status isn't written", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-o.replica.News:
			o.dhcp.Again()
		}
	}
}
