package frontdoor

import (
	"net/http"
	"strings"
)

// The headers by which a request inside the cluster names the developer's session that is to answer it, and the member of W3C
// baggage that does the same.
const (
	routeMember     = "route-as"
	routeKubernetes = "Kubernetes-Route-As"
	routeAzds       = "Azds-Route-As"
	baggage         = "Baggage"
)

// strip removes what would aim a request at a developer's session: from outside, only a signed preview link may do that, and the
// router behind the Service adds the headers when it has checked one.
func strip(h http.Header) {
	h.Del(routeKubernetes)
	h.Del(routeAzds)
	lists := h.Values(baggage)
	if len(lists) == 0 {
		return
	}
	var kept []string
	for _, list := range lists {
		for member := range strings.SplitSeq(list, ",") {
			key, _, _ := strings.Cut(member, "=")
			if strings.TrimSpace(key) != routeMember && strings.TrimSpace(member) != "" {
				kept = append(kept, strings.TrimSpace(member))
			}
		}
	}
	h.Del(baggage)
	if len(kept) > 0 {
		h.Set(baggage, strings.Join(kept, ","))
	}
}
