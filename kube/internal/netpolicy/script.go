package netpolicy

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// commentLimit is how much of a policy's name a comment shows; nft takes 128 bytes.
const commentLimit = 120

// Script writes the transaction that gives the table of that name these rules, whatever was in it. For an empty Ruleset it
// removes the table.
//
// A packet of a connection that is not established passes the chain of its source, then that of its destination. Pods with the
// same policies share a chain; it ends with drop, and where one of its policies admits the packet, an egress chain goes on to
// "arrive" and an ingress chain accepts.
func (r Ruleset) Script(table string) string {
	var w strings.Builder
	// "add" before "delete" makes that succeed when there is no table.
	fmt.Fprintf(&w, "add table ip %[1]s\ndelete table ip %[1]s\n", table)
	if r.Empty() {
		return w.String()
	}
	fmt.Fprintf(&w, "table ip %s {\n", table)
	r.itself(&w)
	r.Ingress.chains(&w, "ingress", "saddr", "accept", Node{})
	r.Egress.chains(&w, "egress", "daddr", "goto arrive", r.Node)
	w.WriteString(`	chain arrive {
		ip daddr vmap @ingress
		accept
	}
	chain forward {
		type filter hook forward priority filter; policy accept;
		iifname "veth*" fib saddr . iif oif missing drop
		ct state established,related accept
		ip saddr . ip daddr @itself accept
		ip saddr vmap @egress
		ip daddr vmap @ingress
	}
	chain input {
		type filter hook input priority filter; policy accept;
		iifname "veth*" fib saddr . iif oif missing drop
		ct state established,related accept
		ip saddr vmap @egress
	}
}
`)
	return w.String()
}

// itself lists the isolated pods as pairs with themselves: what a pod sends to itself by a Service passes the host.
func (r Ruleset) itself(w *strings.Builder) {
	isolated := map[netip.Addr]bool{}
	for _, direction := range []Direction{r.Ingress, r.Egress} {
		for address := range direction.Pods {
			isolated[address] = true
		}
	}
	var pairs []string
	for _, address := range slices.SortedFunc(maps.Keys(isolated), netip.Addr.Compare) {
		pairs = append(pairs, address.String()+" . "+address.String())
	}
	fmt.Fprintf(w, "\tset itself {\n\t\ttype ipv4_addr . ipv4_addr\n\t\telements = { %s }\n\t}\n", strings.Join(pairs, ", "))
}

// chains writes the chains of a direction, with the map from its pods to theirs. Peer is the address that a rule's peers are
// compared with, verdict what follows where a rule admits the packet.
func (d Direction) chains(w *strings.Builder, name, peer, verdict string, node Node) {
	for i, policy := range d.Policies {
		fmt.Fprintf(w, "\tchain %s-policy-%d {\n\t\tcomment %q\n", name, i, comment(policy.Name))
		for _, rule := range policy.Rules {
			for _, match := range rule.matches(peer) {
				fmt.Fprintf(w, "\t\t%s\n", strings.TrimSpace(match+" "+verdict))
			}
			for _, protocol := range rule.DNS {
				fmt.Fprintf(w, "\t\tip daddr %s %s dport %d %s\n", node.Address, protocol, node.DNSPort, verdict)
			}
		}
		w.WriteString("\t}\n")
	}
	groups, elements := map[string]string{}, []string{}
	for _, address := range slices.SortedFunc(maps.Keys(d.Pods), netip.Addr.Compare) {
		policies := fmt.Sprint(d.Pods[address])
		group, known := groups[policies]
		if !known {
			group = fmt.Sprintf("%s-pods-%d", name, len(groups))
			groups[policies] = group
			fmt.Fprintf(w, "\tchain %s {\n", group)
			for _, i := range d.Pods[address] {
				fmt.Fprintf(w, "\t\tjump %s-policy-%d\n", name, i)
			}
			w.WriteString("\t\tdrop\n\t}\n")
		}
		elements = append(elements, fmt.Sprintf("%s : jump %s", address, group))
	}
	fmt.Fprintf(w, "\tmap %s {\n\t\ttype ipv4_addr : verdict\n", name)
	if len(elements) > 0 {
		fmt.Fprintf(w, "\t\telements = { %s }\n", strings.Join(elements, ", "))
	}
	w.WriteString("\t}\n")
}

// matches are the nft expressions that a rule admits; none when it admits nobody, one that is empty when it admits everything.
func (r Rule) matches(peer string) []string {
	var out []string
	for _, who := range r.peers(peer) {
		for _, where := range r.ports() {
			out = append(out, strings.TrimSpace(who+" "+where))
		}
	}
	return out
}

func (r Rule) peers(peer string) []string {
	if r.Anyone {
		return []string{""}
	}
	var out []string
	if len(r.Peers) > 0 {
		var list []string
		for _, address := range r.Peers {
			list = append(list, address.String())
		}
		out = append(out, fmt.Sprintf("ip %s { %s }", peer, strings.Join(list, ", ")))
	}
	for _, block := range r.Blocks {
		match := fmt.Sprintf("ip %s %s", peer, block.Range)
		for _, except := range block.Except {
			match += fmt.Sprintf(" ip %s != %s", peer, except)
		}
		out = append(out, match)
	}
	return out
}

func (r Rule) ports() []string {
	if r.AnyPort {
		return []string{""}
	}
	var out []string
	for _, ports := range r.Ports {
		switch {
		case ports.First == 0 && ports.Last == lastPort:
			out = append(out, "meta l4proto "+ports.Protocol)
		case ports.First == ports.Last:
			out = append(out, fmt.Sprintf("%s dport %d", ports.Protocol, ports.First))
		default:
			out = append(out, fmt.Sprintf("%s dport %d-%d", ports.Protocol, ports.First, ports.Last))
		}
	}
	for _, place := range r.Named {
		out = append(out, fmt.Sprintf("ip daddr %s %s dport %d", place.Address, place.Protocol, place.Port))
	}
	return out
}

// comment keeps what a Kubernetes name consists of, and no more than a comment takes.
func comment(name string) string {
	kept := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune("-./", r) {
			return r
		}
		return -1
	}, name)
	return kept[:min(len(kept), commentLimit)]
}
