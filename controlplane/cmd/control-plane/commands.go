package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"rack-lab/controlplane/internal/boottree"
	"rack-lab/controlplane/internal/cluster"
	"rack-lab/controlplane/internal/config"
	"rack-lab/controlplane/internal/httpd"
	"rack-lab/controlplane/internal/kv"
	"rack-lab/controlplane/internal/kv/consul"
	"rack-lab/controlplane/internal/kv/directory"
	"rack-lab/controlplane/internal/names"
	"rack-lab/controlplane/internal/recovery"
	"rack-lab/controlplane/internal/replica"
	"rack-lab/controlplane/internal/server"
)

// patience is how long a command that brings something, which may take minutes by itself, waits for a leader.
const patience = 600 * time.Second

// where is on which machines a command works.
type where int

const (
	bootServer   where = iota // all that can be the boot server
	consulServer              // those of them that are consul's servers
	anyMember                 // all with a consul agent
)

// environment is what a command works with.
type environment struct {
	config   *config.Config
	store    kv.Store        // with patience where the command has it
	consul   *cluster.Client // nil: the store is a directory
	patience kv.Patience
	input    io.Reader
	output   io.Writer
}

func (e *environment) library() boottree.Library {
	return boottree.Library{Folder: replica.FolderOf(e.config), Store: e.store}
}

// command is one subcommand.
type command struct {
	name      string
	arguments string // as help shows them; "..." at the end: any number more
	help      string
	where     where
	patient   bool // waits for a leader
	do        func(ctx context.Context, e *environment, arguments []string) error
}

var commands = []command{
	{"serve", "", "be the boot server, or one of those that can be, until a signal comes", bootServer, false, func(ctx context.Context, e *environment, _ []string) error {
		if e.consul == nil {
			return server.RunOnly(ctx, e.config, e.store)
		}
		return server.Run(ctx, e.config, e.store, e.consul)
	}},
	{"status", "", "tell who leads, who serves and which servers are there, as JSON", bootServer, false, func(ctx context.Context, e *environment, _ []string) error {
		return json.NewEncoder(e.output).Encode(server.Status(ctx, e.config, e.consul))
	}},
	{"commit", "MAC", "standard input, a tar.gz, becomes the machine's commit", anyMember, true, func(ctx context.Context, e *environment, a []string) error {
		return boottree.SendCommit(ctx, e.store, e.patience, a[0], e.input)
	}},
	{"snapshot", "", "save consul's state beside it", consulServer, false, func(ctx context.Context, e *environment, _ []string) error {
		return recovery.SaveSnapshot(ctx, e.config, e.consul)
	}},
	{"restore", "FILE", "have all servers' state become a snapshot's", consulServer, false, func(ctx context.Context, e *environment, a []string) error {
		return recovery.RestoreSnapshot(ctx, e.consul, a[0])
	}},
	{"lead-alone", "", "go on without the servers that are gone for good", consulServer, false, func(ctx context.Context, e *environment, _ []string) error {
		return recovery.LeadAlone(ctx, e.config, e.consul)
	}},
	{"rejoin", "", "forget this server's state and get the others'", consulServer, false, func(ctx context.Context, e *environment, _ []string) error {
		return recovery.Rejoin(ctx, e.config)
	}},
	{"bootstraps", "", "tell by the exit code whether consul here starts a cluster", consulServer, false, func(ctx context.Context, e *environment, _ []string) error {
		return recovery.Bootstraps(ctx, e.config)
	}},
	{"boot-entry set", "MAC IMAGE OVERLAY_SHA256", "give a machine an image and the overlay on standard input", bootServer, true, served(func(ctx context.Context, e *environment, a []string) error {
		return boottree.SetEntry(ctx, e.store, a[0], a[1], a[2], e.input)
	})},
	{"boot-entry commit", "MAC", "standard input, a tar.gz, becomes the machine's commit", bootServer, true, served(func(ctx context.Context, e *environment, a []string) error {
		return boottree.Commit(ctx, e.store, a[0], e.input)
	})},
	{"boot-entry show", "MAC", "print the machine's boot.env", bootServer, true, func(ctx context.Context, e *environment, a []string) error {
		text, err := boottree.ShowEntry(ctx, e.store, a[0])
		fmt.Fprint(e.output, text)
		return err
	}},
	{"boot-entry remove", "MAC", "have the machine boot nothing any more", bootServer, true, func(ctx context.Context, e *environment, a []string) error {
		return boottree.RemoveEntry(ctx, e.store, a[0])
	}},
	{"boot-image list", "IMAGE", "standard input becomes the image's list; print the layers that lack", bootServer, true, imported(func(ctx context.Context, e *environment, a []string) error {
		missing, err := e.library().PutList(ctx, a[0], e.input)
		for _, file := range missing {
			fmt.Fprintln(e.output, file)
		}
		return err
	})},
	{"boot-image put", "FILE SHA256", "standard input becomes an image layer", bootServer, true, imported(func(ctx context.Context, e *environment, a []string) error {
		return e.library().PutLayer(ctx, a[0], a[1], e.input)
	})},
	{"boot-image prune", "IMAGE...", "remove what nothing names but these images", bootServer, true, imported(func(ctx context.Context, e *environment, a []string) error {
		return e.library().Prune(ctx, a...)
	})},
	{"boot-file check", "PATH SHA256", "tell whether the file is 'there' or 'missing'", bootServer, true, imported(func(ctx context.Context, e *environment, a []string) error {
		there, err := e.library().Has(ctx, a[0], a[1])
		if err == nil {
			fmt.Fprintln(e.output, map[bool]string{true: "there", false: "missing"}[there])
		}
		return err
	})},
	{"boot-file put", "PATH SHA256", "standard input becomes the file", bootServer, true, imported(func(ctx context.Context, e *environment, a []string) error {
		return e.library().Put(ctx, a[0], a[1], e.input)
	})},
}

// imported waits for the import first.
func imported(do func(context.Context, *environment, []string) error) func(context.Context, *environment, []string) error {
	return func(ctx context.Context, e *environment, arguments []string) error {
		if err := boottree.AwaitImport(ctx, e.store, e.patience); err != nil {
			return err
		}
		return do(ctx, e, arguments)
	}
}

// served waits until the machine, the first argument, gets what was set.
func served(do func(context.Context, *environment, []string) error) func(context.Context, *environment, []string) error {
	return imported(func(ctx context.Context, e *environment, arguments []string) error {
		if err := names.CheckMAC(arguments[0]); err != nil {
			return err
		}
		if err := do(ctx, e, arguments); err != nil {
			return err
		}
		return boottree.AwaitServed(ctx, e.store, e.patience, arguments[0], func(ctx context.Context, path string) (string, error) {
			return httpd.ReadText(ctx, "http://"+e.config.BootIP()+path)
		})
	})
}

// run runs one command; a program called boot-entry, boot-image or boot-file has its commands alone.
func run(ctx context.Context, program string, words []string) error {
	prefix := ""
	if strings.HasPrefix(program, "boot-") {
		prefix = program + " "
	}
	chosen, arguments, err := choose(prefix, words)
	if err != nil {
		return err
	}
	c, err := config.Load()
	if err != nil {
		return err
	}
	if err := chosen.where.check(c); err != nil {
		return err
	}
	e := &environment{config: c, input: os.Stdin, output: os.Stdout}
	if c.Directory != "" {
		e.store = directory.New(c.Directory, filepath.Join(c.RunDir, "kv.lock"))
	} else {
		client, err := consul.Client(c.Token)
		if err != nil {
			return err
		}
		e.store, e.consul = consul.New(client), cluster.New(client)
	}
	if chosen.patient {
		e.patience = kv.PatienceFor(patience, os.Stderr)
		e.store = e.patience.Over(e.store)
	}
	return chosen.do(ctx, e, arguments)
}

// check refuses a machine that isn't one of those.
func (w where) check(c *config.Config) error {
	switch {
	case w == anyMember && c.Directory != "", w == consulServer && c.Directory != "":
		return errors.New("this rack has no consul; that works in a rack with a control plane")
	case w != anyMember && !c.IsServer():
		return errors.New("this machine is no boot server; only `control-plane commit MAC` works here")
	}
	return nil
}

// choose finds the command that the words name below a prefix, and its arguments.
func choose(prefix string, words []string) (*command, []string, error) {
	for n := range commands {
		each := &commands[n]
		name, there := strings.CutPrefix(each.name, prefix)
		if !there {
			continue
		}
		own := strings.Fields(name)
		if len(words) < len(own) || !slices.Equal(words[:len(own)], own) {
			continue
		}
		flags := flag.NewFlagSet(each.name, flag.ContinueOnError)
		flags.SetOutput(io.Discard)
		wanted := strings.Fields(each.arguments)
		err := flags.Parse(words[len(own):])
		if many := strings.HasSuffix(each.arguments, "..."); err != nil || flags.NArg() != len(wanted) && !many {
			return nil, nil, fmt.Errorf("usage: %s", strings.TrimSpace(each.name+" "+each.arguments))
		}
		return each, flags.Args(), nil
	}
	return nil, nil, errors.New(usage(prefix))
}

// usage lists the commands below a prefix.
func usage(prefix string) string {
	lines := []string{"usage:"}
	for _, each := range commands {
		if strings.HasPrefix(each.name, prefix) {
			line := strings.TrimSpace(each.name + " " + each.arguments)
			lines = append(lines, fmt.Sprintf("  %-45s %s", line, each.help))
		}
	}
	return strings.Join(lines, "\n")
}
