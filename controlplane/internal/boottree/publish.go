package boottree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"rack-lab/controlplane/internal/kv"
	"rack-lab/controlplane/internal/names"
)

const (
	mostAttempts = 6         // to change an entry that others change, too
	blobAge      = time.Hour // a blob that no entry names stays that long
)

// publish changes the machine's entry in one transaction with its new blob (nil: none) and further operations.
// change gets the present entry, nil if there is none.
func publish(ctx context.Context, s kv.Store, mac string, blob []byte, change func(*Entry) (Entry, error), further ...kv.Operation) error {
	for attempt := 1; ; attempt++ {
		pair, err := s.Get(ctx, EntryPrefix+mac)
		if err != nil {
			return err
		}
		var present *Entry
		var version uint64
		if pair != nil {
			version = pair.Version
			if e, err := ParseEntry(string(pair.Value)); err == nil {
				present = &e
			}
		}
		next, err := change(present)
		if err != nil {
			return err
		}
		all := []kv.Operation{kv.SetAt(EntryPrefix+mac, version, []byte(next.Text(mac)))}
		for _, sum := range next.Files() {
			its, err := haveBlob(ctx, s, sum, blob)
			if err != nil {
				return err
			}
			all = append(all, its)
		}
		err = s.Apply(ctx, append(all, further...)...)
		if errors.Is(err, kv.ErrConflict) && attempt < mostAttempts {
			continue
		}
		return err
	}
}

// haveBlob has the blob there when the transaction is done: it is written, or must still be as it is now.
func haveBlob(ctx context.Context, s kv.Store, sum string, blob []byte) (its kv.Operation, err error) {
	key := blobPrefix + sum
	pair, err := s.Get(ctx, key)
	if err != nil {
		return its, err
	}
	if pair != nil {
		return kv.CheckAt(key, pair.Version), nil
	}
	if found := names.SumOf(blob); found != sum {
		return its, fmt.Errorf("%s is not in the store, and what was given has sha256 %s; nothing was changed", sum, found)
	}
	return kv.Stage(ctx, s, key, 0, blob)
}

// Blob reads an overlay or a commit, and checks it.
func Blob(ctx context.Context, s kv.Store, sum string) ([]byte, error) {
	pair, err := s.GetLocal(ctx, blobPrefix+sum)
	if err != nil {
		return nil, err
	}
	if pair == nil {
		return nil, fmt.Errorf("%s%s is not in the store", blobPrefix, sum)
	}
	data, err := kv.Whole(ctx, s.GetLocal, pair)
	if found := names.SumOf(data); err == nil && found != sum {
		err = fmt.Errorf("%s%s has sha256 %s", blobPrefix, sum, found)
	}
	return data, err
}

// SetEntry gives a machine an image and an overlay, which is read from input unless the store has it. Its commit
// stays.
func SetEntry(ctx context.Context, s kv.Store, mac, image, overlay string, input io.Reader) error {
	err := errors.Join(names.CheckMAC(mac), names.CheckWord("image key", image), names.CheckSum("overlay's sha256", overlay))
	if err != nil {
		return err
	}
	list, err := s.Get(ctx, FilePrefix+listOf(image))
	if err != nil {
		return err
	}
	if list == nil {
		return fmt.Errorf("%s is not in the boot tree; boot-image list %s", listOf(image), image)
	}
	known, err := s.Get(ctx, blobPrefix+overlay)
	if err != nil {
		return err
	}
	var blob []byte
	if known == nil {
		if blob, err = io.ReadAll(input); err != nil {
			return err
		}
	}
	return publish(ctx, s, mac, blob, func(present *Entry) (Entry, error) {
		next := Entry{Image: image, Overlay: overlay}
		if present != nil {
			next.Commit = present.Commit
		}
		return next, nil
	})
}

// ShowEntry is the machine's boot.env, empty if there is none.
func ShowEntry(ctx context.Context, s kv.Store, mac string) (string, error) {
	if err := names.CheckMAC(mac); err != nil {
		return "", err
	}
	pair, err := s.Get(ctx, EntryPrefix+mac)
	if err != nil || pair == nil {
		return "", err
	}
	return string(pair.Value), nil
}

// RemoveEntry has the machine boot nothing any more.
func RemoveEntry(ctx context.Context, s kv.Store, mac string) error {
	if err := names.CheckMAC(mac); err != nil {
		return err
	}
	return s.Apply(ctx, kv.Delete(EntryPrefix+mac))
}

// AwaitServed waits, while there is patience, until the boot server gives the machine's entry as it is in the
// store: its copy follows later, by minutes if the image has to come from another server. given reads what the
// boot server has at a path.
func AwaitServed(ctx context.Context, s kv.Store, p kv.Patience, mac string, given func(ctx context.Context, path string) (string, error)) error {
	path := "/machines/" + mac + "/boot.env"
	return p.Try(ctx, func(ctx context.Context) error {
		pair, err := s.Get(ctx, EntryPrefix+mac)
		if err != nil || pair == nil { // nil: somebody removed it
			return err
		}
		seen, err := given(ctx, path)
		if err == nil && seen != string(pair.Value) {
			err = fmt.Errorf("it gives %q", seen)
		}
		if err != nil {
			return fmt.Errorf("the entry is in the store, but the boot server doesn't give it yet: %w", err)
		}
		return nil
	})
}

// RemoveBlobs removes blobs that no entry has named for an hour; since holds when each was first seen so.
func RemoveBlobs(ctx context.Context, s kv.Store, since map[string]time.Time, now time.Time) error {
	// Blobs first: one written between the two reads is not among them.
	blobs, err := kv.Names(ctx, s, blobPrefix)
	if err != nil {
		return err
	}
	entries, err := Entries(ctx, s)
	if err != nil {
		return err
	}
	needed := named(entries)
	for _, sum := range blobs {
		first, waits := since[sum]
		switch {
		case needed[sum]:
			delete(since, sum)
		case !waits:
			since[sum] = now
		case now.Sub(first) >= blobAge:
			if err := s.Apply(ctx, kv.DeleteAll(blobPrefix+sum)); err != nil {
				return err
			}
			delete(since, sum)
		}
	}
	return nil
}
