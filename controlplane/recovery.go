package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// This file owns the ways back from the loss of servers: snapshots of the KV beside each server's state, taking
// one in again, and a server that goes on without those that are gone for good (docs/control-plane.md).

const snapshotEvery = time.Hour

func (c *config) snapshotPath() string { return filepath.Join(c.State, "rack.snapshot") }

// keepSnapshots saves one each hour, until ctx ends. The server's own copy of the KV will do, whoever leads.
func keepSnapshots(ctx context.Context, c *config, s *store) {
	for pause(ctx, snapshotEvery); ctx.Err() == nil; pause(ctx, snapshotEvery) {
		if err := saveSnapshot(ctx, c, s); err != nil && ctx.Err() == nil {
			logf("snapshot: %v", err)
		}
	}
}

// saveSnapshot is the command `control-plane snapshot`: consul's state becomes the file, whole or not at all.
func saveSnapshot(ctx context.Context, c *config, s *store) error {
	content, _, err := s.client.Snapshot().Save(reading(ctx, true))
	if err != nil {
		return err
	}
	defer content.Close()
	fresh := c.snapshotPath() + unfinished
	file, err := os.OpenFile(fresh, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(fresh)
	_, err = io.Copy(file, content)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Rename(fresh, c.snapshotPath())
}

// restoreSnapshot is the command `control-plane restore FILE`: all servers' state becomes the file's.
func restoreSnapshot(ctx context.Context, s *store, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	return s.client.Snapshot().Restore(writing(ctx), file)
}

// leadAlone is the command `control-plane lead-alone`: this server's consul forgets the others (raft/peers.json, consul's
// manual recovery), which must be gone for good: those that come back have to rejoin, for with their old state they
// would be another cluster.
func leadAlone(ctx context.Context, c *config, s *store) error {
	if leader, err := s.client.Status().LeaderWithQueryOptions(reading(ctx, true)); err == nil && leader != "" {
		return fmt.Errorf("%s leads; nothing was changed: lead-alone is for servers that have lost their quorum", leader)
	}
	if there := c.answering(ctx); there != "" {
		return fmt.Errorf("consul on %s answers; nothing was changed: bring the others back, or switch it off", there)
	}
	id, err := s.nodeID(ctx)
	if err != nil {
		return fmt.Errorf("consul doesn't tell this server's id: %w", err)
	}
	peers, err := json.Marshal([]map[string]any{{
		"id": id, "address": c.rpcAt(c.Address), "non_voter": false,
	}})
	if err != nil {
		return err
	}
	return withoutConsul(func() error { return writeFile(filepath.Join(c.raft(), "peers.json"), peers) })
}

// rejoin is the command `control-plane rejoin`: this server's consul forgets what it had, and gets all from the others. The
// last snapshot stays.
func rejoin(ctx context.Context, c *config) error {
	if c.answering(ctx) == "" {
		return errors.New("no other server's consul answers; nothing was changed: rejoin is for a server whose state is not the others'")
	}
	return withoutConsul(func() error {
		return errors.Join(os.RemoveAll(c.raft()), os.RemoveAll(filepath.Join(c.State, "serf")))
	})
}

// founds is the command `control-plane founds`, which consul's start asks: a founder without state starts a cluster, and
// joins one where another server's consul answers. consul itself would start another.
func founds(ctx context.Context, c *config) error {
	if !c.Founder {
		return errors.New("not the founder")
	}
	if _, err := os.Stat(c.raft()); err == nil {
		return errors.New("it has a state, and goes on with it")
	}
	if there := c.answering(ctx); there != "" {
		return fmt.Errorf("consul on %s answers", there)
	}
	return nil
}

func (c *config) raft() string { return filepath.Join(c.State, "raft") }

// withoutConsul does something to the state while consul stands still.
func withoutConsul(change func() error) error {
	if err := service("stop"); err != nil {
		return err
	}
	return errors.Join(change(), service("start"))
}

// nodeID is the agent's id, which raft knows it by.
func (s *store) nodeID(ctx context.Context) (string, error) {
	var self struct{ Config struct{ NodeID string } }
	err := s.call(ctx, func(ctx context.Context) error {
		_, err := s.client.Raw().Query("/v1/agent/self", &self, reading(ctx, true))
		return err
	})
	return self.Config.NodeID, err
}

// service starts or stops consul.
func service(action string) error {
	said, err := exec.Command("rc-service", "consul", action).CombinedOutput()
	if err != nil {
		return fmt.Errorf("rc-service consul %s: %w: %s", action, err, said)
	}
	return nil
}
