// Package config reads what one machine is told about itself and the rack, /etc/rack/control-plane.json, and
// refuses what is wrong in it before anything is done.
package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"time"

	"rack-lab/controlplane/internal/names"
)

// Path is where the configuration is; the environment's RACK_CONTROL_PLANE names another place.
const Path = "/etc/rack/control-plane.json"

const runDir = "/run/control-plane"

// Config is what one machine is told. A machine that is no boot server has Name, MAC and Token only; a boot server
// without consul has Name, MAC, BootAddress, Tree and Directory.
type Config struct {
	Name             string            `json:"name"`
	MAC              string            `json:"mac"`
	Address          string            `json:"address"`            // own, where consul listens
	BootAddress      string            `json:"boot_address"`       // the floating one, with its prefix length
	Device           string            `json:"device"`             // that holds the boot address
	Tree             string            `json:"tree"`               // folder of the boot tree
	Directory        string            `json:"directory"`          // folder of the store; empty: consul is the store
	NodeTree         string            `json:"node_tree"`          // what the node shares of it with this guest; empty: no guest
	State            string            `json:"state"`              // folder of consul's state
	PIDFile          string            `json:"pid_file"`           // where the agent has its process number
	Bootstrap        bool              `json:"bootstrap"`          // the server with the boot medium, which starts the cluster
	Servers          map[string]string `json:"servers"`            // name: address, this one too
	ProofSeconds     int               `json:"proof_seconds"`      // how long a proof of leadership counts
	LoneProofSeconds int               `json:"lone_proof_seconds"` // the same, for the only voter
	DiskSeconds      int               `json:"disk_seconds"`       // how long the disk of a leader's state may complete nothing
	RPCPort          int               `json:"rpc_port"`           // where consul's servers take each other's connections
	TLS              TLS               `json:"tls"`                // of consul's servers among themselves
	PeerPort         int               `json:"peer_port"`          // where servers fetch files from each other
	Token            string            `json:"token"`              // secret of the machine's ACL token
	Tokens           []Token           `json:"tokens"`             // the machines' tokens, which the leader makes
	RunDir           string            `json:"-"`                  // folder of what is gone after a reset
}

// Token is an ACL token that must exist: its secret and consul's rules for it.
type Token struct {
	Name   string `json:"name"`
	Secret string `json:"secret"`
	Rules  string `json:"rules"`
}

// TLS names the files of the agent's certificate, and the name that each server's certificate has.
type TLS struct {
	Authority   string `json:"authority"`
	Certificate string `json:"certificate"`
	Key         string `json:"key"`
	ServerName  string `json:"server_name"`
}

// Load reads the configuration's file. An error names the file and the rule.
func Load() (*Config, error) {
	path := os.Getenv("RACK_CONTROL_PLANE")
	if path == "" {
		path = Path
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// Parse reads a configuration; a key that it doesn't know is an error.
func Parse(text []byte) (*Config, error) {
	c := &Config{RunDir: runDir}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(c); err != nil {
		return nil, err
	}
	if c.Name == "" || c.Token == "" && c.Directory == "" {
		return nil, fmt.Errorf("name must be given, and token or directory")
	}
	if err := names.CheckMAC(c.MAC); err != nil {
		return nil, err
	}
	if !c.IsServer() {
		if c.Directory != "" {
			return nil, fmt.Errorf("directory '%s' is a boot server's, which needs boot_address", c.Directory)
		}
		return c, nil
	}
	if _, err := netip.ParsePrefix(c.BootAddress); err != nil {
		return nil, fmt.Errorf("boot_address '%s' is not like 10.77.3.253/24", c.BootAddress)
	}
	if c.Directory != "" {
		return c, c.checkOnly()
	}
	return c, c.checkServer()
}

// checkOnly checks a boot server's without consul.
func (c *Config) checkOnly() error {
	if c.Tree == "" || len(c.Servers) > 0 || c.Token != "" {
		return fmt.Errorf("a boot server with a directory needs tree, and has no servers and no token")
	}
	return nil
}

// checkServer checks one of consul's servers'.
func (c *Config) checkServer() error {
	if c.Servers[c.Name] != c.Address {
		return fmt.Errorf("servers has '%s' for %s, address is '%s'; they must be the same", c.Servers[c.Name], c.Name, c.Address)
	}
	if c.ProofSeconds < 1 || c.LoneProofSeconds < c.ProofSeconds {
		return fmt.Errorf("proof_seconds %d and lone_proof_seconds %d: at least 1, the lone one not less", c.ProofSeconds, c.LoneProofSeconds)
	}
	if c.DiskSeconds < 1 {
		return fmt.Errorf("disk_seconds %d: at least 1", c.DiskSeconds)
	}
	if c.Device == "" || c.Tree == "" || c.State == "" || c.PIDFile == "" || c.RPCPort == 0 || c.TLS == (TLS{}) || c.PeerPort == 0 {
		return fmt.Errorf("a server needs device, tree, state, pid_file, rpc_port, tls and peer_port")
	}
	return nil
}

// IsServer tells whether the machine can be the boot server: one of consul's servers, or the only one without consul.
func (c *Config) IsServer() bool { return c.BootAddress != "" }

// BootIP is the boot address without its prefix length.
func (c *Config) BootIP() string { return netip.MustParsePrefix(c.BootAddress).Addr().String() }

// Proof is how long a proof of leadership counts.
func (c *Config) Proof() time.Duration { return time.Duration(c.ProofSeconds) * time.Second }

// LoneProof is the same where this server is the only voter.
func (c *Config) LoneProof() time.Duration { return time.Duration(c.LoneProofSeconds) * time.Second }

// RPCAt is the address with the port of consul's servers.
func (c *Config) RPCAt(address string) string {
	return net.JoinHostPort(address, strconv.Itoa(c.RPCPort))
}

// ServerAt names the server with this address; empty for none.
func (c *Config) ServerAt(address string) string {
	for name, its := range c.Servers {
		if its == address {
			return name
		}
	}
	return ""
}

// Others are the other servers' names, in the order of all from the own one on.
func (c *Config) Others() []string {
	all := slices.Sorted(maps.Keys(c.Servers))
	at := slices.Index(all, c.Name)
	return slices.Concat(all[at+1:], all[:at])
}
