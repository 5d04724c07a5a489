package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// evidence collects where IDs stand.
type evidence struct {
	root  string
	shown map[string][]string
}

// collect reads the tests of a repository.
func collect(root string) (map[string][]string, error) {
	e := &evidence{root: root, shown: map[string][]string{}}
	for _, folder := range []string{"internal", "cmd", "testdata"} {
		if err := filepath.WalkDir(filepath.Join(root, folder), e.visit); err != nil {
			return nil, err
		}
	}
	for _, by := range e.shown {
		slices.Sort(by)
	}
	return e.shown, nil
}

func (e *evidence) add(text, by string) {
	for _, id := range idsOf(text) {
		if !slices.Contains(e.shown[id], by) {
			e.shown[id] = append(e.shown[id], by)
		}
	}
}

func (e *evidence) visit(path string, d fs.DirEntry, err error) error {
	if err != nil {
		return err
	}
	rel, err := filepath.Rel(e.root, path)
	if err != nil {
		return err
	}
	rel = filepath.ToSlash(rel)
	inData := strings.HasPrefix(rel, "testdata/") || strings.Contains(rel, "/testdata/")
	switch {
	case d.IsDir():
		if name := d.Name(); name == "published" || name == "oracle" && inData || name == "fuzz" || name == "node_modules" {
			return fs.SkipDir
		}
		return nil
	case strings.HasSuffix(rel, "_test.go"):
		return e.goTest(path, rel)
	case inData:
		return e.fixture(path, rel)
	}
	return nil
}

// goTest reads the names of test functions, and the strings that begin with an ID.
func (e *evidence) goTest(path, rel string) error {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok {
			continue
		}
		by := "`" + rel + "` " + f.Name.Name
		if strings.HasPrefix(f.Name.Name, "Test") || strings.HasPrefix(f.Name.Name, "Fuzz") {
			e.add(f.Name.Name, by)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if text, err := strconv.Unquote(lit.Value); err == nil {
					e.add(leadingPlain.FindString(text), by)
				}
			}
			return true
		})
	}
	return nil
}

// fixture reads the name of a fixture, its line "covers:", and the rows of a table.
func (e *evidence) fixture(path, rel string) error {
	by := "`" + rel + "`"
	e.add(filepath.Base(rel), by)
	if !strings.HasSuffix(rel, ".txtar") && !strings.HasSuffix(rel, ".txt") {
		return nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	table := strings.HasSuffix(rel, ".txt")
	for line := range strings.Lines(string(data)) {
		if !table && strings.HasPrefix(line, "-- ") {
			return nil
		}
		if ids, ok := strings.CutPrefix(strings.TrimPrefix(line, "# "), "covers:"); ok {
			e.add(ids, by)
		}
		if id, _, ok := strings.Cut(line, " | "); table && ok && !strings.HasPrefix(line, "@") {
			e.add(leadingPlain.FindString(strings.TrimSpace(id)), by)
		}
	}
	return nil
}
