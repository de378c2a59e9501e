package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// This file owns the watchdog over the disk of consul's state. A leader whose disk hangs keeps its leadership: heartbeats
// need no disk, and what would step down waits for the disk itself (hashicorp/raft#503). Its consul is stopped until
// the disk answers, and another server is told to stand for election; it follows afterwards.

// writeTicks divide the time that a write may wait while its disk completes nothing at all (disk_seconds): a slow one,
// as an emulated one is under load, does complete requests. Ticks are counted, not time: a machine that stood still has
// nothing against its disk.
const writeTicks = 3

// watchdog is over the disk of one server's state.
type watchdog struct {
	every  time.Duration              // between two looks: a tick
	write  func() error               // something, through to the disk
	disk   func() string              // changes when the disk completes a request
	signal func(syscall.Signal) error // to consul
	// handOver has another server stand for election at once, which would wait for seconds first
	handOver func() error
	leads    atomic.Bool // this server leads, and isn't the only one with a vote
}

func newWatchdog(c *config) *watchdog {
	return &watchdog{
		every: time.Duration(c.DiskSeconds) * time.Second / writeTicks,
		write: c.writeState, disk: c.completed, signal: c.signalConsul,
		handOver: func() error { return c.handOver(c.others()...) },
	}
}

// run watches until ctx ends. It leaves no consul stopped, nor one that a run before it has.
func (w *watchdog) run(ctx context.Context) {
	for w.resume(); ctx.Err() == nil; pause(ctx, w.every) {
		if w.leads.Load() {
			w.watch(ctx)
		}
	}
}

// watch has one write done, however long it takes. Consul is stopped while its disk stands still.
func (w *watchdog) watch(ctx context.Context) {
	written := make(chan error, 1)
	go func() { written <- w.write() }()
	stopped := false
	defer func() {
		if stopped {
			w.resume()
		}
	}()
	seen := w.disk()
	for ticks := 1; ; ticks++ {
		select {
		case err := <-written:
			if stopped {
				logf("watchdog: the disk of consul's state answers again; consul goes on")
			}
			if err != nil { // raft's leader meets it too, and steps down by itself
				logf("watchdog: %v", err)
			}
			return
		case <-ctx.Done():
			return
		case <-time.After(w.every):
		}
		if now := w.disk(); now != seen {
			seen, ticks = now, 0
		}
		if !stopped && ticks >= writeTicks && w.leads.Load() {
			logf("watchdog: leads, but its disk has completed nothing for %v; consul is stopped until it does", time.Duration(ticks)*w.every)
			err := w.signal(unix.SIGSTOP)
			if stopped = err == nil; stopped {
				err = w.handOver()
			}
			if err != nil {
				logf("watchdog: %v", err)
			}
		}
	}
}

func (w *watchdog) resume() {
	if err := w.signal(unix.SIGCONT); err != nil && !errors.Is(err, errNoConsul) {
		logf("watchdog: %v", err)
	}
}

// writeState overwrites a block beside consul's state, and has it on the disk. Nothing of the file system changes but
// the first time, so it costs one write and one flush.
func (c *config) writeState() error {
	file, err := os.OpenFile(filepath.Join(c.State, "watchdog"), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Write([]byte("what the watchdog writes to see that it can\n")); err != nil {
		return err
	}
	return unix.Fdatasync(int(file.Fd()))
}

// completed is what the device below consul's state has completed; always the same where there is none.
func (c *config) completed() string {
	var state unix.Stat_t
	if err := unix.Stat(c.State, &state); err != nil {
		return ""
	}
	text, _ := os.ReadFile(fmt.Sprintf("/sys/dev/block/%d:%d/stat", unix.Major(state.Dev), unix.Minor(state.Dev)))
	return completions(string(text))
}

// completions are the numbers of reads, writes and flushes of a device's statistics: fields 1, 5 and 16 of the kernel's
// Documentation/block/stat.rst.
func completions(statistics string) string {
	fields := strings.Fields(statistics)
	if len(fields) < 16 {
		return ""
	}
	return fields[0] + " " + fields[4] + " " + fields[15]
}

// errNoConsul: the agent isn't running.
var errNoConsul = errors.New("no consul is running")

// signalConsul sends the agent a signal, by the pid file that its configuration names. A number that another program has
// by now gets none.
func (c *config) signalConsul(signal syscall.Signal) error {
	text, err := os.ReadFile(c.PIDFile)
	if err != nil {
		return fmt.Errorf("%w: %w", errNoConsul, err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return fmt.Errorf("%s: '%s' is no process number", c.PIDFile, text)
	}
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil || strings.TrimSpace(string(comm)) != "consul" {
		return fmt.Errorf("%w: process %d is another", errNoConsul, pid)
	}
	return unix.Kill(pid, signal)
}
