package leadership

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

const (
	testProof = 5 * time.Second
	testLone  = 30 * time.Second
)

func newDecider(name, run string, bootstrap bool) *Decider {
	return &Decider{Name: name, Run: run, Bootstrap: bootstrap, Proof: testProof, Lone: testLone}
}

// led is a look that found its server leading, from start to a tenth of a second later.
func led(start time.Duration, l Lease, voters int) Observation {
	return Observation{Start: start, End: start + time.Second/10, Leader: "a", Proved: true, Lease: l, Voters: voters, Synced: true}
}

func TestTheBootstrapServerAloneInConsulServesAtOnceAndForLong(t *testing.T) {
	d := newDecider("a", "1", true)
	v := d.Decide(led(0, Lease{}, 1))
	if v.Claim == nil || *v.Claim != (Lease{"a", "1", 30, true}) || v.Until != 0 || v.Next != 0 {
		t.Fatalf("first look: %+v", v)
	}
	v = d.Decide(led(time.Second, *v.Claim, 1))
	if v.Until != time.Second+testLone || v.Next != testLone*2/5 || v.Claim != nil {
		t.Fatalf("second look: %+v", v)
	}
}

func TestLeaderWaitsForTheFormerLease(t *testing.T) {
	for _, test := range []struct {
		bootstrap bool
		former    Lease
		wait      time.Duration
	}{
		{false, Lease{"b", "7", 5, true}, 6 * time.Second},
		{false, Lease{"b", "7", 30, true}, 36 * time.Second},
		{true, Lease{"b", "7", 5, true}, 6 * time.Second},
		{true, Lease{"a", "0", 30, true}, 0},
		{true, Lease{"a", "0", 30, false}, 36 * time.Second}, // taken from another just before it ended
		{false, Lease{"a", "0", 5, true}, 6 * time.Second},   // the bootstrap server may serve alone
		{false, Lease{}, 6 * time.Second},
	} {
		d := newDecider("a", "1", test.bootstrap)
		v := d.Decide(led(0, test.former, 3))
		if v.Claim == nil || seconds(v.Claim.Seconds) < max(testProof, seconds(test.former.Seconds)) {
			t.Fatalf("%+v: claims %v", test, v.Claim)
		}
		own := *v.Claim
		opened := time.Duration(-1)
		for at := time.Second; at < time.Minute && opened < 0; at += time.Second / 2 {
			v = d.Decide(led(at, own, 3))
			if v.Until > 0 {
				opened = at
			} else if !v.Soon {
				t.Errorf("%+v: at %v it doesn't prepare: %+v", test, at, v)
			}
			if v.Claim != nil {
				own = *v.Claim
			}
		}
		seen := time.Second + time.Second/10 // the end of the first look at the own lease
		if opened+time.Second/10 < seen+test.wait || opened > seen+test.wait+time.Second {
			t.Errorf("%+v: opened at %v", test, opened)
		}
	}
}

func TestLeaseIsLoweredOnlyAfterItsFences(t *testing.T) {
	d := newDecider("a", "1", true)
	own := *d.Decide(led(0, Lease{}, 1)).Claim
	d.Decide(led(0, own, 1)) // open till 30 s
	if v := d.Decide(led(10*time.Second, own, 3)); v.Claim != nil || v.Until != 15*time.Second {
		t.Fatalf("while a long fence may be open: %+v", v)
	}
	v := d.Decide(led(30*time.Second, own, 3))
	if v.Claim == nil || v.Claim.Seconds != 5 || v.Until != 35*time.Second {
		t.Fatalf("after it: %+v", v)
	}
	// Not known whether that was written: the longer one doesn't count any more.
	if v = d.Decide(led(31*time.Second, own, 1)); v.Until != 36*time.Second || v.Claim == nil || v.Claim.Seconds != 5 {
		t.Fatalf("lone again: %+v", v)
	}
	if v = d.Decide(led(32*time.Second, *v.Claim, 1)); v.Until != 37*time.Second || v.Claim == nil || v.Claim.Seconds != 30 {
		t.Fatalf("lowered: %+v", v)
	}
}

func TestTheFenceClosesWithoutProof(t *testing.T) {
	d := newDecider("a", "1", true)
	own := *d.Decide(led(0, Lease{}, 3)).Claim
	d.Decide(led(0, own, 3))
	if v := d.Decide(Observation{Start: 2 * time.Second, End: 4 * time.Second, Problem: "no answer"}); v.Until != testProof || v.Why != "no answer" {
		t.Errorf("no proof while one counts: %+v", v)
	}
	if v := d.Decide(Observation{Start: 5 * time.Second, End: 6 * time.Second}); v.Until != 0 {
		t.Errorf("no proof after the last has ended: %+v", v)
	}
	d.Decide(led(7*time.Second, own, 3))
	if v := d.Decide(Observation{Start: 8 * time.Second, End: 8 * time.Second, Leader: "b"}); v.Until != 0 {
		t.Errorf("another leads: %+v", v)
	}
}

func TestServesOnlyFromACompleteTree(t *testing.T) {
	d := newDecider("a", "1", true)
	own := *d.Decide(led(0, Lease{}, 3)).Claim
	s := led(time.Second, own, 3)
	s.Synced = false
	if v := d.Decide(s); v.Until != 0 {
		t.Errorf("opened: %+v", v)
	}
	d.Decide(led(2*time.Second, own, 3))
	s = led(3*time.Second, own, 3)
	s.Synced = false // something new is being fetched: what it serves is consistent all the same
	if v := d.Decide(s); v.Until != 8*time.Second {
		t.Errorf("closed: %+v", v)
	}
}

func TestAloneGoesOverIntoLeading(t *testing.T) {
	d := newDecider("a", "1", true)
	d.Decide(Observation{Start: 0, End: 0, Alone: true})
	v := d.Decide(led(time.Second, Lease{"a", "0", 30, true}, 1))
	if v.Until != testProof {
		t.Errorf("while it takes the Lease: %+v", v)
	}
	if v = d.Decide(led(2*time.Second, *v.Claim, 1)); v.Until != 2*time.Second+testLone {
		t.Errorf("with the Lease: %+v", v)
	}
}

func TestLeaseText(t *testing.T) {
	l := Lease{"laptop", "X7", 30, true}
	if got, err := ParseLease(l.String()); err != nil || got != l {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := ParseLease(""); err != nil || got != (Lease{}) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := ParseLease("laptop X7 30"); err == nil {
		t.Error("taken")
	}
}

// event is something that happens in the simulation.
type event struct {
	at time.Duration
	do func()
}

type events []event

func (e events) Len() int           { return len(e) }
func (e events) Less(i, j int) bool { return e[i].at < e[j].at }
func (e events) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)        { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

// world is two servers and one linearizable key. Who believes to lead, how many voters it sees, how long each
// step takes, what is lost and who restarts is random, so more happens than raft lets happen.
type world struct {
	*rand.Rand
	now     time.Duration
	queue   events
	lease   Lease
	index   int
	until   map[string]time.Duration // the fences, as the kernels have them
	opened  map[string]int
	overlap string
}

func (w *world) after(delay time.Duration, do func()) { heap.Push(&w.queue, event{w.now + delay, do}) }

// delay is mostly short, at times as long as a machine that stands still.
func (w *world) delay() time.Duration {
	longest := []time.Duration{10 * time.Millisecond, 300 * time.Millisecond, 3 * time.Second, 40 * time.Second}
	most := longest[min(w.IntN(4), w.IntN(4), w.IntN(4))]
	return time.Duration(w.Int64N(int64(most))) + time.Microsecond
}

// run is one run of the program on a server: looks, one after the other, until it restarts.
func (w *world) run(name string, number int) {
	d := newDecider(name, fmt.Sprint(number), name == "a")
	w.until[name] = 0
	var look func()
	look = func() {
		if w.IntN(200) == 0 {
			w.after(w.delay(), func() { w.run(name, number+1) })
			return
		}
		s := Observation{Start: w.now, Synced: true}
		index := 0
		w.after(w.delay(), func() {
			s.Leader = [...]string{name, name, name, "other", ""}[w.IntN(5)]
			w.after(w.delay(), func() {
				if s.Leader == name && w.IntN(10) > 0 {
					s.Proved, s.Lease, index, s.Voters = true, w.lease, w.index, 1+w.IntN(2)
				}
				w.after(w.delay(), func() {
					s.End = w.now
					v := d.Decide(s)
					w.after(w.delay()/100, func() { w.act(name, v, index, look) })
				})
			})
		})
	}
	look()
}

func (w *world) act(name string, v Decision, index int, look func()) {
	w.until[name] = v.Until // in the past: closed
	if v.Until > w.now {
		w.opened[name]++
		other := map[string]string{"a": "b", "b": "a"}[name]
		if w.until[other] > w.now {
			w.overlap = fmt.Sprintf("at %v %s opens until %v, %s is open until %v", w.now, name, v.Until, other, w.until[other])
		}
	}
	if v.Claim != nil {
		claim := *v.Claim
		w.after(w.delay(), func() { // maybe long after the program has given up waiting
			if w.index == index && w.IntN(10) > 0 {
				w.lease, w.index = claim, w.index+1
			}
		})
	}
	w.after(v.Next+w.delay(), look)
}

func TestNeverTwoOpenFences(t *testing.T) {
	opened := map[string]int{}
	for seed := range uint64(400) {
		w := &world{Rand: rand.New(rand.NewPCG(seed, 1)), until: map[string]time.Duration{}, opened: opened}
		w.run("a", 0)
		w.run("b", 0)
		for w.now < time.Hour && len(w.queue) > 0 {
			next := heap.Pop(&w.queue).(event)
			w.now = next.at
			next.do()
			if w.overlap != "" {
				t.Fatalf("seed %d: %s", seed, w.overlap)
			}
		}
	}
	if opened["a"] < 1000 || opened["b"] < 1000 {
		t.Errorf("the simulation shows little: fences opened %v times", opened)
	}
	t.Logf("fences opened %v times", opened)
}
