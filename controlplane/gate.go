package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// This file owns the fence: what lets this machine's kernel take DHCP's requests and send answers as the boot
// server, until a given time and not after it, also when this program or the whole machine stands still meanwhile.

// gate lets answers out. Times are of sinceBoot.
type gate interface {
	open(until time.Duration) error
	close() error
}

// ports are what the gate is for: DHCP's (UDP) and HTTP's (TCP).
var ports = []uint16{67, 80}

// kernelGate is the nftables table inet boot_gate, and the boot address on the device.
type kernelGate struct {
	address netip.Prefix
	device  string
	set     *nftables.Set
}

// newKernelGate makes the table anew, closed.
func newKernelGate(address netip.Prefix, device string) (*kernelGate, error) {
	c, err := nftables.New()
	if err != nil {
		return nil, err
	}
	table := &nftables.Table{Family: nftables.TableFamilyINet, Name: "boot_gate"}
	c.AddTable(table) // so that there is one to delete
	c.DelTable(table)
	c.AddTable(table)
	g := &kernelGate{address: address, device: device, set: &nftables.Set{
		Table: table, Name: "open", KeyType: nftables.TypeInetService, HasTimeout: true,
	}}
	if err := c.AddSet(g.set, nil); err != nil {
		return nil, err
	}
	chain := func(name string, hook *nftables.ChainHook) *nftables.Chain {
		return c.AddChain(&nftables.Chain{
			Table: table, Name: name, Type: nftables.ChainTypeFilter, Hooknum: hook, Priority: nftables.ChainPriorityFilter,
		})
	}
	input, output := chain("input", nftables.ChainHookInput), chain("output", nftables.ChainHookOutput)
	// udp dport 67 udp dport != @open drop: dnsmasq, started before the gate opens, gives nothing away
	c.AddRule(&nftables.Rule{Table: table, Chain: input, Exprs: append(protocol(unix.IPPROTO_UDP), g.shut(destination, 67)...)})
	// udp sport 67 udp sport != @open drop
	c.AddRule(&nftables.Rule{Table: table, Chain: output, Exprs: append(protocol(unix.IPPROTO_UDP), g.shut(source, 67)...)})
	// ip saddr BOOT_ADDRESS tcp sport 80 tcp sport != @open drop
	from := address.Addr().As4()
	exprs := []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.NFPROTO_IPV4}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 12, Len: 4},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: from[:]},
	}
	exprs = append(exprs, protocol(unix.IPPROTO_TCP)...)
	c.AddRule(&nftables.Rule{Table: table, Chain: output, Exprs: append(exprs, g.shut(source, 80)...)})
	if err := c.Flush(); err != nil {
		return nil, fmt.Errorf("nftables table inet boot_gate: %w; is nf_tables in the kernel?", err)
	}
	return g, g.close()
}

// protocol matches packets of a transport protocol.
func protocol(number byte) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{number}},
	}
}

// Where ports are in the headers of UDP and TCP.
const (
	source      = 0
	destination = 2
)

// shut drops packets with the port at this place unless it is in the set.
func (g *kernelGate) shut(place uint32, port uint16) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: place, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(port)},
		&expr.Lookup{SourceRegister: 1, SetName: g.set.Name, SetID: g.set.ID, Invert: true},
		&expr.Verdict{Kind: expr.VerdictDrop},
	}
}

// elements are the set's, for as long as is left; none when that is less than a millisecond, as a timeout of
// zero would be none at all.
func elements(left time.Duration) []nftables.SetElement {
	if left < time.Millisecond {
		return nil
	}
	var all []nftables.SetElement
	for _, port := range ports {
		all = append(all, nftables.SetElement{Key: binaryutil.BigEndian.PutUint16(port), Timeout: left})
	}
	return all
}

// lifetime is an address's, in the kernel's whole seconds: rounded down, 1 at least.
func lifetime(left time.Duration) int { return max(1, int(left/time.Second)) }

// open opens the gate, or has it open longer or less long.
func (g *kernelGate) open(until time.Duration) error {
	asked := sinceBoot()
	if err := g.fill(elements(until - asked)); err != nil {
		return err
	}
	// The kernel counts from when it was told: late if the machine stood still just then.
	if sinceBoot() >= until {
		return errors.Join(g.close(), errors.New("too late to open the gate"))
	}
	return g.hold(until)
}

// fill makes the elements the set's only ones, at once.
func (g *kernelGate) fill(all []nftables.SetElement) error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	c.FlushSet(g.set)
	if len(all) > 0 {
		if err := c.SetAddElements(g.set, all); err != nil {
			return err
		}
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("set open of inet boot_gate: %w", err)
	}
	return nil
}

// hold has the boot address on the device until then, and tells the network when it is new there.
func (g *kernelGate) hold(until time.Duration) error {
	link, err := netlink.LinkByName(g.device)
	if err != nil {
		return fmt.Errorf("device '%s': %w", g.device, err)
	}
	isNew := !holdsAddress(g.device, g.address.Addr().String())
	left := lifetime(until - sinceBoot())
	address := g.netlinkAddress()
	address.ValidLft, address.PreferedLft = left, left
	if err := netlink.AddrReplace(link, address); err != nil {
		return fmt.Errorf("address %s on %s: %w", g.address, g.device, err)
	}
	if isNew {
		return announce(link.Attrs(), g.address.Addr())
	}
	return nil
}

func (g *kernelGate) netlinkAddress() *netlink.Addr {
	return &netlink.Addr{IPNet: &net.IPNet{
		IP: g.address.Addr().AsSlice(), Mask: net.CIDRMask(g.address.Bits(), 32),
	}}
}

// close empties the set, then takes the address away.
func (g *kernelGate) close() error {
	if err := g.fill(nil); err != nil {
		return err
	}
	link, err := netlink.LinkByName(g.device)
	if err != nil {
		return fmt.Errorf("device '%s': %w", g.device, err)
	}
	if err := netlink.AddrDel(link, g.netlinkAddress()); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
		return fmt.Errorf("address %s on %s: %w", g.address, g.device, err)
	}
	return nil
}

// announce sends gratuitous ARP three times, so that neighbours forget who had the address before.
func announce(link *netlink.LinkAttrs, address netip.Addr) error {
	socket, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("packet socket: %w", err)
	}
	defer unix.Close(socket)
	to := &unix.SockaddrLinklayer{Ifindex: link.Index, Halen: 6, Addr: [8]byte{255, 255, 255, 255, 255, 255}}
	frame := arpFrame(link.HardwareAddr, address)
	for range 3 {
		if err := unix.Sendto(socket, frame, 0, to); err != nil {
			return fmt.Errorf("gratuitous ARP on %s: %w", link.Name, err)
		}
	}
	return nil
}

// arpFrame is an Ethernet frame to all: a request for the address by its holder.
func arpFrame(from net.HardwareAddr, address netip.Addr) []byte {
	broadcast := []byte{255, 255, 255, 255, 255, 255}
	frame := append(append([]byte{}, broadcast...), from...)
	for _, word := range []uint16{unix.ETH_P_ARP, unix.ARPHRD_ETHER, unix.ETH_P_IP, 6<<8 | 4, 1} {
		frame = binary.BigEndian.AppendUint16(frame, word)
	}
	frame = append(append(frame, from...), address.AsSlice()...)
	return append(append(frame, make([]byte, 6)...), address.AsSlice()...)
}
