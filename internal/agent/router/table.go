package router

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"towpath.dev/towpath/internal/deploy/route"
)

// state is a table, prepared for requests. It does not change.
type state struct {
	table route.Table
	ports map[int]*port              // by Listen
	keys  map[string][]route.Session // by route key, of all services
}

// port is one routed port with its service.
type port struct {
	route.Port
	service  route.Service
	sessions map[string]route.Session // by route key
	mirror   route.Track              // the zero Track when nothing is copied
	table    *route.Table
}

func prepare(t route.Table) (*state, error) {
	if err := t.Check(); err != nil {
		return nil, fmt.Errorf("checking table version %d: %w", t.Version, err)
	}
	st := &state{table: t, ports: map[int]*port{}, keys: map[string][]route.Session{}}
	byService := map[string]map[string]route.Session{}
	for _, s := range t.Sessions {
		if byService[s.Service] == nil {
			byService[s.Service] = map[string]route.Session{}
		}
		byService[s.Service][s.Key] = s
		st.keys[s.Key] = append(st.keys[s.Key], s)
	}
	for _, s := range t.Services {
		var mirror route.Track
		for _, track := range s.Tracks {
			if track.Name == s.Mirror {
				mirror = track
			}
		}
		for _, p := range s.Ports {
			st.ports[p.Listen] = &port{Port: p, service: s, sessions: byService[s.Name], mirror: mirror, table: &st.table}
		}
	}
	return st, nil
}

// session returns the live session of a key at this port's service.
func (p *port) session(key string, now time.Time) (route.Session, bool) {
	s, ok := p.sessions[key]
	return s, ok && now.Before(s.Expires)
}

// at returns the address of a host at this port.
func (p *port) at(host string) string {
	if a, err := netip.ParseAddr(host); err == nil {
		return netip.AddrPortFrom(a, uint16(p.Port.Port)).String()
	}
	return net.JoinHostPort(host, strconv.Itoa(p.Port.Port))
}

// stable is the stable track of the port's service, or the one given when there is none.
func (p *port) stable(other route.Track) route.Track {
	for _, t := range p.service.Tracks {
		if t.Name == route.Stable {
			return t
		}
	}
	return other
}
