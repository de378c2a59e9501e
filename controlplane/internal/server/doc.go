// Package server is the daemon of one of the rack's consul servers: it looks who leads, has that decided (package
// leadership), and does what was decided: opens the fence, runs DHCP, serves the boot tree over HTTP, and does the
// leader's tasks. Everything that it does for long is another package's.
package server
