package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

// This file owns commits: checking one, a machine's way to send it (inbox), the leader's to take it.

const (
	commitBytes   = 8 << 20  // a commit's most
	unpackedBytes = 64 << 20 // the same, unpacked
)

// checkCommit tells what is wrong with a commit, if anything: it must be a tar.gz of files, folders and
// symbolic links, whose names lead nowhere but below the machine's root.
func checkCommit(data []byte) error {
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

// publishCommit makes the commit the machine's, and removes the blob of the one before.
func publishCommit(ctx context.Context, s *store, mac string, data []byte, further ...*api.KVTxnOp) error {
	var before string
	sum := sumOf(data)
	err := s.publish(ctx, mac, data, func(present *entry) (entry, error) {
		if present == nil {
			return entry{}, errNoEntry
		}
		before = present.commit
		next := *present
		next.commit = sum
		return next, nil
	}, append(further, &api.KVTxnOp{Verb: api.KVDelete, Key: rejectedPrefix + mac})...)
	if err != nil || before == "" || before == sum {
		return err
	}
	entries, err := s.entries(ctx)
	if err != nil {
		return err
	}
	if _, needed := namedBlobs(entries)[before]; needed {
		return nil
	}
	return s.deleteTree(ctx, blobPrefix+before)
}

// errNoEntry: there is nothing a commit could lie over.
var errNoEntry = errors.New("the machine has no boot.env: a commit lies over an overlay")

// namedBlobs are the sums that entries name.
func namedBlobs(entries map[string]entry) map[string]bool {
	named := map[string]bool{}
	for _, e := range entries {
		for _, sum := range e.files() {
			named[sum] = true
		}
	}
	return named
}

// takeInbox publishes the commit in the machine's inbox, or refuses it and says why there.
func takeInbox(ctx context.Context, s *store, mac string) error {
	pair, err := s.get(ctx, inboxPrefix+mac, false)
	if err != nil || pair == nil {
		return err
	}
	done := []*api.KVTxnOp{
		{Verb: api.KVDeleteCAS, Key: pair.Key, Index: pair.ModifyIndex},
		{Verb: api.KVDeleteTree, Key: pair.Key + "/"},
	}
	refused := checkMAC(mac)
	var data []byte
	if refused == nil {
		if data, err = s.whole(ctx, pair, false); err != nil && !errors.Is(err, errNoPart) {
			return err
		}
		if refused = err; refused == nil {
			refused = checkCommit(data)
		}
	}
	if refused == nil {
		if refused = publishCommit(ctx, s, mac, data, done...); refused == nil {
			logf("commit of %s: taken", mac)
			return nil
		}
		if !errors.Is(refused, errNoEntry) {
			return refused
		}
	}
	logf("commit of %s: refused: %v", mac, refused)
	return s.transact(ctx, append(done, &api.KVTxnOp{
		Verb: api.KVSet, Key: rejectedPrefix + mac, Value: []byte(refused.Error()),
	}))
}

// sendCommit is the command `control-plane commit MAC`: standard input becomes the machine's commit.
// It returns when the leader has taken it.
func sendCommit(ctx context.Context, s *store, mac string, input io.Reader) error {
	if err := checkMAC(mac); err != nil {
		return err
	}
	data, err := io.ReadAll(io.LimitReader(input, commitBytes+1))
	if err != nil {
		return err
	}
	if err := checkCommit(data); err != nil {
		return fmt.Errorf("standard input: %w; nothing was changed", err)
	}
	key := inboxPrefix + mac
	pointer, flags, err := s.putParts(ctx, key, data)
	if err != nil {
		return err
	}
	err = s.call(ctx, func(ctx context.Context) error {
		_, err := s.kv.Put(&api.KVPair{Key: key, Value: pointer, Flags: flags}, writing(ctx))
		return err
	})
	if err != nil {
		return err
	}
	if err := s.gone(ctx, key); err != nil {
		return err
	}
	pair, err := s.get(ctx, entryPrefix+mac, false)
	if err != nil {
		return err
	}
	if pair != nil {
		if e, err := parseEntry(string(pair.Value)); err == nil && e.commit == sumOf(data) {
			return nil
		}
	}
	reason, err := s.get(ctx, rejectedPrefix+mac, false)
	if err != nil {
		return err
	}
	if reason == nil {
		return fmt.Errorf("another commit of %s was taken instead", mac)
	}
	return fmt.Errorf("refused: %s", reason.Value)
}

// gone waits until the key isn't there.
func (s *store) gone(ctx context.Context, key string) error {
	index, late := uint64(0), time.Now().Add(15*time.Second)
	for {
		// A call ends before callLimit, so that patience goes on counting.
		var pair *api.KVPair
		err := s.call(ctx, func(ctx context.Context) error {
			query := reading(ctx, false)
			query.WaitIndex, query.WaitTime = index, callLimit/2
			found, meta, err := s.kv.Get(key, query)
			if pair = found; err == nil {
				index = meta.LastIndex
			}
			return err
		})
		if err != nil || pair == nil {
			return err
		}
		if time.Now().After(s.patience) {
			return fmt.Errorf("%s was not taken by the leader in time; it still can be", key)
		}
		if time.Now().After(late) {
			fmt.Fprintf(os.Stderr, "waiting for the leader to take %s\n", key)
			late = s.patience
		}
	}
}
