package main

import (
	"context"
	"crypto/rand"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// This file owns the daemon: looking, deciding, and doing what was decided.

// shortest is between the end of a look and the next one.
const shortest = 200 * time.Millisecond

// daemon is one server's.
type daemon struct {
	config   *config
	store    *store
	tree     *tree
	dhcp     *dhcp
	gate     gate
	witness  *witness
	decider  *decider
	duties   *duties
	watchdog *watchdog

	until   atomic.Int64 // the gate's end, for the web handler; 0: closed
	serving bool
	leading func()        // ends the leader's duties; nil: there are none
	leader  string        // last seen
	voters  int           // last seen, when it led; 0: it hasn't yet
	led     chan struct{} // there is a leader, another one maybe
	said    ownStatus
}

// serve is the command `control-plane serve`, until ctx ends.
func serve(ctx context.Context, c *config, s *store) error {
	if err := os.MkdirAll(runDir, 0o755); err != nil {
		return err
	}
	fence, err := newKernelGate(netip.MustParsePrefix(c.BootAddress), c.Device)
	if err != nil {
		return err
	}
	d := newDaemon(c, s, fence)
	go listen(ctx, net.JoinHostPort(c.bootIP(), "80"), treeHandler(c.Tree, d.isOpen, bootPath))
	go listen(ctx, net.JoinHostPort(c.Address, strconv.Itoa(c.PeerPort)),
		treeHandler(c.Tree, func() bool { return true }, d.tree.has))
	go d.tree.run(ctx)
	go keepSnapshots(ctx, c, s)
	var watching sync.WaitGroup
	watching.Go(func() { d.watchdog.run(ctx) })
	d.run(ctx)
	watching.Wait()
	return nil
}

func newDaemon(c *config, s *store, g gate) *daemon {
	its := &decider{name: c.Name, run: rand.Text(), founder: c.Founder, proof: c.proof(), lone: c.loneProof()}
	t := newTree(c, s)
	return &daemon{
		config: c, store: s, gate: g, tree: t, dhcp: newDHCP(c, s, its.owns), decider: its,
		duties:   &duties{config: c, store: s, tree: t, handOver: c.handOver},
		witness:  &witness{config: c, store: s, began: sinceBoot()},
		watchdog: newWatchdog(c),
		led:      make(chan struct{}, 1),
	}
}

// isOpen tells whether the gate is open.
func (d *daemon) isOpen() bool { return sinceBoot() < time.Duration(d.until.Load()) }

// run looks and acts until ctx ends. Looks run beside, so that a slow one doesn't keep the gate's end from being seen.
func (d *daemon) run(ctx context.Context) {
	sights := make(chan sight)
	look := func() {
		s := d.witness.look(ctx)
		s.synced = d.tree.isSynced()
		sights <- s
	}
	looking := true
	go look()
	if d.config.Founder {
		go d.keepConfig(ctx)
	}
	next := time.NewTimer(time.Hour)
	end := time.NewTimer(time.Hour)
	for {
		select {
		case <-ctx.Done():
			d.stop("the program ends")
			d.follow()
			if looking {
				<-sights
			}
			return
		case s := <-sights:
			looking = false
			// From the look's start: slow looks must not be rare as well.
			next.Reset(max(s.start+d.act(ctx, s)-sinceBoot(), shortest))
			end.Reset(max(0, time.Duration(d.until.Load())-sinceBoot()))
			continue
		case <-end.C:
			if d.serving && !d.isOpen() {
				d.stop("no proof of leadership in time")
			}
			continue
		case <-d.tree.news:
			wakeUp(d.dhcp.again)
			d.tell(d.said.Why)
		case <-next.C:
		}
		if !looking {
			looking = true
			go look()
		}
	}
}

// act does what a look calls for, and tells when to look again.
func (d *daemon) act(ctx context.Context, s sight) time.Duration {
	if s.leader != d.leader {
		d.leader = s.leader
		logf("leader: %s", map[bool]string{true: "none", false: s.leader}[s.leader == ""])
		if s.leader != "" {
			wakeUp(d.led)
		}
	}
	if s.proved {
		d.voters = s.voters
	}
	d.watchdog.leads.Store(s.leader == d.config.Name && d.voters != 1)
	v := d.decider.judge(s)
	if s.proved && d.leading == nil {
		its, cancel := context.WithCancel(ctx)
		d.leading = cancel
		go d.duties.do(its)
	} else if !s.proved && s.leader != d.config.Name {
		d.follow()
	}
	switch {
	case v.until > sinceBoot():
		d.start(v, s.alone)
	case v.soon && !d.serving: // dnsmasq takes seconds to start; behind the closed gate it hears nothing
		d.dhcp.setAlone(false)
		d.dhcp.start()
		d.tell(v.why)
	default:
		d.stop(v.why)
	}
	if v.claim != nil {
		if err := d.witness.claim(ctx, *v.claim); err != nil && ctx.Err() == nil {
			logf("lease: %v", err)
		}
	}
	return v.next
}

// start opens the gate, or keeps it open longer.
func (d *daemon) start(v verdict, alone bool) {
	if v.until != time.Duration(d.until.Load()) {
		if err := d.gate.open(v.until); err != nil {
			logf("gate: %v", err)
			d.stop("the gate can't be opened")
			return
		}
		d.until.Store(int64(v.until))
		d.dhcp.setAlone(alone)
	}
	if !d.serving {
		d.serving = true
		d.dhcp.start()
	}
	d.tell(v.why)
}

// stop closes the gate, if it isn't, and ends what is behind it.
func (d *daemon) stop(why string) {
	if d.serving || d.until.Load() != 0 {
		d.until.Store(0)
		d.serving = false
		if err := d.gate.close(); err != nil {
			logf("gate: %v", err)
		}
	}
	d.dhcp.end()
	d.tell(why)
}

// follow ends the leader's duties.
func (d *daemon) follow() {
	if d.leading != nil {
		d.leading()
		d.leading = nil
	}
}

// keepConfig has the founder's DHCP configuration in the KV, under each leader. The first one refuses the token
// until it has made it.
func (d *daemon) keepConfig(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case <-d.led:
		}
		if err := putOwnConfig(ctx, d.store); err != nil && ctx.Err() == nil {
			logf("dhcp: %v; again in 5 s", err)
			time.AfterFunc(5*time.Second, func() { wakeUp(d.led) })
		}
	}
}

// tell logs and writes down a change of mind.
func (d *daemon) tell(why string) {
	now := ownStatus{Serving: d.serving, Why: why, Synced: d.tree.isSynced()}
	if now == d.said {
		return
	}
	if now.Serving != d.said.Serving || now.Why != d.said.Why {
		logf("%s: %s", map[bool]string{true: "serving", false: "not serving"}[now.Serving], why)
	}
	d.said = now
	if err := now.write(); err != nil {
		logf("status: %v", err)
	}
}
