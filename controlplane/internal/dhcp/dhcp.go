// Package dhcp runs dnsmasq: a child that runs while this server serves, with its configuration and its leases. It
// leaves to package server when that is.
package dhcp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"rack-lab/controlplane/internal/atomicfile"
	"rack-lab/controlplane/internal/clock"
	"rack-lab/controlplane/internal/config"
	"rack-lab/controlplane/internal/kv"
)

// Where dnsmasq's files are in the store: Prefix, then the key.
const (
	Prefix        = "rack/dhcp/"
	Configuration = "config"
	LeasesKey     = Prefix + leasesKey

	leasesKey  = "leases"
	againAfter = 5 * time.Second
)

// Kept are the keys' files in the tree, for a start while no store is there.
var Kept = map[string]string{Configuration: "dhcp/dnsmasq.conf", leasesKey: "dhcp/leases"}

// Server runs dnsmasq.
type Server struct {
	// OwnConfig is the bootstrap server's own configuration, and Program is dnsmasq.
	OwnConfig, Program string

	config *config.Config
	store  kv.Store
	keep   func(ctx context.Context, leases []byte) error

	stop  func() // nil: it doesn't run
	ended chan struct{}
	again chan struct{} // there may be another configuration

	mu    sync.Mutex
	alone bool // no store is there: the files kept in the tree count
}

// New is this server's dnsmasq, which doesn't run yet; keep puts its leases into the store.
func New(c *config.Config, s kv.Store, keep func(ctx context.Context, leases []byte) error) *Server {
	return &Server{
		OwnConfig: "/etc/dnsmasq.conf", Program: "/usr/sbin/dnsmasq",
		config: c, store: s, keep: keep, again: make(chan struct{}, 1),
	}
}

// Again has the configuration read again: there may be another.
func (d *Server) Again() { clock.Wake(d.again) }

// SetAlone says whether the store or the tree's folder dhcp has configuration and leases.
func (d *Server) SetAlone(alone bool) {
	d.mu.Lock()
	changed := d.alone != alone
	d.alone = alone
	d.mu.Unlock()
	if changed {
		clock.Wake(d.again)
	}
}

func (d *Server) isAlone() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.alone
}

// Start runs dnsmasq until End.
func (d *Server) Start() {
	if d.stop != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	d.stop, d.ended = cancel, make(chan struct{})
	go func() {
		defer close(d.ended)
		d.run(ctx)
	}()
}

// End stops dnsmasq and returns when it has ended.
func (d *Server) End() {
	if d.stop != nil {
		d.stop()
		<-d.ended
		d.stop = nil
	}
}

func (d *Server) run(ctx context.Context) {
	// A child is killed when the thread that started it ends; this one stays.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	leases := filepath.Join(d.config.RunDir, "leases")
	os.Remove(leases) // of an earlier time
	for said := ""; ctx.Err() == nil; {
		err := d.child(ctx, leases)
		if err == nil {
			continue
		}
		if ctx.Err() == nil && err.Error() != said {
			said = err.Error()
			slog.Warn("DHCP isn't served", "error", err, "again_in", againAfter)
		}
		select {
		case <-ctx.Done():
		case <-d.again: // there may be a configuration now
		case <-time.After(againAfter):
		}
	}
}

// child runs dnsmasq once, until it ends (an error), ctx ends, or the configuration is another.
func (d *Server) child(ctx context.Context, leases string) error {
	text, err := d.read(ctx, Configuration)
	if err != nil {
		return err
	}
	if _, err := os.Stat(leases); err != nil {
		kept, err := d.read(ctx, leasesKey)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if err := atomicfile.Write(leases, kept); err != nil {
			return err
		}
	}
	path := filepath.Join(d.config.RunDir, "dnsmasq.conf")
	if err := atomicfile.Write(path, text); err != nil {
		return err
	}
	command := exec.Command(d.Program, "--keep-in-foreground", "--conf-file="+path, "--user=root",
		"--log-facility=/var/log/dnsmasq.log", "--dhcp-leasefile="+leases)
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var complaint bytes.Buffer
	command.Stderr = &complaint
	if err := command.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	second := time.NewTicker(time.Second)
	defer second.Stop()
	seen, _ := os.Stat(leases)
	for {
		select {
		case err := <-ended:
			return fmt.Errorf("dnsmasq ended: %v %s", err, bytes.TrimSpace(complaint.Bytes()))
		case <-ctx.Done():
			return stopChild(command.Process, ended)
		case <-d.again:
			now, err := d.read(ctx, Configuration)
			if err == nil && !bytes.Equal(now, text) {
				slog.Info("DHCP has another configuration now")
				return stopChild(command.Process, ended)
			}
			seen = nil // kept elsewhere than before, maybe
		case <-second.C:
			info, err := os.Stat(leases)
			if err != nil || seen != nil && info.ModTime().Equal(seen.ModTime()) && info.Size() == seen.Size() {
				continue
			}
			if d.putLeases(ctx, leases) == nil {
				seen = info
			}
		}
	}
}

// stopChild ends the process, within 2 s.
func stopChild(process *os.Process, ended chan error) error {
	process.Signal(syscall.SIGTERM)
	select {
	case <-ended:
	case <-time.After(2 * time.Second):
		process.Kill()
		<-ended
	}
	return nil
}

// read gives what the store has below Prefix, or while there is none the file kept in the tree, or the bootstrap
// server's own configuration.
func (d *Server) read(ctx context.Context, key string) ([]byte, error) {
	if !d.isAlone() {
		pair, err := d.store.Get(ctx, Prefix+key)
		if err == nil && pair == nil {
			err = fmt.Errorf("%s%s: %w; the bootstrap server puts it there", Prefix, key, os.ErrNotExist)
		}
		if err != nil {
			return nil, err
		}
		return pair.Value, nil
	}
	text, err := os.ReadFile(d.kept(key))
	if errors.Is(err, os.ErrNotExist) && key == Configuration {
		return os.ReadFile(d.OwnConfig)
	}
	return text, err
}

// kept is a key's file in the tree.
func (d *Server) kept(key string) string {
	return filepath.Join(d.config.Tree, filepath.FromSlash(Kept[key]))
}

// putLeases puts the leases where the next server or start finds them; into the store while the lease on being the
// boot server is this one's, so that another one's leases are the last when it has read them.
func (d *Server) putLeases(ctx context.Context, leases string) error {
	text, err := os.ReadFile(leases)
	if err != nil {
		return err
	}
	if d.isAlone() {
		return atomicfile.Write(d.kept(leasesKey), text)
	}
	return d.keep(ctx, text)
}

// PutOwnConfig makes the bootstrap server's configuration everybody's.
func (d *Server) PutOwnConfig(ctx context.Context) error {
	text, err := os.ReadFile(d.OwnConfig)
	if err != nil {
		return err
	}
	pair, err := d.store.Get(ctx, Prefix+Configuration)
	if err != nil || pair != nil && bytes.Equal(pair.Value, text) {
		return err
	}
	return d.store.Apply(ctx, kv.Set(Prefix+Configuration, text))
}
