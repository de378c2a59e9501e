//go:build consul

package server

// Tests beside a real consul agent: what a server does with its leadership, tokens and snapshots.

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rack-lab/controlplane/internal/boottree"
	"rack-lab/controlplane/internal/boottree/treetest"
	"rack-lab/controlplane/internal/cluster"
	"rack-lab/controlplane/internal/cluster/consultest"
	"rack-lab/controlplane/internal/config"
	"rack-lab/controlplane/internal/dhcp"
	"rack-lab/controlplane/internal/kv"
	"rack-lab/controlplane/internal/kv/consul"
	"rack-lab/controlplane/internal/kv/kvtest"
	"rack-lab/controlplane/internal/leadership"
	"rack-lab/controlplane/internal/names"
	"rack-lab/controlplane/internal/recovery"
	"rack-lab/controlplane/internal/replica"
)

func TestMain(m *testing.M) { consultest.Main(m) }

var (
	must     = kvtest.Must
	mustFail = kvtest.MustFail
	within   = kvtest.Within
)

// limited is the time that a test may take.
func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func serverConfig(t *testing.T, name string) *config.Config {
	return &config.Config{
		Name: name, MAC: treetest.MAC1, Address: "127.0.0.1", BootAddress: "127.0.0.9/8", Device: "lo",
		Tree: t.TempDir(), State: t.TempDir(), RunDir: t.TempDir(), Bootstrap: true,
		Servers: map[string]string{name: "127.0.0.1"}, ProofSeconds: 1, LoneProofSeconds: 3, DiskSeconds: 6,
		RPCPort: 8300, PeerPort: 1, Token: consultest.Management,
	}
}

func TestCopyIsComparedWithWhatTheLeaderHas(t *testing.T) {
	ctx := limited(t)
	s, _ := consultest.Fresh(t)
	c := serverConfig(t, "a")
	treetest.Medium(t, replica.FolderOf(c))
	must(t, boottree.Library{Folder: replica.FolderOf(c), Store: s}.Import(ctx, treetest.Unregistered))
	// An agent that has begun anew and lacks what the leader hasn't sent it yet.
	lacking := consul.New(consultest.Behind(t, func(r *http.Request) int {
		if r.URL.Query().Has("stale") && r.URL.Query().Has("recurse") {
			return http.StatusNotFound
		}
		return 0
	}))
	copied := replica.New(c, lacking)
	must(t, copied.Sync(ctx))
	if !copied.IsSynced() {
		t.Error("it is called incomplete")
	}
}

// A machine's token has the right to send a commit and to hear what became of it, no more.
func TestCommitFromAMachine(t *testing.T) {
	ctx := limited(t)
	s, client := consultest.Fresh(t)
	rules := fmt.Sprintf(`key_prefix "rack/inbox/%[1]s" { policy = "write" } key "rack/entry/%[1]s" { policy = "read" } key "rack/rejected/%[1]s" { policy = "read" }`, treetest.MAC1)
	wanted := []config.Token{{Name: "san1", Secret: "aaaaaaaa-2222-3333-4444-555555555555", Rules: rules}}
	must(t, cluster.New(client).EnsureTokens(ctx, wanted))
	p := kv.PatienceFor(20*time.Second, io.Discard)
	machine := p.Over(consul.New(consultest.Client(t, "", wanted[0].Secret)))
	go boottree.WatchInboxes(ctx, s)
	entry := boottree.Entry{Image: "san", Overlay: names.SumOf([]byte("o"))}
	must(t, s.Apply(ctx, kv.Set(boottree.EntryPrefix+treetest.MAC1, []byte(entry.Text(treetest.MAC1))), kv.Set("rack/blob/"+entry.Overlay, []byte("o"))))
	for _, size := range []int64{5, 2 << 20} {
		commit := treetest.Archive(t, treetest.File("etc/a", size))
		must(t, boottree.SendCommit(ctx, machine, p, treetest.MAC1, bytes.NewReader(commit)))
	}
	mustFail(t, boottree.SendCommit(ctx, consul.New(consultest.Client(t, "", wanted[0].Secret)), kv.Patience{}, treetest.MAC2,
		bytes.NewReader(treetest.Archive(t, treetest.File("etc/a", 5)))), "403")
}

func TestTokens(t *testing.T) {
	ctx := limited(t)
	_, client := consultest.Fresh(t)
	its := cluster.New(client)
	one := config.Token{Name: "one", Secret: "bbbbbbbb-2222-3333-4444-555555555555", Rules: `key "x" { policy = "read" }`}
	two := config.Token{Name: "two", Secret: "cccccccc-2222-3333-4444-555555555555", Rules: `key "x" { policy = "write" }`}
	for range 2 {
		must(t, its.EnsureTokens(ctx, []config.Token{one, two}))
	}
	may := func(secret string) bool {
		return consul.New(consultest.Client(t, "", secret)).Apply(ctx, kv.Set("x", nil)) == nil
	}
	if may(one.Secret) || !may(two.Secret) {
		t.Error("rules are not as listed")
	}
	one.Rules = two.Rules
	must(t, its.EnsureTokens(ctx, []config.Token{one}))
	within(t, 5*time.Second, "rules changed", func() bool { return may(one.Secret) && !may(two.Secret) })
	must(t, its.EnsureTokens(ctx, nil))
	within(t, 5*time.Second, "the token goes", func() bool { return !may(one.Secret) })
}

// fakeFence records what the kernel would do.
type fakeFence struct{ until atomic.Int64 }

func (f *fakeFence) Open(until time.Duration) error { f.until.Store(int64(until)); return nil }
func (f *fakeFence) Close() error                   { f.until.Store(0); return nil }

func TestAServerServesAndStops(t *testing.T) {
	ctx := limited(t)
	s, client := consultest.Fresh(t)
	c := serverConfig(t, "a")
	treetest.Medium(t, replica.FolderOf(c))
	// A first leader, which refuses the bootstrap server's token until it has made it.
	var asked atomic.Int32
	refusing := consultest.Behind(t, func(r *http.Request) int {
		if strings.HasSuffix(r.URL.Path, dhcp.Prefix+dhcp.Configuration) && asked.Add(1) == 1 {
			return http.StatusForbidden
		}
		return 0
	})
	its := &fakeFence{}
	d := newServer(c, consul.New(refusing), cluster.New(refusing), its)
	d.dhcp.OwnConfig = filepath.Join(c.Tree, "own.conf")
	must(t, os.WriteFile(d.dhcp.OwnConfig, []byte("dhcp-range=own\n"), 0o600))
	// In dnsmasq's place: writes a lease, then stays.
	d.dhcp.Program = filepath.Join(c.Tree, "dnsmasq.sh")
	must(t, os.WriteFile(d.dhcp.Program, []byte("#!/bin/sh\nfor arg; do case $arg in --dhcp-leasefile=*) sleep 0.2; echo lease >>${arg#*=};; esac; done\nexec sleep 1000\n"), 0o700))
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan struct{})
	go d.replica.Run(running)
	go func() { d.run(running); close(ended) }()
	serving := func() bool {
		text, _ := os.ReadFile(statusPath(c))
		return strings.Contains(string(text), `"serving":true`) && strings.Contains(string(text), `"synced":true`)
	}
	within(t, 20*time.Second, "serving", serving)
	within(t, 20*time.Second, "the lease in the store", func() bool {
		pair, _ := s.Get(ctx, dhcp.LeasesKey)
		return pair != nil && strings.Contains(string(pair.Value), "lease")
	})
	if pair, _ := s.Get(ctx, leadership.Key); pair == nil || !strings.HasSuffix(string(pair.Value), " 3 held") {
		t.Errorf("lease: %v", pair)
	}
	if all := Status(ctx, c, cluster.New(client)); all.Leader != "a" || !all.Serving || !all.Servers["a"].Voter || !all.Servers["a"].Alive {
		t.Errorf("status: %+v", all)
	}
	// Another server has the lease: it stops, takes it back, and waits for 1.2 times its seconds.
	must(t, s.Apply(ctx, kv.Set(leadership.Key, []byte("b X 2 held"))))
	within(t, 5*time.Second, "stopped", func() bool { return !serving() })
	stopped := time.Now()
	within(t, 10*time.Second, "serving again", serving)
	if waited := time.Since(stopped); waited < 2*time.Second {
		t.Errorf("waited for %v only", waited)
	}
	must(t, s.Apply(ctx, kv.Set(dhcp.Prefix+dhcp.Configuration, []byte("dhcp-range=new\n"))))
	within(t, 10*time.Second, "dnsmasq with the new configuration", func() bool {
		text, _ := os.ReadFile(filepath.Join(c.RunDir, "dnsmasq.conf"))
		return string(text) == "dhcp-range=new\n"
	})
	cancel()
	<-ended
	if its.until.Load() != 0 || serving() {
		t.Error("open after the end")
	}
}

func TestSnapshotBringsBackWhatWasDeleted(t *testing.T) {
	ctx := limited(t)
	s, client := consultest.Fresh(t)
	c, its := serverConfig(t, "a"), cluster.New(client)
	key := dhcp.Prefix + dhcp.Configuration
	must(t, s.Apply(ctx, kv.Set(key, []byte("kept"))))
	must(t, recovery.SaveSnapshot(ctx, c, its))
	must(t, s.Apply(ctx, kv.Delete(key)))
	var looks atomic.Int32
	go kv.Watch(ctx, s, dhcp.Prefix, func() { looks.Add(1) })
	within(t, 5*time.Second, "the first look", func() bool { return looks.Load() > 0 })
	time.Sleep(time.Second)
	before := looks.Load()
	must(t, recovery.RestoreSnapshot(ctx, its, recovery.SnapshotPath(c)))
	within(t, 5*time.Second, "a look at what was restored", func() bool { return looks.Load() > before })
	pair, err := s.Get(ctx, key)
	must(t, err)
	if pair == nil || string(pair.Value) != "kept" {
		t.Errorf("after restore: %v", pair)
	}
	mustFail(t, recovery.LeadAlone(ctx, c, its), "leads; nothing was changed")
	if id, err := its.NodeID(ctx); err != nil || len(id) != 36 {
		t.Errorf("id '%s': %v", id, err)
	}
}
