// Package kvtest is the contract that each store passes.
package kvtest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rack-lab/controlplane/internal/kv"
)

// Contract tests a store; open gives one without keys below test/, and then others of the same keys.
func Contract(t *testing.T, open func(t *testing.T) kv.Store) {
	for name, test := range map[string]func(t *testing.T, ctx context.Context, s kv.Store){
		"a key is there until it is removed":         aKey,
		"keys and values by prefix":                  byPrefix,
		"a transaction is done whole or not at all":  transactions,
		"of two who change one key one has to again": conflicts,
		"values in parts":                            inParts,
		"each change is seen by who waits":           waiting,
		"who waits is let go":                        lettingGo,
		"patience goes on until it can be done":      patience,
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			s := open(t)
			Must(t, s.Apply(ctx, kv.DeleteAll("test/")))
			test(t, ctx, s)
		})
	}
}

// Must ends the test if there is an error.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// MustFail ends the test unless there is an error with these words.
func MustFail(t testing.TB, err error, words string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), words) {
		t.Fatalf("no error with '%s': %v", words, err)
	}
}

// Within waits until it is true.
func Within(t testing.TB, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in %v: %s", limit, what)
		}
	}
}

func get(t *testing.T, ctx context.Context, s kv.Store, key string) *kv.Pair {
	t.Helper()
	pair, err := s.Get(ctx, key)
	Must(t, err)
	return pair
}

func aKey(t *testing.T, ctx context.Context, s kv.Store) {
	if pair := get(t, ctx, s, "test/a"); pair != nil {
		t.Errorf("at first: %+v", pair)
	}
	last := uint64(0)
	for _, value := range []string{"", "one", "two\n\x00"} {
		Must(t, s.Apply(ctx, kv.Set("test/a", []byte(value))))
		pair := get(t, ctx, s, "test/a")
		if pair == nil || pair.Key != "test/a" || string(pair.Value) != value || pair.InParts || pair.Version == 0 || pair.Version == last {
			t.Errorf("%q: %+v", value, pair)
		}
		last = pair.Version
		Within(t, 5*time.Second, "the local copy", func() bool {
			local, err := s.GetLocal(ctx, "test/a")
			Must(t, err)
			return local != nil && string(local.Value) == value
		})
	}
	for range 2 { // what isn't there can be removed
		Must(t, s.Apply(ctx, kv.Delete("test/a")))
	}
	if pair := get(t, ctx, s, "test/a"); pair != nil {
		t.Errorf("in the end: %+v", pair)
	}
}

func byPrefix(t *testing.T, ctx context.Context, s kv.Store) {
	for _, key := range []string{"test/b/2", "test/a", "test/b", "test/b/1", "test/c"} {
		Must(t, s.Apply(ctx, kv.Set(key, []byte(key))))
	}
	keys := func(prefix string) []string {
		found, err := s.Keys(ctx, prefix)
		Must(t, err)
		pairs, err := s.List(ctx, prefix)
		Must(t, err)
		var listed []string
		for _, pair := range pairs {
			if listed = append(listed, pair.Key); string(pair.Value) != pair.Key {
				t.Errorf("%+v", pair)
			}
		}
		if !slices.Equal(found, listed) {
			t.Errorf("keys %v, list %v", found, listed)
		}
		return found
	}
	for prefix, want := range map[string][]string{
		"test/b":  {"test/b", "test/b/1", "test/b/2"},
		"test/b/": {"test/b/1", "test/b/2"},
		"test/x":  nil,
	} {
		if got := keys(prefix); !slices.Equal(got, want) {
			t.Errorf("%s: %v", prefix, got)
		}
	}
	names, err := kv.Names(ctx, s, "test/")
	if want := []string{"a", "b", "c"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("names: %v, %v", names, err)
	}
	table, err := kv.Table(ctx, s, "test/b/")
	if err != nil || len(table) != 2 || string(table["2"].Value) != "test/b/2" {
		t.Errorf("table: %v, %v", table, err)
	}
	Must(t, s.Apply(ctx, kv.DeleteAll("test/b/")))
	if got := keys("test/"); !slices.Equal(got, []string{"test/a", "test/b", "test/c"}) {
		t.Errorf("left: %v", got)
	}
}

func transactions(t *testing.T, ctx context.Context, s kv.Store) {
	Must(t, s.Apply(ctx, kv.Set("test/a", []byte("1")), kv.Set("test/b", []byte("1")), kv.Set("test/c/d", nil)))
	a, b := get(t, ctx, s, "test/a"), get(t, ctx, s, "test/b")
	Must(t, s.Apply(ctx, kv.CheckAt("test/a", a.Version), kv.SetAt("test/b", b.Version, []byte("2")),
		kv.SetAt("test/new", 0, []byte("2")), kv.DeleteAll("test/c/")))
	if keys, _ := s.Keys(ctx, "test/"); !slices.Equal(keys, []string{"test/a", "test/b", "test/new"}) {
		t.Errorf("keys: %v", keys)
	}
	now := get(t, ctx, s, "test/b")
	for what, operations := range map[string][]kv.Operation{
		"another was first":  {kv.Set("test/x", nil), kv.SetAt("test/b", b.Version, []byte("3"))},
		"it is there":        {kv.Set("test/x", nil), kv.SetAt("test/b", 0, []byte("3"))},
		"it isn't there":     {kv.Set("test/x", nil), kv.CheckAt("test/gone", a.Version)},
		"removed at another": {kv.Set("test/x", nil), kv.DeleteAt("test/b", b.Version)},
	} {
		if err := s.Apply(ctx, operations...); !errors.Is(err, kv.ErrConflict) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if x := get(t, ctx, s, "test/x"); x != nil || string(get(t, ctx, s, "test/b").Value) != "2" {
		t.Errorf("half of a transaction was done: %+v", x)
	}
	Must(t, s.Apply(ctx, kv.DeleteAt("test/b", now.Version), kv.DeleteAll("test/nothing")))
	if b := get(t, ctx, s, "test/b"); b != nil {
		t.Errorf("%+v", b)
	}
}

func conflicts(t *testing.T, ctx context.Context, s kv.Store) {
	const each, writers = 10, 4
	var group sync.WaitGroup
	var done atomic.Int32
	for range writers {
		group.Go(func() {
			for n := 0; n < each && ctx.Err() == nil; {
				pair, err := s.Get(ctx, "test/count")
				if err != nil {
					continue
				}
				next, version := []byte("x"), uint64(0)
				if pair != nil {
					next, version = append(pair.Value, 'x'), pair.Version
				}
				if s.Apply(ctx, kv.SetAt("test/count", version, next)) == nil {
					done.Add(1)
					n++
				}
			}
		})
	}
	group.Wait()
	if pair := get(t, ctx, s, "test/count"); done.Load() != each*writers || len(pair.Value) != each*writers {
		t.Errorf("%d written, %d there", done.Load(), len(pair.Value))
	}
}

func inParts(t *testing.T, ctx context.Context, s kv.Store) {
	for _, size := range []int{0, 1, kv.PartBytes, kv.PartBytes + 1, 3*kv.PartBytes + 7} {
		Must(t, s.Apply(ctx, kv.DeleteAll("test/")))
		data := bytes.Repeat([]byte("0123456789"), size/10+1)[:size]
		last, err := kv.Stage(ctx, s, "test/a", 0, data)
		Must(t, err)
		if pair := get(t, ctx, s, "test/a"); pair != nil {
			t.Errorf("%d bytes: there before its last part", size)
		}
		Must(t, s.Apply(ctx, last))
		pair := get(t, ctx, s, "test/a")
		if pair.InParts != (size > kv.PartBytes) {
			t.Errorf("%d bytes: in parts: %v", size, pair.InParts)
		}
		got, err := kv.Whole(ctx, s.Get, pair)
		Must(t, err)
		if !bytes.Equal(got, data) {
			t.Errorf("%d bytes: %d back", size, len(got))
		}
		if err := s.Apply(ctx, last); !errors.Is(err, kv.ErrConflict) {
			t.Errorf("written twice: %v", err)
		}
	}
	Must(t, s.Apply(ctx, kv.Delete("test/a/2")))
	if _, err := kv.Whole(ctx, s.Get, get(t, ctx, s, "test/a")); !errors.Is(err, kv.ErrNoPart) {
		t.Errorf("without a part: %v", err)
	}
}

func waiting(t *testing.T, ctx context.Context, s kv.Store) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var seen atomic.Value
	go kv.Watch(ctx, s, "test/", func() {
		keys, err := s.Keys(ctx, "test/")
		if err == nil {
			seen.Store(strings.Join(keys, " "))
		}
	})
	sees := func(want string) {
		t.Helper()
		Within(t, 10*time.Second, "'"+want+"'", func() bool { return seen.Load() == want })
	}
	sees("")
	Must(t, s.Apply(ctx, kv.Set("test/a", nil)))
	sees("test/a")
	Must(t, s.Apply(ctx, kv.Set("test/b", nil), kv.Delete("test/a")))
	sees("test/b")
	Must(t, s.Apply(ctx, kv.DeleteAll("test/")))
	sees("")
}

func lettingGo(t *testing.T, ctx context.Context, s kv.Store) {
	Must(t, s.Apply(ctx, kv.Set("test/a", nil)))
	mark, err := s.Await(ctx, "test/", 0)
	if err != nil || mark == 0 {
		t.Fatalf("%d, %v", mark, err)
	}
	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	for n := 0; n < 10 && err == nil; n++ { // other keys may change meanwhile
		mark, err = s.Await(short, "test/", mark)
	}
	if time.Since(began) > 10*time.Second || err == nil {
		t.Errorf("waited for %v: %v", time.Since(began), err)
	}
}

func patience(t *testing.T, ctx context.Context, s kv.Store) {
	var told bytes.Buffer
	Must(t, s.Apply(ctx, kv.Set("test/a", nil)))
	MustFail(t, kv.AwaitGone(ctx, s, kv.Patience{}, "test/a"), "test/a is still there")
	p := kv.PatienceFor(20*time.Second, &told)
	time.AfterFunc(300*time.Millisecond, func() { s.Apply(ctx, kv.Delete("test/a")) })
	Must(t, kv.AwaitGone(ctx, s, p, "test/a"))
	if !strings.HasPrefix(told.String(), "waiting, 20 s at most: test/a is still there") {
		t.Errorf("told: %q", told.String())
	}
	if err := p.Over(s).Apply(ctx, kv.CheckAt("test/a", 7)); !errors.Is(err, kv.ErrConflict) {
		t.Errorf("a conflict passes: %v", err)
	}
}
