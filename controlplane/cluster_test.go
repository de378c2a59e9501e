//go:build consul

package main

// Three servers, each a consul and a daemon, on loopback: who serves when the leader's consul stands still.

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// timedGate is a gate as the kernel keeps it: it closes by itself.
type timedGate struct{ until atomic.Int64 }

func (g *timedGate) open(until time.Duration) error { g.until.Store(int64(until)); return nil }
func (g *timedGate) close() error                   { g.until.Store(0); return nil }
func (g *timedGate) isOpen() bool                   { return sinceBoot() < time.Duration(g.until.Load()) }

// startAgent starts consul as the founder (with a vote) or as another server.
func startAgent(t *testing.T, address string, founder bool) *os.Process {
	t.Helper()
	folder := t.TempDir()
	settings := map[string]any{
		"node_name": address, "server": true, "bind_addr": address, "client_addr": address, "data_dir": folder, "log_level": "warn",
		"ports": map[string]int{"dns": -1, "grpc": -1, "grpc_tls": -1, "serf_wan": -1},
		"acl": map[string]any{"enabled": true, "default_policy": "deny",
			"tokens": map[string]string{"initial_management": management, "agent": management}},
		"autopilot":   map[string]any{"last_contact_threshold": "1ns", "server_stabilization_time": "3s"},
		"performance": map[string]int{"raft_multiplier": 1},
	}
	if founder {
		settings["bootstrap_expect"] = 1
	} else {
		settings["retry_join"] = []string{"127.7.0.1"}
	}
	text, _ := json.Marshal(settings)
	must(t, os.WriteFile(filepath.Join(folder, "consul.json"), text, 0o600))
	agent := exec.Command(os.Getenv("CONSUL"), "agent", "-config-file="+filepath.Join(folder, "consul.json"))
	agent.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	must(t, agent.Start())
	t.Cleanup(func() { agent.Process.Kill(); agent.Wait() })
	return agent.Process
}

func TestOneOfThreeServes(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	must(t, os.MkdirAll(runDir, 0o755))
	servers := map[string]string{"a": "127.7.0.1", "b": "127.7.0.2", "c": "127.7.0.3"}
	agents, gates, daemons := map[string]*os.Process{}, map[string]*timedGate{}, map[string]*daemon{}
	for _, name := range []string{"a", "b", "c"} {
		agents[name] = startAgent(t, servers[name], name == "a")
		c := serverConfig(t, name)
		c.Address, c.Servers, c.Founder, c.PeerPort, c.ProofSeconds = servers[name], servers, name == "a", 8180, 2
		if c.Founder {
			stick(t, c.Tree)
		}
		gates[name] = &timedGate{}
		d := newDaemon(c, storeAt(t, servers[name]+":8500"), gates[name])
		daemons[name] = d
		go listen(ctx, net.JoinHostPort(c.Address, "8180"), treeHandler(c.Tree, func() bool { return true }, d.tree.has))
		go d.tree.run(ctx)
		go d.run(ctx)
	}
	open := func() (names string) {
		for name, g := range gates {
			if g.isOpen() {
				names += name
			}
		}
		return names
	}
	var overlap atomic.Value
	go func() {
		for ; ctx.Err() == nil; time.Sleep(2 * time.Millisecond) {
			if names := open(); len(names) > 1 {
				overlap.Store(fmt.Sprintf("%.3f %s", sinceBoot().Seconds(), names))
			}
		}
	}()
	within(t, time.Minute, "the founder serves", func() bool { return open() == "a" })
	within(t, 2*time.Minute, "three votes and complete trees", func() bool {
		for _, d := range daemons {
			if !d.tree.isSynced() {
				return false
			}
		}
		raft, err := daemons["a"].store.client.Operator().RaftGetConfiguration(nil)
		voters := 0
		if err == nil {
			for _, server := range raft.Servers {
				if server.Voter {
					voters++
				}
			}
		}
		return voters == 3
	})
	time.Sleep(3 * time.Second) // the lone lease is lowered
	for range 2 {
		before := open()
		if len(before) != 1 {
			t.Fatalf("open: '%s'", before)
		}
		must(t, agents[before].Signal(syscall.SIGSTOP))
		began := time.Now()
		within(t, time.Minute, "another serves", func() bool { now := open(); return now != "" && now != before })
		t.Logf("after %s stopped %s served in %.1f s", before, open(), time.Since(began).Seconds())
		must(t, agents[before].Signal(syscall.SIGCONT))
		time.Sleep(8 * time.Second)
	}
	if seen := overlap.Load(); seen != nil {
		t.Errorf("two gates were open at %v", seen)
	}
}
