//go:build cgo

package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/lake"
	"towpath.dev/towpath/internal/monitor/lake/engine/duck"
)

// tableFunctions are those that read nothing but their arguments.
var tableFunctions = []string{"unnest", "range", "generate_series", "json_each", "json_tree", "repeat", "repeat_row"}

// forbidden functions read what is outside of the scans.
var forbidden = []string{"getenv", "current_setting", "getvariable", "nextval", "currval", "read_text", "read_blob", "query", "query_table", "current_query", "pragma_version"}

// check lets a query through that reads its scans and nothing else. DuckDB's own parser
// says what the SQL names; a statement that is no SELECT it does not show, which refuses it.
func (e *Engine) check(ctx context.Context, q lake.Query) error {
	if len(q.Scans) > maxScans {
		return fault.New(fault.TooLarge, "The query reads %d tables; at most %d are allowed.", len(q.Scans), maxScans)
	}
	allowed := map[string]bool{}
	for _, s := range q.Scans {
		allowed[strings.ToLower(s.Name)] = true
	}
	c, err := e.db.Connect()
	if err != nil {
		return err
	}
	defer c.Close()
	if q.Newest != nil {
		if err := statement(ctx, c, q.Newest.SQL, maps.Clone(allowed)); err != nil {
			return err
		}
	}
	return statement(ctx, c, q.SQL, allowed)
}

// statement lets one statement through.
func statement(ctx context.Context, c *duck.Conn, sql string, allowed map[string]bool) error {
	tree := ""
	err := c.Query(ctx, "SELECT json_serialize_sql("+duck.Quote(sql)+"::VARCHAR)::VARCHAR", func(k *duck.Chunk) error {
		tree = strings.Clone(k.Texts(0)[0])
		return nil
	})
	if err != nil {
		return err
	}
	var root struct {
		Error   bool   `json:"error"`
		Message string `json:"error_message"`
		// The statements as DuckDB's parser has them.
		Statements []any `json:"statements"`
	}
	if err := json.Unmarshal([]byte(tree), &root); err != nil {
		return fmt.Errorf("reading the SQL's tree: %w", err)
	}
	if root.Error {
		return fault.New(fault.Invalid, "The log engine cannot run this query: %s", root.Message)
	}
	if len(root.Statements) != 1 {
		return fault.New(fault.Invalid, "The log engine runs one statement at a time.")
	}
	w := &walker{allowed: allowed}
	w.tables(root.Statements)
	w.walk(root.Statements)
	return w.err
}

// walker looks through the tree of a statement.
type walker struct {
	allowed map[string]bool
	err     error
}

func (w *walker) refuse(what, name string) {
	if w.err == nil {
		w.err = fault.New(fault.Invalid, "The query may not use the %s %q.", what, name)
	}
}

// tables allows the names that the statement itself gives to tables (WITH). The name of a
// hot table, which has a "#", cannot be one of them.
func (w *walker) tables(node any) {
	switch n := node.(type) {
	case []any:
		for _, x := range n {
			w.tables(x)
		}
	case map[string]any:
		if m, ok := n["cte_map"].(map[string]any); ok {
			list, _ := m["map"].([]any)
			for _, entry := range list {
				if kv, ok := entry.(map[string]any); ok {
					name, _ := kv["key"].(string)
					if strings.Contains(name, "#") {
						w.refuse("table name", name)
					}
					w.allowed[strings.ToLower(name)] = true
				}
			}
		}
		for _, x := range n {
			w.tables(x)
		}
	}
}

func (w *walker) walk(node any) {
	switch n := node.(type) {
	case []any:
		for _, x := range n {
			w.walk(x)
		}
	case map[string]any:
		w.look(n)
		for _, x := range n {
			w.walk(x)
		}
	}
}

// look refuses a node that names what the query may not use.
func (w *walker) look(n map[string]any) {
	text := func(key string) string { s, _ := n[key].(string); return s }
	switch text("type") {
	case "BASE_TABLE":
		if name := text("table_name"); !w.allowed[strings.ToLower(name)] || text("schema_name") != "" || text("catalog_name") != "" {
			w.refuse("table", name)
		}
	case "TABLE_FUNCTION":
		f, _ := n["function"].(map[string]any)
		name, _ := f["function_name"].(string)
		if !slices.Contains(tableFunctions, strings.ToLower(name)) {
			w.refuse("function", name)
		}
	case "SHOW_REF", "COLUMN_DATA", "DELIM_GET":
		w.refuse("table", text("type"))
	}
	if name := strings.ToLower(text("function_name")); slices.Contains(forbidden, name) {
		w.refuse("function", name)
	}
}
