package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/hashicorp/consul/api"
)

// This file owns machines' entries: boot.env as text and as a value, publishing one with its blob, and that the boot
// server gives what was published.

// entry is what boot.env says; docs/architecture.md has the format.
type entry struct {
	image   string // key
	overlay string // sha256
	commit  string // sha256; empty: none
}

// text is boot.env for the machine.
func (e entry) text(mac string) string {
	lines := fmt.Sprintf("image=/images/%s.layers\noverlay=/machines/%s/overlay-%s.tar.gz\noverlay_sha256=%s\n", e.image, mac, e.overlay, e.overlay)
	if e.commit != "" {
		lines += fmt.Sprintf("commit=/machines/%s/commit-%s.tar.gz\ncommit_sha256=%s\n", mac, e.commit, e.commit)
	}
	return lines
}

// parseEntry reads boot.env.
func parseEntry(text string) (e entry, err error) {
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch key {
		case "image":
			e.image = strings.TrimSuffix(strings.TrimPrefix(value, "/images/"), ".layers")
		case "overlay_sha256":
			e.overlay = value
		case "commit_sha256":
			e.commit = value
		}
	}
	if err = checkWord("image", e.image); err == nil {
		err = checkSum("overlay_sha256", e.overlay)
	}
	if err == nil && e.commit != "" {
		err = checkSum("commit_sha256", e.commit)
	}
	return e, err
}

// files are the entry's blobs: name in the machine's folder, and sha256.
func (e entry) files() map[string]string {
	files := map[string]string{"overlay-" + e.overlay + ".tar.gz": e.overlay}
	if e.commit != "" {
		files["commit-"+e.commit+".tar.gz"] = e.commit
	}
	return files
}

// entries reads all machines' entries.
func (s *store) entries(ctx context.Context) (map[string]entry, error) {
	pairs, err := s.list(ctx, entryPrefix)
	if err != nil {
		return nil, err
	}
	all := map[string]entry{}
	for mac, pair := range pairs {
		if all[mac], err = parseEntry(string(pair.Value)); err != nil {
			return nil, fmt.Errorf("%s%s: %w", entryPrefix, mac, err)
		}
	}
	return all, nil
}

// publish changes the machine's entry in one transaction with its new blob (nil: none) and further operations.
// change gets the present entry, nil if there is none.
func (s *store) publish(ctx context.Context, mac string, blob []byte, change func(*entry) (entry, error), further ...*api.KVTxnOp) error {
	for attempt := 0; ; attempt++ {
		pair, err := s.get(ctx, entryPrefix+mac, false)
		if err != nil {
			return err
		}
		var present *entry
		var index uint64
		if pair != nil {
			index = pair.ModifyIndex
			if e, err := parseEntry(string(pair.Value)); err == nil {
				present = &e
			}
		}
		next, err := change(present)
		if err != nil {
			return err
		}
		ops := api.KVTxnOps{{Verb: api.KVCAS, Key: entryPrefix + mac, Value: []byte(next.text(mac)), Index: index}}
		for _, sum := range next.files() {
			op, err := s.blobOp(ctx, sum, blob)
			if err != nil {
				return err
			}
			ops = append(ops, op)
		}
		err = s.transact(ctx, append(ops, further...))
		if errors.Is(err, errConflict) && attempt < 5 {
			continue
		}
		return err
	}
}

// blobOp has the blob there when the transaction is done: it is written, or must still be as it is now.
func (s *store) blobOp(ctx context.Context, sum string, blob []byte) (*api.KVTxnOp, error) {
	key := blobPrefix + sum
	pair, err := s.get(ctx, key, false)
	if err != nil {
		return nil, err
	}
	if pair != nil {
		return &api.KVTxnOp{Verb: api.KVCheckIndex, Key: key, Index: pair.ModifyIndex}, nil
	}
	if sumOf(blob) != sum {
		return nil, fmt.Errorf("%s is not in consul, and what was given has sha256 %s; nothing was changed", sum, sumOf(blob))
	}
	pointer, flags, err := s.putParts(ctx, key, blob)
	return &api.KVTxnOp{Verb: api.KVCAS, Key: key, Value: pointer, Flags: flags}, err
}

// blob reads a blob and checks it.
func (s *store) blob(ctx context.Context, sum string) ([]byte, error) {
	pair, err := s.get(ctx, blobPrefix+sum, true)
	if err != nil {
		return nil, err
	}
	if pair == nil {
		return nil, fmt.Errorf("%s%s is not in consul", blobPrefix, sum)
	}
	data, err := s.whole(ctx, pair, true)
	if err == nil && sumOf(data) != sum {
		err = fmt.Errorf("%s%s has sha256 %s", blobPrefix, sum, sumOf(data))
	}
	return data, err
}

func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// bootServer is where machines get the tree, http://ADDRESS.
type bootServer string

// awaitEntry waits, while there is patience, until the boot server gives the machine's entry as it is in consul: its
// copy follows later, by minutes if the image has to come from another server.
func (b bootServer) awaitEntry(ctx context.Context, s *store, mac string) error {
	at := string(b) + "/machines/" + mac + "/boot.env"
	return s.call(ctx, func(ctx context.Context) error {
		pair, _, err := s.kv.Get(entryPrefix+mac, reading(ctx, false))
		if err != nil || pair == nil { // nil: somebody removed it
			return err
		}
		seen, err := readText(ctx, at)
		if err == nil && seen != string(pair.Value) {
			err = fmt.Errorf("it gives %q", seen)
		}
		if err != nil {
			return fmt.Errorf("the entry is in consul, but not yet at %s: %w", at, err)
		}
		return nil
	})
}

// bootEntry is the command boot-entry: set MAC IMAGE_KEY OVERLAY_SHA256 | commit MAC | show MAC | remove MAC. What was
// set or committed is what the machine gets when the command is done.
func bootEntry(ctx context.Context, s *store, boot bootServer, input io.Reader, output io.Writer, args []string) error {
	usage := errors.New("usage: boot-entry set MAC IMAGE_KEY OVERLAY_SHA256 | commit MAC | show MAC | remove MAC")
	if len(args) < 2 {
		return usage
	}
	mac := args[1]
	if err := checkMAC(mac); err != nil {
		return err
	}
	switch {
	case args[0] == "set" && len(args) == 4:
		if err := setEntry(ctx, s, mac, args[2], args[3], input); err != nil {
			return err
		}
		return boot.awaitEntry(ctx, s, mac)
	case args[0] == "commit" && len(args) == 2:
		if err := awaitImport(ctx, s); err != nil {
			return err
		}
		data, err := io.ReadAll(io.LimitReader(input, commitBytes+1))
		if err != nil {
			return err
		}
		if err := checkCommit(data); err != nil {
			return fmt.Errorf("standard input: %w; nothing was changed", err)
		}
		if err := publishCommit(ctx, s, mac, data); err != nil {
			return err
		}
		return boot.awaitEntry(ctx, s, mac)
	case args[0] == "show" && len(args) == 2:
		pair, err := s.get(ctx, entryPrefix+mac, false)
		if err == nil && pair != nil {
			_, err = output.Write(pair.Value)
		}
		return err
	case args[0] == "remove" && len(args) == 2:
		return s.delete(ctx, entryPrefix+mac)
	}
	return usage
}

func setEntry(ctx context.Context, s *store, mac, image, overlay string, input io.Reader) error {
	if err := checkWord("image key", image); err != nil {
		return err
	}
	if err := checkSum("overlay's sha256", overlay); err != nil {
		return err
	}
	if err := awaitImport(ctx, s); err != nil {
		return err
	}
	list, err := s.get(ctx, filePrefix+"images/"+image+".layers", false)
	if err != nil {
		return err
	}
	if list == nil {
		return fmt.Errorf("images/%s.layers is not in the boot tree; boot-image list %s", image, image)
	}
	known, err := s.get(ctx, blobPrefix+overlay, false)
	if err != nil {
		return err
	}
	var blob []byte
	if known == nil {
		if blob, err = io.ReadAll(input); err != nil {
			return err
		}
	}
	return s.publish(ctx, mac, blob, func(present *entry) (entry, error) {
		next := entry{image: image, overlay: overlay}
		if present != nil {
			next.commit = present.commit
		}
		return next, nil
	})
}
