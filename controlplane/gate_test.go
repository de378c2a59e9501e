package main

import (
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TestKernelGate needs root and a kernel with nf_tables; it works in a network namespace of its own.
func TestKernelGate(t *testing.T) {
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
	g, err := newKernelGate(netip.MustParsePrefix("10.9.9.253/24"), "eth0")
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
	if err := g.open(sinceBoot() + 1500*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if !udpPasses(dhcp) || !udpHears(t, dhcp, other) || !holdsAddress("eth0", "10.9.9.253") {
		t.Error("open: 67 doesn't pass or hear, or no address")
	}
	for range 3 { // refreshed
		time.Sleep(time.Second)
		if err := g.open(sinceBoot() + 1500*time.Millisecond); err != nil {
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
	if holdsAddress("eth0", "10.9.9.253") {
		t.Error("the address is there after the end")
	}
	if err := g.open(sinceBoot() + time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := g.close(); err != nil {
		t.Fatal(err)
	}
	if udpPasses(dhcp) || holdsAddress("eth0", "10.9.9.253") {
		t.Error("closed: 67 passes, or the address is there")
	}
	if err := g.hold(sinceBoot() + time.Minute); err != nil || tcpPasses(t, "10.9.9.253:80") {
		t.Errorf("closed, with the address: HTTP passes (%v)", err)
	}
	if err := g.open(sinceBoot() - time.Second); err == nil || udpPasses(dhcp) {
		t.Errorf("opened for the past: %v", err)
	}
	if err := g.open(sinceBoot() + time.Minute); err != nil {
		t.Fatal(err)
	}
	if _, err := newKernelGate(g.address, g.device); err != nil || udpPasses(dhcp) || holdsAddress("eth0", "10.9.9.253") {
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
