package cli

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/dev"
	"towpath.dev/towpath/internal/fault"
)

// hop is what `towpath dev doctor` found out about a service.
type hop struct {
	Service string `json:"service"`
	Keyed   int    `json:"keyed"`   // requests that arrived with the key
	Unkeyed int    `json:"unkeyed"` // requests of the same traces that arrived without it
	Verdict string `json:"verdict"`
}

// diagnosis is the answer of `towpath dev doctor`.
type diagnosis struct {
	Session string `json:"session"`
	URL     string `json:"url"`
	Status  int    `json:"status"`
	Hops    []hop  `json:"hops"`
	Finding string `json:"finding"`
	Well    bool   `json:"well"`
}

func (e *env) devDoctor() *cobra.Command {
	var path string
	var tries int
	c := &cobra.Command{
		Use: "doctor SESSION", Short: "Find the service that does not hand your session's key on", Args: cobra.ExactArgs(1),
		Long: "Sends requests with the key of your session through the environment's front and looks at what its router saw of them: the first service\n" +
			"that was called without the key was called by one that drops it.",
		Example: "  towpath dev doctor 01JAB… --path /api/cart",
		RunE: func(c *cobra.Command, args []string) error {
			d, err := e.diagnoseSession(c.Context(), args[0], path, tries)
			if err != nil {
				return err
			}
			err = e.print(d, func() table {
				t := table{head: []string{"service", "with the key", "without it", "verdict"}}
				for _, h := range d.Hops {
					t.rows = append(t.rows, []string{h.Service, fmt.Sprint(h.Keyed), fmt.Sprint(h.Unkeyed), h.Verdict})
				}
				return t
			})
			if err != nil {
				return err
			}
			fmt.Fprintln(e.err, d.Finding)
			if !d.Well {
				return exitCode(1)
			}
			return nil
		},
	}
	c.Flags().StringVar(&path, "path", "/", "path to ask for; one whose answer needs the session's service")
	c.Flags().IntVar(&tries, "requests", 3, "how many requests to send")
	return c
}

func (e *env) diagnoseSession(ctx context.Context, id, path string, tries int) (diagnosis, error) {
	s, err := fetch[dev.Session](ctx, e, sessionPath(id, ""), nil)
	if err != nil {
		return diagnosis{}, err
	}
	preview, err := send[dev.Preview](ctx, e, http.MethodPost, sessionPath(id, "/share"), map[string]int{"ttl": 60})
	if err != nil {
		return diagnosis{}, err
	}
	since, traces, status := time.Now(), []string{}, 0
	target, err := url.Parse(preview.URL)
	if err != nil {
		return diagnosis{}, fault.Wrap(fault.Internal, err, "The preview's address cannot be read.")
	}
	for range max(1, min(tries, 20)) {
		trace, code, err := probe(ctx, target, path)
		if err != nil {
			return diagnosis{}, fault.Wrap(fault.Unavailable, err, "The environment's front at %s does not answer.", target.Host).
				WithNext("check that this machine reaches it; on Linux *.localhost is this machine")
		}
		traces, status = append(traces, trace), code
	}
	q := url.Values{"key": {s.Key}}
	seen, err := fetch[[]dev.Access](ctx, e, "/projects/"+url.PathEscape(s.Project)+"/envs/"+url.PathEscape(s.Environment)+"/accesses", q)
	if err != nil {
		return diagnosis{}, err
	}
	seen = slices.DeleteFunc(seen, func(a dev.Access) bool {
		return !slices.Contains(traces, a.Trace) && (a.Trace != "" || a.Time.Before(since.Add(-time.Second)))
	})
	target.RawQuery = ""
	d := judgeHops(s, seen)
	d.Session, d.URL, d.Status = s.ID, target.JoinPath(path).String(), status
	return d, nil
}

// probe sends one request by a preview's token, in a trace of its own.
func probe(ctx context.Context, target *url.URL, path string) (trace string, status int, err error) {
	var id [24]byte
	_, _ = rand.Read(id[:]) // Never fails (crypto/rand).
	trace = hex.EncodeToString(id[:16])
	u := *target
	cookies := u.Query()
	u.RawQuery = ""
	asked, err := url.Parse("/" + strings.TrimPrefix(path, "/"))
	if err != nil {
		return "", 0, err
	}
	u.Path, u.RawQuery = asked.Path, asked.RawQuery
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return "", 0, err
	}
	for name := range cookies {
		req.AddCookie(&http.Cookie{Name: name, Value: cookies.Get(name)})
	}
	req.Header.Set("Traceparent", "00-"+trace+"-"+hex.EncodeToString(id[16:])+"-01")
	// A name below localhost is this machine (RFC 6761, 6.3), which not every resolver knows.
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DialContext: dialFront},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return "", 0, err
	}
	return trace, resp.StatusCode, resp.Body.Close()
}

// judgeHops finds the first hop that dropped the key: the records are in the order of
// arrival, so a service that was called without it was called by the keyed one before.
func judgeHops(s dev.Session, seen []dev.Access) diagnosis {
	d := diagnosis{Hops: []hop{}}
	at := map[string]int{}
	reached, last, dropped := false, "", ""
	for _, a := range seen {
		i, known := at[a.Service]
		if !known {
			i = len(d.Hops)
			at[a.Service] = i
			d.Hops = append(d.Hops, hop{Service: a.Service, Verdict: "sees the key"})
		}
		if a.Key == "" {
			d.Hops[i].Unkeyed++
			if dropped == "" && last != "" {
				dropped = fmt.Sprintf("%s was called without the key in a request that had it at %s: %s, or what is between the two, drops it", a.Service, last, last)
			}
			continue
		}
		d.Hops[i].Keyed++
		reached = reached || a.Session == s.ID
		last = a.Service
	}
	for i, h := range d.Hops {
		if h.Unkeyed > 0 {
			d.Hops[i].Verdict = "was called without the key"
		}
	}
	const mend = ". Have it hand the header baggage on, e.g. by OpenTelemetry's Baggage propagator."
	switch {
	case dropped != "":
		d.Finding = strings.ToUpper(dropped[:1]) + dropped[1:] + mend
	case reached:
		d.Finding, d.Well = "The key reaches "+s.Service+", and your session answers.", true
	case len(d.Hops) == 0:
		d.Finding = "No routed service saw the requests: the way in does not lead through the environment's router."
	default:
		d.Finding = fmt.Sprintf("%s saw the key, %s did not: either the path does not need it, or %s calls on without the key and without a trace%s", last, s.Service, last, mend)
	}
	return d
}

// dialFront connects to the environment's front.
func dialFront(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	host, port, err := net.SplitHostPort(address)
	if err == nil && (host == "localhost" || strings.HasSuffix(host, ".localhost")) {
		address = net.JoinHostPort("127.0.0.1", port)
	}
	return d.DialContext(ctx, network, address)
}
