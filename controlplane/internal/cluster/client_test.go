package cluster

import (
	"strings"
	"testing"

	"rack-lab/controlplane/internal/config"
	"rack-lab/controlplane/internal/kv/kvtest"
)

func TestAccessorIsAUUID(t *testing.T) {
	if got := accessorOf("x"); len(got) != 36 || got[14] != '5' || got == accessorOf("y") {
		t.Error(got)
	}
}

func TestMembersStatesInWords(t *testing.T) {
	for status, want := range map[int]string{1: "alive", 3: "left", 4: "failed", 0: ""} {
		if m := (Member{Status: status}); m.State() != want || m.IsAlive() != (want == "alive") {
			t.Errorf("%d: %s", status, m.State())
		}
	}
}

func TestACertificateThatIsNotThereIsTold(t *testing.T) {
	c := &config.Config{Name: "a", TLS: config.TLS{Certificate: "/nothing", Key: "/nothing"}}
	if err := HandOver(c, "b"); err == nil || !strings.Contains(err.Error(), "/nothing") {
		t.Errorf("%v", err)
	}
	kvtest.MustFail(t, HandOver(c), "/nothing")
}
