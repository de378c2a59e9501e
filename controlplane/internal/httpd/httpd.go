// Package httpd is HTTP: a folder's files for machines that boot and for other servers, and fetching from those.
// It leaves to its callers which files may be read and when.
package httpd

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"rack-lab/controlplane/internal/atomicfile"
	"rack-lab/controlplane/internal/clock"
)

// Handler gives files of the tree which allowed allows; without ready it answers 503.
func Handler(tree string, ready func() bool, allowed func(name string) bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !ready() {
			http.Error(w, "not the boot server now", http.StatusServiceUnavailable)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			http.Error(w, "read only", http.StatusMethodNotAllowed)
			return
		}
		name := strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/")
		if !allowed(name) {
			http.NotFound(w, r)
			return
		}
		file, err := os.OpenInRoot(tree, name) // which follows no link out of it
		if err != nil {
			http.NotFound(w, r)
			return
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil || !info.Mode().IsRegular() {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, r, "", info.ModTime(), file)
	})
}

// textBytes is more than any text of the tree has.
const textBytes = 64 << 10

// Open gets a file from another server; the caller closes it.
func Open(ctx context.Context, client *http.Client, at string) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, err
	}
	answer, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		answer.Body.Close()
		return nil, fmt.Errorf("%s: %s", at, answer.Status)
	}
	return answer.Body, nil
}

// ReadText gets a small file.
func ReadText(ctx context.Context, at string) (string, error) {
	content, err := Open(ctx, http.DefaultClient, at)
	if err != nil {
		return "", err
	}
	defer content.Close()
	text, err := io.ReadAll(io.LimitReader(content, textBytes))
	return string(text), err
}

// BootPath tells whether machines that boot may have the file.
func BootPath(name string) bool {
	if strings.HasSuffix(name, ".ext4") || strings.HasSuffix(name, atomicfile.Unfinished) {
		return false
	}
	folder, _, deeper := strings.Cut(name, "/")
	return name == "boot.ipxe" || deeper && (folder == "boot" || folder == "images" || folder == "machines")
}

// Listen serves at the address, which need not be there yet, until ctx ends. It is tried again while it can't.
func Listen(ctx context.Context, address string, handler http.Handler) {
	free := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) {
			failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_FREEBIND, 1)
		})
		if err == nil {
			err = failed
		}
		return err
	}}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 20 * time.Second, IdleTimeout: time.Minute}
	go func() {
		<-ctx.Done()
		server.Close()
	}()
	for said := ""; ctx.Err() == nil; clock.Pause(ctx, 5*time.Second) {
		listener, err := free.Listen(ctx, "tcp4", address)
		if err == nil {
			err = server.Serve(listener)
		}
		if ctx.Err() == nil && err.Error() != said {
			said = err.Error()
			slog.Warn("HTTP isn't served", "address", address, "error", err)
		}
	}
}
