package fence

import (
	"encoding/hex"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"rack-lab/controlplane/internal/clock"
)

// TestFence needs root and a kernel with nf_tables; it works in a network namespace of its own.
func TestFence(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	runtime.LockOSThread() // never unlocked: the thread, in its namespace, ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skipf("no network namespace: %v", err)
	}
	pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "peer"}
	if err := netlink.LinkAdd(pair); err != nil {
		t.Skipf("no veth: %v", err)
	}
	for _, name := range []string{"lo", "eth0", "peer"} {
		link, err := netlink.LinkByName(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.LinkSetUp(link); err != nil {
			t.Fatal(err)
		}
	}
	f, err := New(netip.MustParsePrefix("10.9.9.253/24"), "eth0")
	if err != nil {
		t.Skipf("kernel without nf_tables? %v", err)
	}
	dhcp := udpSocket(t, ":67")
	other := udpSocket(t, ":68")
	if udpPasses(dhcp) || !udpPasses(other) {
		t.Error("closed at the start: 67 passes or 68 doesn't")
	}
	if udpHears(t, dhcp, other) || !udpHears(t, other, other) {
		t.Error("closed at the start: 67 hears or 68 doesn't")
	}
	if err := f.Open(clock.SinceBoot() + 1500*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if !udpPasses(dhcp) || !udpHears(t, dhcp, other) || !HoldsAddress("eth0", "10.9.9.253") {
		t.Error("open: 67 doesn't pass or hear, or no address")
	}
	for range 3 { // refreshed
		time.Sleep(time.Second)
		if err := f.Open(clock.SinceBoot() + 1500*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	if !udpPasses(dhcp) || !tcpPasses(t, "10.9.9.253:80") {
		t.Error("refreshed: it doesn't pass")
	}
	time.Sleep(1600 * time.Millisecond)
	if udpPasses(dhcp) || udpHears(t, dhcp, other) {
		t.Error("67 passes or hears after the end")
	}
	time.Sleep(2 * time.Second)
	if HoldsAddress("eth0", "10.9.9.253") {
		t.Error("the address is there after the end")
	}
	if err := f.Open(clock.SinceBoot() + time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if udpPasses(dhcp) || HoldsAddress("eth0", "10.9.9.253") {
		t.Error("closed: 67 passes, or the address is there")
	}
	if err := f.hold(clock.SinceBoot() + time.Minute); err != nil || tcpPasses(t, "10.9.9.253:80") {
		t.Errorf("closed, with the address: HTTP passes (%v)", err)
	}
	if err := f.Open(clock.SinceBoot() - time.Second); err == nil || udpPasses(dhcp) {
		t.Errorf("opened for the past: %v", err)
	}
	if err := f.Open(clock.SinceBoot() + time.Minute); err != nil {
		t.Fatal(err)
	}
	if _, err := New(f.address, f.device); err != nil || udpPasses(dhcp) || HoldsAddress("eth0", "10.9.9.253") {
		t.Errorf("not closed by a new start: %v", err)
	}
}

func udpSocket(t *testing.T, address string) net.PacketConn {
	socket, err := net.ListenPacket("udp4", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	return socket
}

// udpPasses sends over loopback: what nftables drops in output is an error of sendto.
func udpPasses(from net.PacketConn) bool {
	_, err := from.WriteTo([]byte("x"), &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9999})
	return err == nil
}

// udpHears tells whether what is sent from another socket arrives.
func udpHears(t *testing.T, to, from net.PacketConn) bool {
	port := to.LocalAddr().(*net.UDPAddr).Port
	if _, err := from.WriteTo([]byte("x"), &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}); err != nil {
		t.Fatal(err)
	}
	to.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	_, _, err := to.ReadFrom(make([]byte, 10))
	return err == nil
}

func tcpPasses(t *testing.T, address string) bool {
	listener, err := net.Listen("tcp4", address)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	connection, err := net.DialTimeout("tcp4", address, time.Second)
	if err == nil {
		connection.Close()
	}
	return err == nil
}

func TestNumbersForTheKernel(t *testing.T) {
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
