//go:build cgo

package engine_test

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/lake"
	"towpath.dev/towpath/internal/monitor/lake/engine"
	"towpath.dev/towpath/internal/monitor/table"
)

// small are options with which a test of some thousand rows goes through everything.
func small(dir string) lake.Options {
	return lake.Options{Dir: dir, MinFree: 1, Seal: lake.SealOptions{Rows: 2000, Group: 256}}
}

func open(t *testing.T, o lake.Options) *engine.Engine {
	t.Helper()
	e, err := engine.Open(t.Context(), o, clock.System(), slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// opened is open, closed at the end of the test.
func opened(t *testing.T, o lake.Options) *engine.Engine {
	t.Helper()
	e := open(t, o)
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// row is a container log in the model.
type row struct {
	at                      int64
	project, level, message string
}

func (r row) String() string {
	return fmt.Sprintf("%d|%s|%s|%s", r.at, r.project, r.level, r.message)
}

func batchOf(id uint64, rows []row) *table.Batch {
	b := table.NewBuilder(table.ByName(table.ContainerLogV2))
	for _, r := range rows {
		b.Next()
		b.Int(b.Place(table.TimeGenerated), r.at)
		b.Text(b.Place(table.Project), r.project)
		b.Text(b.Place("LogLevel"), r.level)
		b.Text(b.Place("LogMessage"), r.message)
		b.Text(b.Place("PodNamespace"), "ns-"+r.level)
	}
	var full [16]byte
	binary.LittleEndian.PutUint64(full[:], id)
	return b.Batch(full)
}

func sent(batches ...*table.Batch) []lake.Sent {
	out := make([]lake.Sent, len(batches))
	for i, b := range batches {
		out[i] = lake.Sent{Batch: b, Raw: table.Encode(nil, b)}
	}
	return out
}

func add(t *testing.T, e *engine.Engine, b *table.Batch) {
	t.Helper()
	if err := e.Append(t.Context(), sent(b)); err != nil {
		t.Fatal(err)
	}
}

var logColumns = []table.Column{{Name: "t", Kind: table.DateTime}, {Name: "p", Kind: table.String}, {Name: "l", Kind: table.String}, {Name: "m", Kind: table.Dynamic}}

const logSQL = `SELECT "TimeGenerated", "Project", "LogLevel", "LogMessage" FROM logs`

// rowsOf runs a query that gives logColumns and returns its rows, sorted.
func rowsOf(t *testing.T, e *engine.Engine, sql string, s lake.Scan) ([]string, lake.Stats) {
	t.Helper()
	s.Name, s.Table = "logs", table.ContainerLogV2
	a, err := e.Query(t.Context(), lake.Query{SQL: sql, Scans: []lake.Scan{s}, Columns: logColumns})
	if err != nil {
		t.Fatal(err)
	}
	b := a.Batch
	var out []string
	for i := range b.Rows() {
		out = append(out, row{b.Vectors[0].Int[i], b.Vectors[1].Text[i], b.Vectors[2].Text[i], b.Vectors[3].Text[i]}.String())
	}
	slices.Sort(out)
	return out, a.Stats
}

// scalar runs a query of one number.
func scalar(t *testing.T, e *engine.Engine, sql string, scans ...lake.Scan) int64 {
	t.Helper()
	a, err := e.Query(t.Context(), lake.Query{SQL: sql, Scans: scans, Columns: []table.Column{{Name: "n", Kind: table.Long}}})
	if err != nil {
		t.Fatal(err)
	}
	return a.Batch.Vectors[0].Int[0]
}

var everything = lake.Scan{Name: "logs", Table: table.ContainerLogV2, All: true}

// question is a random query, in SQL with its hints and as a condition of the model.
type question struct {
	scan  lake.Scan
	sql   string
	match func(row) bool
}

func ask(r *rand.Rand, span int64) question {
	q := question{sql: logSQL, scan: lake.Scan{All: r.IntN(3) == 0, Project: projects[r.IntN(len(projects))]}}
	var where []string
	conditions := []func(row) bool{func(x row) bool { return q.scan.All || x.project == q.scan.Project }}
	if r.IntN(2) == 0 {
		from, to := r.Int64N(span), r.Int64N(span)
		q.scan.From, q.scan.To = 1+min(from, to), 1+max(from, to)
		if r.IntN(3) == 0 {
			q.scan.To = 0
		}
		conditions = append(conditions, func(x row) bool { return x.at >= q.scan.From && (q.scan.To == 0 || x.at < q.scan.To) })
	}
	if r.IntN(2) == 0 {
		level := levels[r.IntN(len(levels))]
		q.scan.Equal = map[string][]string{"LogLevel": {level}}
		where = append(where, `"LogLevel" = '`+level+`'`)
		conditions = append(conditions, func(x row) bool { return x.level == level })
	}
	if r.IntN(2) == 0 {
		term := fmt.Sprintf("id%d", r.IntN(2000))
		q.scan.Terms = []string{term}
		where = append(where, `regexp_matches("LogMessage", '\b`+term+`\b')`)
		conditions = append(conditions, func(x row) bool { return slices.Contains(strings.Fields(strings.Trim(x.message, `"`)), term) })
	}
	if len(where) > 0 {
		q.sql += " WHERE " + strings.Join(where, " AND ")
	}
	q.match = func(x row) bool {
		for _, c := range conditions {
			if !c(x) {
				return false
			}
		}
		return true
	}
	return q
}

// newestOf asks for the newest rows of a question and says so.
func newestOf(t *testing.T, e *engine.Engine, q question, n int) []string {
	t.Helper()
	q.scan.Name, q.scan.Table = "logs", table.ContainerLogV2
	a, err := e.Query(t.Context(), lake.Query{
		SQL:     q.sql + fmt.Sprintf(` ORDER BY "TimeGenerated" DESC, "Project", "LogLevel", "LogMessage" LIMIT %d`, n),
		Scans:   []lake.Scan{q.scan},
		Newest:  &lake.Newest{SQL: strings.Replace(q.sql, logSQL, `SELECT "TimeGenerated" FROM logs`, 1), Rows: int64(n)},
		Columns: logColumns,
	})
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for i, v := range a.Batch.Vectors[0].Int {
		out = append(out, row{v, a.Batch.Vectors[1].Text[i], a.Batch.Vectors[2].Text[i], a.Batch.Vectors[3].Text[i]}.String())
	}
	return out
}

// first is what newestOf has to find.
func first(model []row, q question, n int) []string {
	var rows []row
	for _, x := range model {
		if q.match(x) {
			rows = append(rows, x)
		}
	}
	slices.SortFunc(rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(b.at, a.at), cmp.Compare(a.project, b.project), cmp.Compare(a.level, b.level), cmp.Compare(a.message, b.message))
	})
	out := []string{}
	for _, x := range rows[:min(n, len(rows))] {
		out = append(out, x.String())
	}
	return out
}

var (
	projects = []string{"", "bank", "shop"}
	levels   = []string{"ERROR", "INFO", "WARNING"}
)

// TestEveryQueryGivesTheSameRowsAsAModel drives random inserts, seals, restarts and queries:
// rows lie in hot tables, in segments and in both, and every answer is that of a slice.
func TestEveryQueryGivesTheSameRowsAsAModel(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 7))
			dir := t.TempDir()
			e := open(t, small(dir))
			var model []row
			const span = 100_000
			answered, found := 0, 0
			for step := range 200 {
				switch k := r.IntN(20); {
				case k < 9:
					rows := make([]row, 1+r.IntN(300))
					for i := range rows {
						rows[i] = row{1 + r.Int64N(span/40)*40, projects[r.IntN(3)], levels[r.IntN(3)], fmt.Sprintf(`"took id%d of id%d"`, r.IntN(2000), r.IntN(2000))}
					}
					b := batchOf(uint64(step+1), rows)
					add(t, e, b)
					model = append(model, rows...)
					if k == 0 {
						add(t, e, b) // A sender that did not hear the answer.
					}
				case k < 11:
					if err := e.Seal(t.Context()); err != nil {
						t.Fatal(err)
					}
				case k == 11:
					if err := e.Close(); err != nil {
						t.Fatal(err)
					}
					e = open(t, small(dir))
				case k == 12:
					if err := engine.Compact(t.Context(), e); err != nil {
						t.Fatal(err)
					}
				default:
					q := ask(r, span)
					var want []string
					for _, x := range model {
						if q.match(x) {
							want = append(want, x.String())
						}
					}
					slices.Sort(want)
					got, _ := rowsOf(t, e, q.sql, q.scan)
					if !slices.Equal(got, want) {
						t.Fatalf("step %d, %s with %+v: %d rows, want %d", step, q.sql, q.scan, len(got), len(want))
					}
					answered, found = answered+1, found+len(got)
					if n := 1 + r.IntN(60); !slices.Equal(newestOf(t, e, q, n), first(model, q, n)) {
						t.Fatalf("step %d, the newest %d of %s with %+v are others", step, n, q.sql, q.scan)
					}
				}
			}
			if u, err := e.Stats(t.Context()); err != nil || answered == 0 || found == 0 || u.Tables[table.ContainerLogV2].SealedRows == 0 {
				t.Errorf("%d queries found %d rows: nothing was tried; %+v, %v", answered, found, u, err)
			}
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestQueriesSeeEachRowOnceWhileSealing(t *testing.T) {
	o := small(t.TempDir())
	o.Seal.Rows = 500
	e := opened(t, o)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	acked := make(chan int64, 1)
	go func() {
		n := int64(0)
		for i := uint64(1); ctx.Err() == nil && i <= 100; i++ {
			rows := make([]row, 100)
			for k := range rows {
				rows[k] = row{at: int64(k + 1), message: `"x"`}
			}
			for e.Append(ctx, sent(batchOf(i, rows))) != nil {
				if ctx.Err() != nil {
					break
				}
				time.Sleep(5 * time.Millisecond)
			}
			n += 100
		}
		acked <- n
	}()
	last := int64(0)
	for {
		n := scalar(t, e, "SELECT count(*) FROM logs", everything)
		if n%100 != 0 || n < last {
			t.Fatalf("%d rows after %d: a batch is seen in part or twice", n, last)
		}
		last = n
		select {
		case total := <-acked:
			if n := scalar(t, e, "SELECT count(*) FROM logs", everything); n != total {
				t.Fatalf("%d rows, %d were acknowledged", n, total)
			}
			u, err := e.Stats(t.Context())
			if err != nil || u.Seals == 0 {
				t.Fatalf("nothing was sealed: %+v, %v", u, err)
			}
			return
		default:
		}
	}
}

func TestSegmentsThatCannotHoldARowAreNotRead(t *testing.T) {
	e := opened(t, small(t.TempDir()))
	for i := range 4 {
		var rows []row
		for k := range 1000 {
			rows = append(rows, row{int64(i*1000 + k + 1), projects[1+i%2], "INFO", fmt.Sprintf(`"only\nterm%d of part%d"`, k, i)})
		}
		add(t, e, batchOf(uint64(i+1), rows))
		if err := e.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for name, tt := range map[string]struct {
		scan         lake.Scan
		where        string
		rows         int
		read, groups int
	}{
		"all":            {lake.Scan{All: true}, "", 4000, 4, 16},
		"a project":      {lake.Scan{Project: "shop"}, "", 2000, 2, 8},
		"no project":     {lake.Scan{Project: ""}, "", 0, 0, 0},
		"a time":         {lake.Scan{All: true, From: 1001, To: 1100}, "", 99, 1, 1},
		"a term":         {lake.Scan{All: true, Terms: []string{"part2"}}, ` WHERE contains("LogMessage", 'part2')`, 1000, 1, 4},
		"two terms":      {lake.Scan{All: true, Terms: []string{"part2", "term300"}}, ` WHERE contains("LogMessage", 'term300 of part2')`, 1, 1, 1},
		"a term of JSON": {lake.Scan{All: true, Terms: []string{"term999"}}, ` WHERE contains("LogMessage", 'term999 ')`, 4, 4, 4},
		"a value":        {lake.Scan{All: true, Equal: map[string][]string{"LogLevel": {"ERROR"}}}, ` WHERE "LogLevel" = 'ERROR'`, 0, 0, 0},
		"a short term":   {lake.Scan{All: true, Terms: []string{"of"}}, ` WHERE contains("LogMessage", ' of ')`, 4000, 4, 16},
	} {
		t.Run(name, func(t *testing.T) {
			rows, st := rowsOf(t, e, logSQL+tt.where, tt.scan)
			if len(rows) != tt.rows || st.Read != tt.read || st.GroupsRead != tt.groups {
				t.Errorf("%d rows, want %d; read %d segments and %d groups, want %d and %d", len(rows), tt.rows, st.Read, st.GroupsRead, tt.read, tt.groups)
			}
		})
	}
}

func TestSQLSeesItsScansOnly(t *testing.T) {
	dir := t.TempDir()
	e := opened(t, small(dir))
	add(t, e, batchOf(1, []row{{1, "shop", "INFO", `"mine"`}, {2, "bank", "INFO", `"theirs"`}}))
	if err := e.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	add(t, e, batchOf(2, []row{{3, "shop", "INFO", `"mine"`}, {4, "bank", "INFO", `"theirs"`}}))
	files, err := filepath.Glob(filepath.Join(dir, "segments", "*.parquet"))
	if err != nil || len(files) != 1 {
		t.Fatalf("segments %q, %v", files, err)
	}
	shop := lake.Scan{Name: "logs", Table: table.ContainerLogV2, Project: "shop"}
	for _, sql := range []string{
		`SELECT count(*) FROM "ContainerLogV2#1"`,
		`SELECT count(*) FROM "ContainerLogV2#2"`,
		`SELECT (SELECT count(*) FROM "ContainerLogV2#2") FROM logs`,
		`SELECT count(*) FROM main."ContainerLogV2#2"`,
		`WITH "ContainerLogV2#2" AS (SELECT 1) SELECT count(*) FROM "ContainerLogV2#2"`,
		`SELECT count(*) FROM read_parquet('` + files[0] + `')`,
		`SELECT count(*) FROM '` + files[0] + `'`,
		`SELECT count(*) FROM query('SELECT 1')`,
		`SELECT count(*) FROM duckdb_tables()`,
		`SELECT count(*) FROM read_text('/etc/passwd')`,
		`SELECT getenv('HOME') FROM logs`,
		`SELECT 1; SELECT 2`,
		`COPY logs TO '/tmp/x.csv'`,
		`DROP TABLE "ContainerLogV2#2"`,
		`SET threads=1`,
		`INSTALL httpfs`,
		`ATTACH '/tmp/x.db'`,
		`SELECT count(*) FROM nothing`,
		`SELEKT`,
		``,
	} {
		if _, err := e.Query(t.Context(), lake.Query{SQL: sql, Scans: []lake.Scan{shop}, Columns: []table.Column{{Name: "n", Kind: table.Long}}}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", sql, err)
		}
	}
	for sql, want := range map[string]int64{
		`SELECT count(*) FROM logs`:                                                                    2,
		`SELECT count(*) FROM LOGS a JOIN logs b USING ("TimeGenerated")`:                              2,
		`WITH x AS (SELECT * FROM logs), y AS (SELECT * FROM x) SELECT count(*) FROM y`:                2,
		`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<5) SELECT sum(i) FROM n`: 15,
		`SELECT sum(x) FROM logs, unnest([1,2]) AS u(x)`:                                               6,
		`SELECT count(*) FROM logs WHERE "Project" <> 'shop'`:                                          0,
	} {
		if got := scalar(t, e, sql, shop); got != want {
			t.Errorf("%s: %d, want %d", sql, got, want)
		}
	}
	both := lake.Scan{Name: "other", Table: table.ContainerLogV2, Project: "bank"}
	if got := scalar(t, e, `SELECT count(*) FROM logs, other`, shop, both); got != 4 {
		t.Errorf("two scans: %d", got)
	}
}

func TestAppendRefusesWhatTheCatalogueDoesNotHave(t *testing.T) {
	e := opened(t, small(t.TempDir()))
	for name, b := range map[string]*table.Batch{
		"a table":         {Table: "Nothing"},
		"a virtual table": {Table: table.Perf},
		"a column":        {Table: table.ContainerLogV2, Columns: []table.Column{{Name: "x", Kind: table.Long}}, Vectors: []table.Vector{{Kind: table.Long, Int: []int64{1}}}},
		"another type":    {Table: table.ContainerLogV2, Columns: []table.Column{{Name: "PodName", Kind: table.Long}}, Vectors: []table.Vector{{Kind: table.Long, Int: []int64{1}}}},
	} {
		if err := e.Append(t.Context(), sent(b)); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOddRowsAreKept(t *testing.T) {
	dir := t.TempDir()
	e := open(t, small(dir))
	far := table.TicksOf(time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC))
	add(t, e, batchOf(1, []row{{1, "", "", "\xff\x00"}, {far, "", "", strings.Repeat("x", 100_000)}, {-5, "", "", ""}}))
	few := &table.Batch{Table: table.ContainerLogV2, Columns: []table.Column{{Name: "PodName", Kind: table.String}}, Vectors: []table.Vector{{Kind: table.String, Text: []string{"web"}}}}
	before := table.TicksOf(time.Now())
	add(t, e, few)
	if n := scalar(t, e, fmt.Sprintf(`SELECT count(*) FROM logs WHERE "TimeGenerated" >= %d AND "PodName" = 'web'`, before), everything); n != 1 {
		t.Errorf("%d rows got the time of their arrival", n)
	}
	for _, state := range []string{"hot", "sealed", "restarted"} {
		if state == "sealed" {
			if err := e.Seal(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if state == "restarted" {
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			e = open(t, small(dir))
		}
		for where, want := range map[string]int64{
			`"TimeGenerated" = 1 AND "LogMessage" = '` + "\uFFFD" + `' || chr(0)`:      1,
			fmt.Sprintf(`"TimeGenerated" = %d AND length("LogMessage") = 100000`, far): 1,
			`"TimeGenerated" = -5 AND "_BilledSize" IS NULL AND "TenantId" = ''`:       1,
		} {
			if n := scalar(t, e, "SELECT count(*) FROM logs WHERE "+where, everything); n != want {
				t.Errorf("%s, %q: %d rows, want %d", state, where, n, want)
			}
		}
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

func TestABatchThatIsSentAgainIsStoredOnce(t *testing.T) {
	dir := t.TempDir()
	e := open(t, small(dir))
	b := batchOf(9, []row{{1, "shop", "INFO", `"x"`}})
	if err := e.Append(t.Context(), sent(b, b)); err != nil {
		t.Fatal(err)
	}
	check := func(state string) {
		t.Helper()
		add(t, e, b)
		if n := scalar(t, e, "SELECT count(*) FROM logs", everything); n != 1 {
			t.Errorf("%s: %d rows", state, n)
		}
	}
	restart := func() {
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		e = open(t, small(dir))
	}
	check("hot")
	restart()
	check("restarted")
	if err := e.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("sealed")
	restart()
	check("sealed and restarted")
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

func TestOneProcessAtATime(t *testing.T) {
	dir := t.TempDir()
	opened(t, small(dir))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := engine.Open(ctx, small(dir), clock.System(), slog.New(slog.DiscardHandler)); err == nil {
		t.Error("two engines have the same folder")
	}
}
