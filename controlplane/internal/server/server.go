package server

import (
	"cmp"
	"context"
	"crypto/rand"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"rack-lab/controlplane/internal/clock"
	"rack-lab/controlplane/internal/cluster"
	"rack-lab/controlplane/internal/config"
	"rack-lab/controlplane/internal/dhcp"
	"rack-lab/controlplane/internal/fence"
	"rack-lab/controlplane/internal/httpd"
	"rack-lab/controlplane/internal/kv"
	"rack-lab/controlplane/internal/leadership"
	"rack-lab/controlplane/internal/recovery"
	"rack-lab/controlplane/internal/replica"
	"rack-lab/controlplane/internal/watchdog"
)

// shortest is between the end of a look and the next one.
const shortest = 200 * time.Millisecond

// Fence lets this machine's answers out until a time of clock.SinceBoot; package fence's, or a test's.
type Fence interface {
	Open(until time.Duration) error
	Close() error
}

// Server is one server's daemon.
type Server struct {
	config   *config.Config
	store    kv.Store
	consul   *cluster.Client
	replica  *replica.Replica
	dhcp     *dhcp.Server
	fence    Fence
	observer *leadership.Observer
	decider  *leadership.Decider
	tasks    *tasks
	watchdog *watchdog.Watchdog

	until   atomic.Int64 // the fence's end, for the web handler; 0: closed
	serving bool
	leading func()        // ends the leader's tasks; nil: there are none
	leader  string        // last seen
	voters  int           // last seen, when it led; 0: it hasn't yet
	led     chan struct{} // there is a leader, another one maybe
	said    ownStatus
}

// Run is the daemon, until ctx ends.
func Run(ctx context.Context, c *config.Config, s kv.Store, consul *cluster.Client) error {
	if err := os.MkdirAll(c.RunDir, 0o755); err != nil {
		return err
	}
	its, err := fence.New(netip.MustParsePrefix(c.BootAddress), c.Device)
	if err != nil {
		return err
	}
	d := newServer(c, s, consul, its)
	boot := httpd.Handler(c.Tree, d.isOpen, httpd.BootPath)
	var running sync.WaitGroup
	running.Go(func() { httpd.Listen(ctx, net.JoinHostPort(c.BootIP(), "80"), boot) })
	running.Go(func() { d.servePeers(ctx) })
	running.Go(func() { d.replica.Run(ctx) })
	running.Go(func() { recovery.KeepSnapshots(ctx, c, consul) })
	running.Go(func() { d.watchdog.Run(ctx) })
	d.run(ctx)
	running.Wait()
	return nil
}

func newServer(c *config.Config, s kv.Store, consul *cluster.Client, its Fence) *Server {
	decider := &leadership.Decider{
		Name: c.Name, Run: rand.Text(), Bootstrap: c.Bootstrap, Proof: c.Proof(), Lone: c.LoneProof(),
	}
	handOver := func(to ...string) error { return cluster.HandOver(c, to...) }
	keepLeases := func(ctx context.Context, leases []byte) error {
		return leadership.PutAsOwner(ctx, s, dhcp.LeasesKey, leases, decider.Owns)
	}
	own := replica.New(c, s)
	return &Server{
		config: c, store: s, consul: consul, fence: its, replica: own, dhcp: dhcp.New(c, s, keepLeases),
		decider: decider, observer: leadership.NewObserver(c, s, consul),
		tasks:    &tasks{config: c, store: s, consul: consul, replica: own, handOver: handOver, settled: ownTreeIsRead},
		watchdog: watchdog.New(c, handOver),
		led:      make(chan struct{}, 1),
	}
}

// servePeers gives the other servers the files that this one has.
func (d *Server) servePeers(ctx context.Context) {
	address := net.JoinHostPort(d.config.Address, strconv.Itoa(d.config.PeerPort))
	httpd.Listen(ctx, address, httpd.Handler(d.config.Tree, func() bool { return true }, d.replica.Has))
}

// isOpen tells whether the fence is open.
func (d *Server) isOpen() bool { return clock.SinceBoot() < time.Duration(d.until.Load()) }

// run looks and acts until ctx ends. Looks run beside, so that a slow one doesn't keep the fence's end from being seen.
func (d *Server) run(ctx context.Context) {
	seen := make(chan leadership.Observation)
	look := func() {
		s := d.observer.Look(ctx)
		s.Synced = d.replica.IsSynced()
		seen <- s
	}
	looking := true
	go look()
	if d.config.Bootstrap {
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
				<-seen
			}
			return
		case s := <-seen:
			looking = false
			// From the look's start: slow looks must not be rare as well.
			next.Reset(max(s.Start+d.act(ctx, s)-clock.SinceBoot(), shortest))
			end.Reset(max(0, time.Duration(d.until.Load())-clock.SinceBoot()))
			continue
		case <-end.C:
			if d.serving && !d.isOpen() {
				d.stop("no proof of leadership in time")
			}
			continue
		case <-d.replica.News:
			d.dhcp.Again()
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
func (d *Server) act(ctx context.Context, s leadership.Observation) time.Duration {
	if s.Leader != d.leader {
		d.leader = s.Leader
		slog.Info("leader", "name", cmp.Or(s.Leader, "none"))
		if s.Leader != "" {
			clock.Wake(d.led)
		}
	}
	if s.Proved {
		d.voters = s.Voters
	}
	d.watchdog.Leads.Store(s.Leader == d.config.Name && d.voters != 1)
	v := d.decider.Decide(s)
	if s.Proved && d.leading == nil {
		its, cancel := context.WithCancel(ctx)
		d.leading = cancel
		go d.tasks.do(its)
	} else if !s.Proved && s.Leader != d.config.Name {
		d.follow()
	}
	switch {
	case v.Until > clock.SinceBoot():
		d.start(v, s.Alone)
	case v.Soon && !d.serving: // dnsmasq takes seconds to start; behind the closed fence it hears nothing
		d.dhcp.SetAlone(false)
		d.dhcp.Start()
		d.tell(v.Why)
	default:
		d.stop(v.Why)
	}
	if v.Claim != nil {
		if err := d.observer.Claim(ctx, *v.Claim); err != nil && ctx.Err() == nil {
			slog.Warn("the lease isn't written", "error", err)
		}
	}
	return v.Next
}

// start opens the fence, or keeps it open longer.
func (d *Server) start(v leadership.Decision, alone bool) {
	if v.Until != time.Duration(d.until.Load()) {
		if err := d.fence.Open(v.Until); err != nil {
			slog.Error("fence", "error", err)
			d.stop("the fence can't be opened")
			return
		}
		d.until.Store(int64(v.Until))
		d.dhcp.SetAlone(alone)
	}
	if !d.serving {
		d.serving = true
		d.dhcp.Start()
	}
	d.tell(v.Why)
}

// stop closes the fence, if it isn't, and ends what is behind it.
func (d *Server) stop(why string) {
	if d.serving || d.until.Load() != 0 {
		d.until.Store(0)
		d.serving = false
		if err := d.fence.Close(); err != nil {
			slog.Error("fence", "error", err)
		}
	}
	d.dhcp.End()
	d.tell(why)
}

// follow ends the leader's tasks.
func (d *Server) follow() {
	if d.leading != nil {
		d.leading()
		d.leading = nil
	}
}

// keepConfig has the bootstrap server's DHCP configuration in the store, under each leader. The first one refuses the token
// until it has made it.
func (d *Server) keepConfig(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case <-d.led:
		}
		if err := d.dhcp.PutOwnConfig(ctx); err != nil && ctx.Err() == nil {
			slog.Warn("the DHCP configuration isn't in the store", "error", err, "again_in", againAfter)
			time.AfterFunc(againAfter, func() { clock.Wake(d.led) })
		}
	}
}

// tell logs and writes down a change of mind.
func (d *Server) tell(why string) {
	now := ownStatus{Serving: d.serving, Why: why, Synced: d.replica.IsSynced()}
	if now == d.said {
		return
	}
	if now.Serving != d.said.Serving || now.Why != d.said.Why {
		slog.Info(map[bool]string{true: "serving", false: "not serving"}[now.Serving], "why", why)
	}
	d.said = now
	if err := now.write(statusPath(d.config)); err != nil {
		slog.Warn("the status isn't written", "error", err)
	}
}
