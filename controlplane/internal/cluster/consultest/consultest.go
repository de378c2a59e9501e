// Package consultest runs real consul agents on loopback, for tests with the build tag consul. The environment's
// CONSUL names the program.
package consultest

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/hashicorp/consul/api"
	"golang.org/x/sys/unix"

	"rack-lab/controlplane/internal/kv"
	"rack-lab/controlplane/internal/kv/consul"
	"rack-lab/controlplane/internal/kv/kvtest"
)

// Management is the secret of the token that may do all, on each agent.
const Management = "11111111-2222-3333-4444-555555555555"

// Main runs a package's tests beside one development agent, server "a"; TestMain calls it.
func Main(m *testing.M) {
	os.Exit(func() int {
		folder, err := os.MkdirTemp("", "consul")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(folder)
		ports := map[string]int{"dns": -1, "grpc": -1, "grpc_tls": -1}
		for _, name := range []string{"http", "server", "serf_lan", "serf_wan"} {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				panic(err)
			}
			ports[name] = listener.Addr().(*net.TCPAddr).Port
			defer listener.Close()
			listener.Close()
		}
		agent, err := Start(folder, map[string]any{"node_name": "a", "ports": ports, "bind_addr": "127.0.0.1"}, "-dev")
		if err != nil {
			panic(fmt.Sprintf("CONSUL '%s': %v; it must name consul's binary", os.Getenv("CONSUL"), err))
		}
		defer agent.Wait()
		defer agent.Process.Kill()
		os.Setenv("CONSUL_HTTP_ADDR", "127.0.0.1:"+strconv.Itoa(ports["http"]))
		return m.Run()
	}())
}

// Start starts an agent whose files are in the folder. Its settings get ACLs, and Management.
func Start(folder string, settings map[string]any, more ...string) (*exec.Cmd, error) {
	settings["log_level"] = "warn"
	settings["acl"] = map[string]any{
		"enabled": true, "default_policy": "deny",
		"tokens": map[string]string{"initial_management": Management, "agent": Management},
	}
	text, err := json.Marshal(settings)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(folder, "consul.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return nil, err
	}
	agent := exec.Command(os.Getenv("CONSUL"), append([]string{"agent", "-config-file=" + path}, more...)...)
	agent.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	agent.Stdout, err = os.Create(filepath.Join(folder, "log"))
	if err != nil {
		return nil, err
	}
	return agent, agent.Start()
}

// Client is a client of the agent at an address, with a token; "": Main's agent.
func Client(t testing.TB, address, secret string) *api.Client {
	t.Helper()
	settings := api.DefaultConfig()
	if address != "" {
		settings.Address = address
	}
	settings.Token = secret
	client, err := api.NewClient(settings)
	kvtest.Must(t, err)
	return client
}

// Fresh is Main's agent without any key of ours.
func Fresh(t testing.TB) (kv.Store, *api.Client) {
	t.Helper()
	client := Client(t, "", Management)
	s := consul.New(client)
	kvtest.Within(t, kv.CallLimit, "the agent", func() bool {
		return s.Apply(context.Background(), kv.DeleteAll("rack/")) == nil
	})
	return s, client
}

// Behind is Main's agent, which answers some requests with a status of its own (0: it doesn't).
func Behind(t testing.TB, answers func(*http.Request) int) *api.Client {
	t.Helper()
	agent, err := url.Parse("http://" + api.DefaultConfig().Address)
	kvtest.Must(t, err)
	through := httputil.NewSingleHostReverseProxy(agent)
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if status := answers(r); status != 0 {
			http.Error(w, http.StatusText(status), status)
			return
		}
		through.ServeHTTP(w, r)
	}))
	t.Cleanup(behind.Close)
	return Client(t, behind.URL, Management)
}
