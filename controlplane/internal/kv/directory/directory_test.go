package directory

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"rack-lab/controlplane/internal/kv"
	"rack-lab/controlplane/internal/kv/kvtest"
)

func opened(t *testing.T) *Store {
	folder := t.TempDir()
	return New(filepath.Join(folder, "kv"), filepath.Join(folder, "run/lock"))
}

func TestContract(t *testing.T) {
	kvtest.Contract(t, func(t *testing.T) kv.Store { return opened(t) })
}

func TestATransactionThatWasCutIsFinished(t *testing.T) {
	ctx, s := t.Context(), opened(t)
	kvtest.Must(t, s.Apply(ctx, kv.Set("a", []byte("1")), kv.Set("b", []byte("1"))))
	// As the power leaves it: the journal is there, one of its operations is done.
	kvtest.Must(t, os.WriteFile(s.file(journal), []byte(`[{"Verb":0,"Key":"a","Value":"Mg=="},{"Verb":3,"Key":"b"}]`), 0o600))
	kvtest.Must(t, s.do(kv.Set("a", []byte("2"))))
	before := s.generation()
	if pair, err := s.Get(ctx, "a"); err != nil || string(pair.Value) != "2" {
		t.Errorf("%+v, %v", pair, err)
	}
	if keys, err := s.Keys(ctx, ""); err != nil || !slices.Equal(keys, []string{"a"}) || s.generation() == before {
		t.Errorf("%v, %v", keys, err)
	}
	if _, err := os.Stat(s.file(journal)); !os.IsNotExist(err) {
		t.Errorf("the journal is still there: %v", err)
	}
}

func TestWhatIsNoValueIsTold(t *testing.T) {
	ctx, s := t.Context(), opened(t)
	kvtest.Must(t, s.Apply(ctx, kv.Set("a", nil)))
	kvtest.Must(t, os.Truncate(s.path("a"), 0)) // as a file system that was cut may have it
	_, err := s.Get(ctx, "a")
	kvtest.MustFail(t, err, "a.value is no key's value; remove it")
	kvtest.MustFail(t, s.Apply(ctx, kv.Set("../a", nil)), "is no path")
}
