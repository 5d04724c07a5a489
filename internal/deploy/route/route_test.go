package route_test

import (
	"crypto/ed25519"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/deploy/route"
)

// table returns a table that keeps all rules.
func table() route.Table {
	return route.Table{
		Version: 3, Project: "shop", Environment: "dev",
		Services: []route.Service{
			{
				Name: "cart", Sticky: route.StickyKey, Mirror: route.Canary,
				Ports:  []route.Port{{Name: "http", Port: 80, Listen: 20001, Protocol: route.HTTP}, {Port: 9000, Listen: 20002, Protocol: route.H2C}},
				Tracks: []route.Track{{Name: route.Stable, Host: "cart-stable", Weight: 80}, {Name: route.Baseline, Host: "cart-baseline", Weight: 10}, {Name: route.Canary, Host: "cart-canary", Weight: 10}},
			},
			{Name: "web", Ports: []route.Port{{Port: 80, Listen: 20003, Protocol: route.HTTP}}, Tracks: []route.Track{{Name: route.Stable, Host: "web-stable", Weight: 100}}},
		},
		Sessions: []route.Session{
			{ID: "01J", Key: "anna-1a2b", User: "anna", Service: "cart", Host: "10.88.0.7", Expires: time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)},
			{ID: "01K", Key: "anna-1a2b", User: "anna", Service: "web", Host: "session-01k", Expires: time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)},
		},
	}
}

func TestEncodeDecode(t *testing.T) {
	raw, err := route.Encode(table())
	if err != nil {
		t.Fatal(err)
	}
	got, err := route.Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(table(), got); diff != "" {
		t.Errorf("the table came back changed (-went +came):\n%s", diff)
	}
	for name, text := range map[string]string{
		"nothing": "", "no JSON": "{", "two": `{"version":1}{}`, "a broken rule": `{"version":-1}`,
		"too large": `{"project":"` + strings.Repeat("x", route.MaxTable) + `"}`,
	} {
		if _, err := route.Decode([]byte(text)); err == nil {
			t.Errorf("%s was taken for a table", name)
		}
	}
	if _, err := route.Decode([]byte(`{"version":1,"services":[],"of_tomorrow":true}`)); err != nil {
		t.Errorf("a field of a later version: %v", err)
	}
}

func TestCheck(t *testing.T) {
	if err := table().Check(); err != nil {
		t.Fatalf("a table that keeps all rules: %v", err)
	}
	tests := []struct {
		name, want string
		breaks     func(*route.Table)
	}{
		{"preview key", "has 3 bytes, not 32", func(t *route.Table) { t.PreviewKey = []byte("abc") }},
		{"twice", "service cart is in the table twice", func(t *route.Table) { t.Services[1].Name = "cart" }},
		{"name", "no DNS label", func(t *route.Table) { t.Services[0].Name = "Cart" }},
		{"no port", "0 ports", func(t *route.Table) { t.Services[0].Ports = nil }},
		{"port", "70000 is no port", func(t *route.Table) { t.Services[0].Ports[0].Port = 70000 }},
		{"port twice", "port 80 is there twice", func(t *route.Table) { t.Services[0].Ports[1].Port = 80 }},
		{"low port", "listens from 1024", func(t *route.Table) { t.Services[0].Ports[0].Listen = 80 }},
		{"own port", "kept for the agent", func(t *route.Table) { t.Services[0].Ports[0].Listen = route.AdminPort }},
		{"taken port", "the router's port for cart:80", func(t *route.Table) { t.Services[1].Ports[0].Listen = 20001 }},
		{"protocol", `protocol "tcp"`, func(t *route.Table) { t.Services[0].Ports[0].Protocol = "tcp" }},
		{"no stable", "track stable is missing", func(t *route.Table) { t.Services[0].Tracks = t.Services[0].Tracks[1:] }},
		{"weights", "sum up to 90", func(t *route.Table) { t.Services[0].Tracks[0].Weight = 70 }},
		{"weight", "weight -1", func(t *route.Table) { t.Services[0].Tracks[0].Weight = -1 }},
		{"track twice", "track canary is there twice", func(t *route.Table) { t.Services[0].Tracks[1].Name = route.Canary }},
		{"mirror", `copied to the track "shadow"`, func(t *route.Table) { t.Services[0].Mirror = "shadow" }},
		{"sticky", `stick by "ip"`, func(t *route.Table) { t.Services[0].Sticky = "ip" }},
		{"metadata", "no address of a pod", func(t *route.Table) { t.Services[0].Tracks[0].Host = "169.254.169.254" }},
		{"host", "neither an address nor a DNS name", func(t *route.Table) { t.Services[0].Tracks[0].Host = "cart:80" }},
		{"session service", `the service "x" is not routed`, func(t *route.Table) { t.Sessions[0].Service = "x" }},
		{"session key", "no DNS label in lower case", func(t *route.Table) { t.Sessions[0].Key = "Anna" }},
		{"key twice", "has the key of session 01J", func(t *route.Table) { t.Sessions[1].Service = "cart" }},
		{"id twice", "session 01J is in the table twice", func(t *route.Table) { t.Sessions[1].ID = "01J" }},
		{"expiry", "never expires", func(t *route.Table) { t.Sessions[0].Expires = time.Time{} }},
		{"session host", "no address of a pod", func(t *route.Table) { t.Sessions[0].Host = "0.0.0.0" }},
	}
	for _, tt := range tests {
		broken := table()
		tt.breaks(&broken)
		if err := broken.Check(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want one that says %q", tt.name, err, tt.want)
		}
		if _, err := route.Encode(broken); err == nil {
			t.Errorf("%s: the table was encoded", tt.name)
		}
	}
}

func TestKeyOf(t *testing.T) {
	many := strings.Repeat("a=1,", 180) + "route-as=late"
	long := "a=" + strings.Repeat("x", 8200) + ",route-as=late"
	tests := []struct {
		name   string
		header http.Header
		want   string
	}{
		{"nothing", http.Header{}, ""},
		{"baggage", http.Header{"Baggage": {"a=b, route-as = anna-1 ;p=q,c=d"}}, "anna-1"},
		{"second header", http.Header{"Baggage": {"a=b", "route-as=anna-1"}}, "anna-1"},
		{"encoded", http.Header{"Baggage": {"route-as=anna%2D1"}}, "anna-1"},
		{"order", http.Header{"Baggage": {"route-as=one"}, "Kubernetes-Route-As": {"two"}, "Azds-Route-As": {"three"}}, "one"},
		{"invalid in baggage", http.Header{"Baggage": {"route-as=a/b"}, "Kubernetes-Route-As": {"two"}}, "two"},
		{"kubernetes", http.Header{"Kubernetes-Route-As": {" two "}, "Azds-Route-As": {"three"}}, "two"},
		{"azds", http.Header{"Azds-Route-As": {"three"}}, "three"},
		{"other case", http.Header{"Baggage": {"Route-As=anna"}}, ""},
		{"no value", http.Header{"Baggage": {"route-as"}}, ""},
		{"bad escape", http.Header{"Baggage": {"route-as=%zz"}}, ""},
		{"upper case", http.Header{"Azds-Route-As": {"Anna"}}, ""},
		{"too many members", http.Header{"Baggage": {many}}, ""},
		{"too long", http.Header{"Baggage": {long}}, ""},
	}
	for _, tt := range tests {
		if got := route.KeyOf(tt.header); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestAddAndStrip(t *testing.T) {
	h := http.Header{"Baggage": {"a=b, route-as=old;p=1 ,c=d", "route-as=older"}, "Azds-Route-As": {"old"}}
	route.Add(h, "anna-1")
	want := http.Header{"Baggage": {"route-as=anna-1,a=b,c=d"}, "Kubernetes-Route-As": {"anna-1"}, "Azds-Route-As": {"anna-1"}}
	if diff := cmp.Diff(want, h); diff != "" {
		t.Errorf("after Add (-want +got):\n%s", diff)
	}
	route.Strip(h)
	if diff := cmp.Diff(http.Header{"Baggage": {"a=b,c=d"}}, h); diff != "" {
		t.Errorf("after Strip (-want +got):\n%s", diff)
	}
	only := http.Header{"Baggage": {"route-as=x"}}
	route.Strip(only)
	if len(only) != 0 {
		t.Errorf("an empty baggage header stays: %v", only)
	}
}

// TestPick sees that the shares are the weights, that a value stays, and that no value
// leaves the canary while its weight grows.
func TestPick(t *testing.T) {
	at := func(weight int) route.Service {
		return route.Service{Name: "cart", Tracks: []route.Track{
			{Name: route.Stable, Weight: 100 - 2*weight}, {Name: route.Baseline, Weight: weight}, {Name: route.Canary, Weight: weight},
		}}
	}
	was := map[string]string{}
	for _, weight := range []int{0, 1, 10, 25, 50} {
		count := map[string]int{}
		for i := range 20000 {
			value := fmt.Sprintf("user-%d", i)
			got := at(weight).Pick(value).Name
			count[got]++
			if was[value] == route.Canary && got != route.Canary || was[value] == route.Baseline && got != route.Baseline {
				t.Fatalf("%s went from %s to %s when the weight grew to %d", value, was[value], got, weight)
			}
			was[value] = got
		}
		for _, track := range []string{route.Canary, route.Baseline} {
			if want := 200 * weight; count[track] < want-want/5-10 || count[track] > want+want/5+10 {
				t.Errorf("at weight %d %s has %d of 20000, want about %d", weight, track, count[track], want)
			}
		}
	}
	seen := map[string]int{}
	for point := range 10000 {
		seen[at(10).At(point).Name]++
	}
	if diff := cmp.Diff(map[string]int{route.Canary: 1000, route.Baseline: 1000, route.Stable: 8000}, seen); diff != "" {
		t.Errorf("shares of all points (-want +got):\n%s", diff)
	}
}

func TestPreview(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	other, _, _ := ed25519.GenerateKey(nil)
	now := time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	want := route.Preview{Session: "01J", Key: "anna-1", Expires: now.Add(time.Hour)}
	token, err := route.Sign(private, want)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Trim(token, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != "" {
		t.Errorf("the token %q needs escapes", token)
	}
	got, err := route.Verify(public, token, now)
	if err != nil || got != want {
		t.Errorf("verifying gives %+v, %v", got, err)
	}
	for name, try := range map[string]func() error{
		"another key": func() error { _, err := route.Verify(other, token, now); return err },
		"no key":      func() error { _, err := route.Verify(nil, token, now); return err },
		"expired":     func() error { _, err := route.Verify(public, token, want.Expires); return err },
		"changed": func() error {
			_, err := route.Verify(public, strings.Replace(token, "v1.e", "v1.f", 1), now)
			return err
		},
		"cut":        func() error { _, err := route.Verify(public, token[:len(token)-10], now); return err },
		"empty":      func() error { _, err := route.Verify(public, "", now); return err },
		"no session": func() error { _, err := route.Sign(private, route.Preview{Key: "a", Expires: now}); return err },
		"bad key": func() error {
			_, err := route.Sign(private, route.Preview{Session: "s", Key: "A/", Expires: now})
			return err
		},
	} {
		if try() == nil {
			t.Errorf("%s: it counts", name)
		}
	}
}

func FuzzKeyOf(f *testing.F) {
	f.Add("a=b, route-as=anna-1;p=q", "two", "three")
	f.Add("route-as=%61,,;=", "", "\x00")
	f.Fuzz(func(t *testing.T, baggage, kubernetes, azds string) {
		h := http.Header{"Baggage": {baggage}, "Kubernetes-Route-As": {kubernetes}, "Azds-Route-As": {azds}}
		if key := route.KeyOf(h); key != "" && !route.ValidKey(key) {
			t.Fatalf("the key %q is invalid", key)
		}
		route.Add(h, "anna-1")
		if key := route.KeyOf(h); key != "anna-1" {
			t.Fatalf("after Add the key is %q in %v", key, h)
		}
		route.Strip(h)
		if key := route.KeyOf(h); key != "" {
			t.Fatalf("after Strip the key is %q in %v", key, h)
		}
	})
}

func FuzzDecode(f *testing.F) {
	raw, err := route.Encode(table())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(`{"services":[{"tracks":[{}]}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := route.Decode(raw)
		if err != nil {
			return
		}
		if _, err := route.Encode(got); err != nil && !strings.Contains(err.Error(), "ConfigMap keeps") {
			t.Fatalf("a table that was read cannot be written: %v", err)
		}
	})
}

func FuzzVerify(f *testing.F) {
	public, private, _ := ed25519.GenerateKey(nil)
	now := time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	token, err := route.Sign(private, route.Preview{Session: "s", Key: "k", Expires: now.Add(time.Hour)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token)
	f.Add("v1..")
	f.Fuzz(func(t *testing.T, tried string) {
		if _, err := route.Verify(public, tried, now); err == nil && tried != token {
			t.Fatalf("%q counts, and was not signed", tried)
		}
	})
}
