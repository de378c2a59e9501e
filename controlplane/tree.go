package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// This file owns the local copy of the boot tree: that it becomes what the KV says, and whether it is.
// What machines read (boot.env) changes only when all that it names is there, so the copy can be served
// while it is being brought up to date.

// tree keeps one server's copy.
type tree struct {
	config *config
	store  *store
	client *http.Client
	wake   chan struct{} // something may have to be done
	news   chan struct{} // synced or the DHCP configuration has changed

	mu     sync.Mutex
	files  map[string]fileLine // registered, as last read
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

func newTree(c *config, s *store) *tree {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	return &tree{
		config: c, store: s, known: map[string]knownFile{},
		client: &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext, ResponseHeaderTimeout: 20 * time.Second}},
		wake:   make(chan struct{}, 1), news: make(chan struct{}, 1),
	}
}

// run keeps the copy until ctx ends.
func (t *tree) run(ctx context.Context) {
	for _, prefix := range []string{entryPrefix, filePrefix, dhcpPrefix} {
		go t.store.watch(ctx, prefix, func() { wakeUp(t.wake) })
	}
	go t.checkLayers(ctx)
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case <-t.wake:
		}
		pause(ctx, 200*time.Millisecond) // changes come in groups
		if err := t.sync(ctx); err != nil && ctx.Err() == nil {
			if t.said != err.Error() {
				logf("tree: %v", err)
			}
			t.said = err.Error()
			time.AfterFunc(5*time.Second, func() { wakeUp(t.wake) })
		} else if err == nil {
			t.said = ""
		}
	}
}

func (t *tree) local(name string) string {
	return filepath.Join(t.config.Tree, filepath.FromSlash(name))
}

// isSynced tells whether the copy was complete when last looked at.
func (t *tree) isSynced() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.synced
}

func (t *tree) wasWhole() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.whole
}

func (t *tree) setSynced(synced bool) {
	t.mu.Lock()
	changed := t.synced != synced
	t.synced = synced
	t.whole = t.whole || synced
	t.mu.Unlock()
	if changed {
		wakeUp(t.news)
	}
}

// sync makes the copy what the KV says; the leader's, as a server that begins anew still lacks what it had.
func (t *tree) sync(ctx context.Context) error {
	if err := t.copyDHCP(ctx); err != nil {
		return err
	}
	// Files first: when boot.ipxe is among them, entries read afterwards are the whole import's.
	files, err := t.store.files(ctx)
	if err != nil {
		return err
	}
	t.mu.Lock()
	t.files = files
	t.mu.Unlock()
	if !imported(files) {
		t.setSynced(false)
		return nil
	}
	entries, err := t.store.entries(ctx)
	if err != nil {
		return err
	}
	var problem error
	digest := digestOf(files)
	var sources []string
	for name, line := range files {
		if t.right(name, line) {
			continue
		}
		t.setSynced(false)
		if sources == nil {
			if sources, err = t.sources(ctx, digest); err != nil {
				return err
			}
		}
		err := t.fetch(ctx, sources, name, line)
		if errors.Is(err, unix.ENOSPC) {
			// What isn't registered any more is kept until the copy is whole, for who boots meanwhile, but not if that
			// keeps it from ever being whole.
			if err = t.tidy(ctx); err == nil {
				err = t.fetch(ctx, sources, name, line)
			}
		}
		if err != nil {
			problem = err
		}
	}
	for mac, e := range entries {
		if err := t.writeEntry(ctx, mac, e, files); err != nil {
			problem = err
		}
	}
	if problem != nil {
		t.setSynced(false)
		return problem
	}
	t.setSynced(true)
	if err := t.tidy(ctx); err != nil {
		return err
	}
	return t.hold(ctx, digest)
}

// copyDHCP keeps dnsmasq's files for a start without consul.
func (t *tree) copyDHCP(ctx context.Context) error {
	pairs, err := t.store.list(ctx, dhcpPrefix)
	if err != nil {
		return err
	}
	for key, name := range map[string]string{"config": "dhcp/dnsmasq.conf", "leases": "dhcp/leases"} {
		if pairs[key] != nil {
			if err := writeFile(t.local(name), pairs[key].Value); err != nil {
				return err
			}
		}
	}
	if pairs["config"] == nil {
		return nil
	}
	text := string(pairs["config"].Value)
	t.mu.Lock()
	changed := t.dhcp != text
	t.dhcp = text
	t.mu.Unlock()
	if changed {
		wakeUp(t.news)
	}
	return nil
}

// right tells whether the local file is the registered one.
func (t *tree) right(name string, line fileLine) bool {
	info, err := os.Stat(t.local(name))
	if err != nil || info.Size() != line.size {
		return false
	}
	t.mu.Lock()
	known, there := t.known[name]
	t.mu.Unlock()
	if there && known.size == info.Size() && known.changed.Equal(info.ModTime()) {
		return known.sum == line.sum
	}
	if strings.HasSuffix(name, ".squashfs") {
		t.remember(name, line.sum, false)
		return true
	}
	sum, err := sumOfFile(t.local(name), false)
	if err != nil {
		return false
	}
	t.remember(name, sum, true)
	return sum == line.sum
}

// remember keeps what the local file is, as long as it isn't changed.
func (t *tree) remember(name, sum string, checked bool) {
	if info, err := os.Stat(t.local(name)); err == nil {
		t.mu.Lock()
		t.known[name] = knownFile{sum, info.Size(), info.ModTime(), checked}
		t.mu.Unlock()
	}
}

// checkLayers looks through the layers that were there at the start, once, leaving half of the time to others.
func (t *tree) checkLayers(ctx context.Context) {
	for ; ctx.Err() == nil; pause(ctx, 20*time.Second) {
		t.mu.Lock()
		var next string
		var known knownFile
		for name, each := range t.known {
			if !each.checked {
				next, known = name, each
			}
		}
		t.mu.Unlock()
		if next == "" {
			continue
		}
		sum, err := sumOfFile(t.local(next), true)
		if err == nil && sum != known.sum {
			logf("tree: %s is damaged; fetched anew", next)
			err = os.Remove(t.local(next))
			wakeUp(t.wake)
		}
		t.mu.Lock()
		if err != nil || sum != known.sum {
			delete(t.known, next)
		} else if t.known[next] == known {
			known.checked = true
			t.known[next] = known
		}
		t.mu.Unlock()
	}
}

// sources are the servers' addresses, those that have all files first.
func (t *tree) sources(ctx context.Context, digest string) ([]string, error) {
	holders, err := t.holders(ctx, digest)
	if err != nil {
		return nil, err
	}
	first, then := []string{}, []string{}
	for name, address := range t.config.Servers {
		switch {
		case name == t.config.Name:
		case holders[name]:
			first = append(first, address)
		default:
			then = append(then, address)
		}
	}
	return append(first, then...), nil
}

// holders are the servers that had all of these files when they last looked.
func (t *tree) holders(ctx context.Context, digest string) (map[string]bool, error) {
	pairs, err := t.store.list(ctx, holderPrefix)
	holders := map[string]bool{}
	for name, pair := range pairs {
		holders[name] = string(pair.Value) == digest
	}
	return holders, err
}

// successor is a server that can serve if this one doesn't lead any more, "" if there is none.
func (t *tree) successor(ctx context.Context) (string, error) {
	files, err := t.store.files(ctx)
	if err != nil {
		return "", err
	}
	holders, err := t.holders(ctx, digestOf(files))
	if err != nil {
		return "", err
	}
	voters, err := t.store.voters(ctx, false)
	if err != nil {
		return "", err
	}
	members, err := t.store.members(ctx)
	return pickSuccessor(t.config.Name, members, holders, voters), err
}

// pickSuccessor names one that lives, has all files and a vote: others can't be elected.
func pickSuccessor(own string, members []member, holders map[string]bool, voters []string) string {
	for _, each := range members {
		if each.Name != own && each.Status == memberAlive && holders[each.Name] && slices.Contains(voters, each.Name) {
			return each.Name
		}
	}
	return ""
}

// digestOf names a set of files.
func digestOf(files map[string]fileLine) string {
	lines := make([]string, 0, len(files))
	for name, line := range files {
		lines = append(lines, name+" "+line.String()+"\n")
	}
	slices.Sort(lines)
	return sumOf([]byte(strings.Join(lines, "")))
}

// fetch takes a file that a command has left here, or from the node, where that has it, or from the first server that has it.
func (t *tree) fetch(ctx context.Context, sources []string, name string, line fileLine) (err error) {
	if t.adopt(ctx, name, line) || t.config.NodeTree != "" && t.fetchFromNode(ctx, name, line) == nil {
		return nil
	}
	problem := fmt.Errorf("no other server is known")
	for _, address := range sources {
		at := "http://" + net.JoinHostPort(address, strconv.Itoa(t.config.PeerPort)) + "/" + name
		if problem = t.fetchFrom(ctx, at, name, line); problem == nil {
			return nil
		}
	}
	return fmt.Errorf("%s is on no server that answers; last seen: %w", name, problem)
}

func (t *tree) fetchFromNode(ctx context.Context, name string, line fileLine) error {
	file, err := os.Open(filepath.Join(t.config.NodeTree, filepath.FromSlash(name)))
	if err != nil {
		return err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || info.Size() != line.size {
		return errors.Join(err, errors.New("the node has another"))
	}
	return t.take(ctx, file, name, line)
}

func (t *tree) fetchFrom(ctx context.Context, at, name string, line fileLine) error {
	// A server that stops in the middle mustn't keep this one: 128 KiB/s is slow.
	ctx, cancel := context.WithTimeout(ctx, time.Minute+time.Duration(line.size/(128<<10))*time.Second)
	defer cancel()
	content, err := open(ctx, t.client, at)
	if err != nil {
		return err
	}
	defer content.Close()
	return t.take(ctx, content, name, line)
}

// take makes the file what is registered, unless another was registered meanwhile.
func (t *tree) take(ctx context.Context, content io.Reader, name string, line fileLine) error {
	from := io.LimitReader(content, line.size+1)
	if t.wasWhole() {
		from = &paced{from: from, began: time.Now()}
	}
	staged, _, err := stageFile(t.local(name), line.sum, from)
	if err != nil {
		return err
	}
	defer os.Remove(staged) // it is gone by then, or of no use
	return t.replace(ctx, staged, name, line)
}

// replace gives a staged file its name. Nobody puts one meanwhile.
func (t *tree) replace(ctx context.Context, staged, name string, line fileLine) error {
	unlock, err := lockTree(unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer unlock()
	return t.replaceLocked(ctx, staged, name, line)
}

// replaceLocked is for who has the lock. What is registered is read again: a command may have put another file since.
func (t *tree) replaceLocked(ctx context.Context, staged, name string, line fileLine) error {
	pair, err := t.store.get(ctx, filePrefix+name, false)
	if err != nil {
		return err
	}
	if pair == nil || string(pair.Value) != line.String() {
		wakeUp(t.wake)
		return fmt.Errorf("%s: another was registered meanwhile", name)
	}
	if err := os.Rename(staged, t.local(name)); err != nil {
		return err
	}
	t.remember(name, line.sum, true)
	return nil
}

// adopt waits for a command that is just giving the file its name, or does so for one that was killed after it had
// registered it.
func (t *tree) adopt(ctx context.Context, name string, line fileLine) bool {
	unlock, err := lockTree(unix.LOCK_EX)
	if err != nil {
		return false
	}
	defer unlock()
	if t.right(name, line) {
		return true
	}
	for _, staged := range stagedFiles(t.local(name)) {
		sum, err := sumOfFile(staged, false)
		if err == nil && sum == line.sum && t.replaceLocked(ctx, staged, name, line) == nil {
			return true
		}
	}
	return false
}

// writeEntry writes a machine's blobs, then its boot.env if its image is there too.
func (t *tree) writeEntry(ctx context.Context, mac string, e entry, files map[string]fileLine) error {
	if err := checkMAC(mac); err != nil {
		return err
	}
	folder := "machines/" + mac + "/"
	for name, sum := range e.files() {
		t.mu.Lock()
		known := t.known[folder+name]
		t.mu.Unlock()
		if info, err := os.Stat(t.local(folder + name)); err == nil {
			if known.size == info.Size() && known.changed.Equal(info.ModTime()) {
				continue
			}
			if seen, err := sumOfFile(t.local(folder+name), false); err == nil && seen == sum {
				t.remember(folder+name, sum, true)
				continue
			}
		}
		data, err := t.store.blob(ctx, sum)
		if err != nil {
			return fmt.Errorf("%s%s: %w", folder, name, err)
		}
		if err := writeFile(t.local(folder+name), data); err != nil {
			return err
		}
		t.remember(folder+name, sum, true)
	}
	if err := t.imageThere(e.image, files); err != nil {
		return fmt.Errorf("%sboot.env: %w", folder, err)
	}
	return writeFile(t.local(folder+"boot.env"), []byte(e.text(mac)))
}

// imageThere tells what of the image is missing, if anything.
func (t *tree) imageThere(image string, files map[string]fileLine) error {
	name := "images/" + image + ".layers"
	lines, err := readList(t.config.Tree, name)
	if err != nil {
		return err
	}
	for _, each := range lines {
		if line, there := files["images/"+each.file]; !there || !t.right("images/"+each.file, line) {
			return fmt.Errorf("%s: %s is not there", name, each.file)
		}
	}
	return nil
}

// tidy removes images that aren't registered, and what no entry names. Who is registering a file has the lock.
func (t *tree) tidy(ctx context.Context) error {
	unlock, err := lockTree(unix.LOCK_EX | unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		time.AfterFunc(10*time.Second, func() { wakeUp(t.wake) })
		return nil
	}
	if err != nil {
		return err
	}
	defer unlock()
	files, err := t.store.files(ctx)
	if err != nil || !imported(files) {
		return err
	}
	entries, err := t.store.entries(ctx)
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
		for name := range e.files() {
			wanted["machines/"+mac+"/"+name] = true
		}
	}
	for _, pattern := range []string{"images/*", "machines/*", "machines/*/*", "*" + unfinished, "boot/*" + unfinished, "dhcp/*" + unfinished} {
		found, err := filepath.Glob(t.local(pattern))
		if err != nil {
			return err
		}
		for _, path := range found {
			name, err := filepath.Rel(t.config.Tree, path)
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
	return strings.HasSuffix(path, unfinished) && err == nil && time.Since(info.ModTime()) < time.Hour
}

// hold says in the KV that this server has all files.
func (t *tree) hold(ctx context.Context, digest string) error {
	key := holderPrefix + t.config.Name
	pair, err := t.store.get(ctx, key, true)
	if err != nil || pair != nil && string(pair.Value) == digest {
		return err
	}
	return t.store.put(ctx, key, []byte(digest))
}

// has tells whether the path is a registered file's.
func (t *tree) has(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, there := t.files[name]
	return there
}

// wakeUp wakes who waits at the channel, once.
func wakeUp(channel chan struct{}) {
	select {
	case channel <- struct{}{}:
	default:
	}
}
