// Package leadership decides who is the boot server, so that never two are.
//
// Raft's leader takes the lease (one key) and may answer machines for some seconds after the start of each
// look that read the lease as its own: until then its fence is open. All of a lease's fences were opened
// for a time that began before another server took it, so that server, which waits for the lease's seconds
// and a fifth after it has seen itself the owner, opens only when they are closed, whoever believes what
// about leadership meanwhile.
//
// An Observer looks: what the local agent says about the leader and the lease. A Decider decides, as a pure
// function of what was seen and when. The fence itself is package fence's.
package leadership
