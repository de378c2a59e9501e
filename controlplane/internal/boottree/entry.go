package boottree

import (
	"context"
	"fmt"
	"strings"

	"rack-lab/controlplane/internal/kv"
	"rack-lab/controlplane/internal/names"
)

// Entry is what a machine's boot.env says; docs/architecture.md has the format.
type Entry struct {
	Image   string // key
	Overlay string // sha256
	Commit  string // sha256; empty: none
}

// Text is boot.env for the machine.
func (e Entry) Text(mac string) string {
	lines := fmt.Sprintf("image=/images/%s.layers\noverlay=/machines/%s/%s\noverlay_sha256=%s\n",
		e.Image, mac, overlayFile(e.Overlay), e.Overlay)
	if e.Commit != "" {
		lines += fmt.Sprintf("commit=/machines/%s/%s\ncommit_sha256=%s\n", mac, commitFile(e.Commit), e.Commit)
	}
	return lines
}

// ParseEntry reads boot.env.
func ParseEntry(text string) (e Entry, err error) {
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch key {
		case "image":
			e.Image = strings.TrimSuffix(strings.TrimPrefix(value, "/images/"), ".layers")
		case "overlay_sha256":
			e.Overlay = value
		case "commit_sha256":
			e.Commit = value
		}
	}
	if err = names.CheckWord("image", e.Image); err == nil {
		err = names.CheckSum("overlay_sha256", e.Overlay)
	}
	if err == nil && e.Commit != "" {
		err = names.CheckSum("commit_sha256", e.Commit)
	}
	return e, err
}

func overlayFile(sum string) string { return "overlay-" + sum + ".tar.gz" }
func commitFile(sum string) string  { return "commit-" + sum + ".tar.gz" }

// Files are the entry's blobs: name in the machine's folder, and sha256.
func (e Entry) Files() map[string]string {
	files := map[string]string{overlayFile(e.Overlay): e.Overlay}
	if e.Commit != "" {
		files[commitFile(e.Commit)] = e.Commit
	}
	return files
}

// Entries reads all machines' entries, by MAC address.
func Entries(ctx context.Context, s kv.Store) (map[string]Entry, error) {
	pairs, err := kv.Table(ctx, s, EntryPrefix)
	if err != nil {
		return nil, err
	}
	all := map[string]Entry{}
	for mac, pair := range pairs {
		if all[mac], err = ParseEntry(string(pair.Value)); err != nil {
			return nil, fmt.Errorf("%s%s: %w", EntryPrefix, mac, err)
		}
	}
	return all, nil
}

// named are the sums that entries name.
func named(entries map[string]Entry) map[string]bool {
	sums := map[string]bool{}
	for _, e := range entries {
		for _, sum := range e.Files() {
			sums[sum] = true
		}
	}
	return sums
}
