package shop_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"shop/internal/service"
	"shop/internal/shop"
)

// town is the whole shop: four real services on free ports, each with a build id of its own, and the spans that they record.
type town struct {
	web   string
	addr  map[string]string
	stop  map[string]func()
	spans *tracetest.SpanRecorder
	http  *http.Client
}

func newTown(t *testing.T) *town {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &town{
		addr: map[string]string{}, stop: map[string]func(){},
		spans: tracetest.NewSpanRecorder(), http: &http.Client{Jar: jar},
	}
	env := map[string]string{"LISTEN": "127.0.0.1:0", "LISTEN_GRPC": "127.0.0.1:0", "DRAIN": "0s", "FAULTS": "enabled"}
	env["CATALOG_ADDR"] = s.launch(t, "catalog", env, shop.Catalog).AddrGRPC()
	env["PRICING_URL"] = "http://" + s.launch(t, "pricing", env, shop.Pricing).Addr()
	env["CART_URL"] = "http://" + s.launch(t, "cart", env, shop.Cart).Addr()
	s.web = "http://" + s.launch(t, "web", env, shop.Web).Addr()
	return s
}

func (s *town) launch(t *testing.T, name string, env map[string]string, compose service.Compose) *service.Running {
	t.Helper()
	getenv := func(variable string) string { return env[variable] }
	cfg, err := service.NewConfig(name, "build-"+name, getenv)
	if err != nil {
		t.Fatal(err)
	}
	frame, err := service.NewFrame(t.Context(), cfg, getenv, slog.New(slog.DiscardHandler), sdktrace.WithSpanProcessor(s.spans))
	if err != nil {
		t.Fatal(err)
	}
	app, err := compose(frame, getenv)
	if err != nil {
		t.Fatal(err)
	}
	running, err := frame.Start(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := running.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	s.stop[name] = func() {
		cancel()
		<-ended
	}
	t.Cleanup(s.stop[name])
	s.addr[name] = "http://" + running.Addr()
	return running
}

// get asks the storefront, with baggage if any is given, and returns status and body.
func (s *town) get(t *testing.T, path, baggage string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.web+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if baggage != "" {
		req.Header.Set("baggage", baggage)
	}
	return s.do(t, req)
}

func (s *town) do(t *testing.T, req *http.Request) (int, string) {
	t.Helper()
	res, err := s.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if build := res.Header.Get("X-Shop-Build"); build != "build-web" {
		t.Errorf("%s: the build header is %q", req.URL.Path, build)
	}
	return res.StatusCode, string(body)
}

// post sends a cart form and returns the status and body after the way back to the page.
func (s *town) post(t *testing.T, path string, form url.Values, header ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.web+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if len(header) == 2 {
		req.Header.Set(header[0], header[1])
	}
	return s.do(t, req)
}

// view is what the tests read of /api/shop.
type view struct {
	Build    string
	Baggage  string
	Products []struct{ SKU string }
	Services []struct{ Service, Build, Baggage string }
	Cart     struct {
		Pieces   int
		Subtotal int                               `json:"subtotal_cents"`
		PricedBy struct{ Service, Baggage string } `json:"priced_by"`
	}
	TraceID string `json:"trace_id"`
}

func (s *town) view(t *testing.T, path, baggage string) view {
	t.Helper()
	code, body := s.get(t, path, baggage)
	var v view
	if err := json.Unmarshal([]byte(body), &v); code != 200 || err != nil {
		t.Fatalf("%s: got %d %s (%v)", path, code, body, err)
	}
	return v
}

func TestBaggageReachesEveryService(t *testing.T) {
	s := newTown(t)
	if code, body := s.post(t, "/cart", url.Values{"sku": {"rope-12"}, "quantity": {"10"}}); code != 200 {
		t.Fatalf("putting rope aside: %d %s", code, body)
	}
	v := s.view(t, "/api/shop", "route-as=blue,unit=lock%2021")
	if len(v.Services) != 4 {
		t.Fatalf("got %+v, want four services", v.Services)
	}
	for i, name := range []string{"web", "catalog", "pricing", "cart"} {
		got := v.Services[i]
		if got.Service != name || got.Build != "build-"+name {
			t.Errorf("service %d is %+v, want %s from build-%s", i, got, name, name)
		}
		if !strings.Contains(got.Baggage, "route-as=blue") || !strings.Contains(got.Baggage, "unit=lock%2021") {
			t.Errorf("%s received the baggage %q", name, got.Baggage)
		}
	}
	// The longest way: web → cart → pricing.
	if by := v.Cart.PricedBy; by.Service != "pricing" || !strings.Contains(by.Baggage, "route-as=blue") {
		t.Errorf("behind cart, pricing answered %+v", by)
	}
	if v := s.view(t, "/api/shop", ""); v.Baggage != "" || v.Services[1].Baggage != "" {
		t.Errorf("without baggage: got %+v", v)
	}
}

func TestOneTraceSpansAllServices(t *testing.T) {
	s := newTown(t)
	v := s.view(t, "/api/shop?q=bell", "")
	for _, stop := range []string{"web", "cart", "pricing", "catalog"} {
		s.stop[stop]() // ends every span
	}
	services := map[string]bool{}
	for _, span := range s.spans.Ended() {
		if span.SpanContext().TraceID().String() != v.TraceID {
			t.Errorf("the span %s is of another trace", span.Name())
		}
		for _, kv := range span.Resource().Attributes() {
			if kv.Key == "service.name" {
				services[kv.Value.AsString()] = true
			}
		}
	}
	for _, name := range []string{"web", "catalog", "pricing", "cart"} {
		if !services[name] {
			t.Errorf("trace %s has no span of %s, only of %v", v.TraceID, name, services)
		}
	}
}

func TestPageShowsBuildsBaggageAndEscapes(t *testing.T) {
	s := newTown(t)
	code, page := s.get(t, "/?q=%3Cscript%3E", "route-as=%3Cb%3E")
	if code != 200 {
		t.Fatalf("got %d %s", code, page)
	}
	for _, want := range []string{
		`data-service="web" data-build="build-web"`, `data-service="catalog" data-build="build-catalog"`,
		`data-service="pricing" data-build="build-pricing"`, `data-service="cart" data-build="build-cart"`,
		`<code id="build">build-web</code>`, "route-as=", "0 things on the shelves", "&lt;script&gt;",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if strings.Contains(page, "<script>") || strings.Contains(page, "<b>route") {
		t.Error("the page shows foreign text as markup")
	}
	if code, css := s.get(t, "/static/shop.css", ""); code != 200 || !strings.Contains(css, "prefers-color-scheme: dark") {
		t.Errorf("the style sheet: %d, %d bytes", code, len(css))
	}
	if code, page := s.get(t, "/", ""); code != 200 || strings.Count(page, `<article class="ware">`) != 9 {
		t.Errorf("the whole shelf: %d with %d articles, want 200 with 9", code, strings.Count(page, `<article class="ware">`))
	}
}

func TestCartByForms(t *testing.T) {
	s := newTown(t)
	if code, page := s.post(t, "/cart", url.Values{"sku": {"rope-12"}, "quantity": {"10"}}); code != 200 || !strings.Contains(page, "€ 23.66") {
		t.Fatalf("ten metres of rope: got %d; the page has no € 23.66", code)
	}
	if v := s.view(t, "/api/shop", ""); v.Cart.Pieces != 10 || v.Cart.Subtotal != 2366 {
		t.Errorf("got %+v", v.Cart)
	}
	if code, _ := s.post(t, "/cart/set", url.Values{"sku": {"rope-12"}, "quantity": {"0"}}); code != 200 {
		t.Errorf("taking it out: got %d", code)
	}
	if v := s.view(t, "/api/shop", ""); v.Cart.Pieces != 0 {
		t.Errorf("after taking it out: got %+v", v.Cart)
	}
	for name, tt := range map[string]struct {
		form   url.Values
		header []string
		code   int
	}{
		"unknown product":   {url.Values{"sku": {"anchor"}, "quantity": {"1"}}, nil, 404},
		"no number":         {url.Values{"sku": {"rope-12"}, "quantity": {"many"}}, nil, 400},
		"from another site": {url.Values{"sku": {"rope-12"}, "quantity": {"1"}}, []string{"Sec-Fetch-Site", "cross-site"}, 403},
	} {
		if code, body := s.post(t, "/cart", tt.form, tt.header...); code != tt.code {
			t.Errorf("%s: got %d %s, want %d", name, code, body, tt.code)
		}
	}
}

func TestCheckout(t *testing.T) {
	s := newTown(t)
	if code, body := s.post(t, "/checkout", nil); code != 409 {
		t.Errorf("an empty cart: got %d %s", code, body)
	}
	if code, _ := s.post(t, "/cart", url.Values{"sku": {"rope-12"}, "quantity": {"10"}}); code != 200 {
		t.Fatalf("putting rope aside: %d", code)
	}
	if code, body := s.post(t, "/checkout", nil); code != 200 || !strings.Contains(body, "Nothing yet") {
		t.Errorf("buying: got %d", code)
	}
	_, metrics := s.get(t, "/metrics", "")
	for _, want := range []string{"shop_checkouts_total 1\n", "shop_pieces_sold_total 10\n", "shop_revenue_total 2366\n", "shop_cart_changes_total 1\n"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics lack %q", want)
		}
	}
}

func TestAServiceThatFails(t *testing.T) {
	tests := map[string]struct {
		code int
		text string
	}{
		"cart":    {200, "The cart is out of reach"},
		"pricing": {502, "cannot show its shelves"},
		"catalog": {502, "cannot show its shelves"},
	}
	s := newTown(t)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s.setFault(t, name, `{"error_rate":1}`)
			defer s.setFault(t, name, `{}`)
			if code, page := s.get(t, "/", ""); code != tt.code || !strings.Contains(page, tt.text) {
				t.Errorf("got %d, want %d with %q", code, tt.code, tt.text)
			}
		})
	}
	if code, page := s.get(t, "/", ""); code != 200 || strings.Contains(page, `class="notice"`) {
		t.Errorf("with every fault off again: got %d", code)
	}
}

func (s *town) setFault(t *testing.T, name, body string) {
	t.Helper()
	res, err := http.Post(s.addr[name]+"/-/faults", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != 200 {
		t.Fatalf("setting the fault of %s: %s", name, res.Status)
	}
}
