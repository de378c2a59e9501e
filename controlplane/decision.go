package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// This file owns the decision who serves, as a pure function of what was seen and when.
//
// Raft's leader takes the lease (one KV key) and may answer machines for some seconds after the start of each
// look that read the lease as its own: the gate. All of a lease's gates began before another server took it, so
// that server, which waits for the lease's seconds and a fifth after it has seen itself the owner, opens
// only when they are closed, whoever believes what about leadership meanwhile.

// lease is the value of rack/lease: who may serve. The text is "<server> <run> <seconds> taken|held".
type lease struct {
	server  string
	run     string // tells two runs of the program on that server apart
	seconds int    // no look at this lease, nor at one before it unless it is held, opens a gate for longer
	held    bool   // the gates of those who had it before are closed
}

func (l lease) String() string {
	state := "taken"
	if l.held {
		state = "held"
	}
	return fmt.Sprintf("%s %s %d %s", l.server, l.run, l.seconds, state)
}

// parseLease reads a lease; nothing is the lease of nobody.
func parseLease(text string) (lease, error) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return lease{}, nil
	}
	if len(words) == 4 {
		if seconds, err := strconv.Atoi(words[2]); err == nil {
			return lease{words[0], words[1], seconds, words[3] == "held"}, nil
		}
	}
	return lease{}, fmt.Errorf("%s '%s' is not 'server run seconds taken|held'; delete the key", leaseKey, text)
}

// sight is what one look found.
type sight struct {
	start, end time.Duration // when the look began, and when its last answer was there
	leader     string        // name of raft's leader as the local agent has it; empty: none, or no answer
	proved     bool          // this server leads and the lease was read (lease, voters)
	lease      lease
	voters     int
	alone      bool // founder: it alone can be serving (alone.go)
	synced     bool // the local tree is complete
	problem    string
}

// verdict is what to do after a look.
type verdict struct {
	until time.Duration // the gate's end; not after now: closed
	claim *lease        // to be written over the lease that was seen
	soon  bool          // the gate opens when the wait is over
	next  time.Duration // from now to the next look
	why   string
}

// decider holds what the next decision needs of the former ones.
type decider struct {
	name        string
	run         string
	founder     bool
	proof, lone time.Duration

	until   time.Duration // the gate's end
	open    bool
	over    lease         // the one this run's was written over
	fresh   bool          // this run's has not been seen since
	lowered int           // seconds it was last lowered to, which has not been seen since; 0: none
	wait    time.Duration // no gate before that time
	long    time.Duration // all gates for longer than proof end before that time
}

// judge decides after a look.
func (d *decider) judge(s sight) verdict {
	v := d.decide(s)
	if v.until > s.end {
		d.until, d.open = v.until, true
	} else {
		v.until, d.open = 0, false
	}
	return v
}

func (d *decider) decide(s sight) verdict {
	v := verdict{next: d.proof * 2 / 5}
	switch {
	case s.alone:
		v.until, v.why = s.start+d.proof, "no consul leader, and no other server is there"
	case s.proved:
		d.lead(s, &v)
	case s.leader == d.name || s.leader == "":
		// No proof; the last one counts till its end.
		v.until, v.why = d.until, "no consul leader"
		if s.problem != "" {
			v.why = s.problem
		}
	default:
		v.why = s.leader + " leads"
	}
	return v
}

// lead decides for the leader.
func (d *decider) lead(s sight, v *verdict) {
	need := d.proof
	if s.voters == 1 {
		need = d.lone
	}
	if !d.owns(s.lease) {
		d.over, d.fresh, d.lowered = s.lease, true, 0
		v.why = "elected; takes the lease"
		d.take(max(need, seconds(s.lease.seconds)), d.caution() == 0, v)
		if d.caution() == 0 { // it may have served alone until now
			v.until = d.until
		}
		return
	}
	if d.fresh {
		d.fresh = false
		d.wait = s.end + d.caution()
		d.long = max(d.long, d.wait)
	}
	if s.lease.seconds == d.lowered {
		d.lowered = 0
	}
	if d.lowered != 0 { // it counts already, as it may be written at any time
		need = seconds(d.lowered)
	}
	length := min(need, seconds(s.lease.seconds))
	held := s.end >= d.wait
	switch {
	case need > length:
		d.take(need, held, v)
	case need < seconds(s.lease.seconds) && s.end >= d.long:
		d.take(need, held, v)
		d.lowered = v.claim.seconds
	case held && !s.lease.held:
		d.take(seconds(s.lease.seconds), held, v)
	default:
		v.next = length * 2 / 5
	}
	switch {
	case !held:
		v.next, v.soon = min(v.next, d.proof*2/5, d.wait-s.end), true
		v.why = "elected; waits until the gate of any other has closed by itself"
	case !s.synced && !d.open:
		v.why = "leads, but its tree is not complete"
	default:
		v.until, v.why = s.start+length, "leads"
		if length > d.proof {
			d.long = max(d.long, v.until)
		}
	}
}

// owns tells whether a lease is this run's.
func (d *decider) owns(l lease) bool { return l.server == d.name && l.run == d.run }

// take has the lease written for gates of this length.
func (d *decider) take(length time.Duration, held bool, v *verdict) {
	v.claim, v.next = &lease{d.name, d.run, int(length / time.Second), held}, 0
}

// caution is how long gates under the former lease can still be open. Without one, and after an earlier run of
// its own (whose gate was closed at start), only the founder can serve, alone.
func (d *decider) caution() time.Duration {
	own := d.over.server == "" || d.over.server == d.name && d.over.held
	if own && d.founder {
		return 0
	}
	return max(seconds(d.over.seconds), d.proof) * 6 / 5
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }
