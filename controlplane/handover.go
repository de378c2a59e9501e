package main

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// This file owns handing leadership over for a consul that is stopped: a follower is told what a leader that leaves
// tells it, raft's TimeoutNow (Ongaro's dissertation, 3.10). It stands for election at once then, and the others vote
// without waiting until they miss their leader; who may win is up to raft, as ever.

const (
	handOverWithin = 2 * time.Second // for each server
	// raftStream is the first byte of a connection to a server's RPC port that is for raft: consul, agent/pool, RPCRaft.
	raftStream = 1
	// raftProtocol is the version that consul's servers speak.
	raftProtocol = 3
)

// handOver tells the first of the other servers that takes it.
func (c *config) handOver() error {
	transport := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: &dialer{done: make(chan struct{})}, Timeout: handOverWithin, Logger: hclog.NewNullLogger(),
	})
	defer transport.Close()
	own := raft.RPCHeader{ProtocolVersion: raftProtocol, Addr: []byte(c.rpcAt(c.Address))}
	failed := errors.New("nobody takes the leadership over")
	for _, name := range c.others() {
		at := raft.ServerAddress(c.rpcAt(c.Servers[name]))
		err := transport.TimeoutNow("", at, &raft.TimeoutNowRequest{RPCHeader: own}, &raft.TimeoutNowResponse{})
		if err == nil {
			logf("watchdog: %s is told to stand for election", name)
			return nil
		}
		failed = fmt.Errorf("%w; %s: %w", failed, name, err)
	}
	return failed
}

// others are the other servers' names, in the order of all from the own one on.
func (c *config) others() []string {
	names := slices.Sorted(maps.Keys(c.Servers))
	at := slices.Index(names, c.Name)
	return slices.Concat(names[at+1:], names[:at])
}

// dialer is raft's way to other servers; nobody connects to it.
type dialer struct{ done chan struct{} }

func (d *dialer) Accept() (net.Conn, error) {
	<-d.done
	return nil, net.ErrClosed
}

func (d *dialer) Close() error {
	close(d.done)
	return nil
}

func (d *dialer) Addr() net.Addr { return &net.TCPAddr{} }

func (d *dialer) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	connection, err := net.DialTimeout("tcp", string(address), timeout)
	if err != nil {
		return nil, err
	}
	if _, err := connection.Write([]byte{raftStream}); err != nil {
		connection.Close()
		return nil, err
	}
	return connection, nil
}
