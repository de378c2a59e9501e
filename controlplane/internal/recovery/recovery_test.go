package recovery

import (
	"net"
	"os"
	"testing"

	"rack-lab/controlplane/internal/config"
	"rack-lab/controlplane/internal/kv/kvtest"
)

func TestWhoBootstrapsAndWhoRejoins(t *testing.T) {
	other, err := net.Listen("tcp", "127.9.0.2:0")
	kvtest.Must(t, err)
	c := &config.Config{
		Name: "laptop", Bootstrap: true, State: t.TempDir(), RPCPort: other.Addr().(*net.TCPAddr).Port,
		Servers: map[string]string{"laptop": "127.9.0.1", "consul1": "127.9.0.2"},
	}
	kvtest.MustFail(t, Bootstraps(t.Context(), c), "consul on consul1 answers")
	kvtest.Must(t, other.Close())
	kvtest.Must(t, Bootstraps(t.Context(), c))
	kvtest.MustFail(t, Rejoin(t.Context(), c), "no other server's consul answers; nothing was changed")
	kvtest.Must(t, os.Mkdir(raft(c), 0o755))
	kvtest.MustFail(t, Bootstraps(t.Context(), c), "it has a state")
	c.Bootstrap = false
	kvtest.MustFail(t, Bootstraps(t.Context(), c), "not the bootstrap server")
}
