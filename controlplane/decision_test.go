package main

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

func newDecider(name, run string, founder bool) *decider {
	return &decider{name: name, run: run, founder: founder, proof: testProof, lone: testLone}
}

// led is a look that found its server leading, from start to a tenth of a second later.
func led(start time.Duration, l lease, voters int) sight {
	return sight{start: start, end: start + time.Second/10, leader: "a", proved: true, lease: l, voters: voters, synced: true}
}

func TestFounderAloneInConsulServesAtOnceAndForLong(t *testing.T) {
	d := newDecider("a", "1", true)
	v := d.judge(led(0, lease{}, 1))
	if v.claim == nil || *v.claim != (lease{"a", "1", 30, true}) || v.until != 0 || v.next != 0 {
		t.Fatalf("first look: %+v", v)
	}
	v = d.judge(led(time.Second, *v.claim, 1))
	if v.until != time.Second+testLone || v.next != testLone*2/5 || v.claim != nil {
		t.Fatalf("second look: %+v", v)
	}
}

func TestLeaderWaitsForTheFormerLease(t *testing.T) {
	for _, test := range []struct {
		founder bool
		former  lease
		wait    time.Duration
	}{
		{false, lease{"b", "7", 5, true}, 6 * time.Second},
		{false, lease{"b", "7", 30, true}, 36 * time.Second},
		{true, lease{"b", "7", 5, true}, 6 * time.Second},
		{true, lease{"a", "0", 30, true}, 0},
		{true, lease{"a", "0", 30, false}, 36 * time.Second}, // taken from another just before it ended
		{false, lease{"a", "0", 5, true}, 6 * time.Second},   // the founder may serve alone
		{false, lease{}, 6 * time.Second},
	} {
		d := newDecider("a", "1", test.founder)
		v := d.judge(led(0, test.former, 3))
		if v.claim == nil || seconds(v.claim.seconds) < max(testProof, seconds(test.former.seconds)) {
			t.Fatalf("%+v: claims %v", test, v.claim)
		}
		own := *v.claim
		opened := time.Duration(-1)
		for at := time.Second; at < time.Minute && opened < 0; at += time.Second / 2 {
			v = d.judge(led(at, own, 3))
			if v.until > 0 {
				opened = at
			} else if !v.soon {
				t.Errorf("%+v: at %v it doesn't prepare: %+v", test, at, v)
			}
			if v.claim != nil {
				own = *v.claim
			}
		}
		seen := time.Second + time.Second/10 // the end of the first look at the own lease
		if opened+time.Second/10 < seen+test.wait || opened > seen+test.wait+time.Second {
			t.Errorf("%+v: opened at %v", test, opened)
		}
	}
}

func TestLeaseIsLoweredOnlyAfterItsGates(t *testing.T) {
	d := newDecider("a", "1", true)
	own := *d.judge(led(0, lease{}, 1)).claim
	d.judge(led(0, own, 1)) // open till 30 s
	if v := d.judge(led(10*time.Second, own, 3)); v.claim != nil || v.until != 15*time.Second {
		t.Fatalf("while a long gate may be open: %+v", v)
	}
	v := d.judge(led(30*time.Second, own, 3))
	if v.claim == nil || v.claim.seconds != 5 || v.until != 35*time.Second {
		t.Fatalf("after it: %+v", v)
	}
	// Not known whether that was written: the longer one doesn't count any more.
	if v = d.judge(led(31*time.Second, own, 1)); v.until != 36*time.Second || v.claim == nil || v.claim.seconds != 5 {
		t.Fatalf("lone again: %+v", v)
	}
	if v = d.judge(led(32*time.Second, *v.claim, 1)); v.until != 37*time.Second || v.claim == nil || v.claim.seconds != 30 {
		t.Fatalf("lowered: %+v", v)
	}
}

func TestGateEndsWithoutProof(t *testing.T) {
	d := newDecider("a", "1", true)
	own := *d.judge(led(0, lease{}, 3)).claim
	d.judge(led(0, own, 3))
	if v := d.judge(sight{start: 2 * time.Second, end: 4 * time.Second, problem: "no answer"}); v.until != testProof || v.why != "no answer" {
		t.Errorf("no proof while one counts: %+v", v)
	}
	if v := d.judge(sight{start: 5 * time.Second, end: 6 * time.Second}); v.until != 0 {
		t.Errorf("no proof after the last has ended: %+v", v)
	}
	d.judge(led(7*time.Second, own, 3))
	if v := d.judge(sight{start: 8 * time.Second, end: 8 * time.Second, leader: "b"}); v.until != 0 {
		t.Errorf("another leads: %+v", v)
	}
}

func TestServesOnlyFromACompleteTree(t *testing.T) {
	d := newDecider("a", "1", true)
	own := *d.judge(led(0, lease{}, 3)).claim
	s := led(time.Second, own, 3)
	s.synced = false
	if v := d.judge(s); v.until != 0 {
		t.Errorf("opened: %+v", v)
	}
	d.judge(led(2*time.Second, own, 3))
	s = led(3*time.Second, own, 3)
	s.synced = false // something new is being fetched: what it serves is consistent all the same
	if v := d.judge(s); v.until != 8*time.Second {
		t.Errorf("closed: %+v", v)
	}
}

func TestAloneGoesOverIntoLeading(t *testing.T) {
	d := newDecider("a", "1", true)
	d.judge(sight{start: 0, end: 0, alone: true})
	v := d.judge(led(time.Second, lease{"a", "0", 30, true}, 1))
	if v.until != testProof {
		t.Errorf("while it takes the lease: %+v", v)
	}
	if v = d.judge(led(2*time.Second, *v.claim, 1)); v.until != 2*time.Second+testLone {
		t.Errorf("with the lease: %+v", v)
	}
}

func TestLeaseText(t *testing.T) {
	l := lease{"laptop", "X7", 30, true}
	if got, err := parseLease(l.String()); err != nil || got != l {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := parseLease(""); err != nil || got != (lease{}) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := parseLease("laptop X7 30"); err == nil {
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
	lease   lease
	index   int
	until   map[string]time.Duration // the gates, as the kernels have them
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
		s := sight{start: w.now, synced: true}
		index := 0
		w.after(w.delay(), func() {
			s.leader = [...]string{name, name, name, "other", ""}[w.IntN(5)]
			w.after(w.delay(), func() {
				if s.leader == name && w.IntN(10) > 0 {
					s.proved, s.lease, index, s.voters = true, w.lease, w.index, 1+w.IntN(2)
				}
				w.after(w.delay(), func() {
					s.end = w.now
					v := d.judge(s)
					w.after(w.delay()/100, func() { w.act(name, v, index, look) })
				})
			})
		})
	}
	look()
}

func (w *world) act(name string, v verdict, index int, look func()) {
	w.until[name] = v.until // in the past: closed
	if v.until > w.now {
		w.opened[name]++
		other := map[string]string{"a": "b", "b": "a"}[name]
		if w.until[other] > w.now {
			w.overlap = fmt.Sprintf("at %v %s opens until %v, %s is open until %v", w.now, name, v.until, other, w.until[other])
		}
	}
	if v.claim != nil {
		claim := *v.claim
		w.after(w.delay(), func() { // maybe long after the program has given up waiting
			if w.index == index && w.IntN(10) > 0 {
				w.lease, w.index = claim, w.index+1
			}
		})
	}
	w.after(v.next+w.delay(), look)
}

func TestNeverTwoOpenGates(t *testing.T) {
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
		t.Errorf("the simulation shows little: gates opened %v times", opened)
	}
	t.Logf("gates opened %v times", opened)
}
