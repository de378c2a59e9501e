package kv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"rack-lab/controlplane/internal/clock"
)

const retryAfter = 2 * time.Second

// Patience is until when what fails for the moment is tried again: nobody leads just now, a token is only
// coming into being, or another server is behind. None: it isn't tried again.
type Patience struct {
	until time.Time
	told  io.Writer
}

// PatienceFor is patience for that long, from now on; told is who reads that it is needed.
func PatienceFor(wait time.Duration, told io.Writer) Patience {
	return Patience{time.Now().Add(wait), told}
}

// Try calls f, again while that fails, helps, and there is patience; each call has CallLimit.
func (p Patience) Try(ctx context.Context, f func(context.Context) error) error {
	for late := false; ; late = true {
		limited, cancel := context.WithTimeout(ctx, CallLimit)
		err := f(limited)
		cancel()
		if err == nil || !passes(err) || ctx.Err() != nil || time.Now().After(p.until) {
			return err
		}
		if !late {
			fmt.Fprintf(p.told, "waiting, %.0f s at most: %v\n", time.Until(p.until).Seconds(), err)
		}
		clock.Pause(ctx, retryAfter/2)
	}
}

// passes tells whether waiting can help.
func passes(err error) bool {
	return !errors.Is(err, ErrConflict) && !errors.Is(err, ErrPermanent)
}

// Over is the store with patience for each call but Await, which a caller repeats anyway.
func (p Patience) Over(s Store) Store { return &patient{s, p} }

type patient struct {
	Store
	Patience
}

func (s *patient) Get(ctx context.Context, key string) (pair *Pair, err error) {
	err = s.Try(ctx, func(ctx context.Context) error { pair, err = s.Store.Get(ctx, key); return err })
	return pair, err
}

func (s *patient) GetLocal(ctx context.Context, key string) (pair *Pair, err error) {
	err = s.Try(ctx, func(ctx context.Context) error { pair, err = s.Store.GetLocal(ctx, key); return err })
	return pair, err
}

func (s *patient) List(ctx context.Context, prefix string) (pairs []Pair, err error) {
	err = s.Try(ctx, func(ctx context.Context) error { pairs, err = s.Store.List(ctx, prefix); return err })
	return pairs, err
}

func (s *patient) Keys(ctx context.Context, prefix string) (keys []string, err error) {
	err = s.Try(ctx, func(ctx context.Context) error { keys, err = s.Store.Keys(ctx, prefix); return err })
	return keys, err
}

func (s *patient) Apply(ctx context.Context, operations ...Operation) error {
	return s.Try(ctx, func(ctx context.Context) error { return s.Store.Apply(ctx, operations...) })
}
