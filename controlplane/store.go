package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

// This file owns the way to consul's KV through the local agent: keys, time limits, patience, values in parts.

const (
	leaseKey  = "rack/lease"
	configKey = "rack/dhcp/config"
	leasesKey = "rack/dhcp/leases"

	entryPrefix    = "rack/entry/"
	blobPrefix     = "rack/blob/"
	filePrefix     = "rack/file/"
	holderPrefix   = "rack/holder/"
	dhcpPrefix     = "rack/dhcp/"
	inboxPrefix    = "rack/inbox/"
	rejectedPrefix = "rack/rejected/"
)

// partBytes is the most one value has: a transaction is refused above 512 KiB, and has values in base64.
const partBytes = 360 << 10

// inParts is the consul flag of a key whose value is the number of parts, which are at <key>/<n>.
const inParts = 1

const callLimit = 10 * time.Second // for one call, but for those that wait for a change

// errConflict: another writer was first; read again.
var errConflict = errors.New("the key was changed by another meanwhile")

// store is consul as this program uses it.
type store struct {
	client   *api.Client
	kv       *api.KV
	patience time.Time // until then a call that fails is tried again; zero: it isn't
}

// newStore has the agent at CONSUL_HTTP_ADDR, else 127.0.0.1:8500.
func newStore(token string, patience time.Duration) (*store, error) {
	settings := api.DefaultConfig()
	settings.Token = token
	client, err := api.NewClient(settings)
	if err != nil {
		return nil, err
	}
	s := &store{client: client, kv: client.KV()}
	if patience > 0 {
		s.patience = time.Now().Add(patience)
	}
	return s, nil
}

// call runs f under the time limit, again while there is patience.
func (s *store) call(ctx context.Context, f func(context.Context) error) error {
	for late := false; ; late = true {
		limited, cancel := context.WithTimeout(ctx, callLimit)
		err := f(limited)
		cancel()
		if err == nil || !passes(err) || time.Now().After(s.patience) {
			return err
		}
		if !late {
			fmt.Fprintf(os.Stderr, "waiting, %.0f s at most: %v\n", time.Until(s.patience).Seconds(), err)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Second):
		}
	}
}

// passes tells whether waiting can help. Also for 403: after the first election the tokens come into being.
func passes(err error) bool {
	var status api.StatusError
	if errors.As(err, &status) {
		return status.Code >= 500 || status.Code == 403 || status.Code == 429
	}
	return !errors.Is(err, errConflict)
}

// reading makes query options; stale answers come from the local server, whoever leads.
func reading(ctx context.Context, stale bool) *api.QueryOptions {
	return (&api.QueryOptions{AllowStale: stale, RequireConsistent: !stale}).WithContext(ctx)
}

func writing(ctx context.Context) *api.WriteOptions { return (&api.WriteOptions{}).WithContext(ctx) }

// get reads a key; nil if there is none.
func (s *store) get(ctx context.Context, key string, stale bool) (pair *api.KVPair, err error) {
	err = s.call(ctx, func(ctx context.Context) error {
		pair, _, err = s.kv.Get(key, reading(ctx, stale))
		return err
	})
	return pair, err
}

// list reads all keys with the prefix; the map's keys lack it.
func (s *store) list(ctx context.Context, prefix string) (map[string]*api.KVPair, error) {
	found := map[string]*api.KVPair{}
	err := s.call(ctx, func(ctx context.Context) error {
		pairs, _, err := s.kv.List(prefix, reading(ctx, false))
		for _, pair := range pairs {
			found[strings.TrimPrefix(pair.Key, prefix)] = pair
		}
		return err
	})
	return found, err
}

// keys are the names below a prefix, without it, up to the next slash.
func (s *store) keys(ctx context.Context, prefix string) (names []string, err error) {
	err = s.call(ctx, func(ctx context.Context) error {
		found, _, err := s.kv.Keys(prefix, "", reading(ctx, false))
		names = nil
		for _, key := range found {
			if name := strings.TrimPrefix(key, prefix); !strings.Contains(name, "/") {
				names = append(names, name)
			}
		}
		return err
	})
	return names, err
}

// changed returns when something below the prefix is not as it was at index, after 5 min at the latest,
// with the new index. Index 0: at once. A new index 0: what was known doesn't count any more.
func (s *store) changed(ctx context.Context, prefix string, index uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, 6*time.Minute)
	defer cancel()
	query := reading(ctx, true)
	query.WaitIndex, query.WaitTime = index, 5*time.Minute
	_, meta, err := s.kv.Keys(prefix, "", query)
	if err != nil {
		return 0, err
	}
	// The agent has begun anew, or a snapshot was restored: consul ends the query then with the index that it had,
	// and with that would wait for what is newer than all that was lost.
	if meta.LastIndex <= index {
		return 0, nil
	}
	return meta.LastIndex, nil
}

// watch calls f at each change below the prefix, until ctx ends.
func (s *store) watch(ctx context.Context, prefix string, f func()) {
	for index := uint64(0); ctx.Err() == nil; {
		next, err := s.changed(ctx, prefix, index)
		if err != nil {
			pause(ctx, 2*time.Second)
		} else if index = next; index != 0 {
			f()
		}
	}
}

func (s *store) put(ctx context.Context, key string, value []byte) error {
	return s.call(ctx, func(ctx context.Context) error {
		_, err := s.kv.Put(&api.KVPair{Key: key, Value: value}, writing(ctx))
		return err
	})
}

func (s *store) delete(ctx context.Context, key string) error {
	return s.call(ctx, func(ctx context.Context) error {
		_, err := s.kv.Delete(key, writing(ctx))
		return err
	})
}

// deleteTree removes all keys that begin with the prefix.
func (s *store) deleteTree(ctx context.Context, prefix string) error {
	return s.call(ctx, func(ctx context.Context) error {
		_, err := s.kv.DeleteTree(prefix, writing(ctx))
		return err
	})
}

// transact does all of the operations or, with errConflict, none.
func (s *store) transact(ctx context.Context, ops api.KVTxnOps) error {
	return s.call(ctx, func(ctx context.Context) error {
		done, answer, _, err := s.kv.Txn(ops, reading(ctx, false))
		if err == nil && !done {
			return fmt.Errorf("%w (%s)", errConflict, answer.Errors[0].What)
		}
		return err
	})
}

// lease reads who may serve, once, and the key's index; 0: there is none.
func (s *store) lease(ctx context.Context) (l lease, index uint64, err error) {
	pair, _, err := s.kv.Get(leaseKey, reading(ctx, false))
	if err != nil || pair == nil {
		return lease{}, 0, err
	}
	l, err = parseLease(string(pair.Value))
	return l, pair.ModifyIndex, err
}

// putAsOwner writes a value while the lease is its owner's; errConflict: it isn't.
func (s *store) putAsOwner(ctx context.Context, key string, value []byte, owns func(lease) bool) error {
	var l lease
	var index uint64
	err := s.call(ctx, func(ctx context.Context) (err error) {
		l, index, err = s.lease(ctx)
		return err
	})
	if err != nil {
		return err
	}
	if !owns(l) {
		return fmt.Errorf("%w (%s has the lease)", errConflict, cmp.Or(l.server, "nobody"))
	}
	return s.transact(ctx, api.KVTxnOps{
		{Verb: api.KVCheckIndex, Key: leaseKey, Index: index},
		{Verb: api.KVSet, Key: key, Value: value},
	})
}

// putParts writes a value's parts, when it needs any, and returns what has to be written at the key, last.
func (s *store) putParts(ctx context.Context, key string, value []byte) (pointer []byte, flags uint64, err error) {
	if len(value) <= partBytes {
		return value, 0, nil
	}
	count := 0
	for rest := value; len(rest) > 0; count++ {
		size := min(len(rest), partBytes)
		if err := s.put(ctx, fmt.Sprintf("%s/%d", key, count), rest[:size]); err != nil {
			return nil, 0, err
		}
		rest = rest[size:]
	}
	return []byte(strconv.Itoa(count)), inParts, nil
}

// whole is a key's value, put together if it is in parts.
func (s *store) whole(ctx context.Context, pair *api.KVPair, stale bool) ([]byte, error) {
	if pair.Flags != inParts {
		return pair.Value, nil
	}
	count, err := strconv.Atoi(string(pair.Value))
	if err != nil || count < 1 || count > 100 {
		return nil, fmt.Errorf("%s: '%.20s' is no number of parts", pair.Key, pair.Value)
	}
	var value []byte
	for n := range count {
		part, err := s.get(ctx, fmt.Sprintf("%s/%d", pair.Key, n), stale)
		if err != nil {
			return nil, err
		}
		if part == nil {
			return nil, fmt.Errorf("%w: %s/%d", errNoPart, pair.Key, n)
		}
		value = append(value, part.Value...)
	}
	return value, nil
}

// errNoPart: a value's part isn't there.
var errNoPart = errors.New("part is missing")

// pause waits, or until ctx ends.
func pause(ctx context.Context, wait time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(wait):
	}
}
