// Package kv is what the control plane keeps its state in: a small set of keys with values, which changes in
// transactions and can be waited on. Three packages below it implement it: consul (a rack with a control
// plane), directory (a boot server by itself) and memory (tests). kvtest is the contract, which each
// passes.
package kv

import (
	"context"
	"errors"
	"time"
)

// CallLimit is the most that one call takes, but for those that wait for a change.
const CallLimit = 10 * time.Second

// ErrConflict: another writer was first; read again.
var ErrConflict = errors.New("the key was changed by another meanwhile")

// ErrPermanent: trying again doesn't help.
var ErrPermanent = errors.New("refused")

// Pair is a key with what is there.
type Pair struct {
	Key     string
	Value   []byte
	InParts bool   // the value is the number of parts (see Whole)
	Version uint64 // another one when the key was written since; never 0
}

// Store is the state. All keys are plain paths, such as rack/entry/52-54-00-aa-bb-cc. A prefix need not end
// with a slash.
type Store interface {
	// Get reads a key as whoever leads has it; nil if there is none.
	Get(ctx context.Context, key string) (*Pair, error)
	// GetLocal reads a key as this machine's copy has it, which may be older; nil if there is none.
	GetLocal(ctx context.Context, key string) (*Pair, error)
	// List reads all keys with the prefix, sorted by key.
	List(ctx context.Context, prefix string) ([]Pair, error)
	// Keys names all keys with the prefix, sorted.
	Keys(ctx context.Context, prefix string) ([]string, error)
	// Apply does all of the operations or, with ErrConflict, none.
	Apply(ctx context.Context, operations ...Operation) error
	// Await returns when something below the prefix may not be as it was at the mark, and after minutes at
	// the latest, with the new mark. Mark 0: at once. A new mark 0: what was known doesn't count any more.
	Await(ctx context.Context, prefix string, mark uint64) (uint64, error)
}

// Verb says what an operation does.
type Verb int

// The verbs. Those with a version do nothing, and with them the whole transaction, unless the key has it.
const (
	VerbSet             Verb = iota // write the key
	VerbSetAt                       // write the key; version 0: there is none
	VerbCheckAt                     // leave the key
	VerbDelete                      // remove the key, if it is there
	VerbDeleteAt                    // remove the key
	VerbDeleteAllWithin             // remove all keys with the prefix Key
)

// Operation is one change of a transaction, or what it depends on.
type Operation struct {
	Verb    Verb
	Key     string
	Value   []byte
	InParts bool
	Version uint64
}

// Set writes a key.
func Set(key string, value []byte) Operation {
	return Operation{Verb: VerbSet, Key: key, Value: value}
}

// SetAt writes a key that still has the version; 0: that isn't there.
func SetAt(key string, version uint64, value []byte) Operation {
	return Operation{Verb: VerbSetAt, Key: key, Value: value, Version: version}
}

// CheckAt needs the key to have the version still.
func CheckAt(key string, version uint64) Operation {
	return Operation{Verb: VerbCheckAt, Key: key, Version: version}
}

// Delete removes a key, if it is there.
func Delete(key string) Operation { return Operation{Verb: VerbDelete, Key: key} }

// DeleteAt removes a key that still has the version.
func DeleteAt(key string, version uint64) Operation {
	return Operation{Verb: VerbDeleteAt, Key: key, Version: version}
}

// DeleteAll removes all keys with the prefix.
func DeleteAll(prefix string) Operation { return Operation{Verb: VerbDeleteAllWithin, Key: prefix} }
