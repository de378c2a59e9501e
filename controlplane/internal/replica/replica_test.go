package replica

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rack-lab/controlplane/internal/atomicfile"
	"rack-lab/controlplane/internal/boottree"
	"rack-lab/controlplane/internal/boottree/treetest"
	"rack-lab/controlplane/internal/config"
	"rack-lab/controlplane/internal/httpd"
	"rack-lab/controlplane/internal/kv"
	"rack-lab/controlplane/internal/kv/kvtest"
	"rack-lab/controlplane/internal/kv/memory"
	"rack-lab/controlplane/internal/names"
)

var (
	must     = kvtest.Must
	mustFail = kvtest.MustFail
)

func sum(text string) string { return names.SumOf([]byte(text)) }

// named is a server's configuration.
func named(t *testing.T, name string) *config.Config {
	return &config.Config{
		Name: name, Servers: map[string]string{name: "127.0.0.1"}, PeerPort: 1, Tree: t.TempDir(), RunDir: t.TempDir(),
	}
}

// library is how commands work on a replica's folder.
func library(r *Replica, s kv.Store) boottree.Library {
	return boottree.Library{Folder: r.Folder, Store: s}
}

// serves has a server that gives its files be known to another under a name.
func serves(t *testing.T, handler http.Handler, name string, to *config.Config) {
	t.Helper()
	peer := httptest.NewServer(handler)
	t.Cleanup(peer.Close)
	host, port, err := net.SplitHostPort(peer.Listener.Addr().String())
	must(t, err)
	to.Servers[name] = host
	to.PeerPort, err = strconv.Atoi(port)
	must(t, err)
}

func always() bool { return true }

// slow has some calls of a store wait.
type slow struct {
	kv.Store
	before func(key string)
}

func (s *slow) Apply(ctx context.Context, operations ...kv.Operation) error {
	for _, each := range operations {
		s.before(each.Key)
	}
	return s.Store.Apply(ctx, operations...)
}

func TestImportThenACopy(t *testing.T) {
	ctx, s := t.Context(), memory.New()
	first := New(named(t, "a"), s)
	e := treetest.Medium(t, first.Folder)
	must(t, first.Sync(ctx)) // before the import it changes nothing
	if _, err := os.Stat(first.Path("images/one.squashfs")); err != nil || first.IsSynced() {
		t.Fatal("the tree was touched, or called complete, before it was imported")
	}
	must(t, library(first, s).Import(ctx, first.Remember))
	files, err := boottree.ReadFiles(ctx, s)
	must(t, err)
	must(t, first.Sync(ctx))
	if !first.IsSynced() {
		t.Error("the tree is not complete after its import")
	}

	c := named(t, "b")
	serves(t, httpd.Handler(first.Root, always, first.Has), "a", c)
	copied := New(c, s)
	must(t, s.Apply(ctx, kv.Set("rack/dhcp/config", []byte("dhcp-range=x\n"))))
	must(t, atomicfile.Write(copied.Path("images/gone.squashfs"), []byte("x")))
	c.NodeTree = t.TempDir() // has one file that no server has now, and one that isn't the right one
	must(t, os.Mkdir(filepath.Join(c.NodeTree, "images"), 0o755))
	one := filepath.Join(c.NodeTree, "images/one.squashfs")
	must(t, os.Rename(first.Path("images/one.squashfs"), one))
	must(t, atomicfile.Write(filepath.Join(c.NodeTree, "images/two.squashfs"), []byte("LAYER TWO")))
	must(t, atomicfile.Write(copied.Path("boot/vmlinuz"), []byte("THIS IS boot/vmlinuz"))) // the right size, not the right content
	must(t, copied.Sync(ctx))
	must(t, os.Rename(one, first.Path("images/one.squashfs")))
	for name, file := range files {
		if sum, err := atomicfile.SumOf(copied.Path(name), false); err != nil || sum != file.Sum {
			t.Errorf("%s: %s, %v", name, sum, err)
		}
	}
	text, _ := os.ReadFile(copied.Path("machines/" + treetest.MAC1 + "/boot.env"))
	dhcp, _ := os.ReadFile(copied.Path("dhcp/dnsmasq.conf"))
	if string(text) != e.Text(treetest.MAC1) || !copied.IsSynced() || string(dhcp) != "dhcp-range=x\n" {
		t.Errorf("boot.env is %q, synced %v, dhcp %q", text, copied.IsSynced(), dhcp)
	}
	if found := copied.Below("images/gone.squashfs"); len(found) > 0 {
		t.Error("an image nobody registered is still there")
	}
	if holders, err := Holders(ctx, s, files.Digest()); err != nil || !holders["a"] || !holders["b"] {
		t.Errorf("holders: %v, %v", holders, err)
	}
	// The machine goes; a file appears that no server has.
	must(t, boottree.RemoveEntry(ctx, s, treetest.MAC1))
	must(t, s.Apply(ctx, kv.Set(boottree.FilePrefix+"images/new.squashfs", treetest.Registered("new"))))
	mustFail(t, copied.Sync(ctx), "is on no server")
	if copied.IsSynced() {
		t.Error("complete without a file")
	}
	must(t, atomicfile.Write(first.Path("images/new.squashfs"), []byte("new")))
	must(t, first.Sync(ctx))
	must(t, copied.Sync(ctx))
	if found := copied.Below("machines/*"); len(found) > 0 || !copied.IsSynced() {
		t.Errorf("left: %v, synced %v", found, copied.IsSynced())
	}
}

func TestADamagedLayerIsFetchedAnew(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, s, r := peered(t, func(string) {}, nil)
	const layer = "images/one.squashfs"
	after := New(r.config, s) // as after a start: the layer has the right size
	must(t, os.WriteFile(after.Path(layer), []byte("LAYER ONE"), 0o600))
	must(t, after.Sync(ctx))
	if !after.IsSynced() {
		t.Error("it waits for its layers to be read")
	}
	go after.Run(ctx) // it reads one layer every 20 s, in any order
	kvtest.Within(t, time.Minute, "the layer as it was", func() bool {
		text, _ := os.ReadFile(after.Path(layer))
		return string(text) == "layer one"
	})
}

// peered is a bootstrap server's replica, imported and synced, beside another server that has the medium's files and
// some more. answer is called before the other server gives a file.
func peered(t *testing.T, answer func(name string), more map[string]string) (context.Context, kv.Store, *Replica) {
	t.Helper()
	ctx, s := t.Context(), memory.New()
	other := treetest.Folder(t)
	treetest.Medium(t, other)
	for name, content := range more {
		must(t, atomicfile.Write(other.Path(name), []byte(content)))
	}
	give := httpd.Handler(other.Root, always, func(string) bool { return true })
	c := named(t, "a")
	serves(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer(r.URL.Path)
		give.ServeHTTP(w, r)
	}), "b", c)
	r := New(c, s)
	treetest.Medium(t, r.Folder)
	must(t, library(r, s).Import(ctx, r.Remember))
	must(t, r.Sync(ctx))
	return ctx, s, r
}

const (
	changed = "boot/initramfs"
	newer   = "this is the new boot/initramfs"
)

// assertNewer: the file is the one that was put, and the copy is whole.
func assertNewer(t *testing.T, ctx context.Context, r *Replica) {
	t.Helper()
	if text, err := os.ReadFile(r.Path(changed)); err != nil || string(text) != newer {
		t.Errorf("%s is %q, %v", changed, text, err)
	}
	if err := r.Sync(ctx); err != nil || !r.IsSynced() {
		t.Errorf("the copy isn't whole: %v", err)
	}
	if left := atomicfile.Staged(r.Path(changed)); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestAPutThatIsBeingRegisteredOutlivesASync(t *testing.T) {
	ctx, s, r := peered(t, func(string) {}, nil)
	for _, after := range []bool{false, true} { // the store has taken it when the sync begins, or not yet
		reached, release := make(chan bool), make(chan bool)
		waiting := &slow{s, func(key string) {
			if key == boottree.FilePrefix+changed {
				if after {
					must(t, s.Apply(ctx, kv.Set(key, treetest.Registered(newer))))
				}
				close(reached)
				<-release
			}
		}}
		putting, syncing := make(chan error, 1), make(chan error, 1)
		go func() { putting <- library(r, waiting).Put(ctx, changed, sum(newer), strings.NewReader(newer)) }()
		<-reached
		go func() { syncing <- r.Sync(ctx) }()
		time.Sleep(300 * time.Millisecond)
		close(release)
		must(t, <-putting)
		must(t, <-syncing)
		assertNewer(t, ctx, r)
		must(t, library(r, s).Put(ctx, changed, sum("old"), strings.NewReader("old")))
		must(t, r.Sync(ctx))
	}
}

func TestAPutDuringALongSyncStays(t *testing.T) {
	const layer = "images/new.squashfs"
	for range 20 { // a sync goes through files in any order
		reached, release := make(chan bool), make(chan bool)
		ctx, s, r := peered(t, func(name string) {
			if strings.HasSuffix(name, layer) {
				close(reached)
				<-release
			}
		}, map[string]string{layer: "a new layer"})
		must(t, s.Apply(ctx, kv.Set(boottree.FilePrefix+layer, treetest.Registered("a new layer"))))
		syncing := make(chan error, 1)
		go func() { syncing <- r.Sync(ctx) }()
		<-reached
		must(t, library(r, s).Put(ctx, changed, sum(newer), strings.NewReader(newer)))
		close(release)
		<-syncing // it may tell that another was registered meanwhile
		assertNewer(t, ctx, r)
	}
}

func TestAPutThatWasKilledAfterItWasRegisteredIsFinished(t *testing.T) {
	ctx, s, r := peered(t, func(string) {}, nil)
	_, _, err := atomicfile.Stage(r.Path(changed), sum(newer), strings.NewReader(newer))
	must(t, err)
	must(t, s.Apply(ctx, kv.Set(boottree.FilePrefix+changed, treetest.Registered(newer))))
	must(t, r.Sync(ctx))
	assertNewer(t, ctx, r)
}

// A copy in memory has room for two generations of images at most: what isn't registered goes before a new one comes.
func TestAFullDiskGivesUpWhatIsNotRegistered(t *testing.T) {
	const layer, old = "images/new.squashfs", "images/old.squashfs"
	content := strings.Repeat("n", 600<<10)
	ctx, s, r := peered(t, func(string) {}, map[string]string{layer: content})
	c := *r.config
	c.Tree = t.TempDir()
	if err := unix.Mount("tmpfs", c.Tree, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("needs root, to mount a file system that is full: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(c.Tree, 0) })
	full := New(&c, s)
	must(t, full.Sync(ctx))
	must(t, atomicfile.Write(full.Path(old), []byte(strings.Repeat("o", 700<<10))))
	must(t, s.Apply(ctx, kv.Set(boottree.FilePrefix+layer, treetest.Registered(content))))
	must(t, full.Sync(ctx))
	if _, err := os.Stat(full.Path(old)); !os.IsNotExist(err) || !full.IsSynced() {
		t.Errorf("%s: %v; synced: %v", old, err, full.IsSynced())
	}
}
