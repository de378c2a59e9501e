package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// This file owns the tree's big files as they are registered in the KV, and the commands boot-image and boot-file.

// fileLine is the value of rack/file/<path>: "<sha256> <size>".
type fileLine struct {
	sum  string
	size int64
}

func (f fileLine) String() string { return fmt.Sprintf("%s %d", f.sum, f.size) }

func parseFileLine(text string) (f fileLine, err error) {
	sum, size, _ := strings.Cut(text, " ")
	if f.size, err = strconv.ParseInt(size, 10, 64); err != nil {
		return f, fmt.Errorf("'%s' is not 'sha256 size'", text)
	}
	f.sum = sum
	return f, checkSum("sha256", sum)
}

// files reads what is registered, by path.
func (s *store) files(ctx context.Context) (map[string]fileLine, error) {
	pairs, err := s.list(ctx, filePrefix)
	if err != nil {
		return nil, err
	}
	all := map[string]fileLine{}
	for name, pair := range pairs {
		if err := checkBig(name); err != nil {
			return nil, err
		}
		if all[name], err = parseFileLine(string(pair.Value)); err != nil {
			return nil, fmt.Errorf("%s%s: %w", filePrefix, name, err)
		}
	}
	return all, nil
}

// checkBig tells whether the path may be a registered file's; one that is being written never is.
func checkBig(name string) error {
	folder, file := path.Split(name)
	big := (folder == "boot/" || folder == "images/") && wordPattern.MatchString(file)
	if name == "boot.ipxe" || big && !strings.HasSuffix(file, unfinished) {
		return nil
	}
	return fmt.Errorf("path '%s' is not boot.ipxe, boot/NAME or images/NAME", name)
}

// imported tells whether the tree is in the KV.
func imported(files map[string]fileLine) bool {
	_, there := files[lastImported]
	return there
}

// layerLine is one line of an image's list.
type layerLine struct{ sum, file string }

func parseList(text string) (lines []layerLine, err error) {
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) != 2 || !sumPattern.MatchString(words[0]) || !wordPattern.MatchString(words[1]) {
			return nil, fmt.Errorf("'%s' is no line of a list; nothing was changed", strings.TrimSpace(line))
		}
		lines = append(lines, layerLine{words[0], words[1]})
	}
	return lines, nil
}

// readList reads a list of the local tree; the error names it.
func readList(tree, name string) ([]layerLine, error) {
	text, err := os.ReadFile(filepath.Join(tree, filepath.FromSlash(name)))
	if err != nil {
		return nil, err
	}
	lines, err := parseList(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return lines, nil
}

// library is the local tree as the commands work on it.
type library struct {
	tree  string
	store *store
}

func (l *library) local(name string) string { return filepath.Join(l.tree, filepath.FromSlash(name)) }

// put takes a file into the local tree and registers it. It is registered before it gets its name: who is killed in
// between leaves the staged file to the tree's next sync, and no sync takes it for an old one meanwhile (lockTree).
func (l *library) put(ctx context.Context, name, sum string, content io.Reader) error {
	if err := checkBig(name); err != nil {
		return err
	}
	if err := checkSum("sha256", sum); err != nil {
		return err
	}
	staged, size, err := stageFile(l.local(name), sum, content)
	if err != nil {
		return err
	}
	unlock, err := lockTree(unix.LOCK_SH)
	if err != nil {
		return err
	}
	defer unlock()
	// An error doesn't mean that consul hasn't taken it: the staged file stays, to be adopted or tidied away.
	if err := l.store.put(ctx, filePrefix+name, []byte(fileLine{sum, size}.String())); err != nil {
		return err
	}
	return os.Rename(staged, l.local(name))
}

// has tells whether the file is registered with this sum, and in the local tree.
func (l *library) has(files map[string]fileLine, name, sum string) bool {
	known, there := files[name]
	info, err := os.Stat(l.local(name))
	return there && known.sum == sum && err == nil && info.Size() == known.size
}

// putList makes the list the image's if it has all of its layers, and tells those it lacks.
func (l *library) putList(ctx context.Context, key, list string) (missing []string, err error) {
	lines, err := parseList(list)
	if err != nil {
		return nil, err
	}
	files, err := l.store.files(ctx)
	if err != nil {
		return nil, err
	}
	for _, line := range lines {
		if !l.has(files, "images/"+line.file, line.sum) {
			missing = append(missing, line.file)
		}
	}
	name, sum := "images/"+key+".layers", sumOf([]byte(list))
	switch {
	case len(missing) > 0:
		return missing, nil
	case l.has(files, name, sum):
		now := time.Now() // prune leaves it to who is about to name it
		return nil, os.Chtimes(l.local(name), now, now)
	}
	return nil, l.put(ctx, name, sum, strings.NewReader(list))
}

// prune removes lists that no entry names, and layers that no list names; quarantine stays. So does what is younger than
// an hour, for somebody may be about to name it; but who publishes tells which images those are (wanted), and then all
// other lists go at once, with their layers: memory has room for two generations, not for three.
// Nobody puts a file meanwhile.
func (l *library) prune(ctx context.Context, wanted ...string) error {
	unlock, err := lockTree(unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer unlock()
	files, err := l.store.files(ctx)
	if err != nil {
		return err
	}
	entries, err := l.store.entries(ctx)
	if err != nil {
		return err
	}
	named, left := map[string]bool{"images/quarantine.layers": true}, map[string]bool{}
	for _, e := range entries {
		named["images/"+e.image+".layers"] = true
	}
	for _, key := range wanted {
		named["images/"+key+".layers"] = true
	}
	whole := true // every list that stays could be read
	for name := range files {
		if !strings.HasSuffix(name, ".layers") {
			continue
		}
		stays := named[name] || len(wanted) == 0 && !l.old(name)
		lines, err := readList(l.tree, name)
		if errors.Is(err, fs.ErrNotExist) {
			whole = whole && !stays
		} else if err != nil {
			return err
		}
		for _, line := range lines {
			if stays {
				named["images/"+line.file] = true
			} else {
				left["images/"+line.file] = true
			}
		}
		if !stays {
			if err := l.drop(ctx, name); err != nil {
				return err
			}
		}
	}
	for name := range files {
		if whole && strings.HasSuffix(name, ".squashfs") && !named[name] && (left[name] || l.old(name)) {
			if err := l.drop(ctx, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// old: the file is here for an hour, so that nobody is about to name it.
func (l *library) old(name string) bool {
	info, err := os.Stat(l.local(name))
	return err == nil && time.Since(info.ModTime()) > time.Hour
}

func (l *library) drop(ctx context.Context, name string) error {
	if err := l.store.delete(ctx, filePrefix+name); err != nil {
		return err
	}
	if err := os.Remove(l.local(name)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// bootImage is the command boot-image: list KEY | put FILE SHA256 | prune [KEY...].
func bootImage(ctx context.Context, l *library, input io.Reader, output io.Writer, args []string) error {
	if err := awaitImport(ctx, l.store); err != nil {
		return err
	}
	switch {
	case len(args) == 3 && args[0] == "put":
		if err := checkWord("layer", args[1]); err != nil {
			return err
		}
		return l.put(ctx, "images/"+args[1], args[2], input)
	case len(args) == 2 && args[0] == "list":
		if err := checkWord("image key", args[1]); err != nil {
			return err
		}
		list, err := io.ReadAll(input)
		if err != nil {
			return err
		}
		missing, err := l.putList(ctx, args[1], string(list))
		for _, file := range missing {
			fmt.Fprintln(output, file)
		}
		return err
	case len(args) > 0 && args[0] == "prune":
		for _, key := range args[1:] {
			if err := checkWord("image key", key); err != nil {
				return err
			}
		}
		return l.prune(ctx, args[1:]...)
	}
	return errors.New("usage: boot-image list KEY | put FILE SHA256 | prune [KEY...]")
}

// bootFile is the command boot-file: check PATH SHA256 | put PATH SHA256.
func bootFile(ctx context.Context, l *library, input io.Reader, output io.Writer, args []string) error {
	if len(args) != 3 || args[0] != "check" && args[0] != "put" {
		return errors.New("usage: boot-file check PATH SHA256 | put PATH SHA256")
	}
	name, sum := args[1], args[2]
	if err := errors.Join(checkBig(name), checkSum("sha256", sum)); err != nil {
		return err
	}
	if err := awaitImport(ctx, l.store); err != nil {
		return err
	}
	if args[0] == "put" {
		return l.put(ctx, name, sum, input)
	}
	files, err := l.store.files(ctx)
	if err != nil {
		return err
	}
	if l.has(files, name, sum) {
		fmt.Fprintln(output, "there")
	} else {
		fmt.Fprintln(output, "missing")
	}
	return nil
}
