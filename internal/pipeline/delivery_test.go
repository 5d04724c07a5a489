package pipeline_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline/library"
)

// hook makes an incoming webhook whose calls are signed in a header.
func (w *world) hook(name, secret, header string) {
	w.t.Helper()
	c := library.Connection{Name: name, Type: library.IncomingWebhook, Parameters: []library.Value{{Name: "secret", Value: secret, Secret: true}, {Name: "header", Value: header}}}
	if _, err := w.svc.Library().CreateConnection(w.t.Context(), ada, "shop", c, true); err != nil {
		w.t.Fatal(err)
	}
}

func TestJ007ADeliveryCountsOnceByItsName(t *testing.T) { each(t, namedDeliveries) }

func namedDeliveries(t *testing.T, on func(*world)) {
	c := &shifted{Clock: clock.System()}
	w := newWorld(t, on, func(w *world) { w.clock = c })
	w.hook("deck", "a secret", "X-Hub-Signature-256")
	call := func(name, body string) bool {
		t.Helper()
		mac := hmac.New(sha256.New, []byte("a secret"))
		mac.Write([]byte(body))
		h := http.Header{}
		h.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
		h.Set("X-GitHub-Delivery", name)
		got, err := w.svc.Webhook(t.Context(), "shop", "deck", h, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		return got.Replayed
	}
	if call("one", `{"n":1}`) {
		t.Error("the first call is a repetition")
	}
	if !call("one", `{"n":1,"attempt":2}`) {
		t.Error("the sender's own repetition counts again")
	}
	if !call("two", `{"n":1}`) {
		t.Error("an old body under another name counts again: the name is not signed")
	}
	c.forward(25 * time.Hour)
	if call("one", `{"n":3}`) {
		t.Error("a name is known for more than a day")
	}
	if !call("three", `{"n":1}`) {
		t.Error("an old body counts again after a day")
	}
}

func TestJ007ASignedTimeIsNow(t *testing.T) {
	c := &shifted{Clock: clock.System()}
	w := newWorld(t, func(w *world) { w.clock = c })
	key := []byte("twenty-four bytes of key")
	w.hook("deck", "whsec_"+base64.StdEncoding.EncodeToString(key), "Webhook-Signature")
	signed := func(name string, at time.Time, body string) http.Header {
		stamp := strconv.FormatInt(at.Unix(), 10)
		mac := hmac.New(sha256.New, key)
		fmt.Fprintf(mac, "%s.%s.%s", name, stamp, body)
		h := http.Header{}
		h.Set("Webhook-Id", name)
		h.Set("Webhook-Timestamp", stamp)
		h.Set("Webhook-Signature", "v1,AAAA v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
		return h
	}
	body := `{"n":1}`
	call := func(h http.Header) (bool, error) {
		got, err := w.svc.Webhook(t.Context(), "shop", "deck", h, []byte(body))
		return got.Replayed, err
	}
	first := signed("a", c.Now(), body)
	for i, want := range []bool{false, true} {
		if again, err := call(first); err != nil || again != want {
			t.Errorf("call %d: %v, %v", i, again, err)
		}
	}
	// The same body is another delivery when its name and its time are signed.
	if again, err := call(signed("b", c.Now(), body)); err != nil || again {
		t.Errorf("the same body of another delivery: %v, %v", again, err)
	}
	other := signed("c", c.Now(), body)
	other.Set("Webhook-Id", "d")
	old := signed("e", c.Now().Add(-6*time.Minute), body)
	early := signed("f", c.Now().Add(6*time.Minute), body)
	unnamed := signed("", c.Now(), body)
	for what, h := range map[string]http.Header{"another name": other, "an old time": old, "a time to come": early, "no name": unnamed, "nothing": {}} {
		if _, err := call(h); !fault.Is(err, fault.Unauthentic) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// What was kept is refused for its time, long before its name is forgotten.
	c.forward(25 * time.Hour)
	if _, err := call(first); !fault.Is(err, fault.Unauthentic) {
		t.Errorf("a day later: %v", err)
	}
}
