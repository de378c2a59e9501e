package server

import (
	"context"
	"slices"
	"testing"
	"time"

	"rack-lab/controlplane/internal/boottree"
	"rack-lab/controlplane/internal/boottree/treetest"
	"rack-lab/controlplane/internal/cluster"
	"rack-lab/controlplane/internal/config"
	"rack-lab/controlplane/internal/kv"
	"rack-lab/controlplane/internal/kv/kvtest"
	"rack-lab/controlplane/internal/kv/memory"
	"rack-lab/controlplane/internal/replica"
)

func TestSuccessorLivesHasAllFilesAndAVote(t *testing.T) {
	const alive, failed = 1, 4
	holders, voters := map[string]bool{"a": true, "b": true}, []string{"a", "b"}
	for _, test := range []struct {
		status  int
		holders map[string]bool
		voters  []string
		want    string
	}{
		{alive, holders, voters, "b"},
		{failed, holders, voters, ""},
		{alive, map[string]bool{"a": true}, voters, ""},
		{alive, holders, []string{"a"}, ""}, // of two servers the bootstrap server alone votes
	} {
		members := []cluster.Member{{Name: "a", Status: alive}, {Name: "b", Status: test.status}}
		if got := pickSuccessor("a", members, test.holders, test.voters); got != test.want {
			t.Errorf("%+v: '%s'", test, got)
		}
	}
}

func TestALeaderWhoseTreeIsNotCompleteStepsDownForALivingServerWhoseTreeIs(t *testing.T) {
	ctx, s := t.Context(), memory.New()
	named := func(name string) *config.Config {
		return &config.Config{Name: name, Servers: map[string]string{"a": "127.0.0.1"}, PeerPort: 1, Tree: t.TempDir(), RunDir: t.TempDir()}
	}
	whole, lacking := replica.New(named("a"), s), replica.New(named("b"), s)
	treetest.Medium(t, whole.Folder)
	kvtest.Must(t, boottree.Library{Folder: whole.Folder, Store: s}.Import(ctx, whole.Remember))
	times := 0
	first := func(its *replica.Replica) *tasks {
		return &tasks{replica: its, store: s, settled: time.Millisecond, handOver: func(to ...string) error {
			if times++; !slices.Equal(to, []string{"a"}) {
				t.Errorf("handed over to %v", to)
			}
			return nil
		}}
	}
	// The others that live and vote, as raft has them.
	successor := func(ctx context.Context) (string, error) {
		has, err := holders(ctx, s)
		return pickSuccessor("b", []cluster.Member{{Name: "a", Status: 1}}, has, []string{"a", "b"}), err
	}
	stepsDown := func(who *tasks) bool {
		short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		defer cancel()
		before := times
		who.stepDown(short, successor)
		return times > before
	}
	if stepsDown(first(lacking)) {
		t.Error("it stepped down though nobody's tree is known to be complete")
	}
	kvtest.Must(t, whole.Sync(ctx))
	if stepsDown(first(whole)) {
		t.Error("one whose tree is complete stepped down")
	}
	once := first(lacking)
	if !stepsDown(once) || stepsDown(once) || times != 1 {
		t.Errorf("it stepped down %d times", times)
	}
	kvtest.Must(t, s.Apply(ctx, kv.Set(boottree.HolderPrefix+"a", []byte("other files"))))
	if stepsDown(first(lacking)) {
		t.Error("it stepped down for a server whose files are others")
	}
}
