package kv

import (
	"context"
	"fmt"
	"strings"

	"rack-lab/controlplane/internal/clock"
)

// Table is the values of the keys with a prefix, by what follows it.
func Table(ctx context.Context, s Store, prefix string) (map[string]Pair, error) {
	pairs, err := s.List(ctx, prefix)
	if err != nil {
		return nil, err
	}
	table := map[string]Pair{}
	for _, pair := range pairs {
		table[strings.TrimPrefix(pair.Key, prefix)] = pair
	}
	return table, nil
}

// Names are what follows the prefix in the keys that have it, up to the next slash alone: parts of values
// aren't among them.
func Names(ctx context.Context, s Store, prefix string) (names []string, err error) {
	keys, err := s.Keys(ctx, prefix)
	for _, key := range keys {
		if name := strings.TrimPrefix(key, prefix); !strings.Contains(name, "/") {
			names = append(names, name)
		}
	}
	return names, err
}

// Watch calls f at once, and at each change below the prefix, until ctx ends.
func Watch(ctx context.Context, s Store, prefix string, f func()) {
	for mark := uint64(0); ctx.Err() == nil; {
		next, err := s.Await(ctx, prefix, mark)
		if err != nil {
			clock.Pause(ctx, retryAfter)
		} else if mark = next; mark != 0 {
			f()
		}
	}
}

// AwaitGone waits, while there is patience, until the key isn't there.
func AwaitGone(ctx context.Context, s Store, p Patience, key string) error {
	waiting := fmt.Errorf("%s is still there; it can be taken later", key)
	return p.Try(ctx, func(ctx context.Context) error {
		pair, err := s.Get(ctx, key)
		if err == nil && pair != nil {
			err = waiting
		}
		return err
	})
}
