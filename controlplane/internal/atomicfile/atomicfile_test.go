package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"rack-lab/controlplane/internal/names"
)

func TestFilesAreWholeOrNotThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a/b")
	if _, err := Take(path, names.SumOf([]byte("x")), strings.NewReader("y")); err == nil {
		t.Error("a wrong file was taken")
	}
	if left, _ := filepath.Glob(filepath.Dir(path) + "/*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if size, err := Take(path, names.SumOf([]byte("x")), strings.NewReader("x")); err != nil || size != 1 {
		t.Errorf("%d, %v", size, err)
	}
	for _, gently := range []bool{true, false} {
		if sum, err := SumOf(path, gently); err != nil || sum != names.SumOf([]byte("x")) {
			t.Errorf("%s, %v", sum, err)
		}
	}
}

func TestTwoWhoWriteOneFileEachStageItWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "layer")
	for _, content := range []string{"1", "22"} {
		staged, _, err := Stage(path, names.SumOf([]byte(content)), strings.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(staged); err != nil || string(text) != content {
			t.Errorf("%s: %q, %v", staged, text, err)
		}
	}
	if found := Staged(path); len(found) != 2 {
		t.Errorf("staged: %v", found)
	}
}

func TestWhatIsThereIsNotTouched(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write := func() os.FileInfo {
		if err := Write(path, []byte("content")); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	if first := write(); !os.SameFile(first, write()) {
		t.Error("written anew")
	}
}

func TestOneHoldsALock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run/lock")
	unlock, err := Lock(path, unix.LOCK_EX)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Lock(path, unix.LOCK_EX|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) {
		t.Errorf("taken twice: %v", err)
	}
	unlock()
	if _, err := Lock(path, unix.LOCK_SH|unix.LOCK_NB); err != nil {
		t.Error(err)
	}
}
