//go:build consul

package consul_test

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rack-lab/controlplane/internal/cluster/consultest"
	"rack-lab/controlplane/internal/kv"
	"rack-lab/controlplane/internal/kv/consul"
	"rack-lab/controlplane/internal/kv/kvtest"
)

func TestMain(m *testing.M) { consultest.Main(m) }

func TestContract(t *testing.T) {
	kvtest.Contract(t, func(t *testing.T) kv.Store { s, _ := consultest.Fresh(t); return s })
}

func TestWhatPassesIsTriedAgain(t *testing.T) {
	ctx := t.Context()
	for status, passes := range map[int]bool{500: true, 503: true, 403: true, 429: true, 400: false} {
		var asked atomic.Int32
		s := consul.New(consultest.Behind(t, func(*http.Request) int {
			if asked.Add(1) == 1 {
				return status
			}
			return 0
		}))
		var told strings.Builder
		_, err := kv.PatienceFor(20*time.Second, &told).Over(s).Get(ctx, "rack/a")
		if (err == nil) != passes || errors.Is(err, kv.ErrPermanent) == passes {
			t.Errorf("%d: %v, told %q", status, err, told.String())
		}
	}
}
