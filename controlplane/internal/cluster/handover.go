package cluster

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"rack-lab/controlplane/internal/config"
)

// A follower is told what a leader that leaves tells it, raft's TimeoutNow (Ongaro's dissertation, 3.10). It stands
// for election at once then, and the others vote without waiting until they miss their leader; who may win is up
// to raft, as ever.
const (
	handOverWithin = 2 * time.Second // for each server
	// The first byte of a connection to a server's RPC port tells what follows (consul, agent/pool: RPCRaft, RPCTLS).
	raftFollows = 1
	tlsFollows  = 3
	// raftProtocol is the version that consul's servers speak.
	raftProtocol = 3
)

// HandOver tells the first of these servers that takes it to stand for election.
func HandOver(c *config.Config, to ...string) error {
	secured, err := loadTLS(c.TLS)
	if err != nil {
		return err
	}
	transport := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: &dialer{tls: secured, done: make(chan struct{})}, Timeout: handOverWithin, Logger: hclog.NewNullLogger(),
	})
	defer transport.Close()
	own := raft.RPCHeader{ProtocolVersion: raftProtocol, Addr: []byte(c.RPCAt(c.Address))}
	failed := errors.New("nobody takes the leadership over")
	for _, name := range to {
		at := raft.ServerAddress(c.RPCAt(c.Servers[name]))
		err := transport.TimeoutNow("", at, &raft.TimeoutNowRequest{RPCHeader: own}, &raft.TimeoutNowResponse{})
		if err == nil {
			slog.Info("told to stand for election", "server", name)
			return nil
		}
		failed = fmt.Errorf("%w; %s: %w", failed, name, err)
	}
	return failed
}

// loadTLS reads what a server shows other servers, and how it knows them.
func loadTLS(t config.TLS) (*tls.Config, error) {
	own, err := tls.LoadX509KeyPair(t.Certificate, t.Key)
	if err != nil {
		return nil, err
	}
	authority, err := os.ReadFile(t.Authority)
	if err != nil {
		return nil, err
	}
	known := x509.NewCertPool()
	if !known.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("%s has no certificate", t.Authority)
	}
	return &tls.Config{Certificates: []tls.Certificate{own}, RootCAs: known, ServerName: t.ServerName, MinVersion: tls.VersionTLS12}, nil
}

// dialer is raft's way to other servers; nobody connects to it.
type dialer struct {
	tls  *tls.Config
	done chan struct{}
}

func (d *dialer) Accept() (net.Conn, error) {
	<-d.done
	return nil, net.ErrClosed
}

func (d *dialer) Close() error {
	close(d.done)
	return nil
}

func (d *dialer) Addr() net.Addr { return &net.TCPAddr{} }

// Dial connects as consul's servers do among themselves (consul, agent/consul/raft_rpc.go).
func (d *dialer) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	plain, err := net.DialTimeout("tcp", string(address), timeout)
	if err != nil {
		return nil, err
	}
	secured := tls.Client(plain, d.tls)
	err = secured.SetDeadline(time.Now().Add(timeout))
	if err == nil {
		_, err = plain.Write([]byte{tlsFollows})
	}
	if err == nil {
		_, err = secured.Write([]byte{raftFollows}) // after the handshake
	}
	if err == nil {
		err = secured.SetDeadline(time.Time{})
	}
	if err != nil {
		plain.Close()
		return nil, err
	}
	return secured, nil
}
