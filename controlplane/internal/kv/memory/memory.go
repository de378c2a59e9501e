// Package memory is a store in this process's memory, for tests.
package memory

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"

	"rack-lab/controlplane/internal/kv"
)

// Store has the keys; New makes it.
type Store struct {
	mu      sync.Mutex
	pairs   map[string]kv.Pair
	version uint64
	changed chan struct{} // closed at the next change
}

// New is a store without keys.
func New() *Store {
	return &Store{pairs: map[string]kv.Pair{}, version: 1, changed: make(chan struct{})}
}

// Get reads a key.
func (s *Store) Get(ctx context.Context, key string) (*kv.Pair, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	pair, there := s.pairs[key]
	if !there {
		return nil, ctx.Err()
	}
	pair.Value = bytes.Clone(pair.Value)
	return &pair, ctx.Err()
}

// GetLocal is Get: there is one copy.
func (s *Store) GetLocal(ctx context.Context, key string) (*kv.Pair, error) { return s.Get(ctx, key) }

// List reads all keys with the prefix.
func (s *Store) List(ctx context.Context, prefix string) (found []kv.Pair, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, pair := range s.pairs {
		if strings.HasPrefix(key, prefix) {
			pair.Value = bytes.Clone(pair.Value)
			found = append(found, pair)
		}
	}
	slices.SortFunc(found, func(a, b kv.Pair) int { return strings.Compare(a.Key, b.Key) })
	return found, ctx.Err()
}

// Keys names all keys with the prefix.
func (s *Store) Keys(ctx context.Context, prefix string) (keys []string, err error) {
	pairs, err := s.List(ctx, prefix)
	for _, pair := range pairs {
		keys = append(keys, pair.Key)
	}
	return keys, err
}

// Apply does all of the operations or none.
func (s *Store) Apply(ctx context.Context, operations ...kv.Operation) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := kv.Check(operations, func(key string) (uint64, error) { return s.pairs[key].Version, nil }); err != nil {
		return err
	}
	s.version++
	for _, each := range operations {
		switch each.Verb {
		case kv.VerbSet, kv.VerbSetAt:
			s.pairs[each.Key] = kv.Pair{
				Key: each.Key, Value: bytes.Clone(each.Value), InParts: each.InParts, Version: s.version,
			}
		case kv.VerbDelete, kv.VerbDeleteAt:
			delete(s.pairs, each.Key)
		case kv.VerbDeleteAllWithin:
			for key := range s.pairs {
				if strings.HasPrefix(key, each.Key) {
					delete(s.pairs, key)
				}
			}
		case kv.VerbCheckAt:
		}
	}
	close(s.changed)
	s.changed = make(chan struct{})
	return nil
}

// Await returns at the next change of any key.
func (s *Store) Await(ctx context.Context, _ string, mark uint64) (uint64, error) {
	for {
		s.mu.Lock()
		version, changed := s.version, s.changed
		s.mu.Unlock()
		if version != mark {
			return version, nil
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-changed:
		}
	}
}
