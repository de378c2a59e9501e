package main

import (
	"context"
	"net"
	"time"
)

// This file owns the cold start's exception: the founder may serve without consul while nobody else can.

// aloneAfter is how long the founder looks for a leader before it serves alone.
const aloneAfter = 20 * time.Second

// alone tells whether this is the founder, no leader has been seen since the program's start, for a while, and
// no other server's consul nor another boot server accepts connections.
func (w *witness) alone(ctx context.Context) bool {
	if !w.config.Founder || w.seen || sinceBoot()-w.began < aloneAfter {
		return false
	}
	if w.config.answering(ctx) != "" {
		return false
	}
	boot := net.JoinHostPort(w.config.bootIP(), "80")
	return holdsAddress(w.config.Device, w.config.bootIP()) || !accepts(ctx, boot)
}

// answering names another server whose consul accepts connections, or is empty.
func (c *config) answering(ctx context.Context) string {
	there := make(chan string, len(c.Servers))
	for name, address := range c.Servers {
		go func() {
			if name == c.Name || !accepts(ctx, c.rpcAt(address)) {
				name = ""
			}
			there <- name
		}()
	}
	found := ""
	for range c.Servers {
		found = max(found, <-there)
	}
	return found
}

// accepts tells whether the address accepts a TCP connection within a second.
func accepts(ctx context.Context, address string) bool {
	dialer := net.Dialer{Timeout: time.Second}
	connection, err := dialer.DialContext(ctx, "tcp", address)
	if err == nil {
		connection.Close()
	}
	return err == nil
}

// holdsAddress tells whether the device has the address.
func holdsAddress(device, address string) bool {
	its, err := net.InterfaceByName(device)
	if err != nil {
		return false
	}
	addresses, _ := its.Addrs()
	for _, each := range addresses {
		if network, ok := each.(*net.IPNet); ok && network.IP.String() == address {
			return true
		}
	}
	return false
}
