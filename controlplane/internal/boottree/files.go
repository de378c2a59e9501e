package boottree

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"rack-lab/controlplane/internal/atomicfile"
	"rack-lab/controlplane/internal/kv"
	"rack-lab/controlplane/internal/names"
)

// File is what the store has of a big file.
type File struct {
	Sum  string
	Size int64
}

// String is the value in the store.
func (f File) String() string { return fmt.Sprintf("%s %d", f.Sum, f.Size) }

func parseFile(text string) (f File, err error) {
	sum, size, _ := strings.Cut(text, " ")
	if f.Size, err = strconv.ParseInt(size, 10, 64); err != nil {
		return f, fmt.Errorf("'%s' is not 'sha256 size'", text)
	}
	f.Sum = sum
	return f, names.CheckSum("sha256", sum)
}

// Files are the registered ones, by path.
type Files map[string]File

// ReadFiles reads what is registered.
func ReadFiles(ctx context.Context, s kv.Store) (Files, error) {
	pairs, err := kv.Table(ctx, s, FilePrefix)
	if err != nil {
		return nil, err
	}
	all := Files{}
	for name, pair := range pairs {
		if err := checkPath(name); err != nil {
			return nil, err
		}
		if all[name], err = parseFile(string(pair.Value)); err != nil {
			return nil, fmt.Errorf("%s%s: %w", FilePrefix, name, err)
		}
	}
	return all, nil
}

// Imported tells whether what the boot medium brings is there.
func (f Files) Imported() bool {
	_, there := f[lastImported]
	return there
}

// Digest names a set of files.
func (f Files) Digest() string {
	lines := make([]string, 0, len(f))
	for name, file := range f {
		lines = append(lines, name+" "+file.String()+"\n")
	}
	slices.Sort(lines)
	return names.SumOf([]byte(strings.Join(lines, "")))
}

const (
	bootFolder  = "boot/"
	imageFolder = "images/"
	listSuffix  = ".layers"
	layerSuffix = ".squashfs"
)

func listOf(image string) string { return imageFolder + image + listSuffix }

// IsLayer tells whether the path is an image layer's.
func IsLayer(name string) bool { return strings.HasSuffix(name, layerSuffix) }

// checkPath tells whether the path may be a registered file's; one that is being written never is.
func checkPath(name string) error {
	folder, file := path.Split(name)
	big := (folder == bootFolder || folder == imageFolder) && names.CheckWord("", file) == nil
	if name == lastImported || big && !strings.HasSuffix(file, atomicfile.Unfinished) {
		return nil
	}
	return fmt.Errorf("path '%s' is not %s, %sNAME or %sNAME", name, lastImported, bootFolder, imageFolder)
}

// Layer is one line of an image's list: a file below images/, and its sha256.
type Layer struct{ Sum, File string }

// Path is the layer's in the tree.
func (l Layer) Path() string { return imageFolder + l.File }

func parseList(text string) (layers []Layer, err error) {
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) != 2 || errors.Join(names.CheckSum("", words[0]), names.CheckWord("", words[1])) != nil {
			return nil, fmt.Errorf("'%s' is no line of a list; nothing was changed", strings.TrimSpace(line))
		}
		layers = append(layers, Layer{words[0], words[1]})
	}
	return layers, nil
}

// Image reads the layers of an image from the list in the folder.
func (f Folder) Image(key string) ([]Layer, error) { return f.list(listOf(key)) }

// list reads a list of the folder; the error names it.
func (f Folder) list(name string) ([]Layer, error) {
	text, err := os.ReadFile(f.Path(name))
	if err != nil {
		return nil, err
	}
	layers, err := parseList(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return layers, nil
}

// Folder is a server's copy of the tree, and the lock that the program and its commands share on it.
type Folder struct{ Root, LockFile string }

// Path is where a file of the tree is; name has slashes.
func (f Folder) Path(name string) string { return filepath.Join(f.Root, filepath.FromSlash(name)) }

// Lock takes the lock: flock(2)'s LOCK_SH for who adds a file and registers it, LOCK_EX for who removes or
// replaces files because of what is registered.
func (f Folder) Lock(how int) (unlock func(), err error) { return atomicfile.Lock(f.LockFile, how) }

// Below are the paths in the tree that match a pattern of filepath.Match.
func (f Folder) Below(pattern string) (found []string) {
	paths, _ := filepath.Glob(f.Path(pattern))
	for _, each := range paths {
		if name, err := filepath.Rel(f.Root, each); err == nil {
			found = append(found, filepath.ToSlash(name))
		}
	}
	return found
}
