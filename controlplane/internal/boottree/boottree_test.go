package boottree_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rack-lab/controlplane/internal/boottree"
	"rack-lab/controlplane/internal/boottree/treetest"
	"rack-lab/controlplane/internal/kv"
	"rack-lab/controlplane/internal/kv/directory"
	"rack-lab/controlplane/internal/kv/kvtest"
	"rack-lab/controlplane/internal/kv/memory"
	"rack-lab/controlplane/internal/names"
)

const (
	mac1 = treetest.MAC1
	mac2 = treetest.MAC2
)

var (
	must     = kvtest.Must
	mustFail = kvtest.MustFail
)

// eachStore runs a test on each store that needs no server.
func eachStore(t *testing.T, test func(t *testing.T, ctx context.Context, s kv.Store)) {
	t.Run("memory", func(t *testing.T) { test(t, t.Context(), memory.New()) })
	t.Run("directory", func(t *testing.T) {
		folder := t.TempDir()
		test(t, t.Context(), directory.New(filepath.Join(folder, "kv"), filepath.Join(folder, "lock")))
	})
}

func sum(text string) string { return names.SumOf([]byte(text)) }

func TestCheckCommit(t *testing.T) {
	file := treetest.File
	good := treetest.Archive(t, tar.Header{Name: "etc/", Typeflag: tar.TypeDir}, file("./etc/a", 10),
		tar.Header{Name: "etc/l", Typeflag: tar.TypeSymlink, Linkname: "/x"}, file("root/.profile", 10))
	must(t, boottree.CheckCommit(good))
	for what, data := range map[string][]byte{
		"no tar.gz":   []byte("hello"),
		"cut off":     good[:len(good)-6],
		"absolute":    treetest.Archive(t, file("/etc/x", 1)),
		"out of it":   treetest.Archive(t, file("etc/../usr/x", 1)),
		"out, in it":  treetest.Archive(t, file("etc/a/../x", 1)),
		"a device":    treetest.Archive(t, tar.Header{Name: "etc/null", Typeflag: tar.TypeChar}),
		"a hard link": treetest.Archive(t, tar.Header{Name: "etc/h", Typeflag: tar.TypeLink, Linkname: "etc/a"}),
		"too large":   make([]byte, 8<<20+1),
	} {
		if boottree.CheckCommit(data) == nil {
			t.Errorf("%s: taken", what)
		}
	}
	var bomb bytes.Buffer
	zip := gzip.NewWriter(&bomb)
	writer := tar.NewWriter(zip)
	must(t, writer.WriteHeader(&tar.Header{Name: "etc/x", Typeflag: tar.TypeReg, Size: 64 << 20}))
	_, err := writer.Write(make([]byte, 64<<20))
	must(t, errors.Join(err, writer.Close(), zip.Close()))
	mustFail(t, boottree.CheckCommit(bomb.Bytes()), "unpacked")
}

func TestEntryText(t *testing.T) {
	e := boottree.Entry{Image: "storage-1.2", Overlay: strings.Repeat("a", 64), Commit: strings.Repeat("b", 64)}
	if got, err := boottree.ParseEntry(e.Text(mac1)); err != nil || got != e {
		t.Errorf("%+v, %v", got, err)
	}
	for _, text := range []string{
		"", "image=/images/../x.layers\noverlay_sha256=" + e.Overlay, "image=/images/x.layers\noverlay_sha256=1",
	} {
		if got, err := boottree.ParseEntry(text); err == nil {
			t.Errorf("%q gives %+v", text, got)
		}
	}
}

func TestPathsOfRegisteredFiles(t *testing.T) {
	for name, good := range map[string]bool{
		"boot.ipxe": true, "boot/vmlinuz": true, "images/a.squashfs": true,
		"boot/../x": false, "machines/x": false, "boot/x.new": false, "images/": false, "images/.x": false,
		"images/a/b": false, "/boot.ipxe": false,
	} {
		s := memory.New()
		must(t, s.Apply(t.Context(), kv.Set(boottree.FilePrefix+name, treetest.Registered(""))))
		if _, err := boottree.ReadFiles(t.Context(), s); (err == nil) != good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEntries(t *testing.T) {
	eachStore(t, func(t *testing.T, ctx context.Context, s kv.Store) {
		overlay := treetest.Archive(t, treetest.File("etc/hostname", 400<<10))
		set := func(input string) error {
			return boottree.SetEntry(ctx, s, mac1, "san", names.SumOf(overlay), strings.NewReader(input))
		}
		mustFail(t, boottree.AwaitImport(ctx, s, kv.Patience{}), "has not brought")
		treetest.Imported(t, ctx, s)
		must(t, boottree.AwaitImport(ctx, s, kv.Patience{}))
		mustFail(t, set(string(overlay)), "images/san.layers is not in the boot tree")
		must(t, s.Apply(ctx, kv.Set(boottree.FilePrefix+"images/san.layers", treetest.Registered("x"))))
		mustFail(t, set("something else"), "has sha256")
		must(t, set(string(overlay)))
		must(t, set("not read: it is there")) // which is allowed to be anything
		commit := treetest.Archive(t, treetest.File("etc/fstab", 5))
		must(t, boottree.Commit(ctx, s, mac1, bytes.NewReader(commit)))
		mustFail(t, boottree.Commit(ctx, s, mac1, strings.NewReader("x")), "no readable tar.gz")
		mustFail(t, boottree.Commit(ctx, s, mac2, bytes.NewReader(commit)), "no boot.env")
		must(t, set("")) // keeps the commit
		want := boottree.Entry{Image: "san", Overlay: names.SumOf(overlay), Commit: names.SumOf(commit)}
		entries, err := boottree.Entries(ctx, s)
		must(t, err)
		if entries[mac1] != want || len(entries) != 1 {
			t.Errorf("entries: %+v", entries)
		}
		for mac, shown := range map[string]string{mac1: want.Text(mac1), mac2: ""} {
			if text, err := boottree.ShowEntry(ctx, s, mac); err != nil || text != shown {
				t.Errorf("shown: %q, %v", text, err)
			}
		}
		for digest, content := range map[string][]byte{want.Overlay: overlay, want.Commit: commit} {
			if data, err := boottree.Blob(ctx, s, digest); err != nil || !bytes.Equal(data, content) {
				t.Errorf("%d bytes, %v", len(data), err)
			}
		}
		must(t, boottree.RemoveEntry(ctx, s, mac1))
		if entries, _ = boottree.Entries(ctx, s); len(entries) != 0 {
			t.Errorf("left: %+v", entries)
		}
		for _, err := range []error{
			boottree.RemoveEntry(ctx, s, "../x"), boottree.SetEntry(ctx, s, "x", "san", names.SumOf(overlay), nil),
		} {
			mustFail(t, err, "is not like 52-54-00-aa-bb-cc")
		}
	})
}

func TestAnEntryIsAwaitedAtTheBootServer(t *testing.T) {
	ctx, s := t.Context(), memory.New()
	now := boottree.Entry{Image: "san", Overlay: sum("overlay")}.Text(mac1)
	old := boottree.Entry{Image: "older", Overlay: sum("overlay")}.Text(mac1)
	// What a boot server gives, one after another; the last one stays.
	await := func(p kv.Patience, answers ...string) error {
		return boottree.AwaitServed(ctx, s, p, mac1, func(_ context.Context, path string) (string, error) {
			if path != "/machines/"+mac1+"/boot.env" {
				t.Errorf("asked for %s", path)
			}
			answer := answers[0]
			answers = answers[min(1, len(answers)-1):]
			if answer == "" {
				return "", errors.New("503 Service Unavailable")
			}
			return answer, nil
		})
	}
	must(t, await(kv.Patience{}, "")) // removed: nothing to wait for
	must(t, s.Apply(ctx, kv.Set(boottree.EntryPrefix+mac1, []byte(now))))
	must(t, await(kv.Patience{}, now))
	for answer, told := range map[string]string{"": "503 Service Unavailable", old: `it gives "image=/images/older`} {
		err := await(kv.Patience{}, answer)
		mustFail(t, err, "the boot server doesn't give it yet")
		mustFail(t, err, told)
		must(t, await(kv.PatienceFor(20*time.Second, io.Discard), answer, answer, now))
	}
}

func TestBlobsNobodyNamesGoAfterAnHour(t *testing.T) {
	eachStore(t, func(t *testing.T, ctx context.Context, s kv.Store) {
		for _, text := range []string{"named", "old"} {
			must(t, s.Apply(ctx, kv.Set("rack/blob/"+sum(text), []byte(text))))
		}
		entry := boottree.Entry{Image: "san", Overlay: sum("named")}
		must(t, s.Apply(ctx, kv.Set(boottree.EntryPrefix+mac1, []byte(entry.Text(mac1)))))
		since, now := map[string]time.Time{}, time.Now()
		for _, test := range []struct {
			later time.Duration
			left  int
		}{{0, 2}, {59 * time.Minute, 2}, {61 * time.Minute, 1}} {
			must(t, boottree.RemoveBlobs(ctx, s, since, now.Add(test.later)))
			if keys, _ := s.Keys(ctx, "rack/blob/"); len(keys) != test.left {
				t.Errorf("after %v: %v", test.later, keys)
			}
		}
	})
}

func TestImagesAndFiles(t *testing.T) {
	eachStore(t, func(t *testing.T, ctx context.Context, s kv.Store) {
		l := boottree.Library{Folder: treetest.Folder(t), Store: s}
		treetest.Imported(t, ctx, s)
		list := sum("1") + "  one.squashfs\n" + sum("2") + "  two.squashfs\n"
		lacks := func(want string) {
			t.Helper()
			if got, err := l.PutList(ctx, "san", strings.NewReader(list)); err != nil || strings.Join(got, " ") != want {
				t.Errorf("lacks: %q, %v, not %q", got, err, want)
			}
		}
		left := func() int { files, err := boottree.ReadFiles(ctx, s); must(t, err); return len(files) }
		lacks("one.squashfs two.squashfs")
		mustFail(t, l.PutLayer(ctx, "one.squashfs", sum("1"), strings.NewReader("3")), "nothing was changed")
		must(t, l.PutLayer(ctx, "one.squashfs", sum("1"), strings.NewReader("1")))
		lacks("two.squashfs")
		if left() != 2 {
			t.Error("a list without its layers is registered")
		}
		must(t, l.PutLayer(ctx, "two.squashfs", sum("2"), strings.NewReader("2")))
		lacks("")
		_, err := l.PutList(ctx, "san", strings.NewReader("junk\n"))
		mustFail(t, err, "no line of a list")

		for _, want := range []bool{false, true} {
			if got, err := l.Has(ctx, "boot/initramfs", sum("kernel")); err != nil || got != want {
				t.Errorf("there: %v, %v, not %v", got, err, want)
			}
			must(t, l.Put(ctx, "boot/initramfs", sum("kernel"), strings.NewReader("kernel")))
		}
		mustFail(t, l.Put(ctx, "machines/x", sum("x"), strings.NewReader("x")), "machines/x")
		mustFail(t, l.PutLayer(ctx, "../x", sum("x"), strings.NewReader("x")), "no plain file name")

		prune := func(want int, what string) {
			t.Helper()
			must(t, l.Prune(ctx))
			if left() != want {
				t.Errorf("%s: %d left", what, left())
			}
		}
		old := time.Now().Add(-2 * time.Hour)
		age := func(names ...string) {
			for _, name := range names {
				must(t, os.Chtimes(l.Path("images/"+name), old, old))
			}
		}
		prune(5, "young files")
		age("san.layers", "one.squashfs", "two.squashfs")
		entry := boottree.Entry{Image: "san", Overlay: sum("")}
		must(t, s.Apply(ctx, kv.Set(boottree.EntryPrefix+mac1, []byte(entry.Text(mac1)))))
		prune(5, "files that are needed")
		must(t, boottree.RemoveEntry(ctx, s, mac1))
		lacks("") // as good as new
		prune(5, "an image that somebody is about to name")
		age("san.layers")
		prune(2, "files that nobody needs")
	})
}

func TestImagesToBeNamedLeaveNoOthersButThoseThatAreNamed(t *testing.T) {
	eachStore(t, func(t *testing.T, ctx context.Context, s kv.Store) {
		treetest.Imported(t, ctx, s)
		l := boottree.Library{Folder: treetest.Folder(t), Store: s}
		image := func(key string, layers ...string) {
			list := ""
			for _, layer := range layers {
				must(t, l.PutLayer(ctx, layer, sum(layer), strings.NewReader(layer)))
				list += sum(layer) + "  " + layer + "\n"
			}
			if missing, err := l.PutList(ctx, key, strings.NewReader(list)); err != nil || len(missing) > 0 {
				t.Fatalf("%s lacks %v, %v", key, missing, err)
			}
		}
		files := func() boottree.Files { found, err := boottree.ReadFiles(ctx, s); must(t, err); return found }
		image("quarantine", "base.squashfs")
		image("named", "base.squashfs", "named.squashfs")
		image("former", "base.squashfs", "former.squashfs")
		image("next", "base.squashfs", "next.squashfs")
		must(t, l.PutLayer(ctx, "coming.squashfs", sum(""), strings.NewReader(""))) // no list has it yet
		entry := boottree.Entry{Image: "named", Overlay: sum("")}
		must(t, s.Apply(ctx, kv.Set(boottree.EntryPrefix+mac1, []byte(entry.Text(mac1)))))
		before := files()
		must(t, os.Remove(l.Path("images/former.layers"))) // as a list may lack on a server that isn't the one it came to
		mustFail(t, l.Prune(ctx, "../x"), "no plain file name")
		must(t, l.Prune(ctx, "next", "later"))
		delete(before, "images/former.layers")
		if after := files(); !maps.Equal(before, after) { // its layer waits: nobody knows here that it was this list's
			t.Errorf("left: %v", after)
		}
		image("former", "base.squashfs", "former.squashfs")
		must(t, l.Prune(ctx, "next", "later"))
		delete(before, "images/former.squashfs")
		if after := files(); !maps.Equal(before, after) || len(l.Below("images/former.*")) > 0 {
			t.Errorf("left: %v, %v", after, l.Below("images/former.*"))
		}
	})
}

func TestImportOnce(t *testing.T) {
	eachStore(t, func(t *testing.T, ctx context.Context, s kv.Store) {
		l := boottree.Library{Folder: treetest.Folder(t), Store: s}
		e := treetest.Medium(t, l.Folder)
		must(t, os.WriteFile(l.Path("boot/vmlinuz.new"), []byte("this is boot/vm"), 0o600)) // left of one that is being written
		read := map[string]bool{}
		remember := func(name, _ string, wasRead bool) { read[name] = wasRead }
		must(t, l.Import(ctx, remember))
		files, err := boottree.ReadFiles(ctx, s)
		must(t, err)
		if len(files) != 7 || len(read) != 7 || read["images/one.squashfs"] || !read["boot/vmlinuz"] || !files.Imported() {
			t.Errorf("registered: %v, remembered: %v", files, read)
		}
		entries, err := boottree.Entries(ctx, s)
		if err != nil || entries[mac1] != e {
			t.Errorf("%+v, %v", entries, err)
		}
		must(t, boottree.RemoveEntry(ctx, s, mac1))
		must(t, l.Import(ctx, remember))
		if entries, _ = boottree.Entries(ctx, s); len(entries) > 0 {
			t.Error("imported twice")
		}
	})
}

func TestWhatCantBeImportedIsTold(t *testing.T) {
	for name, told := range map[string]string{
		"images/san.layers":                    "remove the list or copy the layer there",
		"machines/" + mac2 + "/boot.env":       "remove the folder or mend it",
		"machines/../machines/nobody/boot.env": "MAC 'nobody' is not like",
	} {
		l := boottree.Library{Folder: treetest.Folder(t), Store: memory.New()}
		treetest.Medium(t, l.Folder)
		must(t, os.MkdirAll(filepath.Dir(l.Path(name)), 0o700))
		must(t, os.WriteFile(l.Path(name), []byte(sum("x")+"  gone.squashfs\n"), 0o600))
		mustFail(t, l.Import(t.Context(), treetest.Unregistered), told)
		if files, _ := boottree.ReadFiles(t.Context(), l.Store); files.Imported() {
			t.Errorf("%s: imported all the same", name)
		}
	}
}

func TestCommitsByTheInbox(t *testing.T) {
	eachStore(t, func(t *testing.T, ctx context.Context, s kv.Store) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		go boottree.WatchInboxes(ctx, s)
		p := kv.PatienceFor(20*time.Second, io.Discard)
		small := treetest.Archive(t, treetest.File("etc/a", 5))
		large := treetest.Archive(t, treetest.File("etc/a", 2<<20))
		if len(large) <= kv.PartBytes {
			t.Fatalf("a large commit has %d bytes only", len(large))
		}
		send := func(data []byte) error { return boottree.SendCommit(ctx, s, p, mac1, bytes.NewReader(data)) }
		mustFail(t, send(small), "no boot.env")
		entry := boottree.Entry{Image: "san", Overlay: sum("o")}
		must(t, s.Apply(ctx, kv.Set(boottree.EntryPrefix+mac1, []byte(entry.Text(mac1))), kv.Set("rack/blob/"+sum("o"), []byte("o"))))
		for _, data := range [][]byte{small, large, small, small} {
			must(t, send(data))
			if entries, _ := boottree.Entries(ctx, s); entries[mac1].Commit != names.SumOf(data) {
				t.Errorf("entry: %+v", entries[mac1])
			}
			kvtest.Within(t, 5*time.Second, "the former commit's blob goes", func() bool {
				keys, _ := s.Keys(ctx, "rack/blob/")
				parts := 0
				if len(data) > kv.PartBytes {
					parts = (len(data) + kv.PartBytes - 1) / kv.PartBytes
				}
				return len(keys) == 2+parts
			})
		}
		mustFail(t, send([]byte("junk")), "no readable tar.gz")
		// One that lies there, wrong: refused with the reason, the last good stays.
		must(t, s.Apply(ctx, kv.Set("rack/inbox/"+mac1, treetest.Archive(t, treetest.File("../x", 1)))))
		kvtest.Within(t, 10*time.Second, "a refusal", func() bool {
			pair, _ := s.Get(ctx, "rack/rejected/"+mac1)
			return pair != nil && strings.Contains(string(pair.Value), "leads out of")
		})
		if left, _ := s.Keys(ctx, "rack/inbox/"); len(left) != 0 {
			t.Errorf("inbox: %v", left)
		}
	})
}

// conflicting has another writer first, some times.
type conflicting struct {
	kv.Store
	times int
}

func (c *conflicting) Apply(ctx context.Context, operations ...kv.Operation) error {
	if c.times--; c.times >= 0 && len(operations) > 1 {
		return fmt.Errorf("%w (test)", kv.ErrConflict)
	}
	return c.Store.Apply(ctx, operations...)
}

func TestWhoIsSecondReadsAgain(t *testing.T) {
	for times, told := range map[int]string{5: "", 6: "changed by another"} {
		s := &conflicting{memory.New(), 0}
		must(t, s.Apply(t.Context(), kv.Set(boottree.FilePrefix+"images/san.layers", treetest.Registered("x"))))
		s.times = times
		err := boottree.SetEntry(t.Context(), s, mac1, "san", sum("o"), strings.NewReader("o"))
		if told == "" {
			must(t, err)
		} else {
			mustFail(t, err, told)
		}
	}
}
