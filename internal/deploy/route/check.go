package route

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
)

// Limits of a table. A ConfigMap holds at most a MiB; the rest bounds what a router keeps.
const (
	MaxTable    = 900 << 10 // bytes of the text form
	MaxServices = 500
	MaxPorts    = 32 // of one service
	MaxTracks   = 8  // of one service
	MaxHosts    = 64 // at the edge, of one service
	MaxSessions = 1000
)

// Ports that the router's pod and the session's pod need for themselves: no routed port
// may listen there.
const (
	AdminPort   = 9902 // of the router: metrics, health, what it knows
	ControlPort = 9903 // of the session pod: the tunnel
)

// What makes requests stick to a track.
const (
	StickyKey    = "key"    // the route key
	StickyCookie = "cookie" // a cookie that the router sets
	StickyTrace  = "trace"  // the trace id of traceparent
)

// Encode returns the table's text form. It refuses a table that Check refuses, or whose
// text is larger than MaxTable.
func Encode(t Table) ([]byte, error) {
	if err := t.Check(); err != nil {
		return nil, err
	}
	raw, err := json.Marshal(t)
	if err != nil {
		return nil, fmt.Errorf("encoding the route table: %w", err)
	}
	if len(raw) > MaxTable {
		return nil, fmt.Errorf("the route table has %d bytes, of which a ConfigMap keeps %d: end sessions or route fewer services", len(raw), MaxTable)
	}
	return raw, nil
}

// Decode reads a table's text form and checks it. Fields that it does not know are left
// out of account, so that a router of yesterday reads the table of today.
func Decode(raw []byte) (Table, error) {
	if len(raw) > MaxTable {
		return Table{}, fmt.Errorf("the route table has %d bytes, more than the %d that are read", len(raw), MaxTable)
	}
	var t Table
	d := json.NewDecoder(bytes.NewReader(raw))
	if err := d.Decode(&t); err != nil {
		return Table{}, fmt.Errorf("parsing the route table: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Table{}, errors.New("parsing the route table: something follows it")
	}
	return t, t.Check()
}

// Check returns the first rule that the table breaks, nil when it keeps all:
// names are DNS labels and unique; each port listens on a port of its own from 1024, which
// is none of the router's own; each service has the track stable and weights that sum up
// to 100; a session's service is in the table and its key is used once per service.
func (t Table) Check() error {
	switch {
	case t.Version < 0:
		return fmt.Errorf("the route table's version %d is negative", t.Version)
	case len(t.PreviewKey) != 0 && len(t.PreviewKey) != previewKeySize:
		return fmt.Errorf("the key that checks preview links has %d bytes, not %d", len(t.PreviewKey), previewKeySize)
	case len(t.Services) > MaxServices:
		return fmt.Errorf("%d services are routed, of which a table holds %d", len(t.Services), MaxServices)
	case len(t.Sessions) > MaxSessions:
		return fmt.Errorf("there are %d sessions, of which a table holds %d", len(t.Sessions), MaxSessions)
	}
	services, listens := map[string]bool{}, map[int]string{}
	for _, s := range t.Services {
		if services[s.Name] {
			return fmt.Errorf("service %s is in the table twice", s.Name)
		}
		services[s.Name] = true
		if err := s.check(listens); err != nil {
			return fmt.Errorf("service %q: %w", s.Name, err)
		}
	}
	return checkSessions(t.Sessions, services)
}

func (s Service) check(listens map[int]string) error {
	if !label(s.Name) {
		return errors.New("the name is no DNS label")
	}
	if len(s.Ports) == 0 || len(s.Ports) > MaxPorts {
		return fmt.Errorf("it has %d ports; a routed service has 1 to %d", len(s.Ports), MaxPorts)
	}
	if len(s.EdgeHosts) > MaxHosts {
		return fmt.Errorf("it has %d hosts at the edge; a service has at most %d", len(s.EdgeHosts), MaxHosts)
	}
	ports := map[int]bool{}
	for _, p := range s.Ports {
		if err := p.check(); err != nil {
			return err
		}
		if ports[p.Port] {
			return fmt.Errorf("port %d is there twice", p.Port)
		}
		ports[p.Port] = true
		if other, taken := listens[p.Listen]; taken {
			return fmt.Errorf("port %d listens on %d, which is the router's port for %s", p.Port, p.Listen, other)
		}
		listens[p.Listen] = fmt.Sprintf("%s:%d", s.Name, p.Port)
	}
	return s.checkTracks()
}

func (p Port) check() error {
	switch {
	case p.Port < 1 || p.Port > 65535:
		return fmt.Errorf("%d is no port", p.Port)
	case p.Listen < 1024 || p.Listen > 65535:
		return fmt.Errorf("port %d listens on %d; the router listens from 1024, because it has no capability", p.Port, p.Listen)
	case p.Listen == AdminPort || p.Listen == ControlPort:
		return fmt.Errorf("port %d listens on %d, which is kept for the agent itself", p.Port, p.Listen)
	case p.Protocol != HTTP && p.Protocol != H2C:
		return fmt.Errorf("port %d has the protocol %q; %s and %s are routed", p.Port, p.Protocol, HTTP, H2C)
	case p.Name != "" && !label(p.Name):
		return fmt.Errorf("the name %q of port %d is no DNS label", p.Name, p.Port)
	}
	return nil
}

func (s Service) checkTracks() error {
	if len(s.Tracks) > MaxTracks {
		return fmt.Errorf("it has %d tracks; a service has at most %d", len(s.Tracks), MaxTracks)
	}
	tracks, sum := map[string]bool{}, 0
	for _, t := range s.Tracks {
		switch {
		case !label(t.Name):
			return fmt.Errorf("the track %q is no DNS label", t.Name)
		case tracks[t.Name]:
			return fmt.Errorf("the track %s is there twice", t.Name)
		case t.Weight < 0 || t.Weight > 100:
			return fmt.Errorf("the track %s has the weight %d; a weight is 0 to 100", t.Name, t.Weight)
		}
		if err := checkHost(t.Host); err != nil {
			return fmt.Errorf("the track %s: %w", t.Name, err)
		}
		tracks[t.Name] = true
		sum += t.Weight
	}
	switch {
	case !tracks[Stable]:
		return fmt.Errorf("the track %s is missing", Stable)
	case sum != 100:
		return fmt.Errorf("the weights of its tracks sum up to %d, not 100", sum)
	case s.Mirror != "" && !tracks[s.Mirror]:
		return fmt.Errorf("requests are copied to the track %q, which it does not have", s.Mirror)
	}
	switch s.Sticky {
	case "", StickyKey, StickyCookie, StickyTrace:
		return nil
	}
	return fmt.Errorf("requests cannot stick by %q; by %s, %s or %s", s.Sticky, StickyKey, StickyCookie, StickyTrace)
}

func checkSessions(sessions []Session, services map[string]bool) error {
	ids, keys := map[string]bool{}, map[[2]string]string{}
	for _, s := range sessions {
		switch {
		case s.ID == "" || len(s.ID) > 64 || strings.ContainsFunc(s.ID, notToken):
			return fmt.Errorf("session %q: the id has 1 to 64 letters, digits, '-' and '_'", s.ID)
		case ids[s.ID]:
			return fmt.Errorf("session %s is in the table twice", s.ID)
		case !ValidKey(s.Key):
			return fmt.Errorf("session %s: the key %q is no DNS label in lower case", s.ID, s.Key)
		case !services[s.Service]:
			return fmt.Errorf("session %s: the service %q is not routed", s.ID, s.Service)
		case s.Expires.IsZero():
			return fmt.Errorf("session %s never expires", s.ID)
		}
		if other, taken := keys[[2]string{s.Service, s.Key}]; taken {
			return fmt.Errorf("session %s has the key of session %s of the same service", s.ID, other)
		}
		if err := checkHost(s.Host); err != nil {
			return fmt.Errorf("session %s: %w", s.ID, err)
		}
		ids[s.ID], keys[[2]string{s.Service, s.Key}] = true, s.ID
	}
	return nil
}

// checkHost accepts an address that pods can have and a DNS name. Link-local addresses
// (metadata services), multicast and the unspecified address are no pod's.
func checkHost(host string) error {
	if a, err := netip.ParseAddr(host); err == nil {
		a = a.Unmap()
		if a.Zone() != "" || a.IsUnspecified() || a.IsLinkLocalUnicast() || a.IsMulticast() {
			return fmt.Errorf("the host %s is no address of a pod or service", host)
		}
		return nil
	}
	if len(host) == 0 || len(host) > 253 {
		return fmt.Errorf("the host %q is neither an address nor a DNS name", host)
	}
	for part := range strings.SplitSeq(host, ".") {
		if !label(part) {
			return fmt.Errorf("the host %q is neither an address nor a DNS name", host)
		}
	}
	return nil
}

// label reports whether s is a DNS label in lower case (RFC 1123).
func label(s string) bool {
	if len(s) == 0 || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

func notToken(r rune) bool {
	return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
}
