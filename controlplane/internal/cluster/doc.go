// Package cluster is consul beyond its keys: who leads and votes, which agents there are, the machines' tokens,
// handing the leadership over, and snapshots. It leaves to others what follows from that.
package cluster
