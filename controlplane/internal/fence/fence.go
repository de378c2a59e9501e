// Package fence lets this machine's kernel take DHCP's requests and send answers as the boot server until a
// given time and not after it, also when this program or the whole machine stands still meanwhile: elements
// of an nftables set with a timeout (nft(8), SETS), and an address with a lifetime (ip-address(8),
// valid_lft). It leaves to package leadership until when that is.
package fence

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

	"rack-lab/controlplane/internal/clock"
)

// ports are what the fence is for: DHCP's (UDP) and HTTP's (TCP).
var ports = []uint16{67, 80}

// table has the rules, and the set of the ports that pass.
const table = "boot_fence"

// Fence is the nftables table, and the boot address on the device.
type Fence struct {
	address netip.Prefix
	device  string
	set     *nftables.Set
}

// New makes the table anew, closed.
func New(address netip.Prefix, device string) (*Fence, error) {
	c, err := nftables.New()
	if err != nil {
		return nil, err
	}
	its := &nftables.Table{Family: nftables.TableFamilyINet, Name: table}
	c.AddTable(its) // so that there is one to delete
	c.DelTable(its)
	c.AddTable(its)
	f := &Fence{address: address, device: device, set: &nftables.Set{
		Table: its, Name: "open", KeyType: nftables.TypeInetService, HasTimeout: true,
	}}
	if err := c.AddSet(f.set, nil); err != nil {
		return nil, err
	}
	chain := func(name string, hook *nftables.ChainHook) *nftables.Chain {
		return c.AddChain(&nftables.Chain{
			Table: its, Name: name, Type: nftables.ChainTypeFilter, Hooknum: hook, Priority: nftables.ChainPriorityFilter,
		})
	}
	input, output := chain("input", nftables.ChainHookInput), chain("output", nftables.ChainHookOutput)
	// udp dport 67 udp dport != @open drop: dnsmasq, started before the fence opens, gives nothing away
	c.AddRule(&nftables.Rule{Table: its, Chain: input, Exprs: append(protocol(unix.IPPROTO_UDP), f.shut(destination, 67)...)})
	// udp sport 67 udp sport != @open drop
	c.AddRule(&nftables.Rule{Table: its, Chain: output, Exprs: append(protocol(unix.IPPROTO_UDP), f.shut(source, 67)...)})
	// ip saddr BOOT_ADDRESS tcp sport 80 tcp sport != @open drop
	from := address.Addr().As4()
	exprs := []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.NFPROTO_IPV4}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 12, Len: 4},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: from[:]},
	}
	exprs = append(exprs, protocol(unix.IPPROTO_TCP)...)
	c.AddRule(&nftables.Rule{Table: its, Chain: output, Exprs: append(exprs, f.shut(source, 80)...)})
	if err := c.Flush(); err != nil {
		return nil, fmt.Errorf("nftables table inet %s: %w; is nf_tables in the kernel?", table, err)
	}
	return f, f.Close()
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
func (f *Fence) shut(place uint32, port uint16) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: place, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(port)},
		&expr.Lookup{SourceRegister: 1, SetName: f.set.Name, SetID: f.set.ID, Invert: true},
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

// Open lets answers out until then, longer or less long than was said before. Times are of clock.SinceBoot.
func (f *Fence) Open(until time.Duration) error {
	asked := clock.SinceBoot()
	if err := f.fill(elements(until - asked)); err != nil {
		return err
	}
	// The kernel counts from when it was told: late if the machine stood still just then.
	if clock.SinceBoot() >= until {
		return errors.Join(f.Close(), errors.New("too late to open the fence"))
	}
	return f.hold(until)
}

// fill makes the elements the set's only ones, at once.
func (f *Fence) fill(all []nftables.SetElement) error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	c.FlushSet(f.set)
	if len(all) > 0 {
		if err := c.SetAddElements(f.set, all); err != nil {
			return err
		}
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("set open of inet %s: %w", table, err)
	}
	return nil
}

// hold has the boot address on the device until then, and tells the network when it is new there.
func (f *Fence) hold(until time.Duration) error {
	link, err := netlink.LinkByName(f.device)
	if err != nil {
		return fmt.Errorf("device '%s': %w", f.device, err)
	}
	isNew := !HoldsAddress(f.device, f.address.Addr().String())
	left := lifetime(until - clock.SinceBoot())
	address := f.netlinkAddress()
	address.ValidLft, address.PreferedLft = left, left
	if err := netlink.AddrReplace(link, address); err != nil {
		return fmt.Errorf("address %s on %s: %w", f.address, f.device, err)
	}
	if isNew {
		return announce(link.Attrs(), f.address.Addr())
	}
	return nil
}

func (f *Fence) netlinkAddress() *netlink.Addr {
	return &netlink.Addr{IPNet: &net.IPNet{
		IP: f.address.Addr().AsSlice(), Mask: net.CIDRMask(f.address.Bits(), 32),
	}}
}

// Close empties the set, then takes the address away.
func (f *Fence) Close() error {
	if err := f.fill(nil); err != nil {
		return err
	}
	link, err := netlink.LinkByName(f.device)
	if err != nil {
		return fmt.Errorf("device '%s': %w", f.device, err)
	}
	if err := netlink.AddrDel(link, f.netlinkAddress()); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
		return fmt.Errorf("address %s on %s: %w", f.address, f.device, err)
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

// HoldsAddress tells whether the device has the address.
func HoldsAddress(device, address string) bool {
	its, err := net.InterfaceByName(device)
	if err != nil {
		return false
	}
	addresses, _ := its.Addrs()
	for _, each := range addresses {
		if network, ok := each.(*net.IPNet); ok && network.IP.String() == address {
			return true
		}
	}
	return false
}
