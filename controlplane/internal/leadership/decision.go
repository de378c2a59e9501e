package leadership

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Key is where the lease is.
const Key = "rack/lease"

// lease is the value of rack/Lease: who may serve. The text is "<server> <run> <seconds> taken|held".
type Lease struct {
	Server  string
	Run     string // tells two runs of the program on that server apart
	Seconds int    // no look at this lease, nor at one before it unless it is held, opens a fence for longer
	Held    bool   // the fences of those who had it before are closed
}

func (l Lease) String() string {
	state := "taken"
	if l.Held {
		state = "held"
	}
	return fmt.Sprintf("%s %s %d %s", l.Server, l.Run, l.Seconds, state)
}

// ParseLease reads a lease; no text is the lease of nobody.
func ParseLease(text string) (Lease, error) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return Lease{}, nil
	}
	if len(words) == 4 {
		if seconds, err := strconv.Atoi(words[2]); err == nil {
			return Lease{words[0], words[1], seconds, words[3] == "held"}, nil
		}
	}
	return Lease{}, fmt.Errorf("%s '%s' is not 'server run seconds taken|held'; delete the key", Key, text)
}

// Observation is what one look at consul found.
type Observation struct {
	Start, End time.Duration // when the look began, and when its last answer was there; clock.SinceBoot
	Leader     string        // name of raft's leader as the local agent has it; empty: none, or no answer
	Proved     bool          // this server leads and the lease was read (Lease, Voters)
	Lease      Lease
	Voters     int
	Alone      bool // bootstrap server: it alone can be serving (Observer)
	Synced     bool // the local copy of the boot tree is complete
	Problem    string
}

// Decision is what to do after a look.
type Decision struct {
	Until time.Duration // the fence's end; not after now: closed
	Claim *Lease        // to be written over the lease that was seen
	Soon  bool          // the fence opens when the wait is over
	Next  time.Duration // from now to the next look
	Why   string
}

// Decider decides for one run of the program on one server. It holds what the next decision needs of the
// former ones.
type Decider struct {
	Name        string
	Run         string
	Bootstrap   bool
	Proof, Lone time.Duration // how long a proof of leadership counts; the same for the only voter

	until   time.Duration // the gate's end
	open    bool
	over    Lease         // the one this run's was written over
	fresh   bool          // this run's has not been seen since
	lowered int           // seconds it was last lowered to, which has not been seen since; 0: none
	wait    time.Duration // no open fence before that time
	long    time.Duration // all fences open for longer than Proof end before that time
}

// Decide decides after a look.
func (d *Decider) Decide(s Observation) Decision {
	v := d.next(s)
	if v.Until > s.End {
		d.until, d.open = v.Until, true
	} else {
		v.Until, d.open = 0, false
	}
	return v
}

func (d *Decider) next(s Observation) Decision {
	v := Decision{Next: d.Proof * 2 / 5}
	switch {
	case s.Alone:
		v.Until, v.Why = s.Start+d.Proof, "no consul leader, and no other server is there"
	case s.Proved:
		d.lead(s, &v)
	case s.Leader == d.Name || s.Leader == "":
		// No proof; the last one counts till its end.
		v.Until, v.Why = d.until, "no consul leader"
		if s.Problem != "" {
			v.Why = s.Problem
		}
	default:
		v.Why = s.Leader + " leads"
	}
	return v
}

// lead decides for the leader.
func (d *Decider) lead(s Observation, v *Decision) {
	need := d.Proof
	if s.Voters == 1 {
		need = d.Lone
	}
	if !d.Owns(s.Lease) {
		d.over, d.fresh, d.lowered = s.Lease, true, 0
		v.Why = "elected; takes the lease"
		d.take(max(need, seconds(s.Lease.Seconds)), d.caution() == 0, v)
		if d.caution() == 0 { // it may have served alone until now
			v.Until = d.until
		}
		return
	}
	if d.fresh {
		d.fresh = false
		d.wait = s.End + d.caution()
		d.long = max(d.long, d.wait)
	}
	if s.Lease.Seconds == d.lowered {
		d.lowered = 0
	}
	if d.lowered != 0 { // it counts already, as it may be written at any time
		need = seconds(d.lowered)
	}
	length := min(need, seconds(s.Lease.Seconds))
	held := s.End >= d.wait
	switch {
	case need > length:
		d.take(need, held, v)
	case need < seconds(s.Lease.Seconds) && s.End >= d.long:
		d.take(need, held, v)
		d.lowered = v.Claim.Seconds
	case held && !s.Lease.Held:
		d.take(seconds(s.Lease.Seconds), held, v)
	default:
		v.Next = length * 2 / 5
	}
	switch {
	case !held:
		v.Next, v.Soon = min(v.Next, d.Proof*2/5, d.wait-s.End), true
		v.Why = "elected; waits until the fence of any other has closed by itself"
	case !s.Synced && !d.open:
		v.Why = "leads, but its tree is not complete"
	default:
		v.Until, v.Why = s.Start+length, "leads"
		if length > d.Proof {
			d.long = max(d.long, v.Until)
		}
	}
}

// Owns tells whether a lease is this run's.
func (d *Decider) Owns(l Lease) bool { return l.Server == d.Name && l.Run == d.Run }

// take has the lease written for fences of this length.
func (d *Decider) take(length time.Duration, held bool, v *Decision) {
	v.Claim, v.Next = &Lease{d.Name, d.Run, int(length / time.Second), held}, 0
}

// caution is how long fences under the former Lease can still be open. Without one, and after an earlier run of
// its own (whose fence was closed at start), only the bootstrap server can serve, alone.
func (d *Decider) caution() time.Duration {
	own := d.over.Server == "" || d.over.Server == d.Name && d.over.Held
	if own && d.Bootstrap {
		return 0
	}
	return max(seconds(d.over.Seconds), d.Proof) * 6 / 5
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }
