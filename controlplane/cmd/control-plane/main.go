// The control plane: with consul servers in the rack, raft's leader, and only it, is the boot server, at a floating
// address; all state is in consul. One program for servers and for every other machine, which sends commits
// with it.
//
// This package has the commands' arguments alone; internal/ has what they do.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"

	"rack-lab/controlplane/internal/clock"
)

func main() {
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{ReplaceAttr: uptime})))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	name := filepath.Base(os.Args[0])
	err := run(ctx, name, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// uptime has log lines begin with the seconds since the machine's start: a guest's clock may be set while it logs.
func uptime(groups []string, attribute slog.Attr) slog.Attr {
	if len(groups) == 0 && attribute.Key == slog.TimeKey {
		return slog.String("uptime", strconv.FormatFloat(clock.SinceBoot().Seconds(), 'f', 1, 64))
	}
	return attribute
}
