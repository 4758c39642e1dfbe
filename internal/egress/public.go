package egress

import (
	"fmt"
	"net/netip"
	"syscall"
)

// AddressError says that an address is not on the public internet.
type AddressError struct{ Addr netip.Addr }

func (e *AddressError) Error() string {
	return fmt.Sprintf("address %v is not public", e.Addr)
}

// publicOnly is a net.Dialer's Control: it sees the address that is about to be connected to, whatever name led there.
func publicOnly(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("parse address: %w", err)
	}
	if !isPublic(ap.Addr()) {
		return &AddressError{ap.Addr().WithZone("")}
	}
	return nil
}

// isPublic tells whether an address is an ordinary unicast one of the public internet. IPv6 forms that carry an IPv4 address are
// refused whole where a translator might act on them.
func isPublic(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsGlobalUnicast() || a.Zone() != "" {
		return false
	}
	for _, p := range notPublic {
		if p.Contains(a) {
			return false
		}
	}
	return a.Is4() || globalV6.Contains(a)
}

// globalV6 is all that IANA has given out for global unicast.
var globalV6 = netip.MustParsePrefix("2000::/3")

// notPublic are the special-purpose registries of IANA, as far as IsGlobalUnicast lets them through.
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"), // carrier-grade NAT; Alibaba's metadata service lives here
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("192.88.99.0/24"),
	netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("168.63.129.16/32"), // Azure's wire server
	netip.MustParsePrefix("2001::/23"),        // Teredo, ORCHID, benchmarking
	netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("2002::/16"), // 6to4
	netip.MustParsePrefix("3fff::/20"), // documentation
}
