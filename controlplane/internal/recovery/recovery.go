// Package recovery has the ways back from the loss of servers: snapshots of the store beside each server's state,
// taking one in again, and a server that goes on without those that are gone for good (docs/control-plane.md).
package recovery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"rack-lab/controlplane/internal/atomicfile"
	"rack-lab/controlplane/internal/clock"
	"rack-lab/controlplane/internal/cluster"
	"rack-lab/controlplane/internal/config"
)

const snapshotEvery = time.Hour

// SnapshotPath is where a server's snapshots are.
func SnapshotPath(c *config.Config) string { return filepath.Join(c.State, "rack.snapshot") }

// KeepSnapshots saves one each hour, until ctx ends. The server's own copy of the KV will do, whoever leads.
func KeepSnapshots(ctx context.Context, c *config.Config, consul *cluster.Client) {
	for clock.Pause(ctx, snapshotEvery); ctx.Err() == nil; clock.Pause(ctx, snapshotEvery) {
		if err := SaveSnapshot(ctx, c, consul); err != nil && ctx.Err() == nil {
			slog.Warn("no snapshot was saved", "error", err)
		}
	}
}

// SaveSnapshot is the command `control-plane snapshot`: consul's state becomes the file, whole or not at all.
func SaveSnapshot(ctx context.Context, c *config.Config, consul *cluster.Client) error {
	fresh := SnapshotPath(c) + atomicfile.Unfinished
	file, err := os.OpenFile(fresh, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(fresh)
	err = consul.Snapshot(ctx, file)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Rename(fresh, SnapshotPath(c))
}

// RestoreSnapshot is the command `control-plane restore FILE`: all servers' state becomes the file's.
func RestoreSnapshot(ctx context.Context, consul *cluster.Client, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	return consul.Restore(ctx, file)
}

// LeadAlone is the command `control-plane lead-alone`: this server's consul forgets the others (raft/peers.json, consul's
// manual recovery), which must be gone for good: those that come back have to rejoin, for with their old state they
// would be another cluster.
func LeadAlone(ctx context.Context, c *config.Config, consul *cluster.Client) error {
	if leader, err := consul.Leader(ctx); err == nil && leader != "" {
		return fmt.Errorf("%s leads; nothing was changed: lead-alone is for servers that have lost their quorum", leader)
	}
	if there := cluster.Answering(ctx, c); there != "" {
		return fmt.Errorf("consul on %s answers; nothing was changed: bring the others back, or switch it off", there)
	}
	id, err := consul.NodeID(ctx)
	if err != nil {
		return fmt.Errorf("consul doesn't tell this server's id: %w", err)
	}
	peers, err := json.Marshal([]map[string]any{{
		"id": id, "address": c.RPCAt(c.Address), "non_voter": false,
	}})
	if err != nil {
		return err
	}
	return withoutConsul(ctx, func() error { return atomicfile.Write(filepath.Join(raft(c), "peers.json"), peers) })
}

// Rejoin is the command `control-plane rejoin`: this server's consul forgets what it had, and gets all from the others. The
// last snapshot stays.
func Rejoin(ctx context.Context, c *config.Config) error {
	if cluster.Answering(ctx, c) == "" {
		return errors.New("no other server's consul answers; nothing was changed: rejoin is for a server whose state is not the others'")
	}
	return withoutConsul(ctx, func() error {
		return errors.Join(os.RemoveAll(raft(c)), os.RemoveAll(filepath.Join(c.State, "serf")))
	})
}

// Bootstraps is the command `control-plane bootstraps`, which consul's start asks: a bootstrap server without state
// starts a cluster, and
// joins one where another server's consul answers. consul itself would start another.
func Bootstraps(ctx context.Context, c *config.Config) error {
	if !c.Bootstrap {
		return errors.New("not the bootstrap server")
	}
	if _, err := os.Stat(raft(c)); err == nil {
		return errors.New("it has a state, and goes on with it")
	}
	if there := cluster.Answering(ctx, c); there != "" {
		return fmt.Errorf("consul on %s answers", there)
	}
	return nil
}

func raft(c *config.Config) string { return filepath.Join(c.State, "raft") }

// withoutConsul does something to the state while consul stands still.
func withoutConsul(ctx context.Context, change func() error) error {
	if err := service(ctx, "stop"); err != nil {
		return err
	}
	return errors.Join(change(), service(context.WithoutCancel(ctx), "start"))
}

// service starts or stops consul.
func service(ctx context.Context, action string) error {
	said, err := exec.CommandContext(ctx, "rc-service", "consul", action).CombinedOutput()
	if err != nil {
		return fmt.Errorf("rc-service consul %s: %w: %s", action, err, said)
	}
	return nil
}
