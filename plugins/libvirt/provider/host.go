package provider

import (
	"fmt"
	"net/url"
	"path/filepath"
	"reflect"
	"sync"
	"time"

	rpc "github.com/digitalocean/go-libvirt"
	"github.com/dmacvicar/terraform-provider-libvirt/libvirt"
)

const (
	// Nested emulation is slow: an ssh handshake through a jump host takes seconds.
	dialDeadline = 30 * time.Second
	// How long a host that did not answer is taken for dead without asking again, so
	// that a refresh of twenty resources waits once, not twenty times.
	rememberFailure = 10 * time.Second
)

// host is one libvirtd: what it is called, and the connection to it once there is one.
type host struct {
	uri string

	lock     sync.Mutex
	client   *libvirt.Client
	tunnel   *tunnel
	failure  error
	failedAt time.Time
}

// connect returns the connection, made now if there is none or the last one broke.
func (h *host) connect() (*libvirt.Client, error) {
	h.lock.Lock()
	defer h.lock.Unlock()
	if h.client != nil && connection(h.client).IsConnected() {
		return h.client, nil
	}
	if h.failure != nil && time.Since(h.failedAt) < rememberFailure {
		return nil, h.failure
	}
	h.tunnel.close()
	h.client, h.tunnel, h.failure = nil, nil, nil
	client, tunnel, err := dial(h.uri)
	if err != nil {
		h.failure, h.failedAt = err, time.Now()
		return nil, err
	}
	h.client, h.tunnel = client, tunnel
	return client, nil
}

// lost tells whether the connection that was there has broken.
func (h *host) lost() bool {
	h.lock.Lock()
	defer h.lock.Unlock()
	return h.client != nil && !connection(h.client).IsConnected()
}

func dial(uri string) (*libvirt.Client, *tunnel, error) {
	deadline := time.Now().Add(dialDeadline)
	parsed, err := url.Parse(uri)
	if err != nil {
		return nil, nil, fmt.Errorf("not a libvirt URI: %w", err)
	}
	if !parsed.Query().Has("ssh_config") {
		client, err := open(uri, deadline)
		return client, nil, err
	}
	tunnel, err := openTunnel(parsed, deadline)
	if err != nil {
		return nil, nil, err
	}
	client, err := open(tunnel.localURI(parsed), deadline)
	if err != nil {
		return nil, nil, tunnel.explain(err)
	}
	tunnel.forget()
	return client, tunnel, nil
}

// open connects with the provider's own client, which knows no deadline.
func open(uri string, deadline time.Time) (*libvirt.Client, error) {
	type result struct {
		client *libvirt.Client
		err    error
	}
	done := make(chan result, 1)
	go func() {
		client, err := (&libvirt.Config{URI: uri}).Client()
		done <- result{client, err}
	}()
	select {
	case r := <-done:
		return r.client, r.err
	case <-time.After(time.Until(deadline)):
		return nil, fmt.Errorf("no answer within %s", dialDeadline)
	}
}

// connection is the RPC connection inside the provider's client. The field is private;
// asking libvirtd for what the provider does not ask needs this or a second connection,
// and an open of libvirt takes seconds inside a node.
func connection(client *libvirt.Client) *rpc.Libvirt {
	field := reflect.ValueOf(client).Elem().FieldByName("libvirt")
	return (*rpc.Libvirt)(field.UnsafePointer())
}

// name is what a person calls the host: the node's name, or the address in the URI.
func (h *host) name() string {
	if parsed, err := url.Parse(h.uri); err == nil && parsed.Hostname() != "" {
		return parsed.Hostname()
	}
	return "this machine"
}

// stack is the one that the host belongs to, by the folder of its ssh configuration,
// .lab/stacks/STACK; empty where that lies elsewhere.
func (h *host) stack() string {
	parsed, err := url.Parse(h.uri)
	if err != nil {
		return ""
	}
	folder := filepath.Dir(parsed.Query().Get("ssh_config"))
	stacks := filepath.Dir(folder)
	if filepath.Base(stacks) != "stacks" || filepath.Base(filepath.Dir(stacks)) != ".lab" {
		return ""
	}
	return filepath.Base(folder)
}

// address is the URI without its parameters, for messages.
func (h *host) address() string {
	parsed, err := url.Parse(h.uri)
	if err != nil {
		return h.uri
	}
	parsed.RawQuery = ""
	return parsed.Redacted()
}
