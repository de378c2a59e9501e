// Package replica keeps one server's copy of the boot tree: that it becomes what the store says, and whether it is
// complete. What machines read (boot.env) changes only when all that it names is there, so the copy can be served
// while it is being brought up to date.
package replica

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"rack-lab/controlplane/internal/atomicfile"
	"rack-lab/controlplane/internal/boottree"
	"rack-lab/controlplane/internal/clock"
	"rack-lab/controlplane/internal/config"
	"rack-lab/controlplane/internal/dhcp"
	"rack-lab/controlplane/internal/httpd"
	"rack-lab/controlplane/internal/kv"
	"rack-lab/controlplane/internal/names"
)

const (
	connectWithin = 5 * time.Second
	answerWithin  = 20 * time.Second
)

// Replica keeps one server's copy. News tells that IsSynced or the DHCP configuration has changed.
type Replica struct {
	boottree.Folder
	News chan struct{}

	config *config.Config
	store  kv.Store
	client *http.Client
	wake   chan struct{} // something may have to be done

	mu     sync.Mutex
	files  boottree.Files // registered, as last read
	known  map[string]knownFile
	synced bool
	whole  bool   // synced once: before, nothing is served from it, and a copy takes all the time it gets
	dhcp   string // dnsmasq.conf, as last read
	said   string // the last problem logged
}

// knownFile is a local file whose content was found right, or, for a layer from before the start (checked:
// false), of the right size: layers are looked through in the background, and machines check them too.
type knownFile struct {
	sum     string
	size    int64
	changed time.Time
	checked bool
}

// New is the copy in the folder that the configuration names.
func New(c *config.Config, s kv.Store) *Replica {
	dialer := &net.Dialer{Timeout: connectWithin}
	transport := &http.Transport{DialContext: dialer.DialContext, ResponseHeaderTimeout: answerWithin}
	return &Replica{
		Folder: FolderOf(c), News: make(chan struct{}, 1),
		config: c, store: s, client: &http.Client{Transport: transport}, wake: make(chan struct{}, 1),
		known: map[string]knownFile{},
	}
}

// FolderOf is the folder that the configuration names, with the lock that the program and its commands share.
func FolderOf(c *config.Config) boottree.Folder {
	return boottree.Folder{Root: c.Tree, LockFile: filepath.Join(c.RunDir, "tree.lock")}
}

// Run keeps the copy until ctx ends.
func (r *Replica) Run(ctx context.Context) {
	for _, prefix := range []string{boottree.EntryPrefix, boottree.FilePrefix, dhcp.Prefix} {
		go kv.Watch(ctx, r.store, prefix, func() { clock.Wake(r.wake) })
	}
	go r.checkLayers(ctx)
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		}
		clock.Pause(ctx, 200*time.Millisecond) // changes come in groups
		if err := r.Sync(ctx); err != nil && ctx.Err() == nil {
			if r.said != err.Error() {
				slog.Warn("the copy of the boot tree isn't complete", "error", err)
			}
			r.said = err.Error()
			time.AfterFunc(5*time.Second, func() { clock.Wake(r.wake) })
		} else if err == nil {
			r.said = ""
		}
	}
}

// IsSynced tells whether the copy was complete when last looked at.
func (r *Replica) IsSynced() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.synced
}

func (r *Replica) wasWhole() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.whole
}

func (r *Replica) setSynced(synced bool) {
	r.mu.Lock()
	changed := r.synced != synced
	r.synced = synced
	r.whole = r.whole || synced
	r.mu.Unlock()
	if changed {
		clock.Wake(r.News)
	}
}

// Sync makes the copy what the KV says; the leader's, as a server that begins anew still lacks what it had.
func (r *Replica) Sync(ctx context.Context) error {
	if err := r.copyDHCP(ctx); err != nil {
		return err
	}
	// Files first: when boot.ipxe is among them, entries read afterwards are the whole import's.
	files, err := boottree.ReadFiles(ctx, r.store)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.files = files
	r.mu.Unlock()
	if !files.Imported() {
		r.setSynced(false)
		return nil
	}
	entries, err := boottree.Entries(ctx, r.store)
	if err != nil {
		return err
	}
	var problem error
	digest := files.Digest()
	var sources []string
	for name, line := range files {
		if r.right(name, line) {
			continue
		}
		r.setSynced(false)
		if sources == nil {
			if sources, err = r.sources(ctx, digest); err != nil {
				return err
			}
		}
		err := r.fetch(ctx, sources, name, line)
		if errors.Is(err, unix.ENOSPC) {
			// What isn't registered any more is kept until the copy is whole, for who boots meanwhile, but not if that
			// keeps it from ever being whole.
			if err = r.tidy(ctx); err == nil {
				err = r.fetch(ctx, sources, name, line)
			}
		}
		if err != nil {
			problem = err
		}
	}
	for mac, e := range entries {
		if err := r.writeEntry(ctx, mac, e, files); err != nil {
			problem = err
		}
	}
	if problem != nil {
		r.setSynced(false)
		return problem
	}
	r.setSynced(true)
	if err := r.tidy(ctx); err != nil {
		return err
	}
	return r.hold(ctx, digest)
}

// copyDHCP keeps dnsmasq's files for a start without consul.
func (r *Replica) copyDHCP(ctx context.Context) error {
	pairs, err := kv.Table(ctx, r.store, dhcp.Prefix)
	if err != nil {
		return err
	}
	for key, name := range dhcp.Kept {
		if pair, there := pairs[key]; there {
			if err := atomicfile.Write(r.Path(name), pair.Value); err != nil {
				return err
			}
		}
	}
	configuration, there := pairs[dhcp.Configuration]
	if !there {
		return nil
	}
	text := string(configuration.Value)
	r.mu.Lock()
	changed := r.dhcp != text
	r.dhcp = text
	r.mu.Unlock()
	if changed {
		clock.Wake(r.News)
	}
	return nil
}

// right tells whether the local file is the registered one.
func (r *Replica) right(name string, line boottree.File) bool {
	info, err := os.Stat(r.Path(name))
	if err != nil || info.Size() != line.Size {
		return false
	}
	r.mu.Lock()
	known, there := r.known[name]
	r.mu.Unlock()
	if there && known.size == info.Size() && known.changed.Equal(info.ModTime()) {
		return known.sum == line.Sum
	}
	if boottree.IsLayer(name) {
		r.Remember(name, line.Sum, false)
		return true
	}
	sum, err := atomicfile.SumOf(r.Path(name), false)
	if err != nil {
		return false
	}
	r.Remember(name, sum, true)
	return sum == line.Sum
}

// Remember keeps what the local file is, as long as it isn't changed.
func (r *Replica) Remember(name, sum string, checked bool) {
	if info, err := os.Stat(r.Path(name)); err == nil {
		r.mu.Lock()
		r.known[name] = knownFile{sum, info.Size(), info.ModTime(), checked}
		r.mu.Unlock()
	}
}

// checkLayers looks through the layers that were there at the start, once, leaving half of the time to others.
func (r *Replica) checkLayers(ctx context.Context) {
	for ; ctx.Err() == nil; clock.Pause(ctx, 20*time.Second) {
		r.mu.Lock()
		var next string
		var known knownFile
		for name, each := range r.known {
			if !each.checked {
				next, known = name, each
			}
		}
		r.mu.Unlock()
		if next == "" {
			continue
		}
		sum, err := atomicfile.SumOf(r.Path(next), true)
		if err == nil && sum != known.sum {
			slog.Warn("a file is damaged; it is fetched anew", "file", next)
			err = os.Remove(r.Path(next))
			clock.Wake(r.wake)
		}
		r.mu.Lock()
		if err != nil || sum != known.sum {
			delete(r.known, next)
		} else if r.known[next] == known {
			known.checked = true
			r.known[next] = known
		}
		r.mu.Unlock()
	}
}

// sources are the servers' addresses, those that have all files first.
func (r *Replica) sources(ctx context.Context, digest string) ([]string, error) {
	holders, err := Holders(ctx, r.store, digest)
	if err != nil {
		return nil, err
	}
	first, then := []string{}, []string{}
	for name, address := range r.config.Servers {
		switch {
		case name == r.config.Name:
		case holders[name]:
			first = append(first, address)
		default:
			then = append(then, address)
		}
	}
	return append(first, then...), nil
}

// Holders are the servers that had all of these files when they last looked.
func Holders(ctx context.Context, s kv.Store, digest string) (map[string]bool, error) {
	pairs, err := kv.Table(ctx, s, boottree.HolderPrefix)
	holders := map[string]bool{}
	for name, pair := range pairs {
		holders[name] = string(pair.Value) == digest
	}
	return holders, err
}

// fetch takes a file that a command has left here, or from the node, where that has it, or from the first server that has it.
func (r *Replica) fetch(ctx context.Context, sources []string, name string, line boottree.File) (err error) {
	if r.adopt(ctx, name, line) || r.config.NodeTree != "" && r.fetchFromNode(ctx, name, line) == nil {
		return nil
	}
	problem := fmt.Errorf("no other server is known")
	for _, address := range sources {
		at := "http://" + net.JoinHostPort(address, strconv.Itoa(r.config.PeerPort)) + "/" + name
		if problem = r.fetchFrom(ctx, at, name, line); problem == nil {
			return nil
		}
	}
	return fmt.Errorf("%s is on no server that answers; last seen: %w", name, problem)
}

func (r *Replica) fetchFromNode(ctx context.Context, name string, line boottree.File) error {
	file, err := os.Open(filepath.Join(r.config.NodeTree, filepath.FromSlash(name)))
	if err != nil {
		return err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || info.Size() != line.Size {
		return errors.Join(err, errors.New("the node has another"))
	}
	return r.take(ctx, file, name, line)
}

func (r *Replica) fetchFrom(ctx context.Context, at, name string, line boottree.File) error {
	// A server that stops in the middle mustn't keep this one: 128 KiB/s is slow.
	ctx, cancel := context.WithTimeout(ctx, time.Minute+time.Duration(line.Size/(128<<10))*time.Second)
	defer cancel()
	content, err := httpd.Open(ctx, r.client, at)
	if err != nil {
		return err
	}
	defer content.Close()
	return r.take(ctx, content, name, line)
}

// take makes the file what is registered, unless another was registered meanwhile.
func (r *Replica) take(ctx context.Context, content io.Reader, name string, line boottree.File) error {
	from := io.LimitReader(content, line.Size+1)
	if r.wasWhole() {
		from = atomicfile.Gently(from)
	}
	staged, _, err := atomicfile.Stage(r.Path(name), line.Sum, from)
	if err != nil {
		return err
	}
	defer os.Remove(staged) // it is gone by then, or of no use
	return r.replace(ctx, staged, name, line)
}

// replace gives a staged file its name. Nobody puts one meanwhile.
func (r *Replica) replace(ctx context.Context, staged, name string, line boottree.File) error {
	unlock, err := r.Lock(unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer unlock()
	return r.replaceLocked(ctx, staged, name, line)
}

// replaceLocked is for who has the lock. What is registered is read again: a command may have put another file since.
func (r *Replica) replaceLocked(ctx context.Context, staged, name string, line boottree.File) error {
	pair, err := r.store.Get(ctx, boottree.FilePrefix+name)
	if err != nil {
		return err
	}
	if pair == nil || string(pair.Value) != line.String() {
		clock.Wake(r.wake)
		return fmt.Errorf("%s: another was registered meanwhile", name)
	}
	if err := os.Rename(staged, r.Path(name)); err != nil {
		return err
	}
	r.Remember(name, line.Sum, true)
	return nil
}

// adopt waits for a command that is just giving the file its name, or does so for one that was killed after it had
// registered it.
func (r *Replica) adopt(ctx context.Context, name string, line boottree.File) bool {
	unlock, err := r.Lock(unix.LOCK_EX)
	if err != nil {
		return false
	}
	defer unlock()
	if r.right(name, line) {
		return true
	}
	for _, staged := range atomicfile.Staged(r.Path(name)) {
		sum, err := atomicfile.SumOf(staged, false)
		if err == nil && sum == line.Sum && r.replaceLocked(ctx, staged, name, line) == nil {
			return true
		}
	}
	return false
}

// writeEntry writes a machine's blobs, then its boot.env if its image is there too.
func (r *Replica) writeEntry(ctx context.Context, mac string, e boottree.Entry, files boottree.Files) error {
	if err := names.CheckMAC(mac); err != nil {
		return err
	}
	folder := "machines/" + mac + "/"
	for name, sum := range e.Files() {
		r.mu.Lock()
		known := r.known[folder+name]
		r.mu.Unlock()
		if info, err := os.Stat(r.Path(folder + name)); err == nil {
			if known.size == info.Size() && known.changed.Equal(info.ModTime()) {
				continue
			}
			if seen, err := atomicfile.SumOf(r.Path(folder+name), false); err == nil && seen == sum {
				r.Remember(folder+name, sum, true)
				continue
			}
		}
		data, err := boottree.Blob(ctx, r.store, sum)
		if err != nil {
			return fmt.Errorf("%s%s: %w", folder, name, err)
		}
		if err := atomicfile.Write(r.Path(folder+name), data); err != nil {
			return err
		}
		r.Remember(folder+name, sum, true)
	}
	if err := r.imageThere(e.Image, files); err != nil {
		return fmt.Errorf("%sboot.env: %w", folder, err)
	}
	return atomicfile.Write(r.Path(folder+"boot.env"), []byte(e.Text(mac)))
}

// imageThere tells what of the image is missing, if anything.
func (r *Replica) imageThere(image string, files boottree.Files) error {
	layers, err := r.Image(image)
	if err != nil {
		return err
	}
	for _, layer := range layers {
		if line, there := files[layer.Path()]; !there || !r.right(layer.Path(), line) {
			return fmt.Errorf("image %s: %s is not there", image, layer.Path())
		}
	}
	return nil
}

// tidy removes images that aren't registered, and what no entry names. Who is registering a file has the lock.
func (r *Replica) tidy(ctx context.Context) error {
	unlock, err := r.Lock(unix.LOCK_EX | unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		time.AfterFunc(10*time.Second, func() { clock.Wake(r.wake) })
		return nil
	}
	if err != nil {
		return err
	}
	defer unlock()
	files, err := boottree.ReadFiles(ctx, r.store)
	if err != nil || !files.Imported() {
		return err
	}
	entries, err := boottree.Entries(ctx, r.store)
	if err != nil {
		return err
	}
	wanted := map[string]bool{}
	for name := range files {
		wanted[name] = true
	}
	for mac, e := range entries {
		wanted["machines/"+mac] = true
		wanted["machines/"+mac+"/boot.env"] = true
		for name := range e.Files() {
			wanted["machines/"+mac+"/"+name] = true
		}
	}
	for _, pattern := range []string{"images/*", "machines/*", "machines/*/*", "*" + atomicfile.Unfinished, "boot/*" + atomicfile.Unfinished, "dhcp/*" + atomicfile.Unfinished} {
		found, err := filepath.Glob(r.Path(pattern))
		if err != nil {
			return err
		}
		for _, path := range found {
			name, err := filepath.Rel(r.config.Tree, path)
			if err == nil && !wanted[filepath.ToSlash(name)] && !beingWritten(path) {
				err = os.RemoveAll(path)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// beingWritten: nobody writes a file for longer than an hour.
func beingWritten(path string) bool {
	info, err := os.Stat(path)
	return strings.HasSuffix(path, atomicfile.Unfinished) && err == nil && time.Since(info.ModTime()) < time.Hour
}

// hold says in the KV that this server has all files.
func (r *Replica) hold(ctx context.Context, digest string) error {
	key := boottree.HolderPrefix + r.config.Name
	pair, err := r.store.GetLocal(ctx, key)
	if err != nil || pair != nil && string(pair.Value) == digest {
		return err
	}
	return r.store.Apply(ctx, kv.Set(key, []byte(digest)))
}

// Has tells whether the path is a registered file's.
func (r *Replica) Has(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, there := r.files[name]
	return there
}
