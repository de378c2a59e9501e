//go:build consul

package main

// Three servers, each a consul and a daemon, on loopback: who serves when the leader can't.

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
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

// certificate is a server's as a rack has it: CERTIFICATES names the folder that has one for each server.
func certificate(name string) tlsConfig {
	folder := filepath.Join(os.Getenv("CERTIFICATES"), name)
	return tlsConfig{filepath.Join(folder, "authority.pem"), filepath.Join(folder, "certificate.pem"),
		filepath.Join(folder, "key.pem"), os.Getenv("SERVER_NAME")}
}

// timing is a number that the environment has, as a rack's profile says it (config/consul.py), or another one.
func timing(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	number, err := strconv.Atoi(text)
	must(t, err)
	return number
}

// startAgent starts consul as the founder (with a vote) or as another server.
func startAgent(t *testing.T, address string, own tlsConfig, founder bool) *os.Process {
	t.Helper()
	folder := t.TempDir()
	settings := map[string]any{
		"datacenter": strings.Split(own.ServerName, ".")[1],
		"tls": map[string]any{
			"defaults": map[string]any{
				"ca_file": own.Authority, "cert_file": own.Certificate, "key_file": own.Key, "verify_incoming": true, "verify_outgoing": true,
			},
			"internal_rpc": map[string]any{"verify_server_hostname": true},
		},
		"node_name": address, "server": true, "bind_addr": address, "client_addr": address, "data_dir": folder, "log_level": "warn",
		"ports": map[string]int{"dns": -1, "grpc": -1, "grpc_tls": -1, "serf_wan": -1},
		"acl": map[string]any{"enabled": true, "default_policy": "deny",
			"tokens": map[string]string{"initial_management": management, "agent": management}},
		"autopilot":   map[string]any{"last_contact_threshold": "1ns", "server_stabilization_time": "3s"},
		"performance": map[string]int{"raft_multiplier": timing(t, "RAFT_MULTIPLIER", 1)},
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

// cluster is three servers on loopback, "a" the founder.
type cluster struct {
	agents  map[string]*os.Process
	gates   map[string]*timedGate
	daemons map[string]*daemon
	disks   map[string]chan struct{} // a write waits while its server's is full
	overlap atomic.Value             // when more than one gate was open, and which
}

// open names the servers whose gates are open.
func (c *cluster) open() (names string) {
	for name, g := range c.gates {
		if g.isOpen() {
			names += name
		}
	}
	return names
}

// voters is how many servers have a vote, as the founder knows it.
func (c *cluster) voters() int {
	names, _ := c.daemons["a"].store.voters(context.Background(), true)
	return len(names)
}

// threeServers starts them, and waits until each has a vote and the founder serves.
func threeServers(t *testing.T, ctx context.Context) *cluster {
	t.Helper()
	must(t, os.MkdirAll(runDir, 0o755))
	servers := map[string]string{"a": "127.7.0.1", "b": "127.7.0.2", "c": "127.7.0.3"}
	made := &cluster{map[string]*os.Process{}, map[string]*timedGate{}, map[string]*daemon{}, map[string]chan struct{}{}, atomic.Value{}}
	for _, name := range []string{"a", "b", "c"} {
		c := serverConfig(t, name)
		c.Address, c.Servers, c.Founder, c.PeerPort = servers[name], servers, name == "a", 8180
		c.ProofSeconds = timing(t, "PROOF_SECONDS", 2)
		c.DiskSeconds = timing(t, "DISK_SECONDS", 6)
		c.TLS = certificate(name)
		agent, disk := startAgent(t, c.Address, c.TLS, c.Founder), make(chan struct{}, 1)
		if c.Founder {
			stick(t, c.Tree)
		}
		gate := &timedGate{}
		d := newDaemon(c, storeAt(t, servers[name]+":8500"), gate)
		d.watchdog.signal = func(signal syscall.Signal) error { return agent.Signal(signal) }
		d.watchdog.write = func() error { disk <- struct{}{}; <-disk; return c.writeState() }
		d.watchdog.disk = func() string { return "" } // other programs use it, too
		made.agents[name], made.gates[name], made.daemons[name], made.disks[name] = agent, gate, d, disk
		go listen(ctx, net.JoinHostPort(c.Address, "8180"), treeHandler(c.Tree, func() bool { return true }, d.tree.has))
		go d.tree.run(ctx)
		go d.watchdog.run(ctx)
		go d.run(ctx)
	}
	go func() {
		for ; ctx.Err() == nil; time.Sleep(2 * time.Millisecond) {
			if names := made.open(); len(names) > 1 {
				made.overlap.Store(fmt.Sprintf("%.3f %s", sinceBoot().Seconds(), names))
			}
		}
	}()
	within(t, time.Minute, "the founder serves", func() bool { return made.open() == "a" })
	within(t, 2*time.Minute, "three votes and complete trees", func() bool {
		for _, d := range made.daemons {
			if !d.tree.isSynced() {
				return false
			}
		}
		return made.voters() == 3
	})
	time.Sleep(3 * time.Second) // the lone lease is lowered
	return made
}

// Twice the one who serves can't any more, and another does: first the founder, then a server that had followed.
func TestOneOfThreeServes(t *testing.T) {
	for _, each := range []struct {
		fault      string
		fail, mend func(c *cluster, server string)
	}{
		{
			"its consul stands still",
			func(c *cluster, server string) { must(t, c.agents[server].Signal(syscall.SIGSTOP)) },
			func(c *cluster, server string) { must(t, c.agents[server].Signal(syscall.SIGCONT)) },
		},
		{
			"its disk hangs",
			func(c *cluster, server string) { c.disks[server] <- struct{}{} },
			func(c *cluster, server string) { <-c.disks[server] },
		},
	} {
		t.Run(each.fault, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
			defer cancel()
			c := threeServers(t, ctx)
			for range 2 {
				before := c.open()
				if len(before) != 1 {
					t.Fatalf("open: '%s'", before)
				}
				each.fail(c, before)
				began := time.Now()
				within(t, time.Minute, "another serves", func() bool { now := c.open(); return now != "" && now != before })
				t.Logf("after %s failed %s served in %.1f s", before, c.open(), time.Since(began).Seconds())
				each.mend(c, before)
				within(t, time.Minute, "it follows", func() bool {
					leader, err := c.daemons[before].store.client.Status().Leader()
					return err == nil && leader != "" && leader != c.daemons[before].config.rpcAt(c.daemons[before].config.Address)
				})
			}
			if seen := c.overlap.Load(); seen != nil {
				t.Errorf("two gates were open at %v", seen)
			}
		})
	}
}

// A follower that is told to stand for election wins it at once, though its leader is well.
func TestLeadershipIsHandedOver(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	c := threeServers(t, ctx)
	leads := func() string { leader, _ := c.daemons["c"].store.client.Status().Leader(); return leader }
	for _, each := range []struct{ from, to string }{{"a", "b"}, {"b", "c"}, {"c", "b"}} {
		within(t, time.Minute, each.from+" leads", func() bool {
			return leads() == c.daemons[each.from].config.rpcAt(c.daemons[each.from].config.Address)
		})
		began := time.Now()
		must(t, c.daemons[each.from].config.handOver(each.to))
		within(t, time.Minute, each.to+" leads", func() bool {
			return leads() == c.daemons[each.to].config.rpcAt(c.daemons[each.to].config.Address)
		})
		t.Logf("%s leads after %.1f s", each.to, time.Since(began).Seconds())
	}
}

func TestNobodyTakesTheLeadershipOver(t *testing.T) {
	c := serverConfig(t, "a")
	c.TLS = certificate("a")
	c.Servers = map[string]string{"a": "127.0.0.1", "b": "127.0.0.2", "c": "127.0.0.3"}
	c.RPCPort = 1 // nobody listens there
	if err := c.handOver(c.others()...); err == nil || !strings.Contains(err.Error(), "b: ") || !strings.Contains(err.Error(), "c: ") {
		t.Errorf("%v", err)
	}
}
