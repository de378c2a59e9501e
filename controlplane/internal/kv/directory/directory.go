// Package directory is a store in a folder, for a boot server by itself: each key is a file. A transaction is
// written to a journal first, so that one that was cut, by a crash or by the power, is finished by whoever
// opens the folder next. One program changes the folder at a time; they share a lock.
package directory

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"rack-lab/controlplane/internal/atomicfile"
	"rack-lab/controlplane/internal/clock"
	"rack-lab/controlplane/internal/kv"
	"rack-lab/controlplane/internal/names"
)

const (
	journal    = "journal.json" // the transaction that is being done
	generation = "generation"   // the number of transactions so far
	suffix     = ".value"       // of a key's file, so that key a can be beside key a/b
	plain      = byte('=')      // first in a file: the value follows
	parts      = byte('#')      // first in a file: the number of the value's parts follows
	lookEvery  = 500 * time.Millisecond
	waitMost   = 5 * time.Minute
)

// Store is the folder. Whoever names the same lock file shares it.
type Store struct{ folder, lock string }

// New is the store in the folder, which is made at the first change. The lock is a file that is gone after a
// reset, in a file system that has locks.
func New(folder, lock string) *Store { return &Store{folder, lock} }

// Get reads a key.
func (s *Store) Get(ctx context.Context, key string) (found *kv.Pair, err error) {
	err = s.locked(ctx, unix.LOCK_SH, func() error {
		found, err = s.read(key)
		return err
	})
	return found, err
}

// GetLocal is Get: there is one copy.
func (s *Store) GetLocal(ctx context.Context, key string) (*kv.Pair, error) { return s.Get(ctx, key) }

// List reads all keys with the prefix.
func (s *Store) List(ctx context.Context, prefix string) (found []kv.Pair, err error) {
	err = s.locked(ctx, unix.LOCK_SH, func() error {
		keys, err := s.below(prefix)
		for _, key := range keys {
			pair, failed := s.read(key)
			if failed != nil {
				return failed
			}
			found = append(found, *pair)
		}
		return err
	})
	return found, err
}

// Keys names all keys with the prefix.
func (s *Store) Keys(ctx context.Context, prefix string) (keys []string, err error) {
	err = s.locked(ctx, unix.LOCK_SH, func() error {
		keys, err = s.below(prefix)
		return err
	})
	return keys, err
}

// Apply does all of the operations or none.
func (s *Store) Apply(ctx context.Context, operations ...kv.Operation) error {
	for _, each := range operations {
		if !filepath.IsLocal(filepath.FromSlash(each.Key)) {
			return fmt.Errorf("%w: key '%s' is no path", kv.ErrPermanent, each.Key)
		}
	}
	return s.locked(ctx, unix.LOCK_EX, func() error {
		err := kv.Check(operations, func(key string) (uint64, error) {
			pair, err := s.read(key)
			if err != nil || pair == nil {
				return 0, err
			}
			return pair.Version, nil
		})
		if err != nil {
			return err
		}
		text, err := json.Marshal(operations)
		if err != nil {
			return err
		}
		if err := atomicfile.Write(s.file(journal), text); err != nil {
			return err
		}
		return s.finish()
	})
}

// Await returns at the next change of any key.
func (s *Store) Await(ctx context.Context, _ string, mark uint64) (uint64, error) {
	for end := time.Now().Add(waitMost); ; clock.Pause(ctx, lookEvery) {
		now := s.generation()
		if now != mark || time.Now().After(end) || ctx.Err() != nil {
			return now, ctx.Err()
		}
	}
}

// locked does something under the lock, after what was begun before is finished.
func (s *Store) locked(ctx context.Context, how int, do func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	unlock, err := atomicfile.Lock(s.lock, how)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Stat(s.file(journal)); err == nil {
		if how == unix.LOCK_SH {
			unlock()
			if err := s.locked(ctx, unix.LOCK_EX, func() error { return nil }); err != nil {
				return err
			}
			return s.locked(ctx, how, do)
		}
		if err := s.finish(); err != nil {
			return err
		}
	}
	return do()
}

// finish does what the journal says, which can be done twice, and ends with the journal.
func (s *Store) finish() error {
	text, err := os.ReadFile(s.file(journal))
	if err != nil {
		return err
	}
	var operations []kv.Operation
	if err := json.Unmarshal(text, &operations); err != nil {
		return fmt.Errorf("%s: %w", s.file(journal), err)
	}
	for _, each := range operations {
		if err := s.do(each); err != nil {
			return err
		}
	}
	next := strconv.FormatUint(s.generation()+1, 10)
	if err := atomicfile.Write(s.file(generation), []byte(next)); err != nil {
		return err
	}
	return os.Remove(s.file(journal))
}

func (s *Store) do(its kv.Operation) error {
	switch its.Verb {
	case kv.VerbSet, kv.VerbSetAt:
		kind := plain
		if its.InParts {
			kind = parts
		}
		return atomicfile.Write(s.path(its.Key), append([]byte{kind}, its.Value...))
	case kv.VerbDelete, kv.VerbDeleteAt:
		return s.remove(its.Key)
	case kv.VerbDeleteAllWithin:
		keys, err := s.below(its.Key)
		for _, key := range keys {
			err = errors.Join(err, s.remove(key))
		}
		return err
	case kv.VerbCheckAt:
	}
	return nil
}

func (s *Store) remove(key string) error {
	if err := os.Remove(s.path(key)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (s *Store) read(key string) (*kv.Pair, error) {
	text, err := os.ReadFile(s.path(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if len(text) == 0 || text[0] != plain && text[0] != parts {
		return nil, fmt.Errorf("%s is no key's value; remove it, or bring its former content back", s.path(key))
	}
	return &kv.Pair{Key: key, Value: text[1:], InParts: text[0] == parts, Version: version(text)}, nil
}

// version is the content's: who finds the same content again finds what it has read.
func version(text []byte) uint64 {
	return binary.BigEndian.Uint64([]byte(names.SumOf(text))) | 1
}

// below are the keys with the prefix, sorted.
func (s *Store) below(prefix string) (keys []string, err error) {
	err = filepath.WalkDir(s.folder, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, suffix) {
			return err
		}
		name, err := filepath.Rel(s.folder, strings.TrimSuffix(path, suffix))
		if key := filepath.ToSlash(name); strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
		return err
	})
	slices.Sort(keys)
	return keys, err
}

func (s *Store) path(key string) string {
	return filepath.Join(s.folder, filepath.FromSlash(key)+suffix)
}

func (s *Store) file(name string) string { return filepath.Join(s.folder, name) }

// generation is 1 where nothing was written yet: a mark is never 0.
func (s *Store) generation() uint64 {
	text, _ := os.ReadFile(s.file(generation))
	number, err := strconv.ParseUint(string(bytes.TrimSpace(text)), 10, 64)
	if err != nil {
		return 1
	}
	return number
}
