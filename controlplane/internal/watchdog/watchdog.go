// Package watchdog is over the disk of consul's state. A leader whose disk hangs keeps its leadership: heartbeats
// need no disk, and what would step down waits for the disk itself (hashicorp/raft#503). Its consul is stopped
// until the disk answers, and another server is told to stand for election; it follows afterwards.
package watchdog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"rack-lab/controlplane/internal/clock"
	"rack-lab/controlplane/internal/config"
)

// writeTicks divide the time that a write may wait while its disk completes nothing at all (disk_seconds): a slow one,
// as an emulated one is under load, does complete requests. Ticks are counted, not time: a machine that stood still has
// nothing against its disk.
const writeTicks = 3

// Watchdog is over the disk of one server's state.
type Watchdog struct {
	Every  time.Duration              // between two looks: a tick
	Write  func() error               // something, through to the disk
	Disk   func() string              // changes when the disk completes a request
	Signal func(syscall.Signal) error // to consul
	// HandOver has another server stand for election at once, which would wait for seconds first
	HandOver func() error
	// Leads: this server leads, and isn't the only one with a vote.
	Leads atomic.Bool
}

// New has consul stopped by the pid file that the configuration names; handOver has the first of the servers that
// takes it stand for election.
func New(c *config.Config, handOver func(to ...string) error) *Watchdog {
	return &Watchdog{
		Every:    time.Duration(c.DiskSeconds) * time.Second / writeTicks,
		Write:    func() error { return writeState(c.State) },
		Disk:     func() string { return completed(c.State) },
		Signal:   func(signal syscall.Signal) error { return signalConsul(c.PIDFile, signal) },
		HandOver: func() error { return handOver(c.Others()...) },
	}
}

// Run watches until ctx ends. It leaves no consul stopped, nor one that a run before it has.
func (w *Watchdog) Run(ctx context.Context) {
	for w.resume(); ctx.Err() == nil; clock.Pause(ctx, w.Every) {
		if w.Leads.Load() {
			w.watch(ctx)
		}
	}
}

// watch has one write done, however long it takes. Consul is stopped while its disk stands still.
func (w *Watchdog) watch(ctx context.Context) {
	written := make(chan error, 1)
	go func() { written <- w.Write() }()
	stopped := false
	defer func() {
		if stopped {
			w.resume()
		}
	}()
	seen := w.Disk()
	for ticks := 1; ; ticks++ {
		select {
		case err := <-written:
			if stopped {
				slog.Info("the disk of consul's state answers again; consul goes on")
			}
			if err != nil { // raft's leader meets it too, and steps down by itself
				slog.Warn("watchdog", "error", err)
			}
			return
		case <-ctx.Done():
			return
		case <-time.After(w.Every):
		}
		if now := w.Disk(); now != seen {
			seen, ticks = now, 0
		}
		if !stopped && ticks >= writeTicks && w.Leads.Load() {
			slog.Warn("the disk of the leader's state hangs; consul is stopped until it answers", "for", time.Duration(ticks)*w.Every)
			err := w.Signal(unix.SIGSTOP)
			if stopped = err == nil; stopped {
				err = w.HandOver()
			}
			if err != nil {
				slog.Warn("watchdog", "error", err)
			}
		}
	}
}

func (w *Watchdog) resume() {
	if err := w.Signal(unix.SIGCONT); err != nil && !errors.Is(err, errNoConsul) {
		slog.Warn("watchdog", "error", err)
	}
}

// writeState overwrites a block beside consul's state, and has it on the disk. Nothing of the file system changes but
// the first time, so it costs one write and one flush.
func writeState(folder string) error {
	file, err := os.OpenFile(filepath.Join(folder, "watchdog"), os.O_CREATE|os.O_WRONLY, 0o600)
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
func completed(folder string) string {
	var state unix.Stat_t
	if err := unix.Stat(folder, &state); err != nil {
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
func signalConsul(pidFile string, signal syscall.Signal) error {
	text, err := os.ReadFile(pidFile)
	if err != nil {
		return fmt.Errorf("%w: %w", errNoConsul, err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return fmt.Errorf("%s: '%s' is no process number", pidFile, text)
	}
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil || strings.TrimSpace(string(comm)) != "consul" {
		return fmt.Errorf("%w: process %d is another", errNoConsul, pid)
	}
	return unix.Kill(pid, signal)
}
