package pipeline

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline/check"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/store"
)

// MaxWebhook is the largest payload of a webhook in bytes.
const MaxWebhook = 1 << 20

// HookAnswer says what a call to a webhook did.
type HookAnswer struct {
	// Delivery is the SHA-256 of the payload.
	Delivery string `json:"delivery"`
	Replayed bool   `json:"replayed,omitempty"` // the call came before, and started nothing now
	// Pipelines are those that start, as "project/repo".
	Pipelines []string `json:"pipelines"`
	// Held are those that wait for this webhook and are not permitted to use its connection.
	Held []string `json:"held,omitempty"`
}

// noHook is the one answer to whoever does not know the secret of a webhook, whether there is
// such a webhook or not.
func noHook() error {
	return fault.New(fault.Unauthentic, "No webhook takes this call: there is none of this name, or the signature of the payload is wrong.").
		WithNext("sign the payload with HMAC-SHA256 and the secret of the connection, and send it as sha256=HEX in the header that the connection names")
}

// Webhook takes a call to an incoming webhook and has the pipelines started that wait for it
// (J007). header are those of the request; who knows the secret needs no other name.
func (s *Service) Webhook(ctx context.Context, project, name string, header http.Header, payload []byte) (HookAnswer, error) {
	if s.library == nil {
		return HookAnswer{}, noHook()
	}
	if len(payload) > MaxWebhook {
		return HookAnswer{}, fault.New(fault.TooLarge, "The payload of a webhook has at most %d bytes.", MaxWebhook)
	}
	kept, signed, secret, err := s.library.Hook(ctx, project, name)
	if err != nil && !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Invalid) {
		return HookAnswer{}, err
	}
	call, right := known(header, signed, secret, payload, s.clock.Now())
	if !right || err != nil {
		return HookAnswer{}, noHook()
	}
	d := json.NewDecoder(bytes.NewReader(payload))
	d.UseNumber()
	var data any
	if derr := d.Decode(&data); derr != nil || d.More() {
		return HookAnswer{}, fault.New(fault.Invalid, "The payload of a webhook is one JSON document.")
	}
	digest := sha256.Sum256(payload)
	answer := HookAnswer{Delivery: hex.EncodeToString(digest[:]), Pipelines: []string{}}
	return answer, s.deliver(ctx, project, kept, call, payload, data, &answer)
}

// deliver notes a delivery and what starts by it, in one transaction. One that came before is
// answered without effect.
func (s *Service) deliver(ctx context.Context, project, name string, call delivery, payload []byte, data any, answer *HookAnswer) error {
	return s.again(ctx, func(tx *store.Tx) error {
		cause, again, err := s.repeated(ctx, tx, project+"/"+strings.ToLower(name), answer.Delivery, call)
		if err != nil || again {
			answer.Replayed = again
			return err
		}
		list, err := watching(ctx, tx, categoryWebhook, project+"/"+name)
		if err != nil {
			return err
		}
		answer.Pipelines, answer.Held = []string{}, nil
		for _, w := range list {
			var res plan.Webhook
			if err := w.into(&res); err != nil {
				return err
			}
			if !passes(data, res.Filters) {
				continue
			}
			ok, err := s.checks.Permitted(ctx, tx, check.Resource{Kind: check.Connection, Project: project, Name: name}, w.pipeline)
			if err != nil {
				return err
			}
			if !ok {
				answer.Held = append(answer.Held, w.pipeline)
				continue
			}
			answer.Pipelines = append(answer.Pipelines, w.pipeline)
			if err := s.arrive(ctx, tx, w, cause, arrival{Origin: Origin{Category: categoryWebhook, Alias: res.Alias, Payload: payload}}); err != nil {
				return err
			}
		}
		return s.log.Append(ctx, tx, event.Fact{
			Type: event.TypeWebhookReceived, Subject: event.Of(event.KindProject, project), Project: project, Actor: system().String(),
			Payload: event.WebhookReceived{V: 1, Connection: name, Delivery: answer.Delivery, Bytes: len(payload), Pipelines: answer.Pipelines, Held: answer.Held},
		})
	})
}

// passes reports whether a payload has all the texts that filters want.
func passes(data any, filters []plan.WebhookFilter) bool {
	for _, f := range filters {
		v, ok := lookup(data, f.Path)
		if !ok || jsonText(v) != f.Value {
			return false
		}
	}
	return true
}

// pathPart is a step of a JSON path: .name, ['name'] or [0].
var pathPart = regexp.MustCompile(`^(?:\.?([^.\[\]'"]+)|\[(\d{1,9})\]|\['([^']*)'\]|\["([^"]*)"\])`)

// lookup finds the value at a JSON path of names and indexes: "action", "$.repository.name",
// "commits[0].id", "$['a.b']". There are no wildcards.
func lookup(data any, path string) (any, bool) {
	for rest := strings.TrimPrefix(strings.TrimSpace(path), "$"); rest != ""; {
		m := pathPart.FindStringSubmatch(rest)
		if m == nil {
			return nil, false
		}
		rest = rest[len(m[0]):]
		if m[2] != "" {
			list, _ := data.([]any)
			i, err := strconv.Atoi(m[2])
			if err != nil || i >= len(list) {
				return nil, false
			}
			data = list[i]
			continue
		}
		object, _ := data.(map[string]any)
		value, ok := object[m[1]+m[3]+m[4]]
		if !ok {
			return nil, false
		}
		data = value
	}
	return data, true
}

// HookPath is where calls to an incoming webhook go, below the address of the API.
func HookPath(project, connection string) string {
	return fmt.Sprintf("/projects/%s/webhooks/%s", project, connection)
}
