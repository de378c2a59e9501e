//go:build consul

package main

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
)

// What was put stays, whatever the daemon's sync and other commands do meanwhile.

// peered is a founder's tree, imported and synced, beside another server that has the stick's files and some more.
// answer is called before the other server gives a file.
func peered(t *testing.T, answer func(name string), more map[string]string) (context.Context, *store, *tree) {
	t.Helper()
	ctx, s := fresh(t)
	other := serverConfig(t, "b")
	stick(t, other.Tree)
	for name, content := range more {
		must(t, writeFile(filepath.Join(other.Tree, name), []byte(content)))
	}
	give := treeHandler(other.Tree, func() bool { return true }, func(string) bool { return true })
	peer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer(r.URL.Path)
		give.ServeHTTP(w, r)
	}))
	t.Cleanup(peer.Close)
	host, port, err := net.SplitHostPort(peer.Listener.Addr().String())
	must(t, err)
	c := serverConfig(t, "a")
	c.Servers["b"] = host
	c.PeerPort, err = strconv.Atoi(port)
	must(t, err)
	founder := newTree(c, s)
	stick(t, c.Tree)
	must(t, importTree(ctx, founder))
	must(t, founder.sync(ctx))
	return ctx, s, founder
}

const newer = "this is the new boot/initramfs"

// assertNewer: the file is the one that was put, and the copy is whole.
func assertNewer(t *testing.T, ctx context.Context, founder *tree) {
	t.Helper()
	if text, err := os.ReadFile(founder.local("boot/initramfs")); err != nil || string(text) != newer {
		t.Errorf("boot/initramfs is %q, %v", text, err)
	}
	if err := founder.sync(ctx); err != nil || !founder.isSynced() {
		t.Errorf("the copy isn't whole: %v", err)
	}
	if left := stagedFiles(founder.local("boot/initramfs")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestAPutThatIsBeingRegisteredOutlivesASync(t *testing.T) {
	ctx, _, founder := peered(t, func(string) {}, nil)
	for _, after := range []bool{false, true} { // consul has taken it when the sync begins, or not yet
		reached, release := make(chan bool), make(chan bool)
		slow := storeBehind(t, func(r *http.Request) int {
			if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "boot/initramfs") {
				if after {
					must(t, founder.store.put(ctx, filePrefix+"boot/initramfs", []byte(fileLine{sumOf([]byte(newer)), int64(len(newer))}.String())))
				}
				close(reached)
				<-release
			}
			return 0
		})
		putting, syncing := make(chan error, 1), make(chan error, 1)
		go func() {
			putting <- (&library{founder.config.Tree, slow}).put(ctx, "boot/initramfs", sumOf([]byte(newer)), strings.NewReader(newer))
		}()
		<-reached
		go func() { syncing <- founder.sync(ctx) }()
		time.Sleep(300 * time.Millisecond)
		close(release)
		must(t, <-putting)
		must(t, <-syncing)
		assertNewer(t, ctx, founder)
		must(t, (&library{founder.config.Tree, founder.store}).put(ctx, "boot/initramfs", sumOf([]byte("old")), strings.NewReader("old")))
		must(t, founder.sync(ctx))
	}
}

func TestAPutDuringALongSyncStays(t *testing.T) {
	const layer = "images/new.squashfs"
	for range 20 { // a sync goes through files in any order
		reached, release := make(chan bool), make(chan bool)
		ctx, s, founder := peered(t, func(name string) {
			if strings.HasSuffix(name, layer) {
				close(reached)
				<-release
			}
		}, map[string]string{layer: "a new layer"})
		must(t, s.put(ctx, filePrefix+layer, []byte(fileLine{sumOf([]byte("a new layer")), 11}.String())))
		syncing := make(chan error, 1)
		go func() { syncing <- founder.sync(ctx) }()
		<-reached
		must(t, (&library{founder.config.Tree, s}).put(ctx, "boot/initramfs", sumOf([]byte(newer)), strings.NewReader(newer)))
		close(release)
		<-syncing // it may tell that another was registered meanwhile
		assertNewer(t, ctx, founder)
	}
}

func TestAPutThatWasKilledAfterItWasRegisteredIsFinished(t *testing.T) {
	ctx, s, founder := peered(t, func(string) {}, nil)
	_, size, err := stageFile(founder.local("boot/initramfs"), sumOf([]byte(newer)), strings.NewReader(newer))
	must(t, err)
	must(t, s.put(ctx, filePrefix+"boot/initramfs", []byte(fileLine{sumOf([]byte(newer)), size}.String())))
	must(t, founder.sync(ctx))
	assertNewer(t, ctx, founder)
}

func TestTwoWhoPutOneFileEachWriteItWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "layer")
	one, _, err := stageFile(path, sumOf([]byte("1")), strings.NewReader("1"))
	must(t, err)
	two, _, err := stageFile(path, sumOf([]byte("22")), strings.NewReader("22"))
	must(t, err)
	for staged, want := range map[string]string{one: "1", two: "22"} {
		if text, err := os.ReadFile(staged); err != nil || string(text) != want {
			t.Errorf("%s: %q, %v", staged, text, err)
		}
	}
}

// A copy in memory has room for two generations of images at most: what isn't registered goes before a new one comes.
func TestAFullDiskGivesUpWhatIsNotRegistered(t *testing.T) {
	const layer, old = "images/new.squashfs", "images/old.squashfs"
	content := strings.Repeat("n", 600<<10)
	ctx, s, founder := peered(t, func(string) {}, map[string]string{layer: content})
	c := *founder.config
	c.Tree = t.TempDir()
	must(t, unix.Mount("tmpfs", c.Tree, "tmpfs", 0, "size=1m"))
	t.Cleanup(func() { unix.Unmount(c.Tree, 0) })
	full := newTree(&c, s)
	must(t, full.sync(ctx))
	must(t, writeFile(full.local(old), []byte(strings.Repeat("o", 700<<10))))
	must(t, s.put(ctx, filePrefix+layer, []byte(fileLine{sumOf([]byte(content)), int64(len(content))}.String())))
	must(t, full.sync(ctx))
	if _, err := os.Stat(full.local(old)); !os.IsNotExist(err) || !full.isSynced() {
		t.Errorf("%s: %v; synced: %v", old, err, full.isSynced())
	}
}
