// Command conformance writes docs/conformance/pipelines.md: one row for every fact about
// Azure Pipelines that the engine reproduces, with the test that shows it.
//
//	go run ./scripts/conformance
//
// The rows stand in ids.txt. A row works when a test carries its ID; see [evidence] for
// where it may stand. What is refused by name stands in refused.txt and needs a test as
// well. A test of this package says when the page is stale.
package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func main() {
	root, err := os.Getwd()
	if err == nil {
		var page string
		if page, err = Page(root); err == nil {
			err = os.WriteFile(filepath.Join(root, Target), []byte(page), 0o644)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// Target is the page, from the root of the repository.
const Target = "docs/conformance/pipelines.md"

// row is one line of the table.
type row struct{ id, title string }

// section is a part of the table.
type section struct {
	title string
	rows  []row
}

// Page returns the text of the page for the repository in a folder.
func Page(root string) (string, error) {
	sections, err := readRows(filepath.Join(root, "scripts", "conformance", "ids.txt"))
	if err != nil {
		return "", err
	}
	refused, err := readRefused(filepath.Join(root, "scripts", "conformance", "refused.txt"))
	if err != nil {
		return "", err
	}
	shown, err := collect(root)
	if err != nil {
		return "", err
	}
	known := map[string]bool{}
	for _, s := range sections {
		for _, r := range s.rows {
			known[r.id] = true
		}
	}
	for _, id := range slices.Sorted(maps.Keys(shown)) {
		if !known[id] {
			return "", fmt.Errorf("%s carries the ID %s, which ids.txt does not have", shown[id][0], id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(refused)) {
		if !known[id] || len(shown[id]) == 0 {
			return "", fmt.Errorf("refused.txt names %s, and no test shows that it is refused", id)
		}
	}
	return write(sections, refused, shown), nil
}

const head = `<!-- Written by go run ./scripts/conformance; change the tests, not this page. -->

# Conformance: Azure Pipelines

One row for every fact that the engine reproduces. *works*: a test shows it. *refused by name*: the user is told, as the row says. *not yet*: neither.
The rows of the keys (Y) are about the compiler: the key is accepted where it may stand and checked for what it may hold, and the official validator
gives the same verdict (` + "`go test ./internal/pipeline/compile -run OfficialValidator -v`" + `).

A test carries an ID in one of these ways: in the name of its function (` + "`TestSetVariableL001`" + `); at the beginning of a name in a table of a Go test
(` + "`{\"L004 complete never improves a result\", …}`" + `); in the name of a fixture below testdata (` + "`T009_each.txtar`" + `), or in a line ` + "`covers: Y234-Y236 X003`" + ` of its comment;
at the beginning of a line of a table in testdata (` + "`X070 | and(true, false) | false`" + `). Ranges are written Y234-Y236, in names of functions Y234toY236.

`

func write(sections []section, refused map[string]string, shown map[string][]string) string {
	var body strings.Builder
	count := map[string]int{}
	for _, s := range sections {
		fmt.Fprintf(&body, "\n## %s\n\n| ID | what | | shown by |\n|---|---|---|---|\n", s.title)
		for _, r := range s.rows {
			state, by := "not yet", ""
			if evidence := shown[r.id]; len(evidence) > 0 {
				state, by = "works", evidenceText(evidence)
			}
			if told, ok := refused[r.id]; ok {
				state, by = "refused by name", told+"; "+by
			}
			count[state]++
			fmt.Fprintf(&body, "| %s | %s | %s | %s |\n", r.id, escape(r.title), state, escape(by))
		}
	}
	summary := fmt.Sprintf("%d works, %d refused by name, %d not yet.\n", count["works"], count["refused by name"], count["not yet"])
	return head + summary + body.String()
}

// mostShown is how many tests a row names.
const mostShown = 2

func evidenceText(evidence []string) string {
	text := strings.Join(evidence[:min(len(evidence), mostShown)], ", ")
	if more := len(evidence) - mostShown; more > 0 {
		text += " and " + strconv.Itoa(more) + " more"
	}
	return text
}

func escape(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

func readRows(file string) ([]section, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var sections []section
	for line := range strings.Lines(string(data)) {
		line = strings.TrimRight(line, "\n")
		if title, ok := strings.CutPrefix(line, "## "); ok {
			sections = append(sections, section{title: title})
			continue
		}
		id, title, ok := strings.Cut(line, "\t")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if !ok || len(sections) == 0 {
			return nil, fmt.Errorf("%s: the line %q is no row", file, line)
		}
		last := &sections[len(sections)-1]
		last.rows = append(last.rows, row{id: id, title: title})
	}
	return sections, nil
}

func readRefused(file string) (map[string]string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	refused := map[string]string{}
	for line := range strings.Lines(string(data)) {
		if ids, told, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && !strings.HasPrefix(line, "#") {
			for _, id := range idsOf(ids) {
				refused[id] = told
			}
		}
	}
	return refused, nil
}

const idForm = `(?:X006b|[YXTVDCLPKJ][0-9]{3})`

var (
	idPattern    = regexp.MustCompile(`(` + idForm + `)(?:(?:-|–|to)(` + idForm + `))?`)
	leadingPlain = regexp.MustCompile(`^(?:` + idForm + `(?:[-–]` + idForm + `)?)(?:[ ,]+` + idForm + `(?:[-–]` + idForm + `)?)*(?:[ :]|$)`)
)

// idsOf returns the IDs in a text, with ranges written out.
func idsOf(text string) []string {
	var ids []string
	for _, m := range idPattern.FindAllStringSubmatch(text, -1) {
		ids = append(ids, m[1])
		if m[2] == "" || m[2][0] != m[1][0] {
			continue
		}
		from, _ := strconv.Atoi(m[1][1:4])
		to, _ := strconv.Atoi(m[2][1:4])
		for n := from + 1; n <= to; n++ {
			ids = append(ids, fmt.Sprintf("%c%03d", m[1][0], n))
		}
	}
	return ids
}
