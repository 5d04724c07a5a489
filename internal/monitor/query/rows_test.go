package query_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"towpath.dev/towpath/internal/monitor/kql/value"
	"towpath.dev/towpath/internal/monitor/table"
)

// now is when the tests ask.
var now = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

// awkward values: odd case, letters that fold oddly, borders of terms, escapes.
var (
	pods     = []string{"cart-0", "Cart-1", "cart-1", "CART-0", "web-7", "precart-0", "", "käse-1", "\u212Aart-2", "cart_3"}
	messages = []string{
		"error: disk full", "ERROR Disk\tfull", "took 12 ms", "took 7 ms ok", "connection refused", "Connection  refused", "connectionrefused", "diskette", "d\u0130sk", "dis\u212A ok",
		"10 kelvin", "Straße gesperrt", "STRASSE", "école", "x École y", "ſtart", "it's 100% a_b", "a b", "100 %", "kI start", "back\\slash", "line one\nline two disk", "“error”", "errorés", "é-error-é",
		"null", "42", "true", "", "'; DROP TABLE x; --", "naïve error", "x\u00A0error", "unused", "used",
		`{"level":"error","msg":"disk \"full\"","n":5}`, `{"level":"Error","msg":null,"list":[1,2]}`, `{"level":7,"msg":{"a":"b"}}`, `["error","disk"]`, `{"level":"ok\nerror","x":"é"}`,
		`{"level": "error", "msg" : "disk full", "n": 2.50}`, `[1, "two words", {"a": null}]`, `{"x":"\u00e9\u0041\/b \u0026 \u003c\u0027"}`, ` {"level":"error"} `,
	}
	names = []string{"GET /cart", "GET /", "POST /order", "get /Cart", "", "ÄÖÜ", "it's"}
	roles = []string{"web", "cart", "checkout", ""}
	codes = []string{"200", "404", "500", "", "12abc", "+5", "-7", "abc", "99999999999"}
	bags  = []string{
		``, `{"user":"u1","n":5,"list":[1,"two",null],"deep":{"er":"x"},"text":"12"}`, `{"user":"U1","n":-7.5,"deep":{"er":2},"text":"x"}`, `{"user":"it's \"q\"","n":"13","list":[],"text":""}`,
		`{"n":true,"list":["a"],"deep":null}`, `{"user":null,"n":3000000000}`, `{"user":["u1"],"n":{"a":1},"deep":{"er":{"z":[1,2]}}}`, `{"user":"ü\n","n":0.25}`,
	}
	durations = []float64{0, 12.5, 99.999, 100, 100.5, 250, 1e-3, 3, 7.25, 50}
)

type seeded struct{ *rand.Rand }

func (r seeded) text(of []string) string { return of[r.IntN(len(of))] }

func (r seeded) sometimes(n int) bool { return r.IntN(n) == 0 }

// rows makes random rows of a table. Every third column is filled by its name, the others
// by their kind.
func (r seeded) rows(t *table.Table, n int) *table.Batch {
	b := &table.Batch{Table: t.Name, Columns: t.Columns, Vectors: make([]table.Vector, len(t.Columns))}
	for i, c := range t.Columns {
		v := table.NewVector(c.Kind, n)
		for k := range n {
			r.cell(&v, t, c, k)
		}
		b.Vectors[i] = v
	}
	return b
}

func (r seeded) cell(v *table.Vector, t *table.Table, c table.Column, row int) {
	switch c.Kind {
	case table.String:
		v.AppendText(r.word(t, c, row))
	case table.Dynamic:
		v.AppendText(r.dynamic(c))
	case table.DateTime:
		r.moment(v, c)
	case table.Bool:
		if r.sometimes(5) {
			v.AppendNull()
		} else {
			v.AppendInt(int64(r.IntN(2)))
		}
	case table.Real:
		switch {
		case r.sometimes(6):
			v.AppendNull()
		case r.sometimes(2):
			v.AppendReal(durations[r.IntN(len(durations))])
		default:
			v.AppendReal(float64(r.IntN(40000))/64 - 50)
		}
	default:
		switch {
		case r.sometimes(6):
			v.AppendNull()
		case r.sometimes(10):
			v.AppendInt(int64(r.IntN(2000) - 1000))
		default:
			v.AppendInt(int64(r.IntN(9) - 3))
		}
	}
}

func (r seeded) word(t *table.Table, c table.Column, row int) string {
	switch c.Name {
	case table.Project:
		return r.text([]string{"shop", "shop", "shop", "other", ""})
	case "Id":
		return fmt.Sprintf("%s-%05d", t.Name, row)
	case "Type":
		return t.Name
	case "PodName":
		return r.text(pods)
	case "PodNamespace":
		return r.text([]string{"shop", "kube-system", "Kube-System", "SHOP"})
	case "LogLevel":
		return r.text([]string{"ERROR", "INFO", "error", "UNKNOWN", ""})
	case "LogSource":
		return r.text([]string{"stdout", "stderr", "\u017Ftderr"})
	case "Name":
		return r.text(names)
	case "AppRoleName":
		return r.text(roles)
	case "ResultCode":
		return r.text(codes)
	case "OperationId":
		return fmt.Sprintf("op%d", r.IntN(60))
	case "Message", "Url", "Target":
		return r.text(messages[:20])
	}
	return r.text([]string{"", "a", "B", "it's"})
}

// dynamic returns a value as it is stored: JSON, of which objects and arrays stand as they
// were written, or a line that is no JSON.
func (r seeded) dynamic(c table.Column) string {
	if c.Name != "LogMessage" {
		if c.Name == "KubernetesMetadata" && r.sometimes(2) {
			return `{"podLabels":{"app":"` + r.text([]string{"cart", "web"}) + `"}}`
		}
		return canonical(r.text(bags))
	}
	s := r.text(messages)
	if r.sometimes(3) && !json.Valid([]byte(s)) {
		return value.JSON(s)
	}
	if t := strings.TrimSpace(s); strings.HasPrefix(t, "{") || strings.HasPrefix(t, "[") {
		return t
	}
	return canonical(s)
}

// canonical is how a dynamic is written once it has been read.
func canonical(s string) string {
	v, ok := value.ParseJSON(s)
	switch {
	case !ok:
		return s
	case v == nil:
		return ""
	}
	return value.JSON(v)
}

func (r seeded) moment(v *table.Vector, c table.Column) {
	ticks := table.TicksOf(now) - int64(r.IntN(5*3600))*table.TicksPerSecond
	switch {
	case c.Name == table.TimeGenerated:
		v.AppendInt(ticks - int64(r.IntN(3))*int64(r.IntN(40))*24*3600*table.TicksPerSecond - int64(r.IntN(1000)))
	case r.sometimes(5):
		v.AppendNull()
	default:
		v.AppendInt(ticks + int64(r.IntN(30))*table.TicksPerSecond)
	}
}
