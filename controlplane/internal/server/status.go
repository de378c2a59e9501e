package server

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"

	"rack-lab/controlplane/internal/atomicfile"
	"rack-lab/controlplane/internal/cluster"
	"rack-lab/controlplane/internal/config"
)

// ownStatus is what the daemon writes to status.json in the run folder at each change.
type ownStatus struct {
	Serving bool   `json:"serving"`
	Why     string `json:"why"`
	Synced  bool   `json:"synced"`
}

// FullStatus is what `control-plane status` prints.
type FullStatus struct {
	Name   string `json:"name"`
	Leader string `json:"leader"` // empty: none
	ownStatus
	Servers map[string]ServerStatus `json:"servers"`
	Members map[string]string       `json:"members"` // every agent: alive, failed or left
}

// ServerStatus is what is known of another server.
type ServerStatus struct {
	Alive bool `json:"alive"`
	Voter bool `json:"voter"`
}

func statusPath(c *config.Config) string { return filepath.Join(c.RunDir, "status.json") }

func (o ownStatus) write(path string) error {
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return atomicfile.Write(path, append(text, '\n'))
}

// Status asks the agent, if there is one; what it can't tell stays empty.
func Status(ctx context.Context, c *config.Config, consul *cluster.Client) FullStatus {
	all := FullStatus{Name: c.Name, Servers: map[string]ServerStatus{}, Members: map[string]string{}}
	all.Why = "the daemon doesn't run"
	if text, err := os.ReadFile(statusPath(c)); err == nil {
		if err := json.Unmarshal(text, &all.ownStatus); err != nil {
			all.Why = "its status can't be read: " + err.Error()
		}
	}
	if consul == nil {
		return all
	}
	if address, err := consul.Leader(ctx); err == nil {
		all.Leader = c.ServerAt(address)
	}
	members, _ := consul.Members(ctx)
	for _, each := range members {
		all.Members[each.Name] = each.State()
	}
	voters, _ := consul.Voters(ctx, true)
	for name := range c.Servers {
		all.Servers[name] = ServerStatus{Alive: all.Members[name] == "alive", Voter: slices.Contains(voters, name)}
	}
	return all
}
