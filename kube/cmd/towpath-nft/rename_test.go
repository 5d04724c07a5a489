package main

import (
	"bufio"
	"strings"
	"testing"
)

func TestScriptNamesTheClustersOwnTable(t *testing.T) {
	in := `add table ip kube-proxy { comment "rules for kube-proxy" ; }
add chain ip kube-proxy services
add rule ip kube-proxy services ip daddr @kube-proxy comment "kube-proxy"
flush chain ip other kube-proxy
delete table kube-proxy
add element ip kube-proxy service-ips { 10.43.0.1 . tcp . 443 : goto service-x }`
	want := `add table ip mine { comment "rules for kube-proxy" ; }
add chain ip mine services
add rule ip mine services ip daddr @kube-proxy comment "kube-proxy"
flush chain ip other kube-proxy
delete table mine
add element ip mine service-ips { 10.43.0.1 . tcp . 443 : goto service-x }`
	var out strings.Builder
	if err := renameScript(&out, bufio.NewReader(strings.NewReader(in)), "mine"); err != nil {
		t.Fatal(err)
	}
	if out.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", out.String(), want)
	}
}

func TestListingNamesTheUpstreamTable(t *testing.T) {
	in := `{"nftables": [{"table": {"family": "ip", "name": "mine", "handle": 1}}, {"chain": {"family": "ip", "table": "mine", "name": "mine2"}}]}`
	want := `{"nftables": [{"table": {"family": "ip", "name": "kube-proxy", "handle": 1}}, {"chain": {"family": "ip", "table": "kube-proxy", "name": "mine2"}}]}`
	if got := string(restoreNames([]byte(in), "mine")); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
