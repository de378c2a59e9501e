package main

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"slices"
)

// This file owns what the program tells about itself and the servers.

// ownStatus is what the daemon writes to status.json in runDir at each change.
type ownStatus struct {
	Serving bool   `json:"serving"`
	Why     string `json:"why"`
	Synced  bool   `json:"synced"`
}

// fullStatus is what `control-plane status` prints.
type fullStatus struct {
	Name   string `json:"name"`
	Leader string `json:"leader"` // empty: none
	ownStatus
	Servers map[string]serverStatus `json:"servers"`
	Members map[string]string       `json:"members"` // every agent: alive, failed or left
}

type serverStatus struct {
	Alive bool `json:"alive"`
	Voter bool `json:"voter"`
}

func statusPath() string { return filepath.Join(runDir, "status.json") }

func (o ownStatus) write() error {
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return writeFile(statusPath(), append(text, '\n'))
}

// memberWords are serf's states of a member.
var memberWords = map[int]string{1: "alive", 2: "left", 3: "left", 4: "failed"}

// status asks the agent; what it can't tell stays empty.
func status(ctx context.Context, c *config, s *store) fullStatus {
	all := fullStatus{Name: c.Name, Servers: map[string]serverStatus{}, Members: map[string]string{}}
	all.Why = "the daemon doesn't run"
	if text, err := os.ReadFile(statusPath()); err == nil {
		json.Unmarshal(text, &all.ownStatus)
	}
	if address, err := s.client.Status().LeaderWithQueryOptions(reading(ctx, true)); err == nil {
		host, _, _ := net.SplitHostPort(address)
		all.Leader = c.serverAt(host)
	}
	members, _ := s.members(ctx)
	for _, each := range members {
		all.Members[each.Name] = memberWords[each.Status]
	}
	voters, _ := s.voters(ctx, true)
	for name := range c.Servers {
		all.Servers[name] = serverStatus{Alive: all.Members[name] == "alive", Voter: slices.Contains(voters, name)}
	}
	return all
}
