package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"net"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	mac1 = "52-54-00-aa-bb-01"
	mac2 = "52-54-00-aa-bb-02"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustFail(t *testing.T, err error, words string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), words) {
		t.Fatalf("no error with '%s': %v", words, err)
	}
}

// archive makes a tar.gz of the headers; a regular file's content is filler of its size.
func archive(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	writer := tar.NewWriter(zip)
	for _, header := range headers {
		if err := writer.WriteHeader(&header); err != nil {
			t.Fatal(err)
		}
		filler := make([]byte, header.Size)
		for n := range filler { // not compressible, always the same
			filler[n] = sumOf([]byte{byte(n), byte(n >> 8), byte(n >> 16)})[n%60]
		}
		writer.Write(filler)
	}
	writer.Close()
	zip.Close()
	return packed.Bytes()
}

func etcFile(name string, size int64) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeReg, Size: size, Mode: 0o644}
}

func TestCheckCommit(t *testing.T) {
	good := archive(t, tar.Header{Name: "etc/", Typeflag: tar.TypeDir}, etcFile("./etc/a", 10),
		tar.Header{Name: "etc/l", Typeflag: tar.TypeSymlink, Linkname: "/x"}, etcFile("root/.profile", 10))
	if err := checkCommit(good); err != nil {
		t.Error(err)
	}
	for what, data := range map[string][]byte{
		"no tar.gz":   []byte("hello"),
		"cut off":     good[:len(good)-6],
		"absolute":    archive(t, etcFile("/etc/x", 1)),
		"out of it":   archive(t, etcFile("etc/../usr/x", 1)),
		"out, in it":  archive(t, etcFile("etc/a/../x", 1)),
		"a device":    archive(t, tar.Header{Name: "etc/null", Typeflag: tar.TypeChar}),
		"a hard link": archive(t, tar.Header{Name: "etc/h", Typeflag: tar.TypeLink, Linkname: "etc/a"}),
		"too large":   make([]byte, commitBytes+1),
	} {
		if checkCommit(data) == nil {
			t.Errorf("%s: taken", what)
		}
	}
	var bomb bytes.Buffer
	zip := gzip.NewWriter(&bomb)
	writer := tar.NewWriter(zip)
	writer.WriteHeader(&tar.Header{Name: "etc/x", Typeflag: tar.TypeReg, Size: unpackedBytes})
	writer.Write(make([]byte, unpackedBytes))
	writer.Close()
	zip.Close()
	if err := checkCommit(bomb.Bytes()); err == nil || !strings.Contains(err.Error(), "unpacked") {
		t.Errorf("too large when unpacked: %v", err)
	}
}

func TestEntryText(t *testing.T) {
	e := entry{"storage-1.2", strings.Repeat("a", 64), strings.Repeat("b", 64)}
	if got, err := parseEntry(e.text(mac1)); err != nil || got != e {
		t.Errorf("%+v, %v", got, err)
	}
	for _, text := range []string{"", "image=/images/../x.layers\noverlay_sha256=" + e.overlay, "image=/images/x.layers\noverlay_sha256=1"} {
		if got, err := parseEntry(text); err == nil {
			t.Errorf("%q gives %+v", text, got)
		}
	}
}

func TestConfig(t *testing.T) {
	machine := `{"name": "san1", "mac": "52-54-00-aa-bb-01", "token": "s"}`
	if c, err := parseConfig([]byte(machine)); err != nil || c.isServer() {
		t.Errorf("%+v, %v", c, err)
	}
	server := `{"name": "laptop", "mac": "52-54-00-aa-bb-01", "address": "10.77.3.10", "boot_address": "10.77.3.253/24", "device": "eth0",
		"tree": "/media/stick", "state": "/var/lib/consul", "pid_file": "/run/consul.pid", "founder": true, "servers": {"laptop": "10.77.3.10"}, "proof_seconds": 5, "lone_proof_seconds": 30, "disk_seconds": 6,
		"rpc_port": 8300, "tls": {"authority": "a", "certificate": "b", "key": "c", "server_name": "server.rack.consul"}, "peer_port": 8180, "token": "s", "tokens": [{"name": "router", "secret": "x", "rules": "y"}]}`
	if c, err := parseConfig([]byte(server)); err != nil || c.bootIP() != "10.77.3.253" || c.serverAt("10.77.3.10") != "laptop" {
		t.Errorf("%+v, %v", c, err)
	}
	for _, change := range [][2]string{
		{`"token": "s"`, `"tokem": "s"`}, {"aa-bb", "AA-bb"}, {"253/24", "253"}, {`"lone_proof_seconds": 30`, `"lone_proof_seconds": 3`}, {`"disk_seconds": 6`, `"disk_seconds": 0`},
		{`{"laptop": "10.77.3.10"}`, `{"laptop": "10.77.3.11"}`},
	} {
		if _, err := parseConfig([]byte(strings.ReplaceAll(server, change[0], change[1]))); err == nil {
			t.Errorf("%s: taken", change[1])
		}
	}
}

func TestWhoFoundsAndWhoRejoins(t *testing.T) {
	other, err := net.Listen("tcp", "127.9.0.2:0")
	must(t, err)
	c := &config{
		Name: "laptop", Founder: true, State: t.TempDir(), RPCPort: other.Addr().(*net.TCPAddr).Port,
		Servers: map[string]string{"laptop": "127.9.0.1", "consul1": "127.9.0.2"},
	}
	mustFail(t, founds(t.Context(), c), "consul on consul1 answers")
	must(t, other.Close())
	must(t, founds(t.Context(), c))
	mustFail(t, rejoin(t.Context(), c), "no other server's consul answers; nothing was changed")
	must(t, os.Mkdir(c.raft(), 0o755))
	mustFail(t, founds(t.Context(), c), "it has a state")
	c.Founder = false
	mustFail(t, founds(t.Context(), c), "not the founder")
}

func TestBigPaths(t *testing.T) {
	for name, good := range map[string]bool{
		"boot.ipxe": true, "boot/vmlinuz": true, "images/a.squashfs": true,
		"boot/../x": false, "machines/x": false, "boot/x.new": false, "images/": false, "images/.x": false, "images/a/b": false, "/boot.ipxe": false,
	} {
		if (checkBig(name) == nil) != good {
			t.Errorf("%s: %v", name, checkBig(name))
		}
	}
}

func TestWebServesTheTreeOnly(t *testing.T) {
	tree, ready := t.TempDir(), true
	for _, name := range []string{"boot.ipxe", "boot/vmlinuz", "machines/m/boot.env", "images/data.ext4", "consul/raft", "dhcp/leases"} {
		if err := writeFile(filepath.Join(tree, name), []byte("content of "+name)); err != nil {
			t.Fatal(err)
		}
	}
	os.Symlink("/etc/passwd", filepath.Join(tree, "boot/out"))
	os.Symlink("vmlinuz", filepath.Join(tree, "boot/within"))
	handler := treeHandler(tree, func() bool { return ready }, bootPath)
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

func TestFilesAreWholeOrNotThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a/b")
	if _, err := takeFile(path, sumOf([]byte("x")), strings.NewReader("y")); err == nil {
		t.Error("a wrong file was taken")
	}
	if left, _ := filepath.Glob(filepath.Dir(path) + "/*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if size, err := takeFile(path, sumOf([]byte("x")), strings.NewReader("x")); err != nil || size != 1 {
		t.Errorf("%d, %v", size, err)
	}
	if sum, err := sumOfFile(path, true); err != nil || sum != sumOf([]byte("x")) {
		t.Errorf("%s, %v", sum, err)
	}
}

func TestGateNumbers(t *testing.T) {
	if len(elements(999*time.Microsecond)) != 0 || len(elements(-time.Second)) != 0 {
		t.Error("a timeout of zero would be none at all")
	}
	if got := elements(4321 * time.Millisecond); len(got) != 2 || got[0].Timeout != 4321*time.Millisecond {
		t.Errorf("%+v", got)
	}
	for left, want := range map[time.Duration]int{0: 1, 900 * time.Millisecond: 1, 4900 * time.Millisecond: 4} {
		if lifetime(left) != want {
			t.Errorf("lifetime(%v) = %d", left, lifetime(left))
		}
	}
	frame := arpFrame(net.HardwareAddr{2, 0, 0, 0, 0, 9}, netip.MustParseAddr("10.77.3.253"))
	want := "ffffffffffff" + "020000000009" + "0806" + "0001" + "0800" + "0604" + "0001" + "020000000009" + "0a4d03fd" + "000000000000" + "0a4d03fd"
	if hex.EncodeToString(frame) != want {
		t.Errorf("%x", frame)
	}
}

func TestAccessorIsAUUID(t *testing.T) {
	if got := accessorOf("x"); len(got) != 36 || got[14] != '5' || got == accessorOf("y") {
		t.Error(got)
	}
}

func TestSuccessorLivesHasAllFilesAndAVote(t *testing.T) {
	holders, voters := map[string]bool{"a": true, "b": true}, []string{"a", "b"}
	for _, test := range []struct {
		status  int
		holders map[string]bool
		voters  []string
		want    string
	}{
		{memberAlive, holders, voters, "b"},
		{memberAlive + 3, holders, voters, ""},
		{memberAlive, map[string]bool{"a": true}, voters, ""},
		{memberAlive, holders, []string{"a"}, ""}, // of two servers the founder alone votes
	} {
		members := []member{{Name: "a", Status: memberAlive}, {Name: "b", Status: test.status}}
		if got := pickSuccessor("a", members, test.holders, test.voters); got != test.want {
			t.Errorf("%+v: '%s'", test, got)
		}
	}
}
