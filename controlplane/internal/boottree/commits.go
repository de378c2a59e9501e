package boottree

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"rack-lab/controlplane/internal/clock"
	"rack-lab/controlplane/internal/kv"
	"rack-lab/controlplane/internal/names"
)

const (
	commitBytes   = 8 << 20  // a commit's most
	unpackedBytes = 64 << 20 // the same, unpacked
	againAfter    = 5 * time.Second
)

// CheckCommit tells what is wrong with a commit, if anything: it must be a tar.gz of files, folders and
// symbolic links, whose names lead nowhere but below the machine's root.
func CheckCommit(data []byte) error {
	if len(data) > commitBytes {
		return fmt.Errorf("a commit has %d bytes at most", commitBytes)
	}
	unzipped, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("no readable tar.gz: %w", err)
	}
	limited := &io.LimitedReader{R: unzipped, N: unpackedBytes}
	archive := tar.NewReader(limited)
	for {
		header, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil && limited.N <= 0 {
			return fmt.Errorf("a commit has %d bytes at most when unpacked", unpackedBytes)
		}
		if err != nil {
			return fmt.Errorf("no readable tar.gz: %w", err)
		}
		switch header.Typeflag {
		case tar.TypeReg, tar.TypeDir, tar.TypeSymlink:
		default:
			return fmt.Errorf("'%s' is no file, folder or symbolic link", header.Name)
		}
		if strings.HasPrefix(header.Name, "/") || strings.Contains("/"+header.Name+"/", "/../") {
			return fmt.Errorf("'%s' leads out of the machine's root", header.Name)
		}
	}
	if _, err := io.Copy(io.Discard, limited); err != nil { // up to gzip's checksum
		return fmt.Errorf("no readable tar.gz: %w", err)
	}
	return nil
}

// readCommit reads and checks a commit.
func readCommit(input io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(input, commitBytes+1))
	if err == nil {
		if err = CheckCommit(data); err != nil {
			err = fmt.Errorf("standard input: %w; nothing was changed", err)
		}
	}
	return data, err
}

// Commit makes what is read the machine's commit.
func Commit(ctx context.Context, s kv.Store, mac string, input io.Reader) error {
	if err := names.CheckMAC(mac); err != nil {
		return err
	}
	data, err := readCommit(input)
	if err != nil {
		return err
	}
	return publishCommit(ctx, s, mac, data)
}

// publishCommit makes the commit the machine's, and removes the blob of the one before.
func publishCommit(ctx context.Context, s kv.Store, mac string, data []byte, further ...kv.Operation) error {
	var before string
	sum := names.SumOf(data)
	err := publish(ctx, s, mac, data, func(present *Entry) (Entry, error) {
		if present == nil {
			return Entry{}, errNoEntry
		}
		before = present.Commit
		next := *present
		next.Commit = sum
		return next, nil
	}, append(further, kv.Delete(rejectedPrefix+mac))...)
	if err != nil || before == "" || before == sum {
		return err
	}
	entries, err := Entries(ctx, s)
	if err != nil || named(entries)[before] {
		return err
	}
	return s.Apply(ctx, kv.DeleteAll(blobPrefix+before))
}

// errNoEntry: there is nothing a commit could lie over.
var errNoEntry = errors.New("the machine has no boot.env: a commit lies over an overlay")

// SendCommit puts what is read into the machine's inbox, and returns when the leader has taken it: a machine's
// token has no right to do more.
func SendCommit(ctx context.Context, s kv.Store, p kv.Patience, mac string, input io.Reader) error {
	if err := names.CheckMAC(mac); err != nil {
		return err
	}
	data, err := readCommit(input)
	if err != nil {
		return err
	}
	key := inboxPrefix + mac
	last, err := kv.Stage(ctx, s, key, 0, data)
	if err != nil {
		return err
	}
	last.Verb = kv.VerbSet // whatever lies there: the newest counts
	if err := s.Apply(ctx, last); err != nil {
		return err
	}
	if err := kv.AwaitGone(ctx, s, p, key); err != nil {
		return err
	}
	text, err := ShowEntry(ctx, s, mac)
	if err != nil {
		return err
	}
	if e, err := ParseEntry(text); err == nil && e.Commit == names.SumOf(data) {
		return nil
	}
	reason, err := s.Get(ctx, rejectedPrefix+mac)
	if err != nil {
		return err
	}
	if reason == nil {
		return fmt.Errorf("another commit of %s was taken instead", mac)
	}
	return fmt.Errorf("refused: %s", reason.Value)
}

// WatchInboxes takes the commits that machines send, until ctx ends.
func WatchInboxes(ctx context.Context, s kv.Store) {
	kv.Watch(ctx, s, inboxPrefix, func() { takeAll(ctx, s) })
}

// takeAll takes all commits that are there; one that can't be taken for the store's sake is tried again.
func takeAll(ctx context.Context, s kv.Store) {
	for ctx.Err() == nil {
		macs, err := kv.Names(ctx, s, inboxPrefix)
		for _, mac := range macs {
			err = errors.Join(err, take(ctx, s, mac))
		}
		if err == nil {
			return
		}
		if ctx.Err() == nil {
			slog.Warn("commits can't be taken", "error", err, "again_in", againAfter)
		}
		clock.Pause(ctx, againAfter)
	}
}

// take publishes the commit in the machine's inbox, or refuses it and says why there.
func take(ctx context.Context, s kv.Store, mac string) error {
	pair, err := s.Get(ctx, inboxPrefix+mac)
	if err != nil || pair == nil {
		return err
	}
	done := []kv.Operation{kv.DeleteAt(pair.Key, pair.Version), kv.DeleteAll(pair.Key + "/")}
	refused := names.CheckMAC(mac)
	var data []byte
	if refused == nil {
		if data, err = kv.Whole(ctx, s.Get, pair); err != nil && !errors.Is(err, kv.ErrNoPart) {
			return err
		}
		if refused = err; refused == nil {
			refused = CheckCommit(data)
		}
	}
	if refused == nil {
		if refused = publishCommit(ctx, s, mac, data, done...); refused == nil {
			slog.Info("commit taken", "mac", mac)
			return nil
		}
		if !errors.Is(refused, errNoEntry) {
			return refused
		}
	}
	slog.Warn("commit refused", "mac", mac, "error", refused)
	return s.Apply(ctx, append(done, kv.Set(rejectedPrefix+mac, []byte(refused.Error())))...)
}
