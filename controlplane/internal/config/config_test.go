package config

import (
	"slices"
	"strings"
	"testing"
)

const server = `{"name": "laptop", "mac": "52-54-00-aa-bb-01", "address": "10.77.3.10", "boot_address": "10.77.3.253/24",
	"device": "eth0", "tree": "/media/stick", "state": "/var/lib/consul", "pid_file": "/run/consul.pid", "bootstrap": true,
	"servers": {"laptop": "10.77.3.10"}, "proof_seconds": 5, "lone_proof_seconds": 30, "disk_seconds": 6, "rpc_port": 8300,
	"tls": {"authority": "a", "certificate": "b", "key": "c", "server_name": "server.rack.consul"},
	"peer_port": 8180, "token": "s", "tokens": [{"name": "router", "secret": "x", "rules": "y"}]}`

func TestParse(t *testing.T) {
	machine := `{"name": "san1", "mac": "52-54-00-aa-bb-01", "token": "s"}`
	if c, err := Parse([]byte(machine)); err != nil || c.IsServer() {
		t.Errorf("%+v, %v", c, err)
	}
	if c, err := Parse([]byte(server)); err != nil || c.BootIP() != "10.77.3.253" || c.ServerAt("10.77.3.10") != "laptop" {
		t.Errorf("%+v, %v", c, err)
	}
	for _, each := range []struct{ from, to, told string }{
		{`"token": "s"`, `"tokem": "s"`, "tokem"},
		{`"token": "s"`, `"token": ""`, "token or directory"},
		{"aa-bb", "AA-bb", "MAC"},
		{"253/24", "253", "boot_address"},
		{`"lone_proof_seconds": 30`, `"lone_proof_seconds": 3`, "lone_proof_seconds"},
		{`"disk_seconds": 6`, `"disk_seconds": 0`, "disk_seconds"},
		{`{"laptop": "10.77.3.10"}`, `{"laptop": "10.77.3.11"}`, "must be the same"},
		{`"peer_port": 8180`, `"peer_port": 0`, "peer_port"},
	} {
		if _, err := Parse([]byte(strings.ReplaceAll(server, each.from, each.to))); err == nil || !strings.Contains(err.Error(), each.told) {
			t.Errorf("%s: %v", each.to, err)
		}
	}
}

func TestABootServerWithoutConsul(t *testing.T) {
	only := `{"name": "laptop", "mac": "52-54-00-aa-bb-01", "boot_address": "10.77.3.10/24", "tree": "/media/stick", "directory": "/media/stick/kv"}`
	if c, err := Parse([]byte(only)); err != nil || !c.IsServer() || c.BootIP() != "10.77.3.10" {
		t.Errorf("%+v, %v", c, err)
	}
	for _, each := range []struct{ from, to, told string }{
		{`"tree": "/media/stick"`, `"tree": ""`, "needs tree"},
		{`"tree"`, `"token": "s", "tree"`, "no token"},
		{`"boot_address": "10.77.3.10/24", `, "", "needs boot_address"},
		{"10.77.3.10/24", "10.77.3.10", "boot_address"},
	} {
		if _, err := Parse([]byte(strings.ReplaceAll(only, each.from, each.to))); err == nil || !strings.Contains(err.Error(), each.told) {
			t.Errorf("%s: %v", each.to, err)
		}
	}
}

func TestOthersFollowFromTheOwnOneOn(t *testing.T) {
	c := &Config{Name: "b", Servers: map[string]string{"c": "", "a": "", "b": "", "d": ""}}
	if got := c.Others(); !slices.Equal(got, []string{"c", "d", "a"}) {
		t.Error(got)
	}
}
