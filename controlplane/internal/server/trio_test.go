//go:build consul

package server

// Three servers, each a consul and a daemon, on loopback: who serves when the leader can't.

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"rack-lab/controlplane/internal/boottree/treetest"
	"rack-lab/controlplane/internal/clock"
	"rack-lab/controlplane/internal/cluster"
	"rack-lab/controlplane/internal/cluster/consultest"
	"rack-lab/controlplane/internal/config"
	"rack-lab/controlplane/internal/kv/consul"
	"rack-lab/controlplane/internal/replica"
)

// timedFence is a fence as the kernel keeps it: it closes by itself.
type timedFence struct{ until atomic.Int64 }

func (g *timedFence) Open(until time.Duration) error { g.until.Store(int64(until)); return nil }
func (g *timedFence) Close() error                   { g.until.Store(0); return nil }
func (g *timedFence) isOpen() bool                   { return clock.SinceBoot() < time.Duration(g.until.Load()) }

// certificate is a server's as a rack has it: CERTIFICATES names the folder that has one for each server.
func certificate(name string) config.TLS {
	folder := filepath.Join(os.Getenv("CERTIFICATES"), name)
	return config.TLS{
		Authority: filepath.Join(folder, "authority.pem"), Certificate: filepath.Join(folder, "certificate.pem"),
		Key: filepath.Join(folder, "key.pem"), ServerName: os.Getenv("SERVER_NAME"),
	}
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

// startAgent starts consul as the bootstrap server (with a vote) or as another server.
func startAgent(t *testing.T, address string, own config.TLS, bootstrap bool) *os.Process {
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
		"node_name": address, "server": true, "bind_addr": address, "client_addr": address, "data_dir": folder,
		"ports":       map[string]int{"dns": -1, "grpc": -1, "grpc_tls": -1, "serf_wan": -1},
		"autopilot":   map[string]any{"last_contact_threshold": "1ns", "server_stabilization_time": "3s"},
		"performance": map[string]int{"raft_multiplier": timing(t, "RAFT_MULTIPLIER", 1)},
	}
	if bootstrap {
		settings["bootstrap_expect"] = 1
	} else {
		settings["retry_join"] = []string{"127.7.0.1"}
	}
	agent, err := consultest.Start(folder, settings)
	must(t, err)
	t.Cleanup(func() { agent.Process.Kill(); agent.Wait() })
	return agent.Process
}

// trio is three servers on loopback, "a" the bootstrap server.
type trio struct {
	agents  map[string]*os.Process
	fences  map[string]*timedFence
	servers map[string]*Server
	disks   map[string]chan struct{} // a write waits while its server's is full
	overlap atomic.Value             // when more than one fence was open, and which
}

// open names the servers whose fences are open.
func (c *trio) open() (names string) {
	for name, g := range c.fences {
		if g.isOpen() {
			names += name
		}
	}
	return names
}

// voters is how many servers have a vote, as the bootstrap server knows it.
func (c *trio) voters() int {
	names, _ := c.servers["a"].consul.Voters(context.Background(), true)
	return len(names)
}

// threeServers starts them, and waits until each has a vote and the bootstrap server serves.
func threeServers(t *testing.T, ctx context.Context) *trio {
	t.Helper()
	servers := map[string]string{"a": "127.7.0.1", "b": "127.7.0.2", "c": "127.7.0.3"}
	made := &trio{map[string]*os.Process{}, map[string]*timedFence{}, map[string]*Server{}, map[string]chan struct{}{}, atomic.Value{}}
	for _, name := range []string{"a", "b", "c"} {
		c := serverConfig(t, name)
		c.Address, c.Servers, c.Bootstrap, c.PeerPort = servers[name], servers, name == "a", 8180
		c.ProofSeconds = timing(t, "PROOF_SECONDS", 2)
		c.DiskSeconds = timing(t, "DISK_SECONDS", 6)
		c.TLS = certificate(name)
		agent, disk := startAgent(t, c.Address, c.TLS, c.Bootstrap), make(chan struct{}, 1)
		if c.Bootstrap {
			treetest.Medium(t, replica.FolderOf(c))
		}
		its := &timedFence{}
		client := consultest.Client(t, servers[name]+":8500", consultest.Management)
		d := newServer(c, consul.New(client), cluster.New(client), its)
		d.watchdog.Signal = func(signal syscall.Signal) error { return agent.Signal(signal) }
		write := d.watchdog.Write
		d.watchdog.Write = func() error { disk <- struct{}{}; <-disk; return write() }
		d.watchdog.Disk = func() string { return "" } // other programs use it, too
		made.agents[name], made.fences[name], made.servers[name], made.disks[name] = agent, its, d, disk
		go d.servePeers(ctx)
		go d.replica.Run(ctx)
		go d.watchdog.Run(ctx)
		go d.run(ctx)
	}
	go func() {
		for ; ctx.Err() == nil; time.Sleep(2 * time.Millisecond) {
			if names := made.open(); len(names) > 1 {
				made.overlap.Store(fmt.Sprintf("%.3f %s", clock.SinceBoot().Seconds(), names))
			}
		}
	}()
	within(t, time.Minute, "the bootstrap server serves", func() bool { return made.open() == "a" })
	within(t, 2*time.Minute, "three votes and complete trees", func() bool {
		for _, d := range made.servers {
			if !d.replica.IsSynced() {
				return false
			}
		}
		return made.voters() == 3
	})
	time.Sleep(3 * time.Second) // the lone lease is lowered
	return made
}

// Twice the one who serves can't any more, and another does: first the bootstrap server, then a server that had followed.
func TestOneOfThreeServes(t *testing.T) {
	for _, each := range []struct {
		fault      string
		fail, mend func(c *trio, server string)
	}{
		{
			"its consul stands still",
			func(c *trio, server string) { must(t, c.agents[server].Signal(syscall.SIGSTOP)) },
			func(c *trio, server string) { must(t, c.agents[server].Signal(syscall.SIGCONT)) },
		},
		{
			"its disk hangs",
			func(c *trio, server string) { c.disks[server] <- struct{}{} },
			func(c *trio, server string) { <-c.disks[server] },
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
					leader, err := c.servers[before].consul.Leader(ctx)
					return err == nil && leader != "" && leader != c.servers[before].config.Address
				})
			}
			if seen := c.overlap.Load(); seen != nil {
				t.Errorf("two fences were open at %v", seen)
			}
		})
	}
}

// A follower that is told to stand for election wins it at once, though its leader is well.
func TestLeadershipIsHandedOver(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	c := threeServers(t, ctx)
	leads := func() string { leader, _ := c.servers["c"].consul.Leader(ctx); return leader }
	for _, each := range []struct{ from, to string }{{"a", "b"}, {"b", "c"}, {"c", "b"}} {
		within(t, time.Minute, each.from+" leads", func() bool {
			return leads() == c.servers[each.from].config.Address
		})
		began := time.Now()
		must(t, cluster.HandOver(c.servers[each.from].config, each.to))
		within(t, time.Minute, each.to+" leads", func() bool {
			return leads() == c.servers[each.to].config.Address
		})
		t.Logf("%s leads after %.1f s", each.to, time.Since(began).Seconds())
	}
}

func TestNobodyTakesTheLeadershipOver(t *testing.T) {
	c := serverConfig(t, "a")
	c.TLS = certificate("a")
	c.Servers = map[string]string{"a": "127.0.0.1", "b": "127.0.0.2", "c": "127.0.0.3"}
	c.RPCPort = 1 // nobody listens there
	if err := cluster.HandOver(c, c.Others()...); err == nil || !strings.Contains(err.Error(), "b: ") || !strings.Contains(err.Error(), "c: ") {
		t.Errorf("%v", err)
	}
}
