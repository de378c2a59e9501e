package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
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
	fresh := c.snapshotPath() + ".new"
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
// manual recovery), which must be gone for good: one that came back with its old state would not be of this cluster.
func leadAlone(ctx context.Context, c *config, s *store) error {
	if leader, err := s.client.Status().LeaderWithQueryOptions(reading(ctx, true)); err == nil && leader != "" {
		return fmt.Errorf("%s leads; nothing was changed: lead-alone is for servers that have lost their quorum", leader)
	}
	for name, address := range c.Servers {
		if name != c.Name && anyAccepts(ctx, []string{net.JoinHostPort(address, "8300")}) {
			return fmt.Errorf("consul on %s answers at %s; nothing was changed: bring the others back, or switch it off", name, address)
		}
	}
	id, err := s.nodeID(ctx)
	if err != nil {
		return fmt.Errorf("consul doesn't tell this server's id: %w", err)
	}
	peers, err := json.Marshal([]map[string]any{{
		"id": id, "address": net.JoinHostPort(c.Address, "8300"), "non_voter": false,
	}})
	if err != nil {
		return err
	}
	if err := service("stop"); err != nil {
		return err
	}
	err = writeFile(filepath.Join(c.State, "raft", "peers.json"), peers)
	return errors.Join(err, service("start"))
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
