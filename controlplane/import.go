package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// This file owns the import: the founder's tree, as the stick brings it, becomes the KV's.

// lastImported is registered when all else is.
const lastImported = "boot.ipxe"

// importTree registers all that lies in the tree, lastImported at the end, unless that has been done.
func importTree(ctx context.Context, t *tree) error {
	files, err := t.store.files(ctx)
	if err != nil || imported(files) {
		return err
	}
	logf("import of %s begins", t.config.Tree)
	register := func(name, sum string) error {
		info, err := os.Stat(t.local(name))
		if err != nil {
			return err
		}
		t.remember(name, sum, !strings.HasSuffix(name, ".squashfs"))
		return t.store.put(ctx, filePrefix+name, []byte(fileLine{sum, info.Size()}.String()))
	}
	hashed := func(name string) error {
		sum, err := sumOfFile(t.local(name), false)
		if err != nil {
			return err
		}
		return register(name, sum)
	}
	for _, name := range t.below("boot/*") {
		if checkBig(name) == nil {
			if err := hashed(name); err != nil {
				return err
			}
		}
	}
	for _, name := range t.below("images/*.layers") {
		lines, err := readList(t.config.Tree, name)
		if err != nil {
			return err
		}
		for _, line := range lines {
			if err := register("images/"+line.file, line.sum); err != nil {
				return fmt.Errorf("%s: %w; remove the list or copy the layer there", name, err)
			}
		}
		if err := hashed(name); err != nil {
			return err
		}
	}
	for _, name := range t.below("machines/*/boot.env") {
		if err := t.importEntry(ctx, name); err != nil {
			return fmt.Errorf("%s: %w; remove the folder or mend it", name, err)
		}
	}
	if err := hashed(lastImported); err != nil {
		return err
	}
	logf("import of %s is done", t.config.Tree)
	return nil
}

// awaitImport waits, while there is patience, until the founder's tree is in the KV: an entry set before would be
// overwritten with the stick's.
func awaitImport(ctx context.Context, s *store) error {
	return s.call(ctx, func(ctx context.Context) error {
		pair, _, err := s.kv.Get(filePrefix+lastImported, reading(ctx, false))
		if err == nil && pair == nil {
			err = errors.New("the founder has not brought its boot tree into consul")
		}
		return err
	})
}

// below are the paths in the tree that match.
func (t *tree) below(pattern string) []string {
	found, _ := filepath.Glob(t.local(pattern))
	for n, path := range found {
		name, _ := filepath.Rel(t.config.Tree, path)
		found[n] = filepath.ToSlash(name)
	}
	return found
}

// importEntry publishes a boot.env with the files it names.
func (t *tree) importEntry(ctx context.Context, name string) error {
	folder := strings.TrimSuffix(name, "boot.env")
	mac := filepath.Base(folder)
	if err := checkMAC(mac); err != nil {
		return err
	}
	text, err := os.ReadFile(t.local(name))
	if err != nil {
		return err
	}
	whole, err := parseEntry(string(text))
	if err != nil {
		return err
	}
	// One blob a transaction: the overlay's, then the commit's.
	steps := []entry{{image: whole.image, overlay: whole.overlay}}
	if whole.commit != "" {
		steps = append(steps, whole)
	}
	for _, step := range steps {
		last := "overlay-" + step.overlay + ".tar.gz"
		if step.commit != "" {
			last = "commit-" + step.commit + ".tar.gz"
		}
		data, err := os.ReadFile(t.local(folder + last))
		if err != nil {
			return err
		}
		if err := t.store.publish(ctx, mac, data, func(*entry) (entry, error) { return step, nil }); err != nil {
			return err
		}
	}
	return nil
}
