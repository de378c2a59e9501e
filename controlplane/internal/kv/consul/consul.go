// Package consul is the store that a rack with a control plane has: consul's KV, through the agent on this
// machine.
package consul

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"rack-lab/controlplane/internal/kv"
)

const (
	// inParts is the flag of a key whose value is the number of its parts.
	inParts = 1
	// waitMost is how long the agent holds a query that waits for a change; the call itself has a minute more.
	waitMost = 5 * time.Minute
)

// Store is consul's KV. Package cluster asks the same client for the rest.
type Store struct{ kv *api.KV }

// New is the KV of the client's agent.
func New(client *api.Client) *Store { return &Store{client.KV()} }

// Client is a client of the agent at CONSUL_HTTP_ADDR, else 127.0.0.1:8500, for who has the token.
func Client(token string) (*api.Client, error) {
	settings := api.DefaultConfig()
	settings.Token = token
	return api.NewClient(settings)
}

// Reading makes query options; local answers come from the agent's own server, whoever leads.
func Reading(ctx context.Context, local bool) *api.QueryOptions {
	return (&api.QueryOptions{AllowStale: local, RequireConsistent: !local}).WithContext(ctx)
}

// Writing makes options of a change.
func Writing(ctx context.Context) *api.WriteOptions { return (&api.WriteOptions{}).WithContext(ctx) }

// Get reads a key as the leader has it.
func (s *Store) Get(ctx context.Context, key string) (*kv.Pair, error) {
	return s.get(ctx, key, false)
}

// GetLocal reads a key as this machine's agent has it.
func (s *Store) GetLocal(ctx context.Context, key string) (*kv.Pair, error) {
	return s.get(ctx, key, true)
}

func (s *Store) get(ctx context.Context, key string, local bool) (*kv.Pair, error) {
	ctx, cancel := context.WithTimeout(ctx, kv.CallLimit)
	defer cancel()
	pair, _, err := s.kv.Get(key, Reading(ctx, local))
	if err != nil || pair == nil {
		return nil, told(err)
	}
	found := pairOf(pair)
	return &found, nil
}

func pairOf(pair *api.KVPair) kv.Pair {
	return kv.Pair{Key: pair.Key, Value: pair.Value, InParts: pair.Flags == inParts, Version: pair.ModifyIndex}
}

// List reads all keys with the prefix.
func (s *Store) List(ctx context.Context, prefix string) (found []kv.Pair, err error) {
	ctx, cancel := context.WithTimeout(ctx, kv.CallLimit)
	defer cancel()
	pairs, _, err := s.kv.List(prefix, Reading(ctx, false))
	for _, pair := range pairs {
		found = append(found, pairOf(pair))
	}
	slices.SortFunc(found, func(a, b kv.Pair) int { return strings.Compare(a.Key, b.Key) })
	return found, told(err)
}

// Keys names all keys with the prefix.
func (s *Store) Keys(ctx context.Context, prefix string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, kv.CallLimit)
	defer cancel()
	keys, _, err := s.kv.Keys(prefix, "", Reading(ctx, false))
	slices.Sort(keys)
	return keys, told(err)
}

// verbs are consul's for ours (Txn HTTP API, "KV Operations").
var verbs = map[kv.Verb]api.KVOp{
	kv.VerbSet: api.KVSet, kv.VerbSetAt: api.KVCAS, kv.VerbCheckAt: api.KVCheckIndex,
	kv.VerbDelete: api.KVDelete, kv.VerbDeleteAt: api.KVDeleteCAS, kv.VerbDeleteAllWithin: api.KVDeleteTree,
}

// Apply does all of the operations in one transaction, or none. One that simply writes or removes goes by
// itself, for which a machine's token has rights.
func (s *Store) Apply(ctx context.Context, operations ...kv.Operation) error {
	ctx, cancel := context.WithTimeout(ctx, kv.CallLimit)
	defer cancel()
	if len(operations) == 1 {
		if done, err := s.one(ctx, operations[0]); done {
			return told(err)
		}
	}
	var all api.KVTxnOps
	for _, each := range operations {
		all = append(all, &api.KVTxnOp{
			Verb: verbs[each.Verb], Key: each.Key, Value: each.Value, Flags: flags(each.InParts), Index: each.Version,
		})
	}
	done, answer, _, err := s.kv.Txn(all, Reading(ctx, false))
	if err == nil && !done {
		return fmt.Errorf("%w (%s)", kv.ErrConflict, answer.Errors[0].What)
	}
	return told(err)
}

func (s *Store) one(ctx context.Context, its kv.Operation) (done bool, err error) {
	switch its.Verb {
	case kv.VerbSet:
		_, err = s.kv.Put(&api.KVPair{Key: its.Key, Value: its.Value, Flags: flags(its.InParts)}, Writing(ctx))
	case kv.VerbDelete:
		_, err = s.kv.Delete(its.Key, Writing(ctx))
	case kv.VerbDeleteAllWithin:
		_, err = s.kv.DeleteTree(its.Key, Writing(ctx))
	default:
		return false, nil
	}
	return true, err
}

func flags(parts bool) uint64 {
	if parts {
		return inParts
	}
	return 0
}

// Await returns when something below the prefix has changed, by a blocking query.
func (s *Store) Await(ctx context.Context, prefix string, mark uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, waitMost+time.Minute)
	defer cancel()
	query := Reading(ctx, true)
	query.WaitIndex, query.WaitTime = mark, waitMost
	_, meta, err := s.kv.Keys(prefix, "", query)
	if err != nil {
		return 0, told(err)
	}
	// The agent has begun anew, or a snapshot was restored: consul ends the query then with the index that it
	// had, and with that would wait for what is newer than all that was lost.
	if meta.LastIndex <= mark {
		return 0, nil
	}
	return meta.LastIndex, nil
}

// told marks what doesn't pass. 403 does: after the first election the tokens come into being.
func told(err error) error {
	var status api.StatusError
	if errors.As(err, &status) && status.Code < http.StatusInternalServerError &&
		status.Code != http.StatusForbidden && status.Code != http.StatusTooManyRequests {
		return fmt.Errorf("%w: %w", kv.ErrPermanent, err)
	}
	return err
}
