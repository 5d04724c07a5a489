package session

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"towpath.dev/towpath/internal/dev/tunnel"
)

// Times and sizes of a question to the cluster's resolver.
const (
	dnsTime    = 3 * time.Second
	dnsTries   = 2
	maxMessage = 65535
)

// resolver is the cluster's, as the pod's resolv.conf names it.
type resolver struct {
	servers []string // "10.43.0.10:53"
	search  []string
	domain  string // of the cluster, "cluster.local"
}

// readResolver reads a resolv.conf. The cluster's domain is that of the search entry
// "<namespace>.svc.<domain>"; without one it is cluster.local.
func readResolver(path, namespace string) (resolver, error) {
	r := resolver{domain: "cluster.local"}
	raw, err := os.ReadFile(path)
	if err != nil {
		return r, fmt.Errorf("reading the pod's resolver: %w", err)
	}
	for line := range strings.Lines(string(raw)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		switch fields[0] {
		case "nameserver":
			if a, err := netip.ParseAddr(fields[1]); err == nil {
				r.servers = append(r.servers, netip.AddrPortFrom(a, 53).String())
			} else if ap, err := netip.ParseAddrPort(fields[1]); err == nil {
				r.servers = append(r.servers, ap.String())
			}
		case "search":
			r.search = fields[1:]
		}
	}
	for _, s := range r.search {
		if domain, ok := strings.CutPrefix(strings.TrimSuffix(s, "."), namespace+".svc."); ok {
			r.domain = domain
		}
	}
	return r, nil
}

// exchange asks one message, by udp and when the answer does not fit by tcp.
func (r resolver) exchange(ctx context.Context, message []byte) ([]byte, error) {
	if len(r.servers) == 0 {
		return nil, errors.New("the pod has no resolver")
	}
	var errs []error
	for i := range dnsTries {
		server := r.servers[i%len(r.servers)]
		answer, err := ask(ctx, "udp", server, message)
		if err == nil && len(answer) > 2 && answer[2]&0x02 != 0 { // truncated (RFC 1035, 4.1.1)
			answer, err = ask(ctx, "tcp", server, message)
		}
		if err == nil {
			return answer, nil
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("asking the cluster's resolver: %w", errors.Join(errs...))
}

func ask(ctx context.Context, network, server string, message []byte) ([]byte, error) {
	dialer := net.Dialer{Timeout: dnsTime}
	conn, err := dialer.DialContext(ctx, network, server)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(dnsTime))
	if network == "tcp" {
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...)); err != nil {
			return nil, err
		}
		var size [2]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return nil, err
		}
		answer := make([]byte, binary.BigEndian.Uint16(size[:]))
		_, err := io.ReadFull(conn, answer)
		return answer, err
	}
	if _, err := conn.Write(message); err != nil {
		return nil, err
	}
	answer := make([]byte, maxMessage)
	for {
		n, err := conn.Read(answer)
		if err != nil {
			return nil, err
		}
		// Another question's answer is none (RFC 5452, 9.1).
		if n >= 12 && answer[0] == message[0] && answer[1] == message[1] {
			return answer[:n], nil
		}
	}
}

// question returns the name that a message asks about.
func question(message []byte) (string, error) {
	var p dnsmessage.Parser
	if _, err := p.Start(message); err != nil {
		return "", tunnel.Errorf(tunnel.Invalid, "the DNS message cannot be read: %v", err)
	}
	q, err := p.Question()
	if err != nil {
		return "", tunnel.Errorf(tunnel.Invalid, "the DNS message asks nothing: %v", err)
	}
	return q.Name.String(), nil
}

// addresses returns the addresses in the answers of a message.
func addresses(message []byte) []netip.Addr {
	var p dnsmessage.Parser
	if _, err := p.Start(message); err != nil || p.SkipAllQuestions() != nil {
		return nil
	}
	var out []netip.Addr
	for {
		h, err := p.AnswerHeader()
		if err != nil {
			return out
		}
		switch h.Type {
		case dnsmessage.TypeA:
			if a, err := p.AResource(); err == nil {
				out = append(out, netip.AddrFrom4(a.A))
			}
		case dnsmessage.TypeAAAA:
			if a, err := p.AAAAResource(); err == nil {
				out = append(out, netip.AddrFrom16(a.AAAA))
			}
		default:
			if p.SkipAnswer() != nil {
				return out
			}
		}
	}
}
