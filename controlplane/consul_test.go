//go:build consul

package main

// Tests against a real consul: a development agent on loopback with ACLs, started once. CONSUL names the binary.

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"golang.org/x/sys/unix"
)

const management = "11111111-2222-3333-4444-555555555555"

func TestMain(m *testing.M) {
	os.Exit(func() int {
		folder, err := os.MkdirTemp("", "consul")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(folder)
		runDir = filepath.Join(folder, "run")
		ports := map[string]int{"dns": -1, "grpc": -1, "grpc_tls": -1}
		for _, name := range []string{"http", "server", "serf_lan", "serf_wan"} {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				panic(err)
			}
			ports[name] = listener.Addr().(*net.TCPAddr).Port
			defer listener.Close()
			listener.Close()
		}
		settings, _ := json.Marshal(map[string]any{
			"node_name": "a", "ports": ports, "log_level": "warn", "bind_addr": "127.0.0.1",
			"acl": map[string]any{"enabled": true, "default_policy": "deny", "tokens": map[string]string{"initial_management": management}},
		})
		path := filepath.Join(folder, "consul.json")
		if err := os.WriteFile(path, settings, 0o600); err != nil {
			panic(err)
		}
		agent := exec.Command(os.Getenv("CONSUL"), "agent", "-dev", "-config-file="+path)
		agent.Stdout, _ = os.Create(filepath.Join(folder, "log"))
		agent.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
		if err := agent.Start(); err != nil {
			panic(fmt.Sprintf("CONSUL '%s': %v; it must name consul's binary", os.Getenv("CONSUL"), err))
		}
		defer agent.Wait()
		defer agent.Process.Kill()
		os.Setenv("CONSUL_HTTP_ADDR", "127.0.0.1:"+strconv.Itoa(ports["http"]))
		return m.Run()
	}())
}

// fresh is the store without any key of ours, and the time a test may take.
func fresh(t *testing.T) (context.Context, *store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	s, err := newStore(management, 30*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	must(t, s.deleteTree(ctx, "rack/"))
	return ctx, s
}

// founded registers what an import ends with, without one.
func founded(t *testing.T, ctx context.Context, s *store) {
	t.Helper()
	must(t, s.put(ctx, filePrefix+lastImported, []byte(fileLine{sumOf(nil), 0}.String())))
}

// impatient is the store without patience.
func impatient(t *testing.T) *store { return storeAt(t, api.DefaultConfig().Address) }

// storeAt is the store by way of the agent there, without patience.
func storeAt(t *testing.T, address string) *store {
	t.Helper()
	settings := api.DefaultConfig()
	settings.Address, settings.Token = address, management
	client, err := api.NewClient(settings)
	must(t, err)
	return &store{client: client, kv: client.KV()}
}

// storeBehind is the store by way of an agent that answers some requests with a status of its own (0: it doesn't).
func storeBehind(t *testing.T, answers func(*http.Request) int) *store {
	t.Helper()
	agent, err := url.Parse("http://" + api.DefaultConfig().Address)
	must(t, err)
	through := httputil.NewSingleHostReverseProxy(agent)
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if status := answers(r); status != 0 {
			http.Error(w, http.StatusText(status), status)
			return
		}
		through.ServeHTTP(w, r)
	}))
	t.Cleanup(behind.Close)
	return storeAt(t, behind.URL)
}

// within waits until it is true.
func within(t *testing.T, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in %v: %s", limit, what)
		}
	}
}

func serverConfig(t *testing.T, name string) *config {
	return &config{
		Name: name, MAC: mac1, Address: "127.0.0.1", BootAddress: "127.0.0.9/8", Device: "lo", Tree: t.TempDir(), State: t.TempDir(), Founder: true,
		Servers: map[string]string{name: "127.0.0.1"}, ProofSeconds: 1, LoneProofSeconds: 3, DiskSeconds: 6, RPCPort: 8300, PeerPort: 1, Token: management,
	}
}

// stick fills a tree as the stick brings it: one image of two layers, one machine.
func stick(t *testing.T, tree string) entry {
	t.Helper()
	write := func(name, content string) string {
		must(t, writeFile(filepath.Join(tree, name), []byte(content)))
		return sumOf([]byte(content))
	}
	for _, name := range []string{"boot.ipxe", "boot/vmlinuz", "boot/vmlinux.gz", "boot/initramfs"} {
		write(name, "this is "+name)
	}
	one, two := write("images/one.squashfs", "layer one"), write("images/two.squashfs", "layer two")
	write("images/san.layers", one+"  one.squashfs\n"+two+"  two.squashfs\n")
	overlay, commit := string(archive(t, etcFile("etc/hostname", 4))), string(archive(t, etcFile("etc/fstab", 4)))
	e := entry{"san", sumOf([]byte(overlay)), sumOf([]byte(commit))}
	write("machines/"+mac1+"/overlay-"+e.overlay+".tar.gz", overlay)
	write("machines/"+mac1+"/commit-"+e.commit+".tar.gz", commit)
	write("machines/"+mac1+"/boot.env", e.text(mac1))
	return e
}

func TestValuesInParts(t *testing.T) {
	ctx, s := fresh(t)
	for _, size := range []int{0, 1, partBytes, partBytes + 1, 3*partBytes + 7} {
		data := []byte(strings.Repeat("0123456789", size/10+1)[:size])
		sum := sumOf(data)
		op, err := s.blobOp(ctx, sum, data)
		must(t, err)
		must(t, s.transact(ctx, api.KVTxnOps{op}))
		if pair, _ := s.get(ctx, blobPrefix+sum, false); (pair.Flags == inParts) != (size > partBytes) {
			t.Errorf("%d bytes: flags %d", size, pair.Flags)
		}
		got, err := s.blob(ctx, sum)
		must(t, err)
		if len(got) != size {
			t.Errorf("%d bytes: %d back", size, len(got))
		}
		mustFail(t, s.transact(ctx, api.KVTxnOps{op}), "changed by another")
	}
}

// givenBy is a boot server that gives a machine's entry as it is in consul, after some other answers: a text, or
// none, which is a failure.
func givenBy(t *testing.T, s *store, before ...string) bootServer {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var text string
		if len(before) > 0 {
			text, before = before[0], before[1:]
		} else if pair, err := s.get(r.Context(), entryPrefix+path.Base(path.Dir(r.URL.Path)), false); err == nil && pair != nil {
			text = string(pair.Value)
		}
		if text == "" {
			http.Error(w, "not the boot server now", http.StatusServiceUnavailable)
		}
		io.WriteString(w, text)
	}))
	t.Cleanup(server.Close)
	return bootServer(server.URL)
}

func TestEntryIsAwaitedAtTheBootServer(t *testing.T) {
	ctx, s := fresh(t)
	sum := sumOf([]byte("overlay"))
	now, old := entry{"san", sum, ""}.text(mac1), entry{"older", sum, ""}.text(mac1)
	must(t, givenBy(t, s, "").awaitEntry(ctx, s, mac1)) // removed: nothing to wait for
	must(t, s.put(ctx, entryPrefix+mac1, []byte(now)))
	must(t, givenBy(t, s).awaitEntry(ctx, s, mac1))
	for _, each := range []struct{ answer, told string }{
		{"", "but not yet at http://127.0.0.1:"}, {"", "503 Service Unavailable"}, {old, `it gives "image=/images/older`},
	} {
		mustFail(t, givenBy(t, s, each.answer).awaitEntry(ctx, impatient(t), mac1), each.told)
		must(t, givenBy(t, s, each.answer, each.answer).awaitEntry(ctx, s, mac1))
	}
}

func TestBootEntry(t *testing.T) {
	ctx, s := fresh(t)
	boot := givenBy(t, s)
	overlay := archive(t, etcFile("etc/hostname", 400<<10))
	sum := sumOf(overlay)
	set := func(input string) error {
		return bootEntry(ctx, s, boot, strings.NewReader(input), io.Discard, []string{"set", mac1, "san", sum})
	}
	for _, args := range [][]string{{"set", mac1, "san", sum}, {"commit", mac1}} {
		mustFail(t, bootEntry(ctx, impatient(t), boot, strings.NewReader(""), io.Discard, args), "has not brought")
	}
	founded(t, ctx, s)
	mustFail(t, set(string(overlay)), "images/san.layers is not in the boot tree")
	must(t, s.put(ctx, filePrefix+"images/san.layers", []byte(fileLine{sum, 1}.String())))
	mustFail(t, set("something else"), "has sha256")
	must(t, set(string(overlay)))
	must(t, set("not read: it is there")) // which is allowed to be anything
	boot = givenBy(t, s, entry{"older", sum, ""}.text(mac1))
	must(t, set(""))
	mustFail(t, bootEntry(ctx, impatient(t), givenBy(t, s, ""), nil, io.Discard, []string{"set", mac1, "san", sum}), "not yet at")
	commit := archive(t, etcFile("etc/fstab", 5))
	must(t, bootEntry(ctx, s, boot, strings.NewReader(string(commit)), io.Discard, []string{"commit", mac1}))
	mustFail(t, bootEntry(ctx, s, boot, strings.NewReader("x"), io.Discard, []string{"commit", mac1}), "no readable tar.gz")
	mustFail(t, bootEntry(ctx, s, boot, strings.NewReader(string(commit)), io.Discard, []string{"commit", mac2}), "no boot.env")
	must(t, set("")) // keeps the commit
	entries, err := s.entries(ctx)
	must(t, err)
	if want := (entry{"san", sum, sumOf(commit)}); entries[mac1] != want || len(entries) != 1 {
		t.Errorf("entries: %+v", entries)
	}
	var said strings.Builder
	must(t, bootEntry(ctx, s, boot, nil, &said, []string{"show", mac1}))
	must(t, bootEntry(ctx, s, boot, nil, &said, []string{"show", mac2}))
	if e, err := parseEntry(said.String()); err != nil || e.commit != sumOf(commit) {
		t.Errorf("shown: %v %+v", err, e)
	}
	must(t, bootEntry(ctx, s, boot, nil, io.Discard, []string{"remove", mac1}))
	if entries, _ = s.entries(ctx); len(entries) != 0 {
		t.Errorf("left: %+v", entries)
	}
}

func TestBlobsNobodyNamesGoAfterAnHour(t *testing.T) {
	ctx, s := fresh(t)
	for _, text := range []string{"named", "old"} {
		must(t, s.put(ctx, blobPrefix+sumOf([]byte(text)), []byte(text)))
	}
	must(t, s.put(ctx, entryPrefix+mac1, []byte(entry{"san", sumOf([]byte("named")), ""}.text(mac1))))
	since, now := map[string]time.Time{}, time.Now()
	for _, test := range []struct {
		later time.Duration
		left  int
	}{{0, 2}, {59 * time.Minute, 2}, {61 * time.Minute, 1}} {
		must(t, removeBlobs(ctx, s, since, now.Add(test.later)))
		if keys, _ := s.keys(ctx, blobPrefix); len(keys) != test.left {
			t.Errorf("after %v: %v", test.later, keys)
		}
	}
}

func TestCopyIsComparedWithWhatTheLeaderHas(t *testing.T) {
	ctx, s := fresh(t)
	founder := newTree(serverConfig(t, "a"), s)
	stick(t, founder.config.Tree)
	must(t, importTree(ctx, founder))
	// An agent that has begun anew and lacks what the leader hasn't sent it yet.
	lacking := storeBehind(t, func(r *http.Request) int {
		if r.URL.Query().Has("stale") && r.URL.Query().Has("recurse") {
			return http.StatusNotFound
		}
		return 0
	})
	copied := newTree(founder.config, lacking)
	must(t, copied.sync(ctx))
	if !copied.isSynced() {
		t.Error("it is called incomplete")
	}
}

func TestImportThenACopy(t *testing.T) {
	ctx, s := fresh(t)
	founder := newTree(serverConfig(t, "a"), s)
	e := stick(t, founder.config.Tree)
	must(t, writeFile(founder.local("boot/vmlinuz.new"), []byte("this is boot/vm"))) // being written, or left of that
	must(t, founder.sync(ctx))                                                       // before the import it changes nothing
	if _, err := os.Stat(founder.local("images/one.squashfs")); err != nil || founder.isSynced() {
		t.Fatal("the tree was touched, or called complete, before it was imported")
	}
	must(t, importTree(ctx, founder))
	files, err := s.files(ctx)
	must(t, err)
	if len(files) != 7 {
		t.Errorf("registered: %v", files)
	}
	must(t, founder.sync(ctx))
	if !founder.isSynced() {
		t.Error("the founder's tree is not complete after its import")
	}
	peer := httptest.NewServer(treeHandler(founder.config.Tree, func() bool { return true }, founder.has))
	defer peer.Close()
	host, port, _ := net.SplitHostPort(peer.Listener.Addr().String())

	c := serverConfig(t, "b")
	c.Servers["a"] = host
	c.PeerPort, _ = strconv.Atoi(port)
	copied := newTree(c, s)
	must(t, s.put(ctx, configKey, []byte("dhcp-range=x\n")))
	must(t, writeFile(copied.local("images/gone.squashfs"), []byte("x")))
	c.NodeTree = t.TempDir() // has one file that no server has now, and one that isn't the right one
	must(t, os.Mkdir(filepath.Join(c.NodeTree, "images"), 0o755))
	one := filepath.Join(c.NodeTree, "images/one.squashfs")
	must(t, os.Rename(founder.local("images/one.squashfs"), one))
	must(t, writeFile(filepath.Join(c.NodeTree, "images/two.squashfs"), []byte("LAYER TWO")))
	must(t, writeFile(copied.local("boot/vmlinuz"), []byte("THIS IS boot/vmlinuz"))) // the right size, not the right content
	must(t, copied.sync(ctx))
	must(t, os.Rename(one, founder.local("images/one.squashfs")))
	for name, line := range files {
		if sum, err := sumOfFile(copied.local(name), false); err != nil || sum != line.sum {
			t.Errorf("%s: %s, %v", name, sum, err)
		}
	}
	text, _ := os.ReadFile(copied.local("machines/" + mac1 + "/boot.env"))
	dhcp, _ := os.ReadFile(copied.local("dhcp/dnsmasq.conf"))
	if string(text) != e.text(mac1) || !copied.isSynced() || string(dhcp) != "dhcp-range=x\n" {
		t.Errorf("boot.env is %q, synced %v, dhcp %q", text, copied.isSynced(), dhcp)
	}
	if found := copied.below("images/gone.squashfs"); len(found) > 0 {
		t.Error("an image nobody registered is still there")
	}
	if pairs, _ := s.list(ctx, holderPrefix); len(pairs) != 2 || string(pairs["a"].Value) != string(pairs["b"].Value) {
		t.Errorf("holders: %v", pairs)
	}
	// The machine goes; a file appears that no server has.
	must(t, s.delete(ctx, entryPrefix+mac1))
	must(t, s.put(ctx, filePrefix+"images/new.squashfs", []byte(fileLine{sumOf([]byte("new")), 3}.String())))
	mustFail(t, copied.sync(ctx), "is on no server")
	if copied.isSynced() {
		t.Error("complete without a file")
	}
	must(t, writeFile(founder.local("images/new.squashfs"), []byte("new")))
	must(t, founder.sync(ctx))
	must(t, copied.sync(ctx))
	if found := copied.below("machines/*"); len(found) > 0 || !copied.isSynced() {
		t.Errorf("left: %v, synced %v", found, copied.isSynced())
	}
}

func TestALeaderWhoseTreeIsNotCompleteGivesWayToALivingServerWhoseTreeIs(t *testing.T) {
	ctx, s := fresh(t)
	times := 0
	wait := ownTreeIsRead
	ownTreeIsRead = time.Millisecond
	defer func() { ownTreeIsRead = wait }()
	founder := newTree(serverConfig(t, "a"), s)
	stick(t, founder.config.Tree)
	must(t, importTree(ctx, founder))
	lacking := newTree(serverConfig(t, "b"), s)
	gives := func(who *duties) bool {
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		before := times
		who.giveWay(short)
		return times > before
	}
	first := func(who *tree) *duties {
		return &duties{config: who.config, store: s, tree: who, handOver: func(to ...string) error {
			if times++; !slices.Equal(to, []string{"a"}) {
				t.Errorf("handed over to %v", to)
			}
			return nil
		}}
	}
	if gives(first(lacking)) {
		t.Error("it gave way though nobody's tree is known to be complete")
	}
	must(t, founder.sync(ctx))
	if gives(first(founder)) {
		t.Error("one whose tree is complete gave way")
	}
	once := first(lacking)
	if !gives(once) || gives(once) || times != 1 {
		t.Errorf("it gave way %d times", times)
	}
	must(t, s.put(ctx, holderPrefix+"a", []byte("other files")))
	if gives(first(lacking)) {
		t.Error("it gave way to a server whose files are others")
	}
}

func TestBootImageAndFile(t *testing.T) {
	ctx, s := fresh(t)
	l := &library{t.TempDir(), s}
	run := func(input string, args ...string) (string, error) {
		var output strings.Builder
		command := bootImage
		if args[0] == "file" {
			command, args = bootFile, args[1:]
		}
		err := command(ctx, l, strings.NewReader(input), &output, args)
		return output.String(), err
	}
	list := sumOf([]byte("1")) + "  one.squashfs\n" + sumOf([]byte("2")) + "  two.squashfs\n"
	early := &library{l.tree, impatient(t)}
	mustFail(t, bootImage(ctx, early, strings.NewReader(list), io.Discard, []string{"list", "san"}), "has not brought")
	mustFail(t, bootFile(ctx, early, nil, io.Discard, []string{"check", "boot/initramfs", sumOf(nil)}), "has not brought")
	founded(t, ctx, s)
	lacks := func(want string) {
		t.Helper()
		if got, err := run(list, "list", "san"); err != nil || got != want {
			t.Errorf("lacks: %q, %v, not %q", got, err, want)
		}
	}
	lacks("one.squashfs\ntwo.squashfs\n")
	_, err := run("3", "put", "one.squashfs", sumOf([]byte("1")))
	mustFail(t, err, "nothing was changed")
	_, err = run("1", "put", "one.squashfs", sumOf([]byte("1")))
	must(t, err)
	lacks("two.squashfs\n")
	if files, _ := s.files(ctx); len(files) != 2 {
		t.Errorf("a list without its layers is registered: %v", files)
	}
	_, err = run("2", "put", "two.squashfs", sumOf([]byte("2")))
	must(t, err)
	lacks("")
	_, err = run("junk\n", "list", "san")
	mustFail(t, err, "no line of a list")

	sum := sumOf([]byte("kernel"))
	for _, want := range []string{"missing\n", "there\n"} {
		if got, err := run("", "file", "check", "boot/initramfs", sum); err != nil || got != want {
			t.Errorf("check: %q, %v, not %q", got, err, want)
		}
		_, err = run("kernel", "file", "put", "boot/initramfs", sum)
		must(t, err)
	}
	_, err = run("x", "file", "put", "machines/x", sum)
	mustFail(t, err, "machines/x")

	left := func() int { files, _ := s.files(ctx); return len(files) }
	must(t, l.prune(ctx))
	if left() != 5 {
		t.Errorf("young files were pruned: %d left", left())
	}
	old := time.Now().Add(-2 * time.Hour)
	for _, name := range []string{"san.layers", "one.squashfs", "two.squashfs"} {
		must(t, os.Chtimes(l.local("images/"+name), old, old))
	}
	must(t, s.put(ctx, entryPrefix+mac1, []byte(entry{"san", sum, ""}.text(mac1))))
	must(t, l.prune(ctx))
	if left() != 5 {
		t.Errorf("needed files were pruned: %d left", left())
	}
	must(t, s.delete(ctx, entryPrefix+mac1))
	lacks("") // as good as new
	must(t, l.prune(ctx))
	if left() != 5 {
		t.Errorf("an image somebody is about to name was pruned: %d left", left())
	}
	must(t, os.Chtimes(l.local("images/san.layers"), old, old))
	must(t, l.prune(ctx))
	if left() != 2 {
		t.Errorf("%d left after prune", left())
	}
}

func TestImagesToBeNamedLeaveNoOthersButThoseThatAreNamed(t *testing.T) {
	ctx, s := fresh(t)
	founded(t, ctx, s)
	l := &library{t.TempDir(), s}
	image := func(key string, layers ...string) {
		list := ""
		for _, layer := range layers {
			must(t, l.put(ctx, "images/"+layer, sumOf([]byte(layer)), strings.NewReader(layer)))
			list += sumOf([]byte(layer)) + "  " + layer + "\n"
		}
		if missing, err := l.putList(ctx, key, list); err != nil || len(missing) > 0 {
			t.Fatalf("%s lacks %v, %v", key, missing, err)
		}
	}
	image("quarantine", "base.squashfs")
	image("named", "base.squashfs", "named.squashfs")
	image("former", "base.squashfs", "former.squashfs")
	image("next", "base.squashfs", "next.squashfs")
	must(t, l.put(ctx, "images/coming.squashfs", sumOf(nil), strings.NewReader(""))) // no list has it yet
	must(t, s.put(ctx, entryPrefix+mac1, []byte(entry{"named", sumOf(nil), ""}.text(mac1))))
	before, err := s.files(ctx)
	must(t, err)
	must(t, os.Remove(l.local("images/former.layers"))) // as a list may lack on a server that isn't the one it came to
	mustFail(t, bootImage(ctx, l, nil, io.Discard, []string{"prune", "../x"}), "no plain file name")
	must(t, bootImage(ctx, l, nil, io.Discard, []string{"prune", "next", "later"}))
	delete(before, "images/former.layers")
	after, err := s.files(ctx)
	must(t, err)
	if !maps.Equal(before, after) { // its layer waits for an hour: nobody knows here that it was this list's
		t.Errorf("left: %v", after)
	}
	image("former", "base.squashfs", "former.squashfs")
	must(t, bootImage(ctx, l, nil, io.Discard, []string{"prune", "next", "later"}))
	delete(before, "images/former.squashfs")
	found, err := filepath.Glob(l.local("images/former.*"))
	must(t, err)
	if after, _ = s.files(ctx); !maps.Equal(before, after) || len(found) > 0 {
		t.Errorf("left: %v, %v", after, found)
	}
}

func TestCommitFromAMachine(t *testing.T) {
	ctx, s := fresh(t)
	rules := fmt.Sprintf(`key_prefix "rack/inbox/%[1]s" { policy = "write" } key "rack/entry/%[1]s" { policy = "read" } key "rack/rejected/%[1]s" { policy = "read" }`, mac1)
	wanted := []tokenConfig{{"san1", "aaaaaaaa-2222-3333-4444-555555555555", rules}}
	must(t, ensureTokens(ctx, s, wanted))
	machine, err := newStore(wanted[0].Secret, 20*time.Second)
	must(t, err)
	its, cancel := context.WithCancel(ctx)
	defer cancel()
	go s.watch(its, inboxPrefix, func() { takeInboxes(its, s) })
	small, large := archive(t, etcFile("etc/a", 5)), archive(t, etcFile("etc/a", 2<<20))
	if len(large) <= partBytes {
		t.Fatalf("a large commit has %d bytes only", len(large))
	}
	send := func(data []byte) error { return sendCommit(ctx, machine, mac1, strings.NewReader(string(data))) }
	mustFail(t, send(small), "no boot.env")
	must(t, s.put(ctx, entryPrefix+mac1, []byte(entry{"san", sumOf([]byte("o")), ""}.text(mac1))))
	must(t, s.put(ctx, blobPrefix+sumOf([]byte("o")), []byte("o")))
	for _, data := range [][]byte{small, large, small, small} {
		must(t, send(data))
		entries, _ := s.entries(ctx)
		if entries[mac1].commit != sumOf(data) {
			t.Errorf("entry: %+v", entries[mac1])
		}
		within(t, 5*time.Second, "the former commit's blob goes", func() bool {
			keys, _, _ := s.kv.Keys(blobPrefix, "", nil)
			parts := 0
			if len(data) > partBytes {
				parts = (len(data) + partBytes - 1) / partBytes
			}
			return len(keys) == 2+parts
		})
	}
	mustFail(t, send([]byte("junk")), "no readable tar.gz")
	// One that lies there, wrong: refused with the reason, the last good stays.
	must(t, machine.put(ctx, inboxPrefix+mac1, archive(t, etcFile("../x", 1))))
	within(t, 10*time.Second, "a refusal", func() bool {
		pair, _ := s.get(ctx, rejectedPrefix+mac1, false)
		return pair != nil && strings.Contains(string(pair.Value), "leads out of")
	})
	if left, _ := s.list(ctx, inboxPrefix); len(left) != 0 {
		t.Errorf("inbox: %v", left)
	}
}

func TestTokens(t *testing.T) {
	ctx, s := fresh(t)
	one := tokenConfig{"one", "bbbbbbbb-2222-3333-4444-555555555555", `key "x" { policy = "read" }`}
	two := tokenConfig{"two", "cccccccc-2222-3333-4444-555555555555", `key "x" { policy = "write" }`}
	must(t, ensureTokens(ctx, s, []tokenConfig{one, two}))
	must(t, ensureTokens(ctx, s, []tokenConfig{one, two}))
	may := func(secret string) bool {
		its, err := newStore(secret, 0)
		must(t, err)
		return its.put(ctx, "x", nil) == nil
	}
	if may(one.Secret) || !may(two.Secret) {
		t.Error("rules are not as listed")
	}
	one.Rules = two.Rules
	must(t, ensureTokens(ctx, s, []tokenConfig{one}))
	within(t, 5*time.Second, "rules changed", func() bool { return may(one.Secret) && !may(two.Secret) })
	must(t, ensureTokens(ctx, s, nil))
	within(t, 5*time.Second, "the token goes", func() bool { return !may(one.Secret) })
}

// fakeGate records what the kernel would do.
type fakeGate struct{ until time.Duration }

func (g *fakeGate) open(until time.Duration) error { g.until = until; return nil }
func (g *fakeGate) close() error                   { g.until = 0; return nil }

func TestDaemonServesAndStops(t *testing.T) {
	ctx, s := fresh(t)
	s.patience = time.Time{}
	c := serverConfig(t, "a")
	stick(t, c.Tree)
	must(t, os.MkdirAll(runDir, 0o755))
	ownConfig = filepath.Join(c.Tree, "own.conf")
	must(t, os.WriteFile(ownConfig, []byte("dhcp-range=own\n"), 0o600))
	// In dnsmasq's place: writes a lease, then stays.
	dnsmasq = filepath.Join(c.Tree, "dnsmasq.sh")
	must(t, os.WriteFile(dnsmasq, []byte("#!/bin/sh\nfor arg; do case $arg in --dhcp-leasefile=*) sleep 0.2; echo lease >>${arg#*=};; esac; done\nexec sleep 1000\n"), 0o700))
	// A first leader, which refuses the founder's token until it has made it.
	var asked atomic.Int32
	refusing := storeBehind(t, func(r *http.Request) int {
		if strings.HasSuffix(r.URL.Path, configKey) && asked.Add(1) == 1 {
			return http.StatusForbidden
		}
		return 0
	})
	fence := &fakeGate{}
	d := newDaemon(c, refusing, fence)
	its, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan struct{})
	go d.tree.run(its)
	go func() { d.run(its); close(ended) }()
	serving := func() bool {
		text, _ := os.ReadFile(statusPath())
		return strings.Contains(string(text), `"serving":true`) && strings.Contains(string(text), `"synced":true`)
	}
	within(t, 20*time.Second, "serving", serving)
	within(t, 20*time.Second, "the lease in the KV", func() bool {
		pair, _ := s.get(ctx, leasesKey, false)
		return pair != nil && strings.Contains(string(pair.Value), "lease")
	})
	if pair, _ := s.get(ctx, leaseKey, false); pair == nil || !strings.HasSuffix(string(pair.Value), " 3 held") {
		t.Errorf("lease: %v", pair)
	}
	if all := status(ctx, c, s); all.Leader != "a" || !all.Serving || !all.Servers["a"].Voter || !all.Servers["a"].Alive {
		t.Errorf("status: %+v", all)
	}
	// Another server has the lease: it stops, takes it back, and waits for 1.2 times its seconds.
	must(t, s.put(ctx, leaseKey, []byte("b X 2 held")))
	within(t, 5*time.Second, "stopped", func() bool { return !serving() })
	stopped := time.Now()
	within(t, 10*time.Second, "serving again", serving)
	if waited := time.Since(stopped); waited < 2*time.Second {
		t.Errorf("waited for %v only", waited)
	}
	must(t, s.put(ctx, configKey, []byte("dhcp-range=new\n")))
	within(t, 10*time.Second, "dnsmasq with the new configuration", func() bool {
		text, _ := os.ReadFile(filepath.Join(runDir, "dnsmasq.conf"))
		return string(text) == "dhcp-range=new\n"
	})
	cancel()
	<-ended
	if fence.until != 0 || serving() {
		t.Error("open after the end")
	}
}

func TestLeasesAreKeptByTheOwnerAlone(t *testing.T) {
	ctx, s := fresh(t)
	s.patience = time.Time{}
	owns := func(l lease) bool { return l.server == "a" && l.run == "1" }
	mustFail(t, s.putAsOwner(ctx, leasesKey, []byte("early"), owns), "nobody has the lease")
	for _, other := range []string{"b 1 5 held", "a 0 5 held"} {
		must(t, s.put(ctx, leaseKey, []byte(other)))
		mustFail(t, s.putAsOwner(ctx, leasesKey, []byte(other), owns), other[:1]+" has the lease")
	}
	must(t, s.put(ctx, leaseKey, []byte("a 1 5 taken")))
	must(t, s.putAsOwner(ctx, leasesKey, []byte("own"), owns))
	pair, err := s.get(ctx, leasesKey, false)
	must(t, err)
	if string(pair.Value) != "own" {
		t.Errorf("leases: %s", pair.Value)
	}
}

func TestSnapshotBringsBackWhatWasDeleted(t *testing.T) {
	ctx, s := fresh(t)
	c := serverConfig(t, "a")
	must(t, s.put(ctx, configKey, []byte("kept")))
	must(t, saveSnapshot(ctx, c, s))
	must(t, s.delete(ctx, configKey))
	var looks atomic.Int32
	go s.watch(ctx, dhcpPrefix, func() { looks.Add(1) })
	within(t, 5*time.Second, "the first look", func() bool { return looks.Load() > 0 })
	time.Sleep(time.Second)
	before := looks.Load()
	must(t, restoreSnapshot(ctx, s, c.snapshotPath()))
	within(t, 5*time.Second, "a look at what was restored", func() bool { return looks.Load() > before })
	pair, err := s.get(ctx, configKey, false)
	must(t, err)
	if pair == nil || string(pair.Value) != "kept" {
		t.Errorf("after restore: %v", pair)
	}
	mustFail(t, leadAlone(ctx, c, s), "leads; nothing was changed")
	if id, err := s.nodeID(ctx); err != nil || len(id) != 36 {
		t.Errorf("id '%s': %v", id, err)
	}
}
