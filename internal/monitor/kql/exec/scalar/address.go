package scalar

import (
	"math/bits"
	"net/netip"
	"regexp"
	"strings"

	"towpath.dev/towpath/internal/monitor/kql/value"
)

func addresses() map[string]Func {
	return map[string]Func{
		"parse_ipv4": strict(parseIPv4), "parse_ipv4_mask": strict(parseIPv4Mask), "ipv4_is_private": strict(isPrivate), "ipv4_netmask_suffix": strict(netmask),
		"ipv4_compare": strict(compareIPv4), "ipv4_is_match": strict(matchIPv4), "ipv4_is_in_range": strict(inRange), "ipv4_is_in_any_range": strict(inAnyRange),
		"format_ipv4": strict(formatIPv4), "format_ipv4_mask": strict(formatIPv4), "has_ipv4": strict(hasIPv4), "has_any_ipv4": strict(hasIPv4),
		"has_ipv4_prefix": strict(hasIPv4Prefix), "has_any_ipv4_prefix": strict(hasIPv4Prefix),
		"parse_ipv6": strict(parseIPv6), "ipv6_is_match": strict(matchIPv6), "ipv6_is_in_range": strict(inIPv6Range), "ipv6_compare": strict(compareIPv6),
		"ipv6_is_in_any_range": strict(inAnyIPv6Range), "parse_ipv6_mask": strict(parseIPv6),
	}
}

// ipv4 reads an address with its prefix, 32 when it has none.
func ipv4(v any) (addr uint32, prefix int, ok bool) {
	s, p, has := strings.Cut(strings.TrimSpace(value.String(v)), "/")
	prefix = 32
	if has {
		n, fine := value.ParseLong(p)
		if !fine || n < 0 || n > 32 {
			return 0, 0, false
		}
		prefix = int(n)
	}
	if n, isNumber := v.(int64); isNumber {
		return uint32(n), prefix, n >= 0 && n <= 1<<32-1
	}
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is4() {
		return 0, 0, false
	}
	b := a.As4()
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3]), prefix, true
}

func mask(prefix int) uint32 {
	if prefix <= 0 {
		return 0
	}
	return ^uint32(0) << (32 - min(prefix, 32))
}

func parseIPv4(_ *Call, a []any) any {
	ip, p, ok := ipv4(a[0])
	if !ok {
		return nil
	}
	return int64(ip & mask(p))
}

func parseIPv4Mask(_ *Call, a []any) any {
	ip, p, ok := ipv4(a[0])
	m := long(a[1])
	if !ok || m < 0 || m > 32 {
		return nil
	}
	return int64(ip & mask(min(p, int(m))))
}

func netmask(_ *Call, a []any) any {
	_, p, ok := ipv4(a[0])
	if !ok {
		return nil
	}
	return int64(p)
}

func isPrivate(_ *Call, a []any) any {
	ip, p, ok := ipv4(a[0])
	if !ok {
		return nil
	}
	for _, r := range []struct {
		net    uint32
		prefix int
	}{{10 << 24, 8}, {172<<24 | 16<<16, 12}, {192<<24 | 168<<16, 16}} {
		if ip&mask(r.prefix) == r.net && p >= r.prefix {
			return true
		}
	}
	return false
}

// common gives both addresses under the shortest of the prefixes.
func common(a []any) (x, y uint32, ok bool) {
	x, p, ok1 := ipv4(a[0])
	y, q, ok2 := ipv4(a[1])
	p = min(p, q)
	if len(a) > 2 {
		p = min(p, int(long(a[2])))
	}
	return x & mask(p), y & mask(p), ok1 && ok2
}

func compareIPv4(_ *Call, a []any) any {
	x, y, ok := common(a)
	switch {
	case !ok:
		return nil
	case x < y:
		return int64(-1)
	case x > y:
		return int64(1)
	}
	return int64(0)
}

func matchIPv4(_ *Call, a []any) any {
	x, y, ok := common(a)
	if !ok {
		return nil
	}
	return x == y
}

func inRange(_ *Call, a []any) any {
	ip, _, ok1 := ipv4(a[0])
	any1 := false
	for _, part := range strings.Split(value.String(a[1]), ",") {
		net, p, ok2 := ipv4(part)
		if !ok1 || !ok2 {
			return nil
		}
		any1 = any1 || ip&mask(p) == net&mask(p)
	}
	return any1
}

func inAnyRange(c *Call, a []any) any {
	ranges := a[1:]
	if list, ok := a[1].([]any); ok {
		ranges = list
	}
	for _, r := range ranges {
		if inRange(c, []any{a[0], r}) == true {
			return true
		}
	}
	if _, _, ok := ipv4(a[0]); !ok {
		return nil
	}
	return false
}

func formatIPv4(c *Call, a []any) any {
	ip, p, ok := ipv4(a[0])
	if len(a) > 1 {
		m := long(a[1])
		ok = ok && m >= 0 && m <= 32
		p = min(p, int(m))
	}
	if !ok {
		return ""
	}
	ip &= mask(p)
	s := netip.AddrFrom4([4]byte{byte(ip >> 24), byte(ip >> 16), byte(ip >> 8), byte(ip)}).String()
	if c.Name == "format_ipv4_mask" {
		s += "/" + value.String(int64(bits.OnesCount32(mask(p))))
	}
	return s
}

var ipPattern = regexp.MustCompile(`(?:^|[^0-9A-Za-z.])((?:\d{1,3}\.){3}\d{1,3})(?:$|[^0-9A-Za-z.]|\.(?:$|[^0-9]))`)

// hasIPv4(text, address…): the addresses may also be one array.
func hasIPv4(_ *Call, a []any) any {
	return anyAddress(a, func(found, want string) bool { return found == want })
}

func hasIPv4Prefix(_ *Call, a []any) any {
	return anyAddress(a, func(found, want string) bool { return strings.HasPrefix(found, want) })
}

func anyAddress(a []any, match func(found, want string) bool) bool {
	wants := a[1:]
	if list, ok := a[1].([]any); ok {
		wants = list
	}
	s := value.String(a[0])
	for s != "" {
		m := ipPattern.FindStringSubmatchIndex(s)
		if m == nil {
			return false
		}
		found := s[m[2]:m[3]]
		if _, _, ok := ipv4(found); ok {
			for _, w := range wants {
				if match(found, value.String(w)) {
					return true
				}
			}
		}
		s = s[m[3]:]
	}
	return false
}

// ipv6 reads an address of either family as one of 128 bits.
func ipv6(v any) (netip.Addr, int, bool) {
	s, p, has := strings.Cut(strings.TrimSpace(value.String(v)), "/")
	if four, dotted := strings.CutPrefix(s, "::"); dotted && strings.Contains(s, ".") {
		s = four // an IPv4 address in the notation of IPv6
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return a, 0, false
	}
	prefix, base := 128, 0
	if a.Is4() {
		base = 96
	}
	if has {
		n, ok := value.ParseLong(p)
		if !ok || n < 0 || n > int64(128-base) {
			return a, 0, false
		}
		prefix = base + int(n)
	}
	return netip.AddrFrom16(a.As16()), prefix, true
}

func masked6(a netip.Addr, prefix int) [16]byte {
	b := a.As16()
	for i := range b {
		if keep := prefix - 8*i; keep <= 0 {
			b[i] = 0
		} else if keep < 8 {
			b[i] &= ^byte(0) << (8 - keep)
		}
	}
	return b
}

func parseIPv6(_ *Call, a []any) any {
	ip, p, ok := ipv6(a[0])
	if !ok {
		return nil
	}
	if len(a) > 1 {
		p = min(p, int(long(a[1])))
	}
	b := masked6(ip, p)
	var s strings.Builder
	for i := 0; i < 16; i += 2 {
		if i > 0 {
			s.WriteByte(':')
		}
		const hexDigits = "0123456789abcdef"
		for _, x := range b[i : i+2] {
			s.WriteByte(hexDigits[x>>4])
			s.WriteByte(hexDigits[x&15])
		}
	}
	return s.String()
}

func common6(a []any) (x, y [16]byte, ok bool) {
	p, n, ok1 := ipv6(a[0])
	q, m, ok2 := ipv6(a[1])
	if !ok1 || !ok2 {
		return x, y, false
	}
	n = min(n, m)
	if len(a) > 2 {
		n = min(n, int(long(a[2])))
	}
	return masked6(p, n), masked6(q, n), true
}

func matchIPv6(_ *Call, a []any) any {
	x, y, ok := common6(a)
	if !ok {
		return nil
	}
	return x == y
}

func compareIPv6(_ *Call, a []any) any {
	x, y, ok := common6(a)
	if !ok {
		return nil
	}
	return int64(strings.Compare(string(x[:]), string(y[:])))
}

func inIPv6Range(_ *Call, a []any) any {
	ip, _, ok1 := ipv6(a[0])
	net, p, ok2 := ipv6(a[1])
	if !ok1 || !ok2 {
		return nil
	}
	return masked6(ip, p) == masked6(net, p)
}

func inAnyIPv6Range(c *Call, a []any) any {
	ranges := a[1:]
	if list, ok := a[1].([]any); ok {
		ranges = list
	}
	if _, _, ok := ipv6(a[0]); !ok {
		return nil
	}
	for _, r := range ranges {
		if inIPv6Range(c, []any{a[0], r}) == true {
			return true
		}
	}
	return false
}
