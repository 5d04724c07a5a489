package route_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/alert/route"
)

// message is what Alertmanager's webhooks get.
type message struct {
	Version string `json:"version"`
	Status  string `json:"status"`
	Alerts  []struct {
		Status      string            `json:"status"`
		Labels      map[string]string `json:"labels"`
		Annotations map[string]string `json:"annotations"`
	} `json:"alerts"`
}

// names lists what a message says of which alert: "firing A".
func (m message) names() []string {
	var out []string
	for _, a := range m.Alerts {
		out = append(out, a.Status+" "+a.Labels["alertname"])
	}
	slices.Sort(out)
	return out
}

// hook is a receiver of notifications. It answers with the statuses in turn, then 200.
type hook struct {
	*httptest.Server
	got  chan message
	mu   sync.Mutex
	say  []int
	auth string
}

func newHook(t *testing.T, say ...int) *hook {
	t.Helper()
	h := &hook{got: make(chan message, 100), say: say}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.auth = r.Header.Get("Authorization")
		if len(h.say) > 0 {
			status := h.say[0]
			h.say = h.say[1:]
			w.WriteHeader(status)
			return
		}
		var m message
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			t.Errorf("a notification that is no JSON: %v", err)
		}
		h.got <- m
	}))
	t.Cleanup(h.Close)
	return h
}

// next waits for a notification.
func (h *hook) next(t *testing.T) message {
	t.Helper()
	select {
	case m := <-h.got:
		return m
	case <-time.After(20 * time.Second):
		t.Fatal("no notification came")
		return message{}
	}
}

func router(t *testing.T, o route.Options) *route.Router {
	t.Helper()
	if o.Guard == nil {
		g, err := route.NewGuard([]string{"127.0.0.1"})
		if err != nil {
			t.Fatal(err)
		}
		o.Guard = g
	}
	if o.Record == nil {
		o.Record = func(route.Attempt) {}
	}
	o.URL, o.Logger = "http://localhost:7080", slog.New(slog.DiscardHandler)
	r, err := route.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func to(project, name, url string) route.Receiver {
	return route.Receiver{Project: project, Name: name, Kind: route.Webhook, URL: url, SendResolved: true}
}

// quick is a route that does not wait.
func quick(receiver string, match ...route.Matcher) route.Route {
	return route.Route{Receiver: receiver, Match: match, GroupWait: time.Millisecond, GroupInterval: 20 * time.Millisecond, RepeatInterval: time.Hour}
}

func firing(project, name, severity string) route.Alert {
	return route.Alert{
		Labels: map[string]string{"alertname": name, "project": project, "severity": severity}, Starts: time.Now().Add(-time.Minute),
		Annotations: map[string]string{"summary": name + " is so", route.AnnotationID: "id-" + name},
	}
}

func TestAnAlertGoesToItsProjectAndToTheInstallation(t *testing.T) {
	shop, bank, all := newHook(t), newHook(t), newHook(t)
	r := router(t, route.Options{})
	err := r.Apply(route.Config{
		Receivers: []route.Receiver{to("shop", "hook", shop.URL), to("bank", "hook", bank.URL), to("", "hook", all.URL)},
		Trees: []route.Tree{
			{Routes: []route.Route{quick("hook", route.Matcher{Label: "severity", Operator: "=", Value: "critical"})}},
			{Project: "bank", Routes: []route.Route{quick("hook")}},
			{Project: "shop", Routes: []route.Route{quick("hook")}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Put(t.Context(), firing("shop", "A", "critical")); err != nil {
		t.Fatal(err)
	}
	for _, h := range []*hook{shop, all} {
		if got := h.next(t).names(); !slices.Equal(got, []string{"firing A"}) {
			t.Errorf("got %v, want that A fires", got)
		}
	}
	a := firing("shop", "A", "critical")
	a.Ends = time.Now()
	if err := r.Put(t.Context(), a, firing("shop", "B", "warning")); err != nil {
		t.Fatal(err)
	}
	var said []string
	for len(said) < 2 {
		said = append(said, shop.next(t).names()...)
	}
	slices.Sort(said)
	if !slices.Equal(said, []string{"firing B", "resolved A"}) {
		t.Errorf("the project hears %v", said)
	}
	if got := all.next(t).names(); !slices.Equal(got, []string{"resolved A"}) {
		t.Errorf("the installation hears %v, want the critical one only", got)
	}
	if len(bank.got) > 0 {
		t.Errorf("the other project hears of it: %v", <-bank.got)
	}
}

func TestGroupsAreOneNotification(t *testing.T) {
	h := newHook(t)
	r := router(t, route.Options{})
	rt := quick("hook")
	rt.GroupBy = []string{"project"}
	if err := r.Put(t.Context(), firing("shop", "A", "warning"), firing("shop", "B", "warning")); err != nil {
		t.Fatal(err)
	}
	if err := r.Apply(route.Config{Receivers: []route.Receiver{to("shop", "hook", h.URL)}, Trees: []route.Tree{{Project: "shop", Routes: []route.Route{rt}}}}); err != nil {
		t.Fatal(err)
	}
	if got := h.next(t).names(); !slices.Equal(got, []string{"firing A", "firing B"}) {
		t.Errorf("got %v, want both in one", got)
	}
}

func TestSilencesAndInhibitionsOfAProjectStayWithin(t *testing.T) {
	r := router(t, route.Options{})
	match := func(v string) []route.Matcher { return []route.Matcher{{Label: "alertname", Operator: "=", Value: v}} }
	err := r.Apply(route.Config{Trees: []route.Tree{{Project: "shop", Inhibitions: []route.Inhibition{{Source: match("Cause"), Target: match("Effect")}}}}})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	s := route.Silence{ID: "s1", Project: "shop", Matchers: match("A"), Starts: now.Add(-time.Minute), Until: now.Add(time.Hour), Changed: now}
	if err := r.Silence(s); err != nil {
		t.Fatal(err)
	}
	if err := r.Put(t.Context(), firing("shop", "Cause", "critical")); err != nil {
		t.Fatal(err)
	}
	held := func(project, name string) (bool, bool) {
		silences, inhibited := r.Held(t.Context(), firing(project, name, "warning").Labels)
		return len(silences) > 0, inhibited
	}
	eventually(t, "the inhibition", func() bool { _, inhibited := held("shop", "Effect"); return inhibited })
	if silenced, _ := held("shop", "A"); !silenced {
		t.Error("the alert is not silenced")
	}
	if silenced, _ := held("bank", "A"); silenced {
		t.Error("the silence of shop silences an alert of bank")
	}
	if _, inhibited := held("bank", "Effect"); inhibited {
		t.Error("the inhibition of shop keeps back an alert of bank")
	}
	s.Until, s.Changed = now, now.Add(time.Second)
	if err := r.Silence(s); err != nil {
		t.Fatal(err)
	}
	if silenced, _ := held("shop", "A"); silenced {
		t.Error("expired, it silences still")
	}
}

// eventually polls: what is awaited happens in another goroutine.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if is() {
			return
		}
	}
	t.Fatalf("%s did not come about", what)
}

func TestNothingIsSaidTwiceAfterARestart(t *testing.T) {
	h := newHook(t)
	c := route.Config{Receivers: []route.Receiver{to("shop", "hook", h.URL)}, Trees: []route.Tree{{Project: "shop", Routes: []route.Route{quick("hook")}}}}
	first := router(t, route.Options{})
	a := firing("shop", "A", "warning")
	if err := errors.Join(first.Put(t.Context(), a), first.Apply(c)); err != nil {
		t.Fatal(err)
	}
	h.next(t)
	var log []byte
	eventually(t, "the entry in the notification log", func() bool {
		var err error
		log, err = first.Snapshot()
		return err == nil && len(log) > 0
	})
	first.Close()
	second := router(t, route.Options{Log: log})
	if err := errors.Join(second.Put(t.Context(), a), second.Apply(c)); err != nil {
		t.Fatal(err)
	}
	// B is routed after A in the same way: when it is there, A would have been.
	b := firing("shop", "B", "warning")
	if err := second.Put(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if got := h.next(t).names(); !slices.Equal(got, []string{"firing B"}) {
		t.Errorf("after the restart: %v, want B only", got)
	}
	a.Ends = time.Now()
	if err := second.Put(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if got := h.next(t).names(); !slices.Equal(got, []string{"resolved A"}) {
		t.Errorf("got %v, want the resolution of what the first life had said", got)
	}
}

func TestFailuresAreRecordedAndTriedAgain(t *testing.T) {
	h := newHook(t, http.StatusServiceUnavailable, http.StatusServiceUnavailable)
	var mu sync.Mutex
	var attempts []route.Attempt
	r := router(t, route.Options{Record: func(a route.Attempt) {
		mu.Lock()
		defer mu.Unlock()
		attempts = append(attempts, a)
	}})
	secret := to("shop", "hook", h.URL+"/services/T0/hunter2")
	secret.Token = "swordfish"
	err := r.Apply(route.Config{Receivers: []route.Receiver{secret}, Trees: []route.Tree{{Project: "shop", Routes: []route.Route{quick("hook")}}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Put(t.Context(), firing("shop", "A", "warning")); err != nil {
		t.Fatal(err)
	}
	h.next(t)
	eventually(t, "the third attempt", func() bool { mu.Lock(); defer mu.Unlock(); return len(attempts) >= 3 })
	mu.Lock()
	defer mu.Unlock()
	for i, a := range attempts[:3] {
		if failed := a.Error != ""; failed != (i < 2) || a.Retry != (i < 2) || a.Key != attempts[0].Key || a.Firing != 1 || !slices.Equal(a.Alerts, []string{"id-A"}) {
			t.Errorf("attempt %d: %+v", i, a)
		}
		if strings.Contains(a.Error, "hunter2") || strings.Contains(a.Error, "swordfish") {
			t.Errorf("attempt %d tells a secret: %s", i, a.Error)
		}
	}
	if h.auth != "Bearer swordfish" {
		t.Errorf("the token sent is %q", h.auth)
	}
}

func TestASecretIsNotInAnErrorOfTheConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close() // Nobody listens there now.
	r := router(t, route.Options{})
	for _, kind := range []string{route.Webhook, route.Slack} {
		x := to("shop", "hook", "http://"+address+"/services/hunter2?key=hunter2")
		x.Kind = kind
		got, err := r.Test(t.Context(), x, firing("shop", "A", "info"))
		if err == nil || got.Error == "" || strings.Contains(err.Error()+got.Error, "hunter2") {
			t.Errorf("%s: error %v, attempt %+v; want one without the secret", kind, err, got)
		}
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	target := newHook(t)
	away := httptest.NewServer(http.RedirectHandler(target.URL, http.StatusTemporaryRedirect))
	t.Cleanup(away.Close)
	r := router(t, route.Options{})
	if _, err := r.Test(t.Context(), to("shop", "hook", away.URL), firing("shop", "A", "info")); err == nil {
		t.Error("a redirect counts as delivered")
	}
	if len(target.got) > 0 {
		t.Error("the redirect was followed")
	}
}

func TestTheGuardRefusesWhatIsNotPublic(t *testing.T) {
	h := newHook(t)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(h.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	strict, err := route.NewGuard(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "0.0.0.0", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "169.254.169.254", "10.0.0.1", "192.168.1.1", "100.64.0.1", "[fd00::1]", "[fe80::1]", "[::7f00:1]", "[fec0::1]"} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		c, err := strict.Dial(ctx, "tcp", host+":"+port)
		cancel()
		if err == nil {
			_ = c.Close()
		}
		if !fault.Is(err, fault.Denied) && (err == nil || !strings.Contains(err.Error(), "unreachable")) {
			t.Errorf("dialling %s: %v, want that it is refused", host, err)
		}
	}
	for _, allow := range []string{"127.0.0.1", "127.0.0.1:" + port, "127.0.0.0/8", "localhost"} {
		g, err := route.NewGuard([]string{allow})
		if err != nil {
			t.Fatal(err)
		}
		host := "127.0.0.1"
		if allow == "localhost" {
			host = allow
		}
		c, err := g.Dial(t.Context(), "tcp", host+":"+port)
		if err != nil {
			t.Errorf("with %s allowed: %v", allow, err)
			continue
		}
		_ = c.Close()
	}
	if _, err := route.NewGuard([]string{"10.0.0.0/99"}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a network that is none: %v", err)
	}
}

func TestMailSaysWhatIsTheMatter(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	mails := make(chan string, 1)
	go serveMail(l, mails)
	r := router(t, route.Options{})
	x := route.Receiver{Project: "shop", Name: "mail", Kind: route.Mail, Server: l.Addr().String(), From: "towpath@example.com", To: []string{"ada@example.com", "bob@example.com"}}
	a := firing("shop", "A", "warning")
	a.Annotations["next_step"] = "Look at the lamp."
	if _, err := r.Test(t.Context(), x, a); err != nil {
		t.Fatal(err)
	}
	got := <-mails
	for _, want := range []string{"RCPT TO:<ada@example.com>", "RCPT TO:<bob@example.com>", "Subject: [FIRING:1] A in shop", "A is so", "Next: Look at the lamp."} {
		if !strings.Contains(got, want) {
			t.Errorf("the mail lacks %q:\n%s", want, got)
		}
	}
}

func TestMailGoesWhereTheGuardLetsIt(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	mails := make(chan string, 1)
	go serveMail(l, mails)
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	strict, err := route.NewGuard(nil)
	if err != nil {
		t.Fatal(err)
	}
	r := router(t, route.Options{Guard: strict})
	for _, host := range []string{"127.0.0.1", "localhost", "::1"} {
		x := route.Receiver{Name: "mail", Kind: route.Mail, Server: net.JoinHostPort(host, port), From: "towpath@example.com", To: []string{"ada@example.com"}}
		if _, err := r.Test(t.Context(), x, firing("shop", "A", "warning")); err == nil || !strings.Contains(err.Error(), "not a public address") {
			t.Errorf("a mail by %s: %v, want that it is refused", host, err)
		}
	}
	select {
	case got := <-mails:
		t.Errorf("the mail server was spoken to:\n%s", got)
	default:
	}
}

// serveMail speaks as much SMTP as one mail needs.
func serveMail(l net.Listener, mails chan<- string) {
	c, err := l.Accept()
	if err != nil {
		return
	}
	defer c.Close()
	var all strings.Builder
	say := func(s string) { _, _ = io.WriteString(c, s+"\r\n") }
	say("220 test")
	buf, data := make([]byte, 64<<10), false
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		text := string(buf[:n])
		all.WriteString(text)
		switch {
		case data:
			if strings.HasSuffix(all.String(), "\r\n.\r\n") {
				data = false
				say("250 taken")
			}
		case strings.HasPrefix(text, "DATA"):
			data = true
			say("354 go on")
		case strings.HasPrefix(text, "QUIT"):
			say("221 bye")
			mails <- all.String()
			return
		default:
			say("250 ok")
		}
	}
}

func TestSlackAndItems(t *testing.T) {
	bodies := make(chan string, 1)
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		bodies <- string(b)
		_, _ = io.WriteString(w, "ok")
	}))
	t.Cleanup(h.Close)
	var asked route.Request
	r := router(t, route.Options{Open: func(_ context.Context, q route.Request) (string, error) {
		asked = q
		return "item:7", nil
	}})
	x := to("shop", "slack", h.URL)
	x.Kind = route.Slack
	if _, err := r.Test(t.Context(), x, firing("shop", "A", "warning")); err != nil {
		t.Fatal(err)
	}
	if got := <-bodies; !strings.Contains(got, "[FIRING:1] A in shop") || !strings.Contains(got, "A is so") {
		t.Errorf("Slack gets %s", got)
	}
	got, err := r.Test(t.Context(), route.Receiver{Project: "shop", Name: "items", Kind: route.Item}, firing("shop", "A", "warning"))
	if err != nil || got.Item != "item:7" || asked.Project != "shop" || asked.Title != "[FIRING:1] A in shop" || asked.Resolved || !slices.Equal(asked.Alerts, []string{"id-A"}) {
		t.Errorf("attempt %+v, %v; asked %+v", got, err, asked)
	}
}

func TestReceiversAreChecked(t *testing.T) {
	good := []route.Receiver{
		to("", "a", "https://hooks.example.com/x"), {Kind: route.Item},
		{Kind: route.Mail, Server: "mail.example.com:587", From: "a@example.com", To: []string{"b@example.com"}},
	}
	for _, r := range good {
		if err := r.Check(); err != nil {
			t.Errorf("%+v: %v", r, err)
		}
	}
	bad := []route.Receiver{
		{Kind: "pager"}, to("", "a", ""), to("", "a", "ftp://x/y"), to("", "a", "https:///y"), to("", "a", "https://user:pw@x/y"), to("", "a", "https://x/{{ .Status }}"),
		to("", "a", "file:///etc/passwd"), {Kind: route.Mail, Server: "x", From: "a@b", To: []string{"a@b"}}, {Kind: route.Mail, Server: "x:25", From: "a@b"},
		{Kind: route.Mail, Server: "x:25", From: "a@b\r\nBcc: c@d", To: []string{"a@b"}}, {Kind: route.Mail, Server: "x:25", From: "a@b", To: []string{"{{ .x }}@b"}},
		{Kind: route.Slack, URL: "https://x/y", Channel: `{{define "a"}}{{template "a"}}{{end}}`}, {Kind: route.Slack, URL: "https://x/y", Channel: strings.Repeat("x", 101)},
	}
	for _, r := range bad {
		if err := r.Check(); !fault.Is(err, fault.Invalid) {
			t.Errorf("%+v: %v, want that it is refused", r, err)
		}
	}
}

func TestConfigurationsAreChecked(t *testing.T) {
	hookOf := func(p string) []route.Receiver { return []route.Receiver{to(p, "hook", "https://x/y")} }
	bad := map[string]route.Config{
		"no receiver":              {Trees: []route.Tree{{Routes: []route.Route{{Receiver: "hook"}}}}},
		"receiver of another":      {Receivers: hookOf("bank"), Trees: []route.Tree{{Project: "shop", Routes: []route.Route{{Receiver: "hook"}}}}},
		"by the key of another":    {Receivers: hookOf("bank"), Trees: []route.Tree{{Project: "shop", Routes: []route.Route{{Receiver: "../bank/hook"}}}}},
		"operator":                 {Receivers: hookOf(""), Trees: []route.Tree{{Routes: []route.Route{{Receiver: "hook", Match: []route.Matcher{{"a", "~", "b"}}}}}}},
		"regular expression":       {Receivers: hookOf(""), Trees: []route.Tree{{Routes: []route.Route{{Receiver: "hook", Match: []route.Matcher{{"a", "=~", "("}}}}}}},
		"label":                    {Receivers: hookOf(""), Trees: []route.Tree{{Routes: []route.Route{{Receiver: "hook", Match: []route.Matcher{{"a b", "=", "c"}}}}}}},
		"negative time":            {Receivers: hookOf(""), Trees: []route.Tree{{Routes: []route.Route{{Receiver: "hook", GroupWait: -1}}}}},
		"group by something else":  {Receivers: hookOf(""), Trees: []route.Tree{{Routes: []route.Route{{Receiver: "hook", GroupBy: []string{"a-b"}}}}}},
		"inhibition without sense": {Trees: []route.Tree{{Inhibitions: []route.Inhibition{{Source: []route.Matcher{{"a", "", "b"}}}}}}},
	}
	for name, c := range bad {
		if err := c.Check(); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v, want that it is refused", name, err)
		}
	}
}
