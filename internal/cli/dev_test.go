package cli

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/dev"
)

func TestDevFlagsAreChecked(t *testing.T) {
	good := devFlags{run: "go run .", env: "shop/staging", isolation: "auto"}
	if err := good.check(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*devFlags){
		"no mode":         func(f *devFlags) { f.run = "" },
		"two modes":       func(f *devFlags) { f.attach = ":1" },
		"sync alone":      func(f *devFlags) { f.run, f.sync = "", "make" },
		"binary alone":    func(f *devFlags) { f.binary = "x" },
		"no environment":  func(f *devFlags) { f.env = "" },
		"half a place":    func(f *devFlags) { f.env = "shop" },
		"a deeper place":  func(f *devFlags) { f.env = "shop/a/b" },
		"other isolation": func(f *devFlags) { f.isolation = "docker" },
	} {
		bad := good
		change(&bad)
		if err := bad.check(); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestLocals(t *testing.T) {
	ports := []dev.Port{{Name: "http", Port: 80, Target: 8080}, {Port: 9000, Target: 9000}}
	for name, test := range map[string]struct {
		flags devFlags
		want  map[int]int
	}{
		"the service's":  {devFlags{}, map[int]int{80: 8080, 9000: 9000}},
		"one other":      {devFlags{ports: []string{"80=3000"}}, map[int]int{80: 3000, 9000: 9000}},
		"attached":       {devFlags{attach: ":8081"}, map[int]int{80: 8081, 9000: 8081}},
		"attached twice": {devFlags{attach: "localhost:8081", ports: []string{"9000=8082"}}, map[int]int{80: 8081, 9000: 8082}},
		"unknown port":   {devFlags{ports: []string{"81=3000"}}, nil},
		"no number":      {devFlags{ports: []string{"80=x"}}, nil},
		"another host":   {devFlags{attach: "10.0.0.1:80"}, nil},
		"no port":        {devFlags{attach: "localhost"}, nil},
	} {
		got, err := test.flags.locals(ports)
		if diff := cmp.Diff(test.want, got); diff != "" || (err != nil) != (test.want == nil) {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

func TestOverlayReplacesByName(t *testing.T) {
	got := overlay([]string{"A=1", "AB=2", "PATH=/bin"}, []string{"A=3", "C=4"})
	if diff := cmp.Diff([]string{"AB=2", "PATH=/bin", "A=3", "C=4"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestCurlEntersByCookie(t *testing.T) {
	got := curlOf("http://ada-1.shop.localhost:7480/?towpath-preview=v1.a.b")
	if want := "curl -b 'towpath-preview=v1.a.b' http://ada-1.shop.localhost:7480/"; got != want {
		t.Errorf("got %s", got)
	}
}

func TestJudgeHopsNamesWhoDropsTheKey(t *testing.T) {
	s := dev.Session{ID: "S", Service: "cart", Key: "ada-1"}
	keyed := func(service, session string) dev.Access {
		return dev.Access{Key: "ada-1", Trace: "t", Service: service, Session: session}
	}
	bare := func(service string) dev.Access { return dev.Access{Trace: "t", Service: service} }
	for name, test := range map[string]struct {
		seen []dev.Access
		well bool
		want string
	}{
		"reached": {[]dev.Access{keyed("web", ""), keyed("cart", "S")}, true, "The key reaches cart, and your session answers."},
		"dropped": {[]dev.Access{keyed("web", ""), bare("cart")}, false,
			"Cart was called without the key in a request that had it at web: web, or what is between the two, drops it. Have it hand the header baggage on, e.g. by OpenTelemetry's Baggage propagator."},
		"dropped later": {[]dev.Access{keyed("web", ""), keyed("api", ""), bare("cart"), bare("price")}, false,
			"Cart was called without the key in a request that had it at api: api, or what is between the two, drops it. Have it hand the header baggage on, e.g. by OpenTelemetry's Baggage propagator."},
		"no trace": {[]dev.Access{keyed("web", "")}, false,
			"web saw the key, cart did not: either the path does not need it, or web calls on without the key and without a trace. Have it hand the header baggage on, e.g. by OpenTelemetry's Baggage propagator."},
		"nothing": {nil, false, "No routed service saw the requests: the way in does not lead through the environment's router."},
	} {
		if d := judgeHops(s, test.seen); d.Finding != test.want || d.Well != test.well {
			t.Errorf("%s: %v %s", name, d.Well, d.Finding)
		}
	}
}
