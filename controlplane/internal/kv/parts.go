package kv

import (
	"context"
	"errors"
	"fmt"
	"strconv"
)

// PartBytes is the most that one value has: consul refuses a transaction above 512 KiB, and has values in
// base64 (Txn HTTP API, "Transaction size").
const PartBytes = 360 << 10

const mostParts = 100

// ErrNoPart: a value's part isn't there.
var ErrNoPart = errors.New("a part is missing")

// Stage writes a value's parts, when it needs any, and gives the operation that writes the key itself, which
// comes last: who reads the key finds all of its parts. They are at <key>/<n>.
func Stage(ctx context.Context, s Store, key string, version uint64, value []byte) (Operation, error) {
	if len(value) <= PartBytes {
		return SetAt(key, version, value), nil
	}
	count := 0
	for rest := value; len(rest) > 0; count++ {
		size := min(len(rest), PartBytes)
		if err := s.Apply(ctx, Set(part(key, count), rest[:size])); err != nil {
			return Operation{}, err
		}
		rest = rest[size:]
	}
	last := SetAt(key, version, []byte(strconv.Itoa(count)))
	last.InParts = true
	return last, nil
}

// Whole is a pair's value, put together if it is in parts; get is Get or GetLocal of its store.
func Whole(ctx context.Context, get func(context.Context, string) (*Pair, error), pair *Pair) ([]byte, error) {
	if !pair.InParts {
		return pair.Value, nil
	}
	count, err := strconv.Atoi(string(pair.Value))
	if err != nil || count < 1 || count > mostParts {
		return nil, fmt.Errorf("%s: '%.20s' is no number of parts", pair.Key, pair.Value)
	}
	var value []byte
	for n := range count {
		each, err := get(ctx, part(pair.Key, n))
		if err != nil {
			return nil, err
		}
		if each == nil {
			return nil, fmt.Errorf("%w: %s", ErrNoPart, part(pair.Key, n))
		}
		value = append(value, each.Value...)
	}
	return value, nil
}

func part(key string, n int) string { return key + "/" + strconv.Itoa(n) }
