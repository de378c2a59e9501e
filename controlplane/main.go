// The control plane of a rack with consul servers: raft's leader, and only it, is the boot server, at a
// floating address; all state is in consul's KV. One program for servers (serve, status, boot-entry, boot-image,
// boot-file) and for every machine (commit).
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

const usage = "usage: control-plane serve | status | commit MAC | snapshot | restore FILE | lead-alone | rejoin | " +
	"founds | boot-entry ... | boot-image ... | boot-file ..."

// patience is how long a command that brings something, which may take minutes by itself, waits for a leader.
const patience = 600 * time.Second

func main() {
	args := os.Args
	if name := filepath.Base(args[0]); name == "boot-entry" || name == "boot-image" || name == "boot-file" {
		args = append([]string{"control-plane", name}, args[1:]...)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := command(ctx, args[1:]); err != nil {
		name := filepath.Base(os.Args[0])
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// command runs one command.
func command(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	c, err := loadConfig()
	if err != nil {
		return err
	}
	brings := map[string]time.Duration{
		"commit": patience, "boot-entry": patience, "boot-image": patience, "boot-file": patience,
	}
	s, err := newStore(c.Token, brings[args[0]])
	if err != nil {
		return err
	}
	if args[0] == "commit" && len(args) == 2 {
		return sendCommit(ctx, s, args[1], os.Stdin)
	}
	if !c.isServer() {
		return errors.New("this machine is no server; only `control-plane commit MAC` works here")
	}
	l := &library{c.Tree, s}
	switch {
	case args[0] == "serve" && len(args) == 1:
		return serve(ctx, c, s)
	case args[0] == "status" && len(args) == 1:
		limited, cancel := context.WithTimeout(ctx, callLimit)
		defer cancel()
		return json.NewEncoder(os.Stdout).Encode(status(limited, c, s))
	case args[0] == "snapshot" && len(args) == 1:
		return saveSnapshot(ctx, c, s)
	case args[0] == "restore" && len(args) == 2:
		return restoreSnapshot(ctx, s, args[1])
	case args[0] == "lead-alone" && len(args) == 1:
		return leadAlone(ctx, c, s)
	case args[0] == "rejoin" && len(args) == 1:
		return rejoin(ctx, c)
	case args[0] == "founds" && len(args) == 1:
		return founds(ctx, c)
	case args[0] == "boot-entry":
		return bootEntry(ctx, s, bootServer("http://"+c.bootIP()), os.Stdin, os.Stdout, args[1:])
	case args[0] == "boot-image":
		return bootImage(ctx, l, os.Stdin, os.Stdout, args[1:])
	case args[0] == "boot-file":
		return bootFile(ctx, l, os.Stdin, os.Stdout, args[1:])
	}
	return errors.New(usage)
}
