package httpd

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"rack-lab/controlplane/internal/atomicfile"
)

func TestWebServesTheTreeOnly(t *testing.T) {
	tree, ready := t.TempDir(), true
	for _, name := range []string{"boot.ipxe", "boot/vmlinuz", "machines/m/boot.env", "images/data.ext4", "consul/raft", "dhcp/leases"} {
		if err := atomicfile.Write(filepath.Join(tree, name), []byte("content of "+name)); err != nil {
			t.Fatal(err)
		}
	}
	os.Symlink("/etc/passwd", filepath.Join(tree, "boot/out"))
	os.Symlink("vmlinuz", filepath.Join(tree, "boot/within"))
	handler := Handler(tree, func() bool { return ready }, BootPath)
	get := func(method, path string) *httptest.ResponseRecorder {
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequest(method, path, nil))
		return answer
	}
	for path, code := range map[string]int{
		"/boot.ipxe": 200, "/boot/vmlinuz": 200, "/machines/m/boot.env": 200, "/boot/within": 200, "/boot/x/../vmlinuz": 200,
		"/": 404, "/boot": 404, "/boot/": 404, "/boot/out": 404, "/images/data.ext4": 404, "/consul/raft": 404, "/dhcp/leases": 404,
		"/boot/../dhcp/leases": 404, "/boot/%2e%2e/dhcp/leases": 404, "/../boot.ipxe": 200, "/machines/m": 404,
	} {
		if answer := get("GET", path); answer.Code != code {
			t.Errorf("%s: %d, not %d", path, answer.Code, code)
		}
	}
	if got := get("GET", "/boot/vmlinuz").Body.String(); got != "content of boot/vmlinuz" {
		t.Errorf("got %q", got)
	}
	if code := get("PUT", "/boot/vmlinuz").Code; code != 405 {
		t.Errorf("PUT: %d", code)
	}
	ready = false
	if code := get("GET", "/boot.ipxe").Code; code != 503 {
		t.Errorf("not serving: %d", code)
	}
}
