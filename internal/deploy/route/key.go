package route

import (
	"net/http"
	"net/url"
	"strings"
)

// headerBaggage is the header of W3C Baggage.
const headerBaggage = "Baggage"

// Limits of W3C Baggage (section 3.3.2, "Limits"): what is behind them is not looked at.
const (
	maxBaggage = 8192 // bytes of all baggage headers together
	maxMembers = 180
)

// ValidKey reports whether s can be a route key: a DNS label in lower case, because a key
// is also the first label of a preview's host name.
func ValidKey(s string) bool { return label(s) }

// KeyOf returns the route key that the headers carry, "" when they carry none. The baggage
// member route-as wins over kubernetes-route-as, which wins over azds-route-as. A value
// that cannot be a key counts as absent.
func KeyOf(h http.Header) string {
	if key := baggageKey(h[headerBaggage]); key != "" {
		return key
	}
	for _, name := range [...]string{HeaderKubernetes, HeaderAzds} {
		if key := strings.TrimSpace(h.Get(name)); ValidKey(key) {
			return key
		}
	}
	return ""
}

// baggageKey returns the first valid key among the members of baggage headers.
func baggageKey(lines []string) string {
	size, members := 0, 0
	for _, line := range lines {
		for member := range strings.SplitSeq(line, ",") {
			size += len(member) + 1
			if members++; size > maxBaggage+1 || members > maxMembers {
				return ""
			}
			name, value := parseMember(member)
			if name != BaggageMember {
				continue
			}
			if key, err := url.PathUnescape(value); err == nil && ValidKey(key) {
				return key
			}
		}
	}
	return ""
}

// parseMember splits a list member "name = value ; properties" into name and value, which
// is percent-encoded. Optional white space around both is dropped.
func parseMember(member string) (name, value string) {
	member, _, _ = strings.Cut(member, ";")
	name, value, _ = strings.Cut(member, "=")
	return strings.Trim(name, " \t"), strings.Trim(value, " \t")
}

// Add makes the headers carry the key in all three ways, in place of a key that is there.
// The other members of an existing baggage header stay.
func Add(h http.Header, key string) {
	Strip(h)
	member := BaggageMember + "=" + key
	// First, because who shortens baggage cuts its end.
	if rest := h[headerBaggage]; len(rest) > 0 {
		member += "," + strings.Join(rest, ",")
	}
	h[headerBaggage] = []string{member}
	h.Set(HeaderKubernetes, key)
	h.Set(HeaderAzds, key)
}

// Strip takes the route key out of the headers, whatever carries it. The other members of
// a baggage header stay as they are.
func Strip(h http.Header) {
	h.Del(HeaderKubernetes)
	h.Del(HeaderAzds)
	lines := h[headerBaggage]
	if len(lines) == 0 {
		return
	}
	kept := make([]string, 0, len(lines))
	for _, line := range lines {
		members := strings.Split(line, ",")
		rest := members[:0]
		for _, m := range members {
			if name, _ := parseMember(m); name != BaggageMember {
				rest = append(rest, m)
			}
		}
		if len(rest) > 0 {
			kept = append(kept, strings.Trim(strings.Join(rest, ","), " \t"))
		}
	}
	if len(kept) == 0 {
		h.Del(headerBaggage)
		return
	}
	h[headerBaggage] = kept
}
