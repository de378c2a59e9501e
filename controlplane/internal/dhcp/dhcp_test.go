package dhcp

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"rack-lab/controlplane/internal/config"
	"rack-lab/controlplane/internal/kv"
	"rack-lab/controlplane/internal/kv/kvtest"
	"rack-lab/controlplane/internal/kv/memory"
)

// inItsPlace writes a lease where dnsmasq would, and stays.
const inItsPlace = `#!/bin/sh
for each; do
    case $each in --dhcp-leasefile=*) sleep 0.2; echo lease >>"${each#*=}" ;; esac
done
exec sleep 1000
`

// kept are leases that were put into the store.
type kept struct {
	mu     sync.Mutex
	leases []byte
	err    error
}

func (k *kept) put(_ context.Context, leases []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err == nil {
		k.leases = leases
	}
	return k.err
}

func (k *kept) has(text string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return bytes.Equal(k.leases, []byte(text))
}

func started(t *testing.T, s kv.Store, k *kept, alone bool) *Server {
	t.Helper()
	c := &config.Config{Tree: t.TempDir(), RunDir: t.TempDir()}
	d := New(c, s, k.put)
	d.Program, d.OwnConfig = filepath.Join(c.RunDir, "dnsmasq"), filepath.Join(c.RunDir, "own.conf")
	kvtest.Must(t, os.WriteFile(d.Program, []byte(inItsPlace), 0o700))
	kvtest.Must(t, os.WriteFile(d.OwnConfig, []byte("dhcp-range=own\n"), 0o600))
	d.SetAlone(alone)
	d.Start()
	t.Cleanup(d.End)
	return d
}

func content(path string) string { text, _ := os.ReadFile(path); return string(text) }

func TestConfigurationAndLeasesAreTheStores(t *testing.T) {
	s, k := memory.New(), &kept{}
	kvtest.Must(t, s.Apply(t.Context(), kv.Set(LeasesKey, []byte("former\n"))))
	d := started(t, s, k, false)
	time.Sleep(300 * time.Millisecond)
	if text := content(filepath.Join(d.config.RunDir, "dnsmasq.conf")); text != "" {
		t.Errorf("begun without a configuration: %q", text)
	}
	kvtest.Must(t, d.PutOwnConfig(t.Context()))
	d.Again()
	kvtest.Within(t, 10*time.Second, "the lease beside the former ones", func() bool { return k.has("former\nlease\n") })
	kvtest.Must(t, s.Apply(t.Context(), kv.Set(Prefix+Configuration, []byte("dhcp-range=new\n"))))
	d.Again()
	kvtest.Within(t, 10*time.Second, "the new configuration", func() bool {
		return content(filepath.Join(d.config.RunDir, "dnsmasq.conf")) == "dhcp-range=new\n"
	})
}

func TestAloneTheTreesFilesCount(t *testing.T) {
	d := started(t, memory.New(), &kept{err: errors.New("no store")}, true)
	leases := filepath.Join(d.config.Tree, "dhcp/leases")
	kvtest.Within(t, 10*time.Second, "the lease in the tree", func() bool { return content(leases) == "lease\n" })
	if text := content(filepath.Join(d.config.RunDir, "dnsmasq.conf")); text != "dhcp-range=own\n" {
		t.Errorf("configuration: %q", text)
	}
	d.End()
	kvtest.Must(t, os.WriteFile(filepath.Join(d.config.Tree, "dhcp/dnsmasq.conf"), []byte("dhcp-range=kept\n"), 0o600))
	d.Start()
	kvtest.Within(t, 10*time.Second, "both of an earlier time", func() bool {
		return content(leases) == "lease\nlease\n" && content(filepath.Join(d.config.RunDir, "dnsmasq.conf")) == "dhcp-range=kept\n"
	})
}

func TestLeasesThatCouldNotBeKeptAreKeptLater(t *testing.T) {
	s, k := memory.New(), &kept{err: errors.New("nobody leads")}
	kvtest.Must(t, s.Apply(t.Context(), kv.Set(Prefix+Configuration, []byte("x\n"))))
	d := started(t, s, k, false)
	kvtest.Within(t, 10*time.Second, "a lease", func() bool { return content(filepath.Join(d.config.RunDir, "leases")) != "" })
	time.Sleep(1500 * time.Millisecond)
	k.mu.Lock()
	k.err = nil
	k.mu.Unlock()
	kvtest.Within(t, 10*time.Second, "it in the store", func() bool { return k.has("lease\n") })
}
