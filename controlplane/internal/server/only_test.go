package server

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rack-lab/controlplane/internal/boottree"
	"rack-lab/controlplane/internal/boottree/treetest"
	"rack-lab/controlplane/internal/config"
	"rack-lab/controlplane/internal/dhcp"
	"rack-lab/controlplane/internal/httpd"
	"rack-lab/controlplane/internal/kv/directory"
	"rack-lab/controlplane/internal/kv/kvtest"
	"rack-lab/controlplane/internal/names"
)

// A rack's only boot server: what its medium brings is served at once, and what commands put there while it runs.
func TestTheOnlyBootServer(t *testing.T) {
	c := &config.Config{Name: "laptop", Tree: t.TempDir(), RunDir: t.TempDir()}
	e := treetest.Medium(t, boottree.Folder{Root: c.Tree})
	c.Directory = filepath.Join(c.Tree, "kv")
	s := directory.New(c.Directory, filepath.Join(c.RunDir, "kv.lock"))
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	kvtest.Must(t, err)
	address := listener.Addr().String()
	kvtest.Must(t, listener.Close())
	start := func() (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		o := newOnly(c, s)
		o.dhcp.OwnConfig, o.dhcp.Program = filepath.Join(c.RunDir, "own.conf"), filepath.Join(c.RunDir, "dnsmasq")
		kvtest.Must(t, os.WriteFile(o.dhcp.OwnConfig, []byte("dhcp-range=own\n"), 0o600))
		kvtest.Must(t, os.WriteFile(o.dhcp.Program, []byte("#!/bin/sh\nfor each; do case $each in --dhcp-leasefile=*) echo lease >>\"${each#*=}\" ;; esac; done\nexec sleep 1000\n"), 0o700))
		ended := make(chan error)
		go func() { ended <- o.run(ctx, address) }()
		return func() { cancel(); kvtest.Must(t, <-ended) }
	}
	gives := func(want string) {
		t.Helper()
		kvtest.Within(t, 20*time.Second, want, func() bool {
			text, _ := httpd.ReadText(t.Context(), "http://"+address+"/machines/"+treetest.MAC1+"/boot.env")
			return text == want
		})
	}
	leases := func() string {
		pair, err := s.Get(t.Context(), dhcp.LeasesKey)
		if err != nil || pair == nil {
			return ""
		}
		return string(pair.Value)
	}

	stop := start()
	gives(e.Text(treetest.MAC1))
	kvtest.Within(t, 20*time.Second, "a complete tree, in its status", func() bool {
		text, _ := os.ReadFile(statusPath(c))
		return strings.Contains(string(text), `"synced":true`) && strings.Contains(string(text), `"serving":true`)
	})
	kvtest.Within(t, 20*time.Second, "the lease in the store", func() bool { return leases() == "lease\n" })
	next := e
	next.Overlay = names.SumOf([]byte("new"))
	kvtest.Must(t, boottree.SetEntry(t.Context(), s, treetest.MAC1, e.Image, next.Overlay, strings.NewReader("new")))
	gives(next.Text(treetest.MAC1))
	if text, err := httpd.ReadText(t.Context(), "http://"+address+"/kv/generation"); err == nil {
		t.Errorf("the store is served: %q", text)
	}
	stop()

	stop = start() // the medium is what it was, and isn't imported again
	gives(next.Text(treetest.MAC1))
	kvtest.Within(t, 20*time.Second, "the former leases, too", func() bool { return leases() == "lease\nlease\n" })
	stop()
	if found, _ := filepath.Glob(filepath.Join(c.Tree, "machines/*/overlay-*")); len(found) != 1 {
		t.Errorf("overlays: %v", found)
	}
}
