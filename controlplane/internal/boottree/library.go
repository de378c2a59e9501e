package boottree

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"rack-lab/controlplane/internal/atomicfile"
	"rack-lab/controlplane/internal/kv"
	"rack-lab/controlplane/internal/names"
)

// aboutToBeNamed is how long a file stays that nothing names: somebody may be about to.
const aboutToBeNamed = time.Hour

// Library is the tree as the commands work on it: the folder here, and the store.
type Library struct {
	Folder
	Store kv.Store
}

// Put takes a file into the folder and registers it. It is registered before it gets its name: who is killed in
// between leaves the staged file to the replica's next sync, and no sync takes it for an old one meanwhile.
func (l Library) Put(ctx context.Context, name, sum string, content io.Reader) error {
	if err := errors.Join(checkPath(name), names.CheckSum("sha256", sum)); err != nil {
		return err
	}
	staged, size, err := atomicfile.Stage(l.Path(name), sum, content)
	if err != nil {
		return err
	}
	unlock, err := l.Lock(unix.LOCK_SH)
	if err != nil {
		return err
	}
	defer unlock()
	// An error doesn't mean that the store hasn't taken it: the staged file stays, to be adopted or tidied away.
	if err := l.register(ctx, name, File{sum, size}); err != nil {
		return err
	}
	return os.Rename(staged, l.Path(name))
}

// PutLayer takes an image layer.
func (l Library) PutLayer(ctx context.Context, file, sum string, content io.Reader) error {
	if err := names.CheckWord("layer", file); err != nil {
		return err
	}
	return l.Put(ctx, imageFolder+file, sum, content)
}

func (l Library) register(ctx context.Context, name string, file File) error {
	return l.Store.Apply(ctx, kv.Set(FilePrefix+name, []byte(file.String())))
}

// Has tells whether the file is registered with this sum, and in the folder.
func (l Library) Has(ctx context.Context, name, sum string) (bool, error) {
	if err := errors.Join(checkPath(name), names.CheckSum("sha256", sum)); err != nil {
		return false, err
	}
	files, err := ReadFiles(ctx, l.Store)
	return l.has(files, name, sum), err
}

func (l Library) has(files Files, name, sum string) bool {
	known, there := files[name]
	info, err := os.Stat(l.Path(name))
	return there && known.Sum == sum && err == nil && info.Size() == known.Size
}

// PutList makes the list the image's if the tree has all of its layers, and else tells those that it lacks.
func (l Library) PutList(ctx context.Context, key string, list io.Reader) (missing []string, err error) {
	if err := names.CheckWord("image key", key); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(list)
	if err != nil {
		return nil, err
	}
	layers, err := parseList(string(text))
	if err != nil {
		return nil, err
	}
	files, err := ReadFiles(ctx, l.Store)
	if err != nil {
		return nil, err
	}
	for _, layer := range layers {
		if !l.has(files, layer.Path(), layer.Sum) {
			missing = append(missing, layer.File)
		}
	}
	name, sum := listOf(key), names.SumOf(text)
	switch {
	case len(missing) > 0:
		return missing, nil
	case l.has(files, name, sum):
		now := time.Now() // Prune leaves it to who is about to name it
		return nil, os.Chtimes(l.Path(name), now, now)
	}
	return nil, l.Put(ctx, name, sum, strings.NewReader(string(text)))
}

// Prune removes lists that no entry names, and layers that no list names; the quarantine image stays. So does
// what is younger than an hour, for somebody may be about to name it; but who publishes tells which images those
// are (wanted), and then all other lists go at once, with their layers: memory has room for two generations, not
// for three. Nobody puts a file meanwhile.
func (l Library) Prune(ctx context.Context, wanted ...string) error {
	for _, key := range wanted {
		if err := names.CheckWord("image key", key); err != nil {
			return err
		}
	}
	unlock, err := l.Lock(unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer unlock()
	files, err := ReadFiles(ctx, l.Store)
	if err != nil {
		return err
	}
	entries, err := Entries(ctx, l.Store)
	if err != nil {
		return err
	}
	needed, left := map[string]bool{listOf("quarantine"): true}, map[string]bool{}
	for _, e := range entries {
		needed[listOf(e.Image)] = true
	}
	for _, key := range wanted {
		needed[listOf(key)] = true
	}
	whole := true // every list that stays could be read
	for name := range files {
		if !strings.HasSuffix(name, listSuffix) {
			continue
		}
		stays := needed[name] || len(wanted) == 0 && !l.old(name)
		layers, err := l.list(name)
		if errors.Is(err, fs.ErrNotExist) {
			whole = whole && !stays
		} else if err != nil {
			return err
		}
		for _, layer := range layers {
			if stays {
				needed[layer.Path()] = true
			} else {
				left[layer.Path()] = true
			}
		}
		if !stays {
			if err := l.drop(ctx, name); err != nil {
				return err
			}
		}
	}
	for name := range files {
		if whole && IsLayer(name) && !needed[name] && (left[name] || l.old(name)) {
			if err := l.drop(ctx, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// old: the file is here for so long that nobody is about to name it.
func (l Library) old(name string) bool {
	info, err := os.Stat(l.Path(name))
	return err == nil && time.Since(info.ModTime()) > aboutToBeNamed
}

func (l Library) drop(ctx context.Context, name string) error {
	if err := l.Store.Apply(ctx, kv.Delete(FilePrefix+name)); err != nil {
		return err
	}
	if err := os.Remove(l.Path(name)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
