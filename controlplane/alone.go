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
	var others []string
	for name, address := range w.config.Servers {
		if name != w.config.Name {
			others = append(others, net.JoinHostPort(address, "8300"))
		}
	}
	if !holdsAddress(w.config.Device, w.config.bootIP()) {
		others = append(others, net.JoinHostPort(w.config.bootIP(), "80"))
	}
	return !anyAccepts(ctx, others)
}

// anyAccepts tells whether one of the addresses accepts a TCP connection within a second.
func anyAccepts(ctx context.Context, addresses []string) bool {
	answers := make(chan bool, len(addresses))
	for _, address := range addresses {
		go func() {
			dialer := net.Dialer{Timeout: time.Second}
			connection, err := dialer.DialContext(ctx, "tcp", address)
			if err == nil {
				connection.Close()
			}
			answers <- err == nil
		}()
	}
	found := false
	for range addresses {
		found = <-answers || found
	}
	return found
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
