package boottree

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path"
	"strings"

	"rack-lab/controlplane/internal/atomicfile"
	"rack-lab/controlplane/internal/kv"
	"rack-lab/controlplane/internal/names"
)

// lastImported is registered when all else is.
const lastImported = "boot.ipxe"

// Import registers all that lies in the folder, as a boot medium brings it, lastImported at the end, unless that
// has been done. registered hears of each file and its sum, and whether it was read to find that.
func (l Library) Import(ctx context.Context, registered func(name, sum string, read bool)) error {
	files, err := ReadFiles(ctx, l.Store)
	if err != nil || files.Imported() {
		return err
	}
	slog.Info("import begins", "folder", l.Root)
	register := func(name, sum string) error {
		info, err := os.Stat(l.Path(name))
		if err != nil {
			return err
		}
		registered(name, sum, !IsLayer(name))
		return l.register(ctx, name, File{sum, info.Size()})
	}
	hashed := func(name string) error {
		sum, err := atomicfile.SumOf(l.Path(name), false)
		if err != nil {
			return err
		}
		return register(name, sum)
	}
	for _, name := range l.Below(bootFolder + "*") {
		if checkPath(name) == nil {
			if err := hashed(name); err != nil {
				return err
			}
		}
	}
	for _, name := range l.Below(listOf("*")) {
		layers, err := l.list(name)
		if err != nil {
			return err
		}
		for _, layer := range layers {
			if err := register(layer.Path(), layer.Sum); err != nil {
				return fmt.Errorf("%s: %w; remove the list or copy the layer there", name, err)
			}
		}
		if err := hashed(name); err != nil {
			return err
		}
	}
	for _, name := range l.Below("machines/*/boot.env") {
		if err := l.importEntry(ctx, name); err != nil {
			return fmt.Errorf("%s: %w; remove the folder or mend it", name, err)
		}
	}
	if err := hashed(lastImported); err != nil {
		return err
	}
	slog.Info("import done", "folder", l.Root)
	return nil
}

// AwaitImport waits, while there is patience, until the import is done: an entry set before would be overwritten
// with the boot medium's.
func AwaitImport(ctx context.Context, s kv.Store, p kv.Patience) error {
	return p.Try(ctx, func(ctx context.Context) error {
		pair, err := s.Get(ctx, FilePrefix+lastImported)
		if err == nil && pair == nil {
			err = errors.New("the bootstrap server has not brought its boot tree into the store")
		}
		return err
	})
}

// importEntry publishes a boot.env with the files it names.
func (l Library) importEntry(ctx context.Context, name string) error {
	folder := strings.TrimSuffix(name, "boot.env")
	mac := path.Base(folder)
	if err := names.CheckMAC(mac); err != nil {
		return err
	}
	text, err := os.ReadFile(l.Path(name))
	if err != nil {
		return err
	}
	whole, err := ParseEntry(string(text))
	if err != nil {
		return err
	}
	// One blob a transaction: the overlay's, then the commit's.
	steps := []Entry{{Image: whole.Image, Overlay: whole.Overlay}}
	if whole.Commit != "" {
		steps = append(steps, whole)
	}
	for _, step := range steps {
		last := overlayFile(step.Overlay)
		if step.Commit != "" {
			last = commitFile(step.Commit)
		}
		data, err := os.ReadFile(l.Path(folder + last))
		if err != nil {
			return err
		}
		if err := publish(ctx, l.Store, mac, data, func(*Entry) (Entry, error) { return step, nil }); err != nil {
			return err
		}
	}
	return nil
}
