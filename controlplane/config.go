package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"time"
)

// This file owns /etc/rack/control-plane.json: what one machine is told about itself and the rack.

const configPath = "/etc/rack/control-plane.json"

// config is what one machine is told. A machine that is no server has Name, MAC and Token only.
type config struct {
	Name             string            `json:"name"`
	MAC              string            `json:"mac"`
	Address          string            `json:"address"`            // own, where consul listens
	BootAddress      string            `json:"boot_address"`       // the floating one, with its prefix length
	Device           string            `json:"device"`             // that holds the boot address
	Tree             string            `json:"tree"`               // folder of the boot tree
	NodeTree         string            `json:"node_tree"`          // what the node shares of it with this guest; empty: no guest
	State            string            `json:"state"`              // folder of consul's state
	PIDFile          string            `json:"pid_file"`           // where the agent has its process number
	Founder          bool              `json:"founder"`            // the server with the stick
	Servers          map[string]string `json:"servers"`            // name: address, this one too
	ProofSeconds     int               `json:"proof_seconds"`      // how long a proof of leadership counts
	LoneProofSeconds int               `json:"lone_proof_seconds"` // the same, for the only voter
	DiskSeconds      int               `json:"disk_seconds"`       // how long the disk of a leader's state may complete nothing
	RPCPort          int               `json:"rpc_port"`           // where consul's servers take each other's connections
	TLS              tlsConfig         `json:"tls"`                // of consul's servers among themselves
	PeerPort         int               `json:"peer_port"`          // where servers fetch files from each other
	Token            string            `json:"token"`              // secret of the machine's ACL token
	Tokens           []tokenConfig     `json:"tokens"`             // the machines' tokens, which the leader makes
}

// tokenConfig is an ACL token that must exist: its secret and consul's rules for it.
type tokenConfig struct {
	Name   string `json:"name"`
	Secret string `json:"secret"`
	Rules  string `json:"rules"`
}

// tlsConfig names the files of the agent's certificate, and the name that each server's certificate has.
type tlsConfig struct {
	Authority   string `json:"authority"`
	Certificate string `json:"certificate"`
	Key         string `json:"key"`
	ServerName  string `json:"server_name"`
}

// loadConfig reads the file named by RACK_CONTROL_PLANE, else configPath.
func loadConfig() (*config, error) {
	path := os.Getenv("RACK_CONTROL_PLANE")
	if path == "" {
		path = configPath
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c, err := parseConfig(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

func parseConfig(text []byte) (*config, error) {
	c := &config{}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(c); err != nil {
		return nil, err
	}
	if c.Name == "" || c.Token == "" {
		return nil, fmt.Errorf("name and token must be given")
	}
	if err := checkMAC(c.MAC); err != nil {
		return nil, err
	}
	if !c.isServer() {
		return c, nil
	}
	if _, err := netip.ParsePrefix(c.BootAddress); err != nil {
		return nil, fmt.Errorf("boot_address '%s' is not like 10.77.3.253/24", c.BootAddress)
	}
	if c.Servers[c.Name] != c.Address {
		return nil, fmt.Errorf("servers has '%s' for %s, address is '%s'; they must be the same", c.Servers[c.Name], c.Name, c.Address)
	}
	if c.ProofSeconds < 1 || c.LoneProofSeconds < c.ProofSeconds {
		return nil, fmt.Errorf("proof_seconds %d and lone_proof_seconds %d: at least 1, the lone one not less", c.ProofSeconds, c.LoneProofSeconds)
	}
	if c.DiskSeconds < 1 {
		return nil, fmt.Errorf("disk_seconds %d: at least 1", c.DiskSeconds)
	}
	if c.Device == "" || c.Tree == "" || c.State == "" || c.PIDFile == "" || c.RPCPort == 0 || c.TLS == (tlsConfig{}) || c.PeerPort == 0 {
		return nil, fmt.Errorf("a server needs device, tree, state, pid_file, rpc_port, tls and peer_port")
	}
	return c, nil
}

func (c *config) isServer() bool { return c.BootAddress != "" }

// bootIP is the boot address without its prefix length.
func (c *config) bootIP() string { return netip.MustParsePrefix(c.BootAddress).Addr().String() }

func (c *config) proof() time.Duration     { return time.Duration(c.ProofSeconds) * time.Second }
func (c *config) loneProof() time.Duration { return time.Duration(c.LoneProofSeconds) * time.Second }

func (c *config) rpcAt(address string) string {
	return net.JoinHostPort(address, strconv.Itoa(c.RPCPort))
}

// serverAt names the server with this address; empty for none.
func (c *config) serverAt(address string) string {
	for name, its := range c.Servers {
		if its == address {
			return name
		}
	}
	return ""
}

var (
	macPattern  = regexp.MustCompile(`^([0-9a-f]{2}-){5}[0-9a-f]{2}$`)
	sumPattern  = regexp.MustCompile(`^[0-9a-f]{64}$`)
	wordPattern = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]*$`)
)

func checkMAC(mac string) error {
	if !macPattern.MatchString(mac) {
		return fmt.Errorf("MAC '%s' is not like 52-54-00-aa-bb-cc", mac)
	}
	return nil
}

func checkSum(what, sum string) error {
	if !sumPattern.MatchString(sum) {
		return fmt.Errorf("%s '%s' is not 64 hex digits", what, sum)
	}
	return nil
}

func checkWord(what, word string) error {
	if !wordPattern.MatchString(word) {
		return fmt.Errorf("%s '%s' is no plain file name", what, word)
	}
	return nil
}
