package leadership

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rack-lab/controlplane/internal/config"
	"rack-lab/controlplane/internal/kv"
	"rack-lab/controlplane/internal/kv/kvtest"
	"rack-lab/controlplane/internal/kv/memory"
)

// raftSays is a cluster as one agent tells it.
type raftSays struct {
	leaders []string // one for each question; the last one stays
	voters  []string
	asked   int // for voters
	err     error
}

func (r *raftSays) Leader(context.Context) (string, error) {
	leader := r.leaders[0]
	if len(r.leaders) > 1 {
		r.leaders = r.leaders[1:]
	}
	return leader, r.err
}

func (r *raftSays) Voters(context.Context, bool) ([]string, error) {
	r.asked++
	return r.voters, r.err
}

// observed is an observer of server a, of three.
func observed(raft *raftSays) (*Observer, kv.Store) {
	c := &config.Config{
		Name: "a", Servers: map[string]string{"a": "127.0.0.1", "b": "127.0.0.2", "c": "127.0.0.3"},
		BootAddress: "127.0.0.9/8", Device: "lo", ProofSeconds: 5, LoneProofSeconds: 30,
	}
	s := memory.New()
	return NewObserver(c, s, raft), s
}

func TestTheLeaderHasReadTheLease(t *testing.T) {
	raft := &raftSays{leaders: []string{"127.0.0.1"}, voters: []string{"a", "b", "c"}}
	o, s := observed(raft)
	first := o.Look(t.Context())
	if !first.Proved || first.Leader != "a" || first.Lease != (Lease{}) || first.Voters != 3 || first.End < first.Start {
		t.Errorf("%+v", first)
	}
	kvtest.Must(t, o.Claim(t.Context(), Lease{"a", "1", 5, true}))
	if next := o.Look(t.Context()); !next.Proved || next.Lease.Run != "1" {
		t.Errorf("%+v", next)
	}
	kvtest.Must(t, s.Apply(t.Context(), kv.Set(Key, []byte("b 7 5 held"))))
	if err := o.Claim(t.Context(), Lease{"a", "1", 5, true}); !errors.Is(err, kv.ErrConflict) {
		t.Errorf("written over what it hasn't seen: %v", err)
	}
}

func TestWhoLosesTheLeadershipWhileItReadsHasNoProof(t *testing.T) {
	o, _ := observed(&raftSays{leaders: []string{"127.0.0.1", "127.0.0.2"}, voters: []string{"a", "b", "c"}})
	if s := o.Look(t.Context()); s.Proved || s.Leader != "b" {
		t.Errorf("%+v", s)
	}
}

func TestVotersAreAskedForSeldomButByALoneOne(t *testing.T) {
	for voters, asked := range map[string]int{"a": 10, "a b c": 2} {
		raft := &raftSays{leaders: []string{"127.0.0.1"}, voters: strings.Fields(voters)}
		o, _ := observed(raft)
		for range 10 {
			o.Look(t.Context())
		}
		if raft.asked != asked {
			t.Errorf("%s: asked %d times", voters, raft.asked)
		}
	}
}

func TestAProblemIsTold(t *testing.T) {
	o, _ := observed(&raftSays{leaders: []string{""}, err: errors.New("refused")})
	if s := o.Look(t.Context()); s.Proved || s.Leader != "" || s.Problem != "the consul agent doesn't answer" {
		t.Errorf("%+v", s)
	}
	o, s := observed(&raftSays{leaders: []string{"127.0.0.1"}, voters: []string{"a"}})
	kvtest.Must(t, s.Apply(t.Context(), kv.Set(Key, []byte("nonsense"))))
	if s := o.Look(t.Context()); s.Proved || !strings.Contains(s.Problem, "delete the key") {
		t.Errorf("%+v", s)
	}
}

func TestWhoIsAlone(t *testing.T) {
	other, err := net.Listen("tcp", "127.0.0.2:0")
	kvtest.Must(t, err)
	defer other.Close()
	raft := &raftSays{leaders: []string{""}}
	for _, each := range []struct {
		what      string
		bootstrap bool
		seen      bool
		since     time.Duration
		port      int
		want      bool
	}{
		{"the bootstrap server that nobody answers", true, false, aloneAfter, 1, true},
		{"another server", false, false, aloneAfter, 1, false},
		{"one that has just begun", true, false, 0, 1, false},
		{"one that has seen a leader", true, true, aloneAfter, 1, false},
		{"one beside another's consul", true, false, aloneAfter, other.Addr().(*net.TCPAddr).Port, false},
	} {
		o, _ := observed(raft)
		o.config.Bootstrap, o.config.RPCPort = each.bootstrap, each.port
		o.seen, o.began = each.seen, o.began-each.since
		if s := o.Look(t.Context()); s.Alone != each.want {
			t.Errorf("%s: %+v", each.what, s)
		}
	}
}

// hanging never answers.
type hanging struct{ raftSays }

func (h *hanging) Leader(ctx context.Context) (string, error) { <-ctx.Done(); return "", ctx.Err() }

func TestALookEndsBeforeAProofDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, _ := observed(nil)
		o.cluster = &hanging{}
		began := time.Now()
		if s := o.Look(t.Context()); s.Problem == "" || time.Since(began) != 4*time.Second {
			t.Errorf("after %v: %+v", time.Since(began), s)
		}
	})
}

func TestWhatIsKeptUnderTheLeaseIsItsOwnersAlone(t *testing.T) {
	ctx, s := t.Context(), memory.New()
	owns := func(l Lease) bool { return l.Server == "a" && l.Run == "1" }
	put := func(value string) error { return PutAsOwner(ctx, s, "rack/dhcp/leases", []byte(value), owns) }
	kvtest.MustFail(t, put("early"), "nobody has the lease")
	for _, other := range []string{"b 1 5 held", "a 0 5 held"} {
		kvtest.Must(t, s.Apply(ctx, kv.Set(Key, []byte(other))))
		kvtest.MustFail(t, put(other), other[:1]+" has the lease")
	}
	kvtest.Must(t, s.Apply(ctx, kv.Set(Key, []byte("a 1 5 taken"))))
	kvtest.Must(t, put("own"))
	if pair, err := s.Get(ctx, "rack/dhcp/leases"); err != nil || string(pair.Value) != "own" {
		t.Errorf("%+v, %v", pair, err)
	}
}
