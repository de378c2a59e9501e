package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// This file owns dnsmasq: a child that runs while this server serves, its configuration and its leases.

// Where a founder's own configuration and the program are; tests have others.
var (
	ownConfig = "/etc/dnsmasq.conf"
	dnsmasq   = "/usr/sbin/dnsmasq"
)

// dhcp runs dnsmasq.
type dhcp struct {
	config *config
	store  *store
	owns   func(lease) bool

	stop  func() // nil: it doesn't run
	ended chan struct{}
	again chan struct{} // there may be another configuration

	mu    sync.Mutex
	alone bool // no consul: the files kept in the tree count
}

func newDHCP(c *config, s *store, owns func(lease) bool) *dhcp {
	return &dhcp{config: c, store: s, owns: owns, again: make(chan struct{}, 1)}
}

// setAlone says whether consul or the tree's folder dhcp has configuration and leases.
func (d *dhcp) setAlone(alone bool) {
	d.mu.Lock()
	changed := d.alone != alone
	d.alone = alone
	d.mu.Unlock()
	if changed {
		wakeUp(d.again)
	}
}

func (d *dhcp) isAlone() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.alone
}

// start runs dnsmasq until end.
func (d *dhcp) start() {
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

// end stops dnsmasq and returns when it has ended.
func (d *dhcp) end() {
	if d.stop != nil {
		d.stop()
		<-d.ended
		d.stop = nil
	}
}

func (d *dhcp) run(ctx context.Context) {
	// A child is killed when the thread that started it ends; this one stays.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	leases := filepath.Join(runDir, "leases")
	os.Remove(leases) // of an earlier time
	for said := ""; ctx.Err() == nil; {
		err := d.child(ctx, leases)
		if err == nil {
			continue
		}
		if ctx.Err() == nil && err.Error() != said {
			said = err.Error()
			logf("dhcp: %v; again every 5 s", err)
		}
		select {
		case <-ctx.Done():
		case <-d.again: // there may be a configuration now
		case <-time.After(5 * time.Second):
		}
	}
}

// child runs dnsmasq once, until it ends (an error), ctx ends, or the configuration is another.
func (d *dhcp) child(ctx context.Context, leases string) error {
	text, err := d.read(ctx, "config", "dnsmasq.conf")
	if err != nil {
		return err
	}
	if _, err := os.Stat(leases); err != nil {
		kept, err := d.read(ctx, "leases", "leases")
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if err := writeFile(leases, kept); err != nil {
			return err
		}
	}
	path := filepath.Join(runDir, "dnsmasq.conf")
	if err := writeFile(path, text); err != nil {
		return err
	}
	command := exec.Command(dnsmasq, "--keep-in-foreground", "--conf-file="+path, "--user=root",
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
			now, err := d.read(ctx, "config", "dnsmasq.conf")
			if err == nil && !bytes.Equal(now, text) {
				logf("dhcp: the configuration is another now")
				return stopChild(command.Process, ended)
			}
			seen = nil // kept elsewhere than before, maybe
		case <-second.C:
			info, err := os.Stat(leases)
			if err != nil || seen != nil && info.ModTime().Equal(seen.ModTime()) && info.Size() == seen.Size() {
				continue
			}
			if d.keep(ctx, leases) == nil {
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

// read gives rack/dhcp/<key>, or without consul the file kept in the tree, or the founder's own configuration.
func (d *dhcp) read(ctx context.Context, key, name string) ([]byte, error) {
	if !d.isAlone() {
		pair, err := d.store.get(ctx, dhcpPrefix+key, false)
		if err == nil && pair == nil {
			err = fmt.Errorf("%s%s: %w; the founder puts it there", dhcpPrefix, key, os.ErrNotExist)
		}
		if err != nil {
			return nil, err
		}
		return pair.Value, nil
	}
	text, err := os.ReadFile(filepath.Join(d.config.Tree, "dhcp", name))
	if errors.Is(err, os.ErrNotExist) && key == "config" {
		return os.ReadFile(ownConfig)
	}
	return text, err
}

// keep puts the leases where the next server or start finds them; into the KV while the lease on being the boot
// server is this one's, so that another one's leases are the last when it has read them.
func (d *dhcp) keep(ctx context.Context, leases string) error {
	text, err := os.ReadFile(leases)
	if err != nil {
		return err
	}
	if d.isAlone() {
		return writeFile(filepath.Join(d.config.Tree, "dhcp", "leases"), text)
	}
	return d.store.putAsOwner(ctx, leasesKey, text, d.owns)
}

// putOwnConfig makes the founder's configuration everybody's.
func putOwnConfig(ctx context.Context, s *store) error {
	text, err := os.ReadFile(ownConfig)
	if err != nil {
		return err
	}
	pair, err := s.get(ctx, configKey, false)
	if err != nil || pair != nil && bytes.Equal(pair.Value, text) {
		return err
	}
	return s.put(ctx, configKey, text)
}
