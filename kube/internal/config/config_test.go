package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"towpath.dev/towpath/kube/internal/config"
)

func TestParseFillsDefaults(t *testing.T) {
	c, err := config.Parse([]byte(`{"data":"/srv/cluster","node_ip":"10.60.0.1","api_port":7443}`))
	if err != nil {
		t.Fatal(err)
	}
	for what, pair := range map[string][2]string{
		"local address":  {c.LocalIP, "127.60.0.1"},
		"API server":     {c.APIServerURL(), "https://10.60.0.1:7443"},
		"API Service":    {c.APIServiceIP(), "10.43.0.1"},
		"DNS Service":    {c.DNSServiceIP(), "10.43.0.10"},
		"node name":      {c.NodeName, "towpath"},
		"kubelet folder": {c.Layout("/opt/towpath-kube").Kubelet(), "/srv/cluster/kubelet"},
		"tool":           {c.Layout("/opt/towpath-kube").Tool("runc"), "/opt/kube/runc"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %q, want %q", what, pair[0], pair[1])
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"no data folder":         {`{}`, `"data" is missing`},
		"unknown key":            {`{"data":"/srv/c","nodename":"x"}`, "nodename"},
		"two values":             {`{"data":"/srv/c"} {}`, "after the closing brace"},
		"relative data folder":   {`{"data":"srv"}`, "absolute"},
		"data folder with quote": {`{"data":"/srv/a\"b"}`, "may hold only"},
		"long data folder":       {`{"data":"/` + strings.Repeat("x", 80) + `"}`, "unix sockets"},
		"root as data folder":    {`{"data":"/"}`, "absolute"},
		"long bridge":            {`{"data":"/srv/c","bridge":"averylongname"}`, `"bridge"`},
		"option as bridge":       {`{"data":"/srv/c","bridge":"-x"}`, `"bridge"`},
		"loopback node":          {`{"data":"/srv/c","node_ip":"127.0.0.1"}`, "refuses to advertise"},
		"ranges that overlap":    {`{"data":"/srv/c","pod_cidr":"10.43.0.0/24"}`, "overlap"},
		"node among pods":        {`{"data":"/srv/c","node_ip":"10.42.0.1"}`, "outside of"},
		"port twice":             {`{"data":"/srv/c","api_port":10250}`, "both"},
		"port too large":         {`{"data":"/srv/c","api_port":70000}`, "api_port"},
		"front door by name":     {`{"data":"/srv/c","front_door_addr":"localhost:80"}`, "IP address"},
		"mirror that climbs":     {`{"data":"/srv/c","registry_mirrors":[{"host":"../x","url":"http://a"}]}`, "registry host"},
		"mirror with password":   {`{"data":"/srv/c","registry_mirrors":[{"host":"a","url":"http://u:p@a"}]}`, "without user"},
		"mirror header break":    {`{"data":"/srv/c","registry_mirrors":[{"host":"a","url":"http://a","authorization":"x\ny"}]}`, "line break"},
		"issuer without TLS":     {`{"data":"/srv/c","oidc":{"issuer":"http://a","audience":"b"}}`, "https"},
		"issuer sans audience":   {`{"data":"/srv/c","oidc":{"issuer":"https://a"}}`, "audience"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := config.Parse([]byte(test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestLoadNamesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cluster.json")
	if err := os.WriteFile(path, []byte(`{`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error is %v, want one with the file's name", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"data":"/srv/c","oidc":{"issuer":"https://a","audience":"b"}}`))
	f.Add([]byte(`{"data":"/srv/c","service_cidr":"255.255.255.0/24"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := config.Parse(data)
		if err != nil {
			return
		}
		if err := c.Validate(); err != nil {
			t.Errorf("a parsed configuration is not valid: %v", err)
		}
		_, _ = c.APIServiceIP(), c.DNSServiceIP()
	})
}
