package provider

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

const remoteSocket = "/run/libvirt/libvirt-sock"

// tunnel is a local socket that leads to a host's libvirtd through the system's ssh client.
//
// The system's client, because it alone understands a whole ssh configuration: aliases,
// a jump host with a key and user of its own, known hosts. The far side needs no program.
type tunnel struct {
	folder string
	child  *os.Process
	done   chan struct{}
	stderr *tail
}

// openTunnel starts ssh with the file in the URI's ssh_config and waits until its socket
// answers. It is there before that: bind(2) makes it, and until listen(2) it refuses.
func openTunnel(uri *url.URL, deadline time.Time) (*tunnel, error) {
	folder, err := os.MkdirTemp("", "libvirt-")
	if err != nil {
		return nil, err
	}
	t := &tunnel{folder: folder, done: make(chan struct{}), stderr: &tail{}}
	if err := t.start(t.arguments(uri)); err != nil {
		t.forget()
		return nil, err
	}
	for {
		if probe, err := net.Dial("unix", t.socket()); err == nil {
			_ = probe.Close()
			return t, nil
		}
		select {
		case <-t.done:
			return nil, t.explain(errors.New("ssh ended"))
		case <-time.After(50 * time.Millisecond):
			if time.Now().After(deadline) {
				return nil, t.explain(fmt.Errorf("ssh did not connect within %s", dialDeadline))
			}
		}
	}
}

func (t *tunnel) arguments(uri *url.URL) []string {
	query := uri.Query()
	remote := query.Get("socket")
	if remote == "" {
		remote = remoteSocket
	}
	arguments := []string{
		"-F", query.Get("ssh_config"), "-N", "-T",
		"-o", "BatchMode=yes",
		"-o", "ExitOnForwardFailure=yes",
		// A shared master connection would keep the forward when this child ends.
		"-o", "ControlMaster=no", "-o", "ControlPath=none",
		// A host that goes away must not leave a call waiting for ever.
		"-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=6",
		"-L", t.socket() + ":" + remote,
	}
	if user := uri.User.Username(); user != "" {
		arguments = append(arguments, "-l", user)
	}
	if port := uri.Port(); port != "" {
		arguments = append(arguments, "-p", port)
	}
	return append(arguments, "--", uri.Hostname())
}

// start runs ssh so that it ends with the plugin, however that ends. The kernel ties the
// signal to the thread that started the child, so that thread is kept until it has ended.
func (t *tunnel) start(arguments []string) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		command := exec.Command("ssh", arguments...)
		command.Stderr = t.stderr
		command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
		err := command.Start()
		t.child = command.Process
		started <- err
		if err == nil {
			_ = command.Wait()
			close(t.done)
		}
	}()
	return <-started
}

func (t *tunnel) socket() string { return filepath.Join(t.folder, "libvirt-sock") }

// localURI is the URI of the same driver and path behind the local socket.
func (t *tunnel) localURI(uri *url.URL) string {
	driver, _, _ := strings.Cut(uri.Scheme, "+")
	query := url.Values{"socket": {t.socket()}}
	if name := uri.Query().Get("name"); name != "" {
		query.Set("name", name)
	}
	return (&url.URL{Scheme: driver + "+unix", Path: uri.Path, OmitHost: false, RawQuery: query.Encode()}).String()
}

// forget removes the socket's folder: a connection, once made, does not need it, and a
// plugin that is killed then leaves nothing behind.
func (t *tunnel) forget() { _ = os.RemoveAll(t.folder) }

// close ends ssh. A nil tunnel is closed already.
func (t *tunnel) close() {
	if t == nil {
		return
	}
	_ = t.child.Signal(syscall.SIGTERM)
	<-t.done
	t.forget()
}

// explain closes the tunnel and adds what ssh had to say to the error.
func (t *tunnel) explain(err error) error {
	t.close()
	if said := t.stderr.String(); said != "" {
		return fmt.Errorf("%w; ssh: %s", err, said)
	}
	return err
}

// tail keeps the end of what is written to it.
type tail struct {
	lock sync.Mutex
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.lock.Lock()
	defer t.lock.Unlock()
	t.text = append(t.text, p...)
	if over := len(t.text) - 2000; over > 0 {
		t.text = t.text[over:]
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.lock.Lock()
	defer t.lock.Unlock()
	return strings.Join(strings.FieldsFunc(strings.TrimSpace(string(t.text)), func(r rune) bool {
		return r == '\n' || r == '\r'
	}), "; ")
}
