package watchdog

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"rack-lab/controlplane/internal/kv/kvtest"
)

// watched runs a watchdog whose disk takes the given times for its writes, one after another, then none. It gives the
// signals sent to consul, each with the second it was sent in.
func watched(t *testing.T, leads, completes func(second int) bool, writes ...time.Duration) (sent []string) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		second := func() int { return int(time.Since(began) / time.Second) }
		w := &Watchdog{
			Every: 2 * time.Second,
			Write: func() error {
				var takes time.Duration
				if len(writes) > 0 {
					takes, writes = writes[0], writes[1:]
				}
				time.Sleep(takes)
				return nil
			},
			Disk: func() string {
				if completes(second()) {
					return strconv.Itoa(second())
				}
				return ""
			},
			Signal: func(signal syscall.Signal) error {
				sent = append(sent, map[syscall.Signal]string{syscall.SIGSTOP: "stop ", syscall.SIGCONT: "go on "}[signal]+strconv.Itoa(second()))
				return nil
			},
			HandOver: func() error {
				if last := sent[len(sent)-1]; last != "stop "+strconv.Itoa(second()) {
					t.Errorf("handed over after '%s'", last)
				}
				return errors.New("nobody takes it")
			},
		}
		go func() {
			for ; ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
				w.Leads.Store(leads(second()))
			}
		}()
		time.AfterFunc(100*time.Second, cancel)
		time.Sleep(50 * time.Millisecond)
		w.Run(ctx)
		time.Sleep(time.Hour) // writes that hang end
	})
	return sent
}

func TestConsulIsStoppedWhileALeadersDiskHangs(t *testing.T) {
	always, never := func(int) bool { return true }, func(int) bool { return false }
	for _, each := range []struct {
		name      string
		leads     func(second int) bool
		completes func(second int) bool
		writes    []time.Duration
		want      []string
	}{
		{"a disk that works", always, always, nil, nil},
		{"a slow disk", always, never, []time.Duration{4 * time.Second, 5 * time.Second}, nil},
		{"a very slow disk", always, always, []time.Duration{50 * time.Second}, nil},
		{"a disk that hangs for half a minute", always, never, []time.Duration{0, 30 * time.Second}, []string{"stop 8", "go on 32"}},
		{"a slow disk that hangs in the end", always, func(second int) bool { return second < 15 }, []time.Duration{50 * time.Second}, []string{"stop 22", "go on 50"}},
		{"who doesn't lead", never, never, []time.Duration{30 * time.Second}, nil},
		{"who doesn't lead any more", func(second int) bool { return second < 4 }, never, []time.Duration{30 * time.Second}, nil},
		// With its consul stopped it hears of no leader.
		{"who has led", func(second int) bool { return second < 7 }, never, []time.Duration{30 * time.Second}, []string{"stop 6", "go on 30"}},
		{"a disk that hangs twice", always, never, []time.Duration{9 * time.Second, 0, 9 * time.Second}, []string{"stop 6", "go on 9", "stop 19", "go on 22"}},
		{"a program that ends", always, never, []time.Duration{10 * time.Minute}, []string{"stop 6", "go on 100"}},
	} {
		t.Run(each.name, func(t *testing.T) {
			if got, want := watched(t, each.leads, each.completes, each.writes...), append([]string{"go on 0"}, each.want...); !slices.Equal(got, want) {
				t.Errorf("%v, not %v", got, want)
			}
		})
	}
}

func TestTheWatchdogsSignalsReachConsulAlone(t *testing.T) {
	folder := t.TempDir()
	pidFile := filepath.Join(folder, "pid")
	if err := signalConsul(pidFile, syscall.SIGCONT); !errors.Is(err, errNoConsul) {
		t.Errorf("no pid file: %v", err)
	}
	start := func(name string) *exec.Cmd { // a process's comm is its program's name
		program := filepath.Join(folder, name)
		sleep, err := exec.LookPath("sleep")
		kvtest.Must(t, err)
		kvtest.Must(t, os.Symlink(sleep, program))
		process := exec.Command(program, "60")
		kvtest.Must(t, process.Start())
		t.Cleanup(func() { process.Process.Kill(); process.Wait() })
		kvtest.Must(t, os.WriteFile(pidFile, []byte(strconv.Itoa(process.Process.Pid)+"\n"), 0o600))
		return process
	}
	start("other")
	if err := signalConsul(pidFile, syscall.SIGSTOP); !errors.Is(err, errNoConsul) {
		t.Errorf("another program: %v", err)
	}
	consul := start("consul")
	kvtest.Must(t, signalConsul(pidFile, syscall.SIGSTOP))
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(consul.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Errorf("%v, %v", status, err)
	}
	kvtest.Must(t, signalConsul(pidFile, syscall.SIGCONT))
}

func TestCompletionsOfADevice(t *testing.T) {
	for statistics, want := range map[string]string{
		"    17   0  1048   37   2145  99  57392  1207   3   840   1244   0  0  0  0   402   0\n": "17 2145 402",
		"17 0 1048 37 2145 99 57392 1207 0 840 1244":                                              "", // before Linux 5.5
		"": "", // a file system without a device
	} {
		if got := completions(statistics); got != want {
			t.Errorf("%q: %q, not %q", statistics, got, want)
		}
	}
}
