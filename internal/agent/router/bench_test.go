package router_test

import (
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"towpath.dev/towpath/internal/deploy/route"
)

// BenchmarkHop measures a GET straight to a backend and through the router in turn, in one
// run, so that both meet the same machine. It reports the medians and what the hop adds.
func BenchmarkHop(b *testing.B) {
	for _, http2 := range []bool{false, true} {
		b.Run(map[bool]string{false: "http1", true: "h2c"}[http2], func(b *testing.B) {
			cart := one(b, "cart", route.HTTP)
			start(b, route.Table{Version: 1, Services: []route.Service{cart}, Sessions: []route.Session{session("s1", "anna-1a2b", "cart", hostAnna)}})
			backend(b, hostStable, cart.Ports[0].Port, says("stable"))
			c := client(b, http2)
			direct := "http://" + net.JoinHostPort(hostStable, strconv.Itoa(cart.Ports[0].Port)) + "/"
			times := map[string][]time.Duration{}
			one := func(url string) {
				began := time.Now()
				req, _ := http.NewRequest(http.MethodGet, url, nil)
				req.Header.Set("Baggage", "tenant=7,route-as=nobody-0000")
				resp, err := c.Do(req)
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				times[url] = append(times[url], time.Since(began))
			}
			routed := "http://" + front(cart) + "/"
			for b.Loop() {
				one(direct)
				one(routed)
			}
			median := func(url string) float64 {
				slices.Sort(times[url])
				return float64(times[url][len(times[url])/2].Microseconds())
			}
			b.ReportMetric(median(direct), "direct-µs")
			b.ReportMetric(median(routed), "routed-µs")
			b.ReportMetric(median(routed)-median(direct), "hop-µs")
			b.ReportMetric(median(routed)/max(median(direct), 1), "ratio")
		})
	}
}
